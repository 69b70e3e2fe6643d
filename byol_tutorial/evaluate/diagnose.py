"""Measures of collapse, and a verdict in words on a representation and on a whole run.

Every verdict in the library and in its panels follows from one table, THRESHOLDS, and uses one set of words, VERDICTS.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.image_set import CONSTANT, nearly_constant
from ..runtime.threads import computing
from .directions import directions


@dataclass(frozen=True)
class Thresholds:
    """The limits behind every verdict, in Python and in the panels' JavaScript.

    collapsed      √d·std below which projections have collapsed
    partial        √d·std below which they have partly collapsed
    one_direction  effective rank below which they have partly collapsed, whatever their spread
    recent         number of steps over which the alarm, and the verdict on a run in progress, average √d·std
    alarm          such a mean below which the alarm is raised: a slow collapse
    fall, within   the alarm is also raised below `fall` times the highest such mean of the last `within` steps: a
                   sudden collapse
    window         number of first and of last steps of a run that its verdict compares
    rank_from      share of the schedule from which a low rank alone counts in the verdict on a run in progress
    """

    collapsed: float = 0.1
    partial: float = 0.5
    one_direction: float = 1.2
    recent: int = 5
    alarm: float = 0.3
    fall: float = 0.7
    within: int = 25
    window: int = 50
    rank_from: float = 0.25


THRESHOLDS = Thresholds()

VERDICTS = {
    "healthy": "the directions are spread out",
    "partial collapse": "few directions are left",
    "collapse": "every image gets nearly the same direction; the loss means nothing",
    "no content": "the images themselves hardly differ, so their projections cannot; look at the images, not at the run",
    "not finite": "the run has diverged; lower lr, or lengthen the warm-up",
}


def collapse_verdict(std: float, rank: float = math.inf) -> str:
    """Return the key of VERDICTS for a spread √d·std and, where it is known, an effective rank."""
    if not math.isfinite(std):
        return "not finite"
    if std < THRESHOLDS.collapsed:
        return "collapse"
    if std < THRESHOLDS.partial or rank < THRESHOLDS.one_direction:
        return "partial collapse"
    return "healthy"


# --- measures -----------------------------------------------------------------------------------


def spread(z: Tensor) -> Tensor:
    """Measure √d · std: the standard deviation of each dimension of z/‖z‖, averaged over dimensions, times √d. A scalar.

    It is near 1 if directions are spread evenly over the sphere, and 0 if all are the same (SimSiam, Chen & He 2021,
    section 4.1). z: (N, d), N at least 2.
    """
    z = directions(z.float())
    return z.std(dim=0).mean() * z.shape[1] ** 0.5


@computing()
def effective_rank(z: Tensor) -> float:
    """Measure in how many directions z, float (N, d), varies, in [0, d].

    The covariance of the unit vectors z/‖z‖ has eigenvalues λ_j; their sum v, in [0, 1], is the variance of the
    directions. The effective rank is v · exp(−Σ (λ_j/v) log(λ_j/v)). The exponential of the spectrum's entropy counts the
    directions (Roy & Vetterli 2007). But the λ_j of a collapsed z are rounding errors of equal size, which would count as
    full rank; the factor v makes the count go to 0 with the variance.
    """
    z = directions(z.double())
    centred = z - z.mean(dim=0)
    eigenvalues = torch.linalg.svdvals(centred) ** 2 / len(z)
    v = eigenvalues.sum()
    if v <= 0:
        return 0.0
    share = eigenvalues / v
    entropy = -(share * share.clamp(min=1e-12).log()).sum()
    return float(entropy.exp() * v)


def cosines(p: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean cosine of p_i with z_i (positive pairs) and of z_i with z_j, j ≠ i (negative pairs), in [−1, 1].

    In a collapse both go to 1: all images look the same to the network. p, z: (N, d), N at least 2.
    """
    p, z = directions(p.float()), directions(z.float())
    n = len(z)
    negative = (z.sum(0).square().sum() - n) / (n * (n - 1))  # ‖Σz‖² = n + Σ_{i≠j} z_i·z_j
    return (p * z).sum(1).mean(), negative


