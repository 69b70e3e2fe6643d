"""Exercises of lesson 09, maps."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...evaluate.embed import pca_embedding
from .record import Exercise, Mistake

# --- PCA ----------------------------------------------------------------------------------------


def _clouds() -> list[tuple]:
    g = torch.Generator().manual_seed(0)
    scale = torch.tensor([4.0, 2.0, 1.0, 0.5, 0.2])
    mix = torch.linalg.qr(torch.randn(5, 5, generator=g))[0]
    return [((torch.randn(40, 5, generator=g) * scale) @ mix + shift,) for shift in (0.0, 3.0)]


def _seen(pca: Callable, x: Tensor) -> Any:
    """Return what does not depend on the sign of an axis: lengths along both axes, and the points' scalar products."""
    m = pca(x)
    if not isinstance(m, torch.Tensor) or m.ndim != 2 or m.shape[1] != 2:
        return m  # of another shape, which the comparison reports
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
            "the last two",
            lambda x: _pca(x, first=3),
            "these are the directions of least variance: `eigh` gives the smallest eigenvalue first, `svd` the largest.",
        ),
        Mistake(
            "each column scaled",
            lambda x: _pca((x - x.mean(0)) / x.std(0)),
            "every column was brought to the same spread first. That is another method: here the unit of y is kept.",
        ),
    ),
    praise="right. Which way an axis points is chance: the mirror image is as good an answer.",
)


# --- UMAP's weights -----------------------------------------------------------------------------


def _distances() -> list[tuple]:
    g = torch.Generator().manual_seed(1)
    d = torch.rand(6, 5, generator=g).sort(dim=1).values
    return [(d, torch.full((6,), 0.3)), (d + 2.0, 0.1 + torch.rand(6, generator=g))]


MEMBERSHIP = Exercise(
    id="09-weights",
    title="A unit of its own for every point",
    kind="implement",
    difficulty=2,
    minutes=8,
    hints=(
        ("Each row has a ρ and a σ of its own: what shape must they have, so that they fit the columns of the row?"),
        ("ρ is each row's first entry, kept as a column: d[:, :1]. σ is needed as a column, too: sigma[:, None]."),
        (
            "rho = d[:, :1]  # (N, 1): the nearest of each point\n"
            "exponent = -(d - rho).clamp(min=0)  # still to be divided by each row's own σ"
        ),
    ),
    cases=_distances,
    reference=lambda d, sigma: torch.exp(-(d - d[:, :1]).clamp(min=0) / sigma[:, None]),
    mistakes=(
        Mistake(
            "without ρ",
            lambda d, sigma: torch.exp(-d / sigma[:, None]),
            "the nearest neighbour must weigh 1, however far it is: what counts is how much farther away the others are.",
        ),
        Mistake(
            "σ squared",
            lambda d, sigma: torch.exp(-((d - d[:, :1]) ** 2) / sigma[:, None] ** 2),
            "that is a Gaussian, which t-SNE uses. UMAP's weights fall exponentially: (d − ρ)/σ, not squared.",
        ),
        Mistake(
            "one ρ for all",
            lambda d, sigma: torch.exp(-(d - d.min()) / sigma[:, None]),
            "ρ is the same for all points here. Each point has its own: the distance of *its* nearest neighbour.",
        ),
        Mistake(
            "the sign",
            lambda d, sigma: torch.exp((d - d[:, :1]) / sigma[:, None]),
            "the weights grow with the distance.",
        ),
    ),
    praise="right. Twice all distances, twice all σ: the weights are the same. That is why a map by UMAP has no unit.",
)


# --- neighbours kept ----------------------------------------------------------------------------


def _scattered() -> list[tuple]:
    g = torch.Generator().manual_seed(2)
    y = torch.randn(60, 8, generator=g)
    return [(y, y[:, :2].clone(), 5), (y, torch.randn(60, 2, generator=g), 5), (y, torch.randn(60, 2, generator=g), 10)]


def _kept(y: Tensor, points: Tensor, k: int) -> Tensor:
    y = F.normalize(y, dim=1)
    a = (y @ y.T).fill_diagonal_(-torch.inf).topk(k).indices
    b = torch.cdist(points, points).fill_diagonal_(torch.inf).topk(k, largest=False).indices
    return (a[:, :, None] == b[:, None, :]).any(2).float().mean()


def _kept_with_bug(y: Tensor, points: Tensor, k: int) -> Tensor:
    y = F.normalize(y, dim=1)
    a = (y @ y.T).topk(k).indices
    b = torch.cdist(points, points).topk(k, largest=False).indices
    return (a[:, :, None] == b[:, None, :]).any(2).float().mean()


