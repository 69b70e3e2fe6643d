"""Has the representation collapsed? Measures, and a verdict in words."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

COLLAPSED, PARTIAL = 0.1, 0.5  # √d·std below which a representation is called so
ONE_DIRECTION = 1.2  # rank below which it is called partly collapsed


def spread(z: Tensor) -> Tensor:
    """√d · std: the standard deviation per dimension of z/‖z‖, mean over dimensions, times √d. A scalar.

    Near 1 when directions are spread evenly over the sphere, 0 when all are the same (SimSiam, section
    4.1). z: (N, d), N at least 2.
    """
    z = F.normalize(z.float(), dim=-1)
    return z.std(dim=0).mean() * z.shape[1] ** 0.5


def effective_rank(z: Tensor) -> float:
    """In how many directions z varies, in [0, d]: the exponential of the spectrum's entropy, times the variance.

    The covariance of the unit vectors z/‖z‖ has eigenvalues λ_j; their sum v, in [0, 1], is the
    variance of the directions. exp(−Σ (λ_j/v) log(λ_j/v)) counts the directions (Roy & Vetterli 2007),
    but a collapsed z has tiny λ_j of equal size, pure rounding noise, and would count as full rank.
    Times v, the count sees the variance vanish.
    """
    z = F.normalize(z.double(), dim=-1)
    centred = z - z.mean(dim=0)
    eigenvalues = torch.linalg.svdvals(centred) ** 2 / len(z)
    v = eigenvalues.sum()
    if v <= 0:
        return 0.0
    share = eigenvalues / v
    entropy = -(share * share.clamp(min=1e-12).log()).sum()
    return float(entropy.exp() * v)


@dataclass(frozen=True)
class CollapseReport:
    """What `collapse_report` measured. `verdict` is "healthy", "partial collapse", "collapse" or "not finite"."""

    std: float  # √d·std, about 1 when healthy, 0 when collapsed
    rank: float  # effective rank, in [0, dimensions]
    dimensions: int
    verdict: str

    def __str__(self) -> str:
        words = {
            "healthy": "healthy: the directions are spread out",
            "partial collapse": "partial collapse: few directions are left",
            "collapse": "collapse: every image gets nearly the same direction",
            "not finite": "not finite: the run has diverged",
        }
        return f"{words[self.verdict]} (√d·std {self.std:.3f}, rank {self.rank:.1f} of {self.dimensions})"


def collapse_report(z: Tensor) -> CollapseReport:
    """Measure the spread of projections (or representations) z, float (N, d), and say what it means.

    Raises:
        ValueError: z is not a matrix of at least two rows.
    """
    if z.ndim != 2 or len(z) < 2:
        raise ValueError(f"z has shape {tuple(z.shape)}: give at least two rows, (N, d)")
    if not torch.isfinite(z).all():
        return CollapseReport(float("nan"), float("nan"), z.shape[1], "not finite")
    std, rank = float(spread(z)), effective_rank(z)
    if std < COLLAPSED:
        verdict = "collapse"
    elif std < PARTIAL or rank < ONE_DIRECTION:
        verdict = "partial collapse"
    else:
        verdict = "healthy"
    return CollapseReport(std, rank, z.shape[1], verdict)
