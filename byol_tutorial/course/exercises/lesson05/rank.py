"""Exercise 05-rank, “Full rank, and yet collapsed”."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..observed import one_number
from ..record import Exercise, Mistake


def _rank(z: Tensor, power: float = 1.0, centre: bool = True, entropy: bool = True) -> float:
    z = F.normalize(z.double(), dim=-1)
    z = z - z.mean(dim=0) if centre else z
    eigenvalues = torch.linalg.svdvals(z) ** 2 / len(z)
    v = eigenvalues.sum()
    share = eigenvalues / v
    count = (-(share * share.clamp(min=1e-12).log()).sum()).exp() if entropy else (share > 0.01).sum()
    return float(count * v**power)


def _clouds() -> list[tuple]:
    """Return a sphere, a point and a circle, turned at random, of 200 points in 16 dimensions each."""
    g = torch.Generator().manual_seed(3)
    basis = torch.linalg.qr(torch.randn(16, 16, generator=g)).Q
    noise = torch.randn(200, 16, generator=g)
    return [(noise,), (basis[0] + 0.001 * noise,), (noise[:, :2] @ basis[:2],)]


def _counts_directions(rank: Callable) -> str | None:
    """Return which of the properties that the text asks for a rank lacks, or None: there are many right answers."""
    sphere, point, circle = (one_number(rank(z)) for (z,) in _clouds())
    as_given = _rank(_clouds()[0][0], power=0.0)
    if not point < 0.5:
        return f"a cloud in one point gets {point:.3g} directions: it should have none, however its points vary by rounding."
    if not 0.85 * as_given < sphere < 1.15 * as_given:
        return f"points around the sphere get {sphere:.3g} of 16 directions: they should keep the {as_given:.3g} that they had."
    if not 1.6 < circle < 2.4:
        return f"a circle gets {circle:.3g} directions: it has 2, wherever its plane lies."
    longer = one_number(rank(7 * _clouds()[0][0]))
    if not math.isclose(longer, sphere, rel_tol=0.02):
        return f"points seven times as long get {longer:.3g} directions instead of {sphere:.3g}: only directions count."
    return None


RANK = Exercise(
    id="05-rank",
    title="Full rank, and yet collapsed",
    kind="find the bug",
    difficulty=2,
    minutes=10,
    hints=(
        "The shares are of the variance, whatever it is. What is the variance of a cloud that is one point?",
        (
            "How large is the variance `v` at most, for unit vectors? It is near 1 all around the sphere and near "
            "0 in one point. Let the result depend on it."
        ),
        (
            "count = float(entropy.exp())  # as before\n"
            "# v is near 1 on the sphere and near 0 in a point: which operation makes count go to 0 with v, and leaves it where v is 1?"
        ),
    ),
    cases=_clouds,
    observe=lambda rank, z: one_number(rank(z)),
    accept=_counts_directions,
    reference=_rank,
    tolerance=1e-3,
    mistakes=(
        Mistake(
            "unchanged",
            lambda z: _rank(z, power=0.0),
            "it counts 16 of 16 directions for points that are nearly equal. They do vary in all of them, but only by noise: "
            "equally, and by almost nothing.",
        ),
        Mistake(
            "not centred",
            lambda z: _rank(z, centre=False),
            "without taking away the mean, a collapsed cloud has one direction: the mean itself, which tells no two images apart. It "
            "should have none.",
        ),
        Mistake(
            "divided by the variance",
            lambda z: _rank(z, power=-1.0),
            "the wrong way: the smaller the variance, the more directions you count.",
        ),
        Mistake(
            "the variance alone",
            lambda z: float(F.normalize(z.double(), dim=-1).var(dim=0, correction=0).sum()),
            "this is the variance, at most 1: it is 0 in a point, but it no longer counts directions.",
        ),
        Mistake(
            "linalg's rank",
            lambda z: float(torch.linalg.matrix_rank(F.normalize(z.double(), dim=-1))),
            "torch.linalg.matrix_rank counts every direction that is not exactly 0 up to rounding, and noise of a thousandth is far above "
            "that: a point gets all 16.",
        ),
        Mistake(
            "a threshold on the shares",
            lambda z: _rank(z, power=0.0, entropy=False),
            "a threshold on *shares* of the variance has the same fault: in a collapsed cloud all shares are equal, and pass. What would a "
            "threshold on the variance itself do?",
        ),
    ),
    praise="right: a count of directions that goes to 0 as the variance does.",
)