@computing()
def eigenspace_alignment(z: Tensor, p: Tensor, directions: int = 8) -> float:
    """Measure how far the predictor keeps the principal directions of its input in place, in [0, 1].

    Let F = E[z zᵀ] have the unit eigenvectors u_j. The alignment is the mean of |cos(W u_j, u_j)| over the `directions` of
    largest eigenvalue, weighted by that eigenvalue. It is 1 if W and F share their eigenspace. Gradient descent leads
    there in a linear network with a symmetric linear predictor, under conditions (Tian et al. 2021, theorem 3). For any
    other predictor W is its best linear approximation, p ≈ W z by least squares.

    Args:
        z, p: float (N, d), the predictor's input and output.
    """
    z, p = z.double(), p.double()
    s, u = torch.linalg.eigh(z.T @ z / len(z))
    s, u = s[-directions:].clamp(min=0), u[:, -directions:]
    w = torch.linalg.pinv(z, rtol=1e-6) @ p  # rows: p = z @ w, so w = Wᵀ
    moved = w.T @ u
    cosine = F.cosine_similarity(moved, u, dim=0).abs()
    return float((cosine * s).sum() / s.sum().clamp(min=1e-300))


@dataclass(frozen=True)
class CollapseReport:
    """The spread and the rank of projections, and what they mean. `verdict` is a key of VERDICTS."""

    std: float  # √d·std, about 1 when healthy, 0 when collapsed
    rank: float  # effective rank, in [0, dimensions]
    dimensions: int
    verdict: str

    def __str__(self) -> str:
        measures = f"√d·std {self.std:.3f}, rank {self.rank:.1f} of {self.dimensions}"
        return f"{self.verdict}: {VERDICTS[self.verdict]} ({measures})"


@computing()
def collapse_report(z: Tensor) -> CollapseReport:
    """Measure the spread and the rank of projections (or representations) z, float (N, d), and say what they mean.

    Raises:
        ValueError: z is not a matrix of at least two rows.
    """
    if z.ndim != 2 or len(z) < 2:
        raise ValueError(f"z has shape {tuple(z.shape)}: give at least two rows, (N, d)")
    if not torch.isfinite(z).all():
        return CollapseReport(math.nan, math.nan, z.shape[1], "not finite")
    std, rank = float(spread(z)), effective_rank(z)
    return CollapseReport(std, rank, z.shape[1], collapse_verdict(std, rank))


def hardly_differ(images: Tensor) -> bool:
    """Return whether images give nothing to tell apart: most are constant or nearly so, or all are the same.

    uint8 or uint16 (N, C, H, W). Black files, a wrong range of values or copies of one picture do this.
    """
    images = images.int()  # torch compares no uint16
    alike = int((images.amax(0) - images.amin(0)).max()) <= CONSTANT
    return alike or float(nearly_constant(images).float().mean()) > 0.5


def judged_with(report: CollapseReport, images: Tensor) -> CollapseReport:
    """Return the report with the verdict "no content" where a collapse is the images' own; see `hardly_differ`."""
    collapsed = report.verdict in ("collapse", "partial collapse")
    return replace(report, verdict="no content") if collapsed and hardly_differ(images) else report


# --- a whole run --------------------------------------------------------------------------------


def alarm_step(std: Sequence[float]) -> int | None:
    """Return the first step at which √d·std has lost three tenths within 25 steps, or lies below 0.3; None if never.

    Both conditions look at its mean over THRESHOLDS.recent steps: a sudden collapse shows as mean < fall · (highest mean
    of the last `within` steps), a slow one as mean < alarm. The alarm looks at the projections alone, because they
    collapse first; the accuracy of the representation follows later, or not at all. bench/alarm.py measures by how
    many steps, and how often the alarm is wrong.

    Args:
        std: one value per step, as in History.std.
    """
    limits = THRESHOLDS
    if len(std) < limits.recent:
        return None
    mean = (
        torch.tensor(std, dtype=torch.float64).unfold(0, limits.recent, 1).mean(1)
    )  # entry i is the mean of `recent` steps from step i on
    highest = F.pad(mean, (limits.within, 0), value=-math.inf).unfold(0, limits.within + 1, 1).amax(1)
    raised = ((mean < limits.fall * highest) | (mean < limits.alarm)).nonzero()
    return int(raised[0]) + limits.recent - 1 if len(raised) else None


