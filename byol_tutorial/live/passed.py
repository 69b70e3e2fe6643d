"""What went through the networks in the last step: one image with its two views, and the vectors of the whole batch."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..augment.operations import as_float
from ..data.colours import thumbnails
from ..data.streaming import StreamedSet
from ..evaluate.diagnose import spread
from ..train.trainer import Trainer

SIDE = 32  # pixels a side of a picture, at most


@dataclass(frozen=True)
class Passed:
    """What went through the networks in one step, as a diagram of them shows it.

    step      the step's number, from 1. Before the first step it is 1, and there are pictures alone
    pictures  uint8 (3, 3, s, s): the first image x of the batch, then its views v and v′, which the step used; None for a
              streamed set, because reading it again would begin its stream anew
    lengths   the mean length ‖·‖ of the vectors of the batch: "z", "p", and "target" for z′; "y" is that of the
              representations of the measured images. A value that is not finite is missing
    spreads   √d·std of the directions of "z", "p" and "target"; see evaluate.diagnose.spread
    """

    step: int
    pictures: Tensor | None
    lengths: dict[str, float]
    spreads: dict[str, float]


def what_passed(trainer: Trainer, y: Tensor) -> Passed:
    """Return what went through the networks in the trainer's last step. y: representations of some images, (M, D).

    The views are made again from the step's own random numbers, and the vectors are those that the step kept. So the run
    does not change, and no step waits for this.
    """
    k = max(trainer.steps_done - 1, 0)
    lengths, spreads = {"y": _length(y)}, {}
    if trainer.computation.passed is not None:
        for name, vectors in zip(("z", "p", "target"), trainer.computation.passed, strict=True):
            lengths[name], spreads[name] = _length(vectors), float(spread(vectors))
    return Passed(k + 1, _pictures(trainer, k), _finite(lengths), _finite(spreads))


def _pictures(trainer: Trainer, k: int) -> Tensor | None:
    """Return the first image of step k and its two views, as they were before they were normalised."""
    if isinstance(trainer.train, StreamedSet):
        return None
    (v1, v2, *_), _ = trainer.computation.views_of(k)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (trainer.mean, trainer.std))
    image = as_float(trainer.feed.batch(k)[:1].cpu())[0]
    views = [(v[0].float().cpu() * std + mean).clamp(0, 1) for v in (v1, v2)]
    side = min(SIDE, trainer.view_size)
    return torch.cat([thumbnails(one[None], side) for one in (image, *views)])


def _length(vectors: Tensor) -> float:
    return float(torch.linalg.vector_norm(vectors.float(), dim=1).mean())


def _finite(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if math.isfinite(value)}