def _one_side(y: Tensor, points: Tensor, k: int) -> Tensor:
    y = F.normalize(y, dim=1)
    a = (y @ y.T).fill_diagonal_(-torch.inf).topk(k).indices
    b = torch.cdist(points, points).topk(k, largest=False).indices
    return (a[:, :, None] == b[:, None, :]).any(2).float().mean()


def _farthest(y: Tensor, points: Tensor, k: int) -> Tensor:
    y = F.normalize(y, dim=1)
    a = (y @ y.T).fill_diagonal_(-torch.inf).topk(k).indices
    b = torch.cdist(points, points).topk(k).indices
    return (a[:, :, None] == b[:, None, :]).any(2).float().mean()


KEPT = Exercise(
    id="09-kept",
    title="Too good for points thrown at random",
    kind="find the bug",
    difficulty=2,
    minutes=8,
    hints=(
        "Print `a[:, 0]`. Whose nearest neighbour is that?",
        (
            "Each point is its own nearest neighbour, in y and in the map. Make that impossible on both sides "
            "before topk: the diagonal holds it."
        ),
        (
            "similarity = (y @ y.T).fill_diagonal_(-torch.inf)  # no point is its own neighbour\n"
            "# the distances in the map need the same, with the other sign"
        ),
    ),
    cases=_scattered,
    reference=_kept,
    mistakes=(
        Mistake(
            "unchanged",
            _kept_with_bug,
            "this is the code as it was given: every map gets at least 1/k, even one that has nothing to do with y. Which "
            "neighbour is always found on both sides?",
        ),
        Mistake(
            "corrected on one side",
            _one_side,
            "a point is no longer its own neighbour in y, but still in the map, where it takes the place of a true one.",
        ),
        Mistake("the farthest", _farthest, "topk takes the largest: in the map these are the farthest points."),
    ),
    praise="right: a point must not count as its own neighbour. Points thrown at random now get about k/(N − 1).",
)


# --- predictions --------------------------------------------------------------------------------

FIRST = Exercise(
    id="09-first",
    title="Which pictures does the encoder put together?",
    kind="predict",
    difficulty=1,
    minutes=2,
    hints=(
        (
            "What of a picture gets through four random convolutions and an average over the whole picture? And "
            "what does the colour jitter ask the trained one to ignore?"
        ),
        (
            "An average over random filters keeps the colour of the picture and little of its lines. The two "
            "views of training differ in hue, so hue does not help to predict."
        ),
        (
            "small = torch.nn.functional.adaptive_avg_pool2d(seen.images.float(), 1).flatten(1)  # the mean colour alone\n"
            "print(shared(nearest(small)))"
        ),
    ),
    questions={"before": ("shape", "hue"), "after": ("shape", "hue")},
    reference={"before": "hue", "after": "shape"},
    mistakes=(
        Mistake(
            "shape from the start",
            {"before": "shape", "after": "shape"},
            "an average over the picture of random filters' answers says more about its colour than about its lines.",
        ),
        Mistake(
            "hue to the end",
            {"before": "hue", "after": "hue"},
            "the two views of a picture differ in hue, so hue does not help to predict one from the other.",
        ),
    ),
    praise="right: training exchanges the one for the other.",
)

COLLAPSE = Exercise(
    id="09-collapse",
    title="A collapse, mapped",
    kind="predict",
    difficulty=2,
    minutes=3,
    hints=(
        "PCA keeps the unit of what it maps. What does UMAP keep?",
        (
            "Spread 0 in PCA's unit is a dot. UMAP only asks which points are nearest to each point: have points "
            "that lie close together no nearest ones?"
        ),
        ("tiny = 1e-3 * z_byol + 1\nprint(size(pca(tiny)) / size(pca(z_byol)), size(umap(tiny)) / size(umap(z_byol)))"),
    ),
    questions={"pca": ("a dot", "a cloud"), "umap": ("a dot", "a cloud")},
    reference={"pca": "a dot", "umap": "a cloud"},
    mistakes=(
        Mistake(
            "both shrink",
            {"pca": "a dot", "umap": "a dot"},
            "UMAP asks which points are nearest to each point. Some always are, however near all of them are.",
        ),
        Mistake(
            "neither shrinks",
            {"pca": "a cloud", "umap": "a cloud"},
            "in PCA's unit, which is that of BYOL's map, a spread of nearly 0 cannot be seen.",
        ),
    ),
    praise="right: only one of them has a unit of length.",
)