@dataclass(frozen=True)
class Diagnosis:
    """A run's verdict, the reason in words, and the measures of its projections.

    verdict: "healthy", "partial collapse", "collapse", "no content", "divergence" or "frozen loss".
    """

    verdict: str
    reason: str
    report: CollapseReport
    positive_cosine: float
    negative_cosine: float
    alignment: float
    alarm_step: int | None

    def __str__(self) -> str:
        aligned = "" if math.isnan(self.alignment) else f", eigenspace alignment {self.alignment:.2f}"
        alarm = "" if self.alarm_step is None else f"; alarm since step {self.alarm_step}"
        return (
            f"{self.verdict}: {self.reason} (√d·std {self.report.std:.3f}, rank {self.report.rank:.1f} of "
            f"{self.report.dimensions}, cosine of positive pairs {self.positive_cosine:.2f}, of negative pairs "
            f"{self.negative_cosine:.2f}{aligned}{alarm})"
        )


@computing()
def diagnose(
    loss: Sequence[float],
    gradient_norm: Sequence[float],
    std: Sequence[float],
    z: Tensor,
    p: Tensor,
    target: Tensor,
    predictor: bool = True,
    report: CollapseReport | None = None,
) -> Diagnosis:
    """Tell apart a healthy run, partial collapse, collapse, divergence and a frozen loss.

    Args:
        loss, gradient_norm, std: one value per step, as in History; may be empty.
        z, p, target: float (N, d), projections, predictions and the target's projections of the other view.
        predictor: whether the method has one; if not, there is nothing to align.
        report: collapse measures of plain images, as Trainer.report gives them. Default: those of z.
    """
    if report is None:
        report = collapse_report(z)
    finite = all(bool(torch.isfinite(x).all()) for x in (z, p, target))
    positive, negative = map(float, cosines(p, target)) if finite else (math.nan, math.nan)
    alignment = eigenspace_alignment(z, p) if predictor and finite else math.nan
    verdict, reason = _verdict_on_run(loss, gradient_norm, report)
    return Diagnosis(verdict, reason, report, positive, negative, alignment, alarm_step(std))


def _verdict_on_run(loss: Sequence[float], gradient_norm: Sequence[float], report: CollapseReport) -> tuple[str, str]:
    """Return the verdict and its reason in words."""
    if report.verdict == "not finite" or not all(map(math.isfinite, loss)):
        return "divergence", VERDICTS["not finite"]
    if report.verdict in ("collapse", "no content"):
        return report.verdict, VERDICTS[report.verdict]
    window = THRESHOLDS.window
    if len(loss) >= 2 * window:
        first, last = torch.tensor(loss[:window]).double(), torch.tensor(loss[-window:]).double()
        change = float(last.mean() - first.mean())
        error = float(
            ((first.var() + last.var()) / window).sqrt()
        )  # standard error of that change, if steps were independent
        # the same, from differences of successive steps: a fall of the loss within a window does not enlarge it
        noise = float(((first.diff().square().mean() + last.diff().square().mean()) / (2 * window)).sqrt())
        size = abs(float(first.mean()))  # a loss may be negative, as SimSiam's is
        if change > max(5 * error, 0.1 * size):
            return "divergence", f"the loss has risen from {first.mean():.2f} to {last.mean():.2f}; lower lr"
        if max(gradient_norm[-window:], default=1.0) == 0:
            return "frozen loss", "no gradient arrives; is something detached, or the learning rate 0?"
        # A loss that fell and rose again to where it began was not frozen. The largest of m changes is larger by chance.
        means = torch.tensor(loss).double().unfold(0, window, window).mean(1)
        moved = max(abs(change), float((means - first.mean()).abs().max()))
        if moved < max((3 + math.sqrt(2 * math.log(len(means)))) * noise, 0.005 * size):
            return "frozen loss", f"the loss stands at {last.mean():.2f}, where it began; raise lr"
    return report.verdict, VERDICTS[report.verdict]
