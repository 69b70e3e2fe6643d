"""A world in a plane, in which the best predictor can be computed and seen: the argument of section 3.2 of the paper.

    v, v′ = views(n)                    two views of each picture; pictures and views are points of a plane
    z = answers(v, lines(collapse))     the online network: it only says between which lines v lies
    q = best_predictor(z, v′)           q*(z) = E[z′ | z], the mean of all z′ that come with this z
    conditional_variance(z, v′)         E ‖q*(z) − z′‖² = E Σ_i Var(z′_i | z), the loss with this predictor

The target network shows the view as it is, z′ = v′, and does not learn. So nothing is hidden: a predictor of a finite
number of answers is a table, and the best one is found by counting.
"""

import torch
from torch import Tensor

from ..config.errors import UserError

NOISE = 0.15  # how far a view may lie from its picture, along each axis
SPACING = 0.5  # between two lines of a network that has not collapsed
REACH = 1 + NOISE  # no view has a coordinate beyond it


def views(n: int = 4096, noise: float = NOISE, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draw two views v and v′ of n pictures: float32 (n, 2) each.

    A picture is a point of the square [−1, 1]², drawn uniformly. Each view is that point, moved along each axis by a
    uniform random number in [−noise, noise].

    Raises:
        UserError: n is below 1, or noise is negative.
    """
    if n < 1 or noise < 0:
        raise UserError(f"views(n={n}, noise={noise}): give at least one picture, and a noise of 0 or more")
    generator = torch.Generator().manual_seed(seed)
    picture, e1, e2 = 2 * torch.rand(3, n, 2, generator=generator) - 1
    return picture + noise * e1, picture + noise * e2


def lines(collapse: float) -> Tensor:
    """Return where the online network's lines cross each axis, in ascending order: float32 (3,).

    collapse, in [0, 1], moves all lines to the right. At 0 they are at −0.5, 0 and 0.5 and cut the square into 16 equal
    cells. At 1 no view is beyond any line, so all pictures get one answer.

    Raises:
        UserError: collapse is outside [0, 1].
    """
    if not 0 <= collapse <= 1:
        raise UserError(f"collapse={collapse}: give a number from 0, sixteen answers, to 1, one answer")
    return SPACING * torch.tensor([-1.0, 0.0, 1.0]) + collapse * (REACH + SPACING)


def answers(v: Tensor, at: Tensor) -> Tensor:
    """Return the online network's answer to each view, the number of the cell that it lies in: (N, 2) -> int64 (N,).

    at: where the lines cross each axis, in ascending order, float (k,). The cells are numbered from 0 to (k + 1)² − 1.
    """
    column, row = torch.bucketize(v.contiguous(), at).T
    return column + (len(at) + 1) * row


def best_predictor(z: Tensor, target: Tensor) -> Tensor:
    """Return the best predictor as a table: row k is E[z′ | z = k], the mean of the targets that come with answer k.

    z: int64 (N,), answers from 0 up. target: z′, float (N, D). The table is float (largest answer + 1, D); the row of an
    answer that was never given is the mean of all targets. Its prediction is best_predictor(z, target)[z].
    """
    count = z.bincount()
    total = torch.zeros(len(count), target.shape[1], dtype=target.dtype).index_add(0, z, target)
    return torch.where(count[:, None] > 0, total / count.clamp(min=1)[:, None], target.mean(0))


def conditional_variance(z: Tensor, target: Tensor) -> float:
    """Return E Σ_i Var(z′_i | z), which is the mean squared error of the best predictor, at least 0.

    z: int64 (N,). target: z′, float (N, D).
    """
    return float((best_predictor(z, target)[z] - target).square().sum(1).mean())
