"""Exercises of lesson 05, the moving average and the kinds of collapse."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .record import Exercise, Mistake, UnusableError
from .values import ASKS_FOR, kind, tensor

# --- the sweep ----------------------------------------------------------------------------------

LEVELS = ("learns nothing", "learns less", "learns as well")

TAU = Exercise(
    id="05-tau",
    title="How fast should the target follow?",
    kind="predict",
    difficulty=2,
    minutes=4,
    hints=(
        "How many steps does this run have, and over how many does a target with τ look back?",
        (
            "A target with τ looks back about 1/(1 − τ) steps: 1,000 for τ = 0.999. τ = 1 is the random target of "
            "lesson 1, and τ = 0 was a run of lesson 4."
        ),
        (
            "for tau in (0.9, 0.95, 0.99, 0.999):\n"
            '    print(tau, "looks back", round(1 / (1 - tau)), "steps of", config.epochs * len(train) // config.batch_size)'
        ),
    ),
    questions={"tau_1": LEVELS, "tau_0999": LEVELS, "tau_0": LEVELS},
    reference={"tau_1": "learns less", "tau_0999": "learns less", "tau_0": "learns as well"},
    mistakes=(
        Mistake(
            "the paper's table",
            {"tau_1": "learns less", "tau_0999": "learns as well", "tau_0": "learns nothing"},
            "that is so on ImageNet. But 1,000 steps are a small part of that run and more than this whole one; and τ = 0 learns here, "
            "as it does in SimSiam.",
        ),
        Mistake(
            "a fixed target teaches nothing",
            {"tau_1": "learns nothing"},
            "tau_1: lesson 1 showed that predicting a random network already teaches something. But such a target never gets better.",
        ),
        Mistake(
            "nothing without a moving average",
            {"tau_0": "learns nothing"},
            "tau_0: the stop-gradient and a predictor that keeps up are enough here, as for SimSiam on ImageNet.",
        ),
        Mistake(
            "no target at all is worse",
            {"tau_0": "learns less"},
            "tau_0: our runs have some 500 steps. A target that lags behind costs more of them than one that does not.",
        ),
        Mistake(
            "slow is as good",
            {"tau_0999": "learns as well"},
            "tau_0999: it looks back 1,000 steps, longer than this whole run, so the target hardly leaves its random weights.",
        ),
        Mistake(
            "slow is nothing",
            {"tau_0999": "learns nothing"},
            "tau_0999: such a target hardly moves, but lesson 1 showed that even one that never moves teaches something.",
        ),
        Mistake(
            "a fixed target is as good",
            {"tau_1": "learns as well"},
            "tau_1: this target stays random, so it never gets better, however good the online network is.",
        ),
    ),
    praise="right: here a slow target costs more than none.",
)


# --- the same memory ----------------------------------------------------------------------------

MEMORY = Exercise(
    id="05-memory",
    title="The same memory in another run",
    kind="implement",
    difficulty=2,
    minutes=8,
    hints=(
        "How much of the first target is left after one step, after two, after K?",
        (
            "Over a whole run of K steps the first target keeps the weight τ^K. What must τ′ be, so that τ′^K′ is "
            "the same?"
        ),
        (
            "left = tau ** steps  # of the first target, at the end of the run\n"
            "# which τ′ gives τ′ ** other_steps == left?"
        ),
    ),
    cases=lambda: [(0.99, 1000, 100), (0.996, 1000, 8000), (0.9, 500, 1000)],
    reference=lambda tau, steps, other: tau ** (steps / other),
    mistakes=(
        Mistake(
            "the other way round",
            lambda tau, steps, other: tau ** (other / steps),
            "with more steps, the target must follow more slowly in each: τ′ nearer 1. Yours goes the other way.",
        ),
        Mistake(
            "1/(1 − τ) in proportion",
            lambda tau, steps, other: 1 - (1 - tau) * steps / other,
            "near 1 that is nearly the same. But for τ = 0.99 and a tenth of the steps it gives 0.9, while ten steps of 0.99 leave "
            "more than 0.9; and with few enough steps it falls below 0.",
        ),
        Mistake(
            "τ in proportion",
            lambda tau, steps, other: tau * other / steps,
            "that can exceed 1. What is passed on in each step multiplies: τ · τ · τ ...",
        ),
        Mistake(
            "the same τ",
            lambda tau, steps, other: tau,
            "the same τ in fewer steps is a target that remembers more of the run.",
        ),
        Mistake(
            "the weight of the first target",
            lambda tau, steps, other: tau**steps,
            "that is what is left of the first target at the end. Now choose τ′ so that τ′^K′ equals it.",
        ),
    ),
    praise="right. The paper's own settings for smaller batches follow it, as the next cell shows.",
)


# --- clouds -------------------------------------------------------------------------------------

CLOUDS = Exercise(
    id="05-clouds",
    title="Three clouds",
    kind="predict",
    difficulty=2,
    minutes=4,
    hints=(
        (
            "√d·std asks how far each coordinate varies, a mean over coordinates. Turned at random, does a circle "
            "vary in few coordinates, or a little in all?"
        ),
        (
            "A circle has two directions, wherever they lie; the rank counts directions. The spread looks at one "
            "coordinate at a time. For the point, nothing varies."
        ),
        (
            "plane = torch.linalg.qr(torch.randn(64, 2)).Q.T  # two directions at right angles\n"
            "unit = F.normalize(torch.randn(512, 2) @ plane, dim=-1)  # a circle\n"
            "print(unit.std(0).mean() * 64**0.5)  # its spread\n"
            "print(torch.linalg.svdvals(unit - unit.mean(0))[:4])  # its directions"
        ),
    ),
    questions={
        "point_spread": ("near 0", "near 1"),
        "circle_spread": ("near 0", "near 1"),
        "circle_rank": ("about 2", "about 64"),
    },
    reference={"point_spread": "near 0", "circle_spread": "near 1", "circle_rank": "about 2"},
    mistakes=(
        Mistake(
            "a point that varies",
            {"point_spread": "near 1"},
            "point_spread: all points are in nearly the same place, so no coordinate varies.",
        ),
        Mistake(
            "few directions, little spread",
            {"circle_spread": "near 0"},
            "circle_spread: points on a circle are as far apart as points on the sphere. The spread does not count directions.",
        ),
        Mistake(
            "the spread tells all",
            {"circle_rank": "about 64"},
            "circle_rank: all 64 coordinates vary, but together: two numbers determine all of them.",
        ),
    ),
    praise="right: a dimensional collapse does not show in the spread.",
)


# --- rank ---------------------------------------------------------------------------------------


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
    sphere, point, circle = (_one_number(rank(z)) for (z,) in _clouds())
    as_given = _rank(_clouds()[0][0], power=0.0)
    if not point < 0.5:
        return f"a cloud in one point gets {point:.3g} directions: it should have none, however its points vary by rounding."
    if not 0.85 * as_given < sphere < 1.15 * as_given:
        return f"points around the sphere get {sphere:.3g} of 16 directions: they should keep the {as_given:.3g} that they had."
    if not 1.6 < circle < 2.4:
        return f"a circle gets {circle:.3g} directions: it has 2, wherever its plane lies."
    longer = _one_number(rank(7 * _clouds()[0][0]))
    if not math.isclose(longer, sphere, rel_tol=0.02):
        return f"points seven times as long get {longer:.3g} directions instead of {sphere:.3g}: only directions count."
    return None


def _one_number(value: Any) -> float:
    number = tensor(value)
    if number is None or number.numel() != 1:
        raise UnusableError(f"your function returns {kind(value)}{ASKS_FOR}one number.")
    return float(number)


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
    observe=lambda rank, z: _one_number(rank(z)),
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


# --- lag ----------------------------------------------------------------------------------------

LAG = Exercise(
    id="05-lag",
    title="What goes first?",
    kind="predict",
    difficulty=3,
    minutes=4,
    hints=(
        "Where is the spread measured, and what does kNN look at? Between them lies a projector.",
        (
            "The spread is that of z, accuracy is judged on y. Without predictor, and without stop-gradient, the "
            "constant costs less than any other answer. Must y be constant for z to be?"
        ),
        (
            "# a projector can shrink everything while y keeps what it has:\n"
            "y = torch.randn(512, 64)\n"
            "z = 1 + 1e-3 * y\n"
            "print(bt.collapse_report(z).std, bt.collapse_report(y).std)"
        ),
    ),
    questions={
        "spread_no_predictor": ("falls", "stays"),
        "spread_no_stop_gradient": ("falls", "stays"),
        "knn_no_predictor": ("falls", "rises"),
    },
    reference={"spread_no_predictor": "falls", "spread_no_stop_gradient": "falls", "knn_no_predictor": "rises"},
    mistakes=(
        Mistake(
            "a trained network stays",
            {"spread_no_predictor": "stays", "spread_no_stop_gradient": "stays"},
            "a trained network is not protected: the constant answer costs less than its present one.",
        ),
        Mistake(
            "the moving average holds it",
            {"spread_no_predictor": "stays"},
            "spread_no_predictor: without a predictor, the target draws the projections together although no gradient passes through it, and then follows them.",
        ),
        Mistake(
            "the gradient does no harm",
            {"spread_no_stop_gradient": "stays"},
            "spread_no_stop_gradient: without the stop-gradient both sides are trained to agree, and they agree most cheaply on one "
            "constant.",
        ),
        Mistake(
            "accuracy follows the spread",
            {"knn_no_predictor": "falls"},
            "knn_no_predictor: the spread is that of z, but accuracy is judged on y. The projector can shrink everything while the encoder still learns.",
        ),
    ),
    praise="right. And you would have seen the first only by looking at the spread.",
)


# --- beyond the lesson --------------------------------------------------------------------------


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
    around, flat, turned, small, half = (_one_number(spread(z)) for (z,) in _of_clouds())
    z = _of_clouds()[0][0]
    if not half < 0.1:
        return f"points in nearly one place get {half:.3g}: their spread is near 0. (Is the mean taken away?)"
    if not 0.85 < around < 1.15:
        return f"points all around get {around:.3g}: near 1 is asked for, in any number of dimensions."
    if not math.isclose(flat, turned, rel_tol=1e-3):
        return f"a circle gets {flat:.4g} in the plane of two axes and {turned:.4g} when it is turned: both must be the same."
    if not math.isclose(_one_number(spread(5 * z)), around, rel_tol=1e-3):
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
    observe=lambda spread, z: _one_number(spread(z)),
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


EXERCISES = (TAU, MEMORY, CLOUDS, RANK, LAG, ROTATION)