TIGHT = Exercise(
    id="09-tight",
    title="A class drawn together",
    kind="predict",
    difficulty=2,
    minutes=3,
    hints=(
        "Which stars are nearest to which, before and after?",
        (
            "PCA is a linear map: a tenth of the size in y is about a tenth in the map. UMAP's weights are "
            "distances divided by σ, and σ shrinks with them."
        ),
        (
            "d = torch.rand(1, 5).sort().values\n"
            "for scale in (1.0, 0.1):\n"
            "    print(torch.exp(-(scale * d - scale * d[:, :1]) / (scale * 0.3)))  # UMAP's weights, before and after"
        ),
    ),
    questions={"umap": (0.0, 2.0), "pca": (0.0, 2.0)},
    reference={"umap": 1.0, "pca": 0.1},
    tolerance=0.1,
    mistakes=(
        Mistake(
            "both a tenth",
            {"umap": 0.1, "pca": 0.1},
            "each point's distances are measured in a unit of its own, σ. A tenth of all distances gives a tenth of σ.",
        ),
        Mistake(
            "both unchanged",
            {"umap": 1.0, "pca": 1.0},
            "PCA is a linear map, so what is ten times smaller in y is about ten times smaller in the map.",
        ),
    ),
    praise="right: PCA tells sizes, UMAP does not.",
)


# --- laying a map on another --------------------------------------------------------------------


def _pairs_of_maps() -> list[tuple]:
    g = torch.Generator().manual_seed(3)
    new = torch.randn(30, 2, generator=g) + 2
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    mirror = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    common = torch.arange(20)
    noise = 0.1 * torch.randn(20, 2, generator=g)
    return [(new, (new[:20] - 1) @ turn + noise, common), (new, 0.5 * new[:20] @ mirror + 1, common)]


def _lay(
    new: Tensor,
    old: Tensor,
    common: Tensor,
    mirror: bool = True,
    scale: bool = False,
    middle: str = "common",
    all_points: bool = False,
) -> Tensor:
    known = new[common]
    a, b = known - known.mean(0), old - old.mean(0)
    u, s, v = torch.linalg.svd(a.T @ b)
    if not mirror and torch.det(u @ v) < 0:
        u = u * torch.tensor([1.0, -1.0])
    turn = u @ v * (s.sum() / a.square().sum() if scale else 1.0)
    if all_points:
        return a @ turn + old.mean(0)
    centre = known.mean(0) if middle == "common" else new.mean(0)
    return (new - centre) @ turn + (old.mean(0) if middle != "none" else 0)


LAY = Exercise(
    id="09-lay",
    title="New pictures on an old map",
    kind="extend",
    difficulty=3,
    minutes=15,
    core=False,
    hints=(
        (
            "Which turn brings the common points of the new map to their old places? Find it from them alone, "
            "then move everything."
        ),
        (
            "Find the rotation R from the common points alone, both sets centred: R = U Vᵀ with U S Vᵀ = AᵀB. "
            "Then move all points: take the common points' mean away, turn, add the old map's mean."
        ),
        (
            "known = new[common]\n"
            "a, b = known - known.mean(0), old - old.mean(0)\n"
            "u, s, vt = torch.linalg.svd(a.T @ b)\n"
            "turn = u @ vt  # allows a mirror image as well; now move *all* of new by it"
        ),
    ),
    cases=_pairs_of_maps,
    reference=_lay,
    mistakes=(
        Mistake(
            "scaled",
            lambda new, old, common: _lay(new, old, common, scale=True),
            "the new map was made smaller or larger as well. Then a collapse could not be seen any more: turn, mirror, shift.",
        ),
        Mistake(
            "no mirror",
            lambda new, old, common: _lay(new, old, common, mirror=False),
            "this is right for a turned map, but a mirrored map stays mirrored. U Vᵀ, used as it is, allows both.",
        ),
        Mistake(
            "the wrong middle",
            lambda new, old, common: _lay(new, old, common, middle="all"),
            "the middle that goes to the old map's middle is that of the common points, not of all.",
        ),
        Mistake(
            "the common points only",
            lambda new, old, common: _lay(new, old, common, all_points=True),
            "the points that the old map lacks are missing: find the turn from the common points, and apply it to all.",
        ),
    ),
    praise="right: this is Procrustes on the points that both maps have. `embed.align` is the case in which both have the same points.",
)

EXERCISES = (PCA, FIRST, KEPT, COLLAPSE, MEMBERSHIP, TIGHT, LAY)
