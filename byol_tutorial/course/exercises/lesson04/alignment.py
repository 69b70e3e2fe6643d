"""Exercise 04-alignment, “A measure that never says 1”."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..record import Exercise, Mistake


def _alignment_by(direction: Callable, absolute: bool = True) -> Callable:
    def alignment(W: Tensor, C: Tensor, k: int) -> Tensor:
        _, u = torch.linalg.eigh(C)
        found = [F.cosine_similarity(W @ direction(u, j), direction(u, j), dim=0) for j in range(k)]
        return torch.stack([c.abs() if absolute else c for c in found]).mean()

    return alignment


_alignment = _alignment_by(lambda u, j: u[:, -1 - j])


def _squared_cosines(W: Tensor, C: Tensor, k: int) -> Tensor:
    u = torch.linalg.eigh(C)[1]
    return F.cosine_similarity(W @ u, u, dim=0).flip(0)[:k].square().mean()


def _other_side(W: Tensor, C: Tensor, k: int) -> Tensor:
    return _alignment(W.T, C, k)


def _correlations() -> list[tuple]:
    """Return (W, C, k) three times: W with C's eigenvectors and one negative eigenvalue, then a random W for k = 2 and 4."""
    g = torch.Generator().manual_seed(4)
    u = torch.linalg.qr(torch.randn(6, 6, generator=g)).Q
    C = (u * torch.tensor([8.0, 4.0, 2.0, 1.0, 0.5, 0.1])) @ u.T
    same = (u * torch.tensor([3.0, -2.0, 1.0, 0.5, 0.2, 0.1])) @ u.T
    return [(same, C, 3), (torch.randn(6, 6, generator=g), C, 2), (torch.randn(6, 6, generator=g), C, 4)]


ALIGNMENT = Exercise(
    id="04-alignment",
    title="A measure that never says 1",
    kind="find the bug",
    difficulty=2,
    minutes=10,
    core=False,
    hints=(
        "Is an eigenvector a row of u, or a column? Try it: C @ v must be a multiple of v.",
        (
            "torch.linalg.eigh gives C = u @ diag(s) @ u.T with the eigenvectors in columns, the eigenvalues in "
            "ascending order."
        ),
        ("largest = u[:, -1]  # the eigenvector of the largest eigenvalue\nsecond = u[:, -2]"),
    ),
    cases=_correlations,
    reference=_alignment,
    mistakes=(
        Mistake(
            "unchanged",
            _alignment_by(lambda u, j: u[-1 - j]),
            "for a W with exactly the eigenvectors of C it gives less than 1. Are the directions that it uses eigenvectors at "
            "all?",
        ),
        Mistake(
            "the smallest directions",
            _alignment_by(lambda u, j: u[:, j]),
            "these are eigenvectors now, but those of the *smallest* eigenvalues: eigh gives them in ascending order.",
        ),
        Mistake(
            "rows, and the smallest",
            _alignment_by(lambda u, j: u[j]),
            "still rows of u, and now from the other end.",
        ),
        Mistake(
            "the sign counts",
            _alignment_by(lambda u, j: u[:, -1 - j], absolute=False),
            "a W that reverses a direction also keeps it in place: the given code took the absolute value.",
        ),
        Mistake(
            "a sum",
            lambda W, C, k: k * _alignment(W, C, k),
            "the mean over the k directions was lost: for k directions that are kept exactly this gives k, not 1.",
        ),
        Mistake(
            "all directions",
            lambda W, C, k: _alignment(W, C, len(C)),
            "all directions of C were taken, but only the k with the largest eigenvalues are asked for.",
        ),
        Mistake(
            "squared cosines",
            _squared_cosines,
            "the directions are right now, but the cosines are squared: their absolute value is asked for.",
        ),
        Mistake(
            "W transposed",
            _other_side,
            "the directions are right now, but they go through W from the other side: p = W z, so W @ u, not u @ W.",
        ),
        Mistake(
            "columns of both",
            lambda W, C, k: F.cosine_similarity(W, C, dim=0).abs()[:k].mean(),
            "the columns of W are compared with those of C. Compare W u with u, for eigenvectors u of C.",
        ),
    ),
    praise="right: columns. For W with the eigenvectors of C it is 1, for a random W small.",
)
