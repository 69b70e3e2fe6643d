"""Exercise 03-loss, “The loss”."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ....methods.byol import byol_loss
from ..record import Exercise, Mistake


def _two_batches() -> list[tuple]:
    g = torch.Generator().manual_seed(3)
    return [tuple(3 * torch.randn(2, n, d, generator=g) + 0.5) for n, d in ((8, 16), (5, 64))]


def _unit(x: Tensor) -> Tensor:
    return F.normalize(x, dim=-1)


LOSS = Exercise(
    id="03-loss",
    title="The loss",
    kind="implement",
    difficulty=1,
    minutes=8,
    hints=(
        "Only directions count. How does a row get length 1?",
        (
            "F.normalize(x, dim=-1) gives each row length 1. Then: difference, square, sum over the dimensions of "
            "a row (dim=-1), mean over the rows."
        ),
        (
            "p, z = F.normalize(p, dim=-1), F.normalize(z, dim=-1)\n"
            "per_image = (p - z).square().sum(dim=-1)  # (N,)\n"
            "# the loss is one number for the whole batch"
        ),
    ),
    cases=_two_batches,
    reference=byol_loss,
    trains={"p": 0},
    mistakes=(
        Mistake(
            "no normalisation",
            lambda p, z: (p - z).square().sum(-1).mean(),
            "the rows keep their lengths. Divide each row of p and of z by its own length first: the loss looks at "
            "directions only.",
        ),
        Mistake(
            "only one side normalised",
            lambda p, z: (p - _unit(z)).square().sum(-1).mean(),
            "only z′ has length 1. Both p and z′ are divided by their lengths.",
        ),
        Mistake(
            "normalised over the batch",
            lambda p, z: (F.normalize(p, dim=0) - F.normalize(z, dim=0)).square().sum(-1).mean(),
            "normalised along the wrong dimension: each image's vector, a row, gets length 1, not each column.",
        ),
        Mistake(
            "mean instead of sum over dimensions",
            lambda p, z: F.mse_loss(_unit(p), _unit(z)),
            "too small by the number of dimensions: ‖·‖² is a sum over the dimensions, and only over the batch a mean. "
            "F.mse_loss averages over both.",
        ),
        Mistake(
            "sum over the batch",
            lambda p, z: (_unit(p) - _unit(z)).square().sum(),
            "too large by the batch size: take the mean over the images, or the learning rate would depend on the batch.",
        ),
        Mistake(
            "no mean",
            lambda p, z: (_unit(p) - _unit(z)).square().sum(-1),
            "one number per image: take their mean, since an optimiser needs one number.",
        ),
        Mistake(
            "not squared",
            lambda p, z: (_unit(p) - _unit(z)).norm(dim=-1).mean(),
            "the distance, not its square. Without the square the gradient has length 1 however near p already is.",
        ),
        Mistake(
            "negative cosine",
            lambda p, z: -F.cosine_similarity(p, z, dim=-1).mean(),
            "this is −cos, SimSiam's form: the same up to a constant and a factor. Here 2 − 2 cos is asked for, so that "
            "the loss is a squared distance; half the size would be half the learning rate.",
        ),
        Mistake(
            "half of it",
            lambda p, z: (1 - F.cosine_similarity(p, z, dim=-1)).mean(),
            "this is 1 − cos, half of what is asked for: ‖a − b‖² of two vectors of length 1 is 2 − 2 cos.",
        ),
        Mistake(
            "the sign",
            lambda p, z: (2 + 2 * F.cosine_similarity(p, z, dim=-1)).mean(),
            "the sign is turned: this is smallest where p points away from z′.",
        ),
        Mistake(
            "plain mean squared error",
            F.mse_loss,
            "lengths count here, and the sum over dimensions is a mean: give each row length 1 first, sum its squares, and "
            "only then take the mean over the images.",
        ),
        Mistake(
            "the batch as one vector",
            lambda p, z: 2 - 2 * F.cosine_similarity(p.flatten(), z.flatten(), dim=0),
            "the whole batch was taken as one long vector. Each row is an image and has a cosine of its own.",
        ),
        Mistake(
            "length of the whole batch",
            lambda p, z: (p / p.norm() - z / z.norm()).square().sum(-1).mean(),
            "p.norm() without dim is the length of the whole batch: each row is divided by its own, dim=-1 and keepdim=True.",
        ),
        Mistake(
            "absolute values",
            lambda p, z: (_unit(p) - _unit(z)).abs().sum(-1).mean(),
            "the differences are taken by their absolute value; they are squared: ‖·‖² is the sum of squares.",
        ),
        Mistake(
            "softmax",
            lambda p, z: (p.softmax(-1) - z.softmax(-1)).square().sum(-1).mean(),
            "a softmax makes rows that sum to 1. Here a row gets *length* 1: its squares sum to 1.",
        ),
        Mistake(
            "every pair of images",
            lambda p, z: 2 - 2 * (_unit(p) @ _unit(z).T).mean(),
            "p @ z.T compares each image with all of the batch: only row i of p and row i of z belong together.",
        ),
        Mistake(
            "one cosine too few",
            lambda p, z: 2 - F.cosine_similarity(p, z, dim=-1).mean(),
            "this is 2 − cos: the cosine has a factor 2.",
        ),
    ),
    praise="right: 2 − 2 cos(p, z′), in [0, 4]. What is it for two unrelated directions?",
)
