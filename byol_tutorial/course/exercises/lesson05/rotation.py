"""Exercise 05-rotation, “A spread that no rotation changes”."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..observed import one_number
from ..record import Exercise, Mistake


def _round_spread(z: Tensor) -> Tensor:
    z = F.normalize(z, dim=-1)
    return z.var(dim=0).sum().sqrt()


def _of_clouds() -> list[tuple]:
    """Return a sphere, a flat circle, the same circle turned, and a small cloud far from 0 and the same at half its size."""
    g = torch.Generator().manual_seed(8)
    z = torch.randn(400, 8, generator=g)
    flat = torch.cat((F.normalize(z[:, :2], dim=1), torch.zeros(400, 6)), dim=1)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=g)).Q
    return [(z,), (flat,), (flat @ turn,), (turn[0] + 0.02 * z,), (turn[0] + 0.01 * z,)]


def _is_a_round_spread(spread: Callable) -> str | None:
    """Return which of the properties that the text asks for a spread lacks, or None."""
    around, flat, turned, small, half = (one_number(spread(z)) for (z,) in _of_clouds())
    z = _of_clouds()[0][0]
    if not half < 0.1:
        return f"points in nearly one place get {half:.3g}: their spread is near 0. (Is the mean taken away?)"
    if not 0.85 < around < 1.15:
        return f"points all around get {around:.3g}: near 1 is asked for, in any number of dimensions."
    if not math.isclose(flat, turned, rel_tol=1e-3):
        return f"a circle gets {flat:.4g} in the plane of two axes and {turned:.4g} when it is turned: both must be the same."
    if not math.isclose(one_number(spread(5 * z)), around, rel_tol=1e-3):
        return "points five times as long get another spread: only directions count."
    if not 1.7 < small / max(half, 1e-9) < 2.3:
        return f"a cloud of half the size gets {half / small:.2g} of the spread: like a standard deviation, it should get half of it."
    return None


ROTATION = Exercise(
    id="05-rotation",
    title="A spread that no rotation changes",
    kind="extend",
    difficulty=3,
    minutes=12,
    core=False,
    hints=(
        "Which number of a covariance matrix does not change when the axes are turned?",
        (
            "The sum of all coordinates' variances is the trace of the covariance. A rotation does not change a "
            "trace. For unit vectors, how large is it at most?"
        ),
        (
            "z = F.normalize(z, dim=-1)\n"
            "variances = z.var(dim=0)  # the diagonal of the covariance; their sum is its trace\n"
            "# asked for is a standard deviation"
        ),
    ),
    cases=_of_clouds,
    observe=lambda spread, z: one_number(spread(z)),
    accept=_is_a_round_spread,
    reference=_round_spread,
    tolerance=0.02,  # wide enough for a variance with N as well as with N − 1
    mistakes=(
        Mistake(
            "√d · mean of the standard deviations",
            lambda z: F.normalize(z, dim=-1).std(dim=0).mean() * z.shape[1] ** 0.5,
            "that is the usual measure: a flat circle gets less than the same circle turned. Which mean of the standard deviations "
            "does not depend on the axes?",
        ),
        Mistake(
            "the variance",
            lambda z: F.normalize(z, dim=-1).var(dim=0).sum(),
            "the sum of the variances is right, but the exercise asks for the scale of a standard deviation: a cloud of half the size has "
            "half the spread.",
        ),
        Mistake(
            "lengths count",
            lambda z: z.var(dim=0).sum().sqrt(),
            "the rows must be brought to length 1 first: only directions count.",
        ),
        Mistake(
            "a mean over coordinates",
            lambda z: F.normalize(z, dim=-1).var(dim=0).mean().sqrt(),
            "right up to a factor √d: with it, it is near 1 for points all around.",
        ),
        Mistake(
            "the distance from 0",
            lambda z: F.normalize(z, dim=-1).norm(dim=-1).mean(),
            "this is the mean length of the rows, which is always 1: the spread is around the *mean* of the points.",
        ),
        Mistake(
            "the largest direction",
            lambda z: F.normalize(z, dim=-1).sub(F.normalize(z, dim=-1).mean(0)).svd().S[0] / len(z) ** 0.5,
            "it is true that no rotation changes the largest singular value, but it is the spread of one direction. Take all of them.",
        ),
    ),
    praise="right: the root mean square of the distance from the mean. It equals √(1 − ‖mean‖²), so it measures the mean's length only.",
)
