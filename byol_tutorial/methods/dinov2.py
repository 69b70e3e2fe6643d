"""The additions of DINOv2 (Oquab et al. 2023, arXiv 2304.07193) to DINO, each a function that Config can switch on.

- centring by Sinkhorn-Knopp (`centering="sinkhorn"`): every prototype gets its share of every batch;
- iBOT (`ibot_weight`): the student sees a view with patches hidden, and predicts the teacher's output at them;
- KoLeo (`koleo_weight`): representations are pushed away from their nearest neighbour.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..runtime.distributed import all_rows, process

ITERATIONS = 3  # of Sinkhorn-Knopp, as in SwAV and DINOv2


@torch.no_grad()
def sinkhorn(scores: Tensor, temperature: float | Tensor, iterations: int = ITERATIONS) -> Tensor:
    """Assign N views to K prototypes, evenly: scores (N, K) -> probabilities (N, K).

    The columns and the rows of exp(scores / temperature) are scaled in turn (Sinkhorn-Knopp; SwAV, Caron et al. 2020,
    arXiv 2006.09882, section 3.1). In the end each row sums to 1, and each column to about N/K. Under torchrun this is
    done over the rows of all processes, and those of this process are returned.
    """
    rows = len(scores)
    q = all_rows(scores.float()).double() / temperature
    # in logarithms, because at a temperature of 0.001 cosines span e^2000, and whole rows of exp(q) would be 0
    for _ in range(iterations):
        q = q - q.logsumexp(0)  # N/K, to which the columns should sum, cancels in the next line
        q = q - q.logsumexp(1, keepdim=True)
    start = process().rank * rows
    return q[start : start + rows].exp().float()


def koleo(y: Tensor) -> Tensor:
    """Return −mean_i ln min_{j≠i} ‖y_i/‖y_i‖ − y_j/‖y_j‖‖, a scalar (Sablayrolles et al. 2019; DINOv2, section 4).

    It is least when the batch is spread evenly over the sphere. y: float (N, D), N at least 2.
    """
    y = F.normalize(y.float(), dim=1)
    # not in half precision, which near a collapse cannot tell one neighbour from another
    with torch.no_grad(), torch.autocast(y.device.type, enabled=False):
        nearest = (y @ y.T).fill_diagonal_(-2).argmax(1)
    return -F.pairwise_distance(y, y[nearest], eps=1e-8).clamp(min=1e-8).log().mean()


def ibot_loss(teacher: Tensor, log_student: Tensor, mask: Tensor) -> Tensor:
    """Return the cross entropy at the hidden patches, a scalar: the mean of a view, averaged over views that have any.

    Args:
        teacher: probabilities (N, P, K) of the whole view, without gradient.
        log_student: log probabilities (N, P, K) of the view with patches hidden.
        mask: bool (N, P), the hidden patches. If no view has any, the loss is 0.

    Source: iBOT (Zhou et al. 2022, arXiv 2111.07832), section 3.1. There the mean is over all views, so the loss falls
    with mask_p.
    """
    entropy = -(teacher * log_student).sum(2) * mask  # (N, P)
    hidden = mask.sum(1)
    return (entropy.sum(1) / hidden.clamp(min=1)).sum() / (hidden > 0).sum().clamp(min=1)


def draw_masks(views: tuple[int, ...], share: tuple[float, float], p: float, generator: torch.Generator) -> Tensor:
    """Draw which patches to hide: bool of shape `views` = (..., P); in each view with probability p.

    The share that is hidden is drawn from this range, but is at least one patch and never all. Patches are hidden
    independently, where iBOT hides blocks, because a grid of 4 × 4 or 8 × 8 has few blocks.
    """
    *shape, patches = views
    u = torch.rand(views, generator=generator, device=generator.device)
    chosen, place = torch.rand(2, *shape, 1, generator=generator, device=generator.device)
    count = ((share[0] + place * (share[1] - share[0])) * patches).round().clamp(1, patches - 1)
    return (u.argsort(-1).argsort(-1) < count) & (chosen < p)
