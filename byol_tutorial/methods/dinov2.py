"""The additions of DINOv2 (Oquab et al. 2023, arXiv 2304.07193) to DINO, each a function that Config can switch on.

- centring by Sinkhorn-Knopp (`centering="sinkhorn"`): every prototype gets its share of every batch;
- iBOT (`ibot_weight`): the student sees a view with patches hidden, and predicts the teacher's output at them;
- KoLeo (`koleo_weight`): representations are pushed away from their nearest neighbour.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..runtime.distributed import all_rows, process

ITERATIONS = 3  # iterations of Sinkhorn-Knopp, as in SwAV and DINOv2


@torch.no_grad()
def sinkhorn(
    scores: Tensor, temperature: float | Tensor, iterations: int = ITERATIONS, chosen: Tensor | None = None
) -> Tensor:
    """Assign N views or patches to K prototypes, evenly: scores (N, K) -> probabilities (N, K).

    The columns and the rows of exp(scores / temperature) are scaled in turn (Sinkhorn-Knopp; SwAV, Caron et al. 2020,
    arXiv 2006.09882, section 3.1). In the end each row sums to 1, and each column to about N/K. Under torchrun this is
    done over the rows of all processes, and those of this process are returned.

    Args:
        scores: float (N, K).
        temperature: above 0.
        iterations: how often columns and rows are scaled.
        chosen: bool (N,), the rows to assign, which then share the prototypes among themselves: the result is that of
            these rows alone. The other rows of the result have no meaning. Default: all.
    """
    rows = len(scores)
    q = all_rows(scores.float()).double() / temperature
    # rows that are left out stay in the tensor, because their number differs from step to step, and a CUDA graph has one shape
    left_out = None if chosen is None else all_rows(chosen.float())[:, None] == 0
    # in logarithms, because at a temperature of 0.001 cosines span e^2000, and whole rows of exp(q) would be 0
    for _ in range(iterations):
        columns = (q if left_out is None else q.masked_fill(left_out, -torch.inf)).logsumexp(0)
        # N/K, to which the columns should sum, cancels in the next line; where no row is chosen, a column's sum is 0
        q = q - columns.masked_fill(columns == -torch.inf, 0.0)
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
    """Return the cross entropy at the hidden patches, a scalar: the mean within each view, averaged over all views.

    Args:
        teacher: probabilities (N, P, K) of the whole view, without gradient.
        log_student: log probabilities (N, P, K) of the view with patches hidden.
        mask: bool (N, P), the hidden patches. A view without any counts as 0, so the loss falls with mask_p.

    Source: iBOT (Zhou et al. 2022, arXiv 2111.07832), section 3.1, averaged as in the code of DINOv2.
    """
    entropy = -(teacher * log_student).sum(2) * mask  # (N, P)
    hidden = mask.sum(1)
    return (entropy.sum(1) / hidden.clamp(min=1)).mean()


def draw_masks(views: tuple[int, ...], share: tuple[float, float], p: float, generator: torch.Generator) -> Tensor:
    """Draw which patches to hide: bool of shape `views` = (..., P); in each view with probability p.

    The share that is hidden is drawn from this range, but is at least one patch and never all. Patches are hidden
    independently, where iBOT and DINOv2 hide blocks, because a grid of 4 × 4 or 8 × 8 has few blocks. In DINOv2 p is
    the exact share of the views in a batch that have hidden patches.
    """
    *shape, patches = views
    u = torch.rand(views, generator=generator, device=generator.device)
    chosen, place = torch.rand(2, *shape, 1, generator=generator, device=generator.device)
    count = ((share[0] + place * (share[1] - share[0])) * patches).round().clamp(1, patches - 1)
    return (u.argsort(-1).argsort(-1) < count) & (chosen < p)
