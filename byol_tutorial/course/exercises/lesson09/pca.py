"""Exercise 09-pca, “Two directions of most variance”."""

from collections.abc import Callable

import torch
from torch import Tensor

from ....evaluate.embed import pca_embedding
from ..record import Exercise, Mistake, UnusableError
from ..values import ASKS_FOR, kind, tensor


def _clouds() -> list[tuple]:
    g = torch.Generator().manual_seed(0)
    scale = torch.tensor([4.0, 2.0, 1.0, 0.5, 0.2])
    mix = torch.linalg.qr(torch.randn(5, 5, generator=g))[0]
    return [((torch.randn(40, 5, generator=g) * scale) @ mix + shift,) for shift in (0.0, 3.0)]


def _seen(pca: Callable, x: Tensor) -> dict[str, Tensor]:
    """Return what does not depend on the sign of an axis: lengths along both axes, and the points' scalar products."""
    found = pca(x)
    m = tensor(found)
    if m is None or m.shape != (len(x), 2):
        raise UnusableError(
            f"your function returns {kind(found)}{ASKS_FOR}a tensor of shape ({len(x)}, 2): a place for each point."
        )
    return {"products": m @ m.T, "spread along the axes": m.std(0), "mean": m.mean(0)}


def _pca(x: Tensor, centred: bool = True, lengths: bool = True, first: int = 0) -> Tensor:
    x = x - x.mean(0) if centred else x
    u, s, _ = torch.linalg.svd(x, full_matrices=False)
    m = u * s if lengths else u
    return m[:, first : first + 2]


PCA = Exercise(
    id="09-pca",
    title="Two directions of most variance",
    kind="implement",
    difficulty=2,
    minutes=10,
    hints=(
        "In which directions do the points vary most? Variation is around the mean.",
        (
            "Take the mean of each column away; then `u, s, vt = torch.linalg.svd(x, full_matrices=False)` gives "
            "x = U S Vᵀ. The map is x times the first two columns of V."
        ),
        (
            "y = y - y.mean(0)\n"
            "u, s, vt = torch.linalg.svd(y, full_matrices=False)  # y = u @ diag(s) @ vt, largest s first\n"
            "# the map: y times the first two rows of vt, as columns"
        ),
    ),
    cases=_clouds,
    observe=_seen,
    reference=pca_embedding,
    mistakes=(
        Mistake(
            "not centred",
            lambda x: _pca(x, centred=False),
            "this is right where the points lie around 0. Where they do not, the first axis only points to where they lie: subtract the "
            "mean first.",
        ),
        Mistake(
            "lengths lost",
            lambda x: _pca(x, lengths=False),
            "both axes are equally long: U alone has lost the lengths, which are S.",
        ),
        Mistake(
            "the second first",
            lambda x: _pca(x).flip(1),
            "the directions are right, but the second comes first: the first axis is that of most variance.",
        ),
        Mistake(
            "two columns",
            lambda x: (x - x.mean(0))[:, :2],
            "these are the first two columns of y as it is. The directions in which the points vary most lie in between.",
        ),
        Mistake(
            "V the wrong way round",
            lambda x: (x - x.mean(0)) @ torch.linalg.svd(x - x.mean(0), full_matrices=False)[2][:, :2],
            "svd gives Vᵀ, whose *rows* are the directions: multiply by vt[:2].T.",
        ),
        Mistake(
            "lengths squared",
            lambda x: _pca(x) * torch.linalg.svd(x - x.mean(0), full_matrices=False)[1][:2],
            "the lengths are counted twice: y times V, or U times S, but not y V S.",
        ),
        Mistake(
            "each column scaled",
            lambda x: _pca((x - x.mean(0)) / x.std(0)),
            "every column was brought to the same spread first. That is another method: here the unit of y is kept.",
        ),
        Mistake(
            "the last two",
            lambda x: _pca(x, first=3),
            "these are the directions of least variance: `eigh` gives the smallest eigenvalue first, `svd` the largest.",
            when=lambda seen, wanted: bool(
                seen[0]["spread along the axes"].max() < wanted[0]["spread along the axes"].min() / 2
            ),
        ),
    ),
    praise="right. Which way an axis points is chance: the mirror image is as good an answer.",
)
