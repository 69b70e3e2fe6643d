"""What went through the networks in the last step: one image with its two views, and the vectors of the whole batch."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..augment.operations import as_float
from ..augment.views import Views
from ..data.colours import thumbnails
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..evaluate.diagnose import spread
from ..train.batches import rows
from ..train.trainer import Trainer

SIDE = 32  # pixels a side of a picture, at most


@dataclass(frozen=True)
class Passed:
    """What went through the networks in one step, as a diagram of them shows it.

    step      the step's number, from 1. Before the first step it is 1, and there are pictures alone
    pictures  uint8 (3, 3, s, s): the first image x of the step's last pass, then its views v and v′, which the pass used;
              those of an earlier step if settings have changed since this one. None for a streamed set, because reading
              it again would restart its stream, for a transform of the user's own, which may keep a state, and where
              the views cannot be made
    lengths   the mean length ‖·‖ of the vectors of the step's last pass: "z", "p", and "target" for z′; "y" is that of
              the representations of the measured images. A value that is not finite is missing
    spreads   √d·std of the directions of "z", "p" and "target"; see evaluate.diagnose.spread
    """

    step: int
    pictures: Tensor | None
    lengths: dict[str, float]
    spreads: dict[str, float]


def what_passed(trainer: Trainer, y: Tensor, before: Passed | None = None) -> Passed:
    """Return what went through the networks in the trainer's last step. y: representations of some images, (M, D).

    The views are made again from the step's own random numbers, and the vectors are those that the step kept, so the run
    does not change. This happens between two steps, and the next one waits for it.

    before: what was shown last. Its pictures are kept if the settings have changed since the step, because the views that
    would now be made are not those of the step.
    """
    k = max(trainer.steps_done - 1, 0)
    lengths, spreads = {"y": _length(y)}, {}
    if trainer.computation.passed is not None:
        for name, vectors in zip(("z", "p", "target"), trainer.computation.passed, strict=True):
            lengths[name], spreads[name] = _length(vectors), float(spread(vectors))
    changes = trainer.history.changes
    if trainer.steps_done and changes and changes[-1][0] == trainer.steps_done:
        pictures = None if before is None else before.pictures
    else:
        pictures = _pictures(trainer, k)
    return Passed(k + 1, pictures, _finite(lengths), _finite(spreads))


def _pictures(trainer: Trainer, k: int) -> Tensor | None:
    """Return the first image of step k's last pass and its two views, as they were before they were normalised."""
    if isinstance(trainer.train, StreamedSet) or trainer.transform is not None:
        return None
    try:
        return _views_of_one(trainer, trainer.train, k)
    except Exception:  # a run must not end because its picture cannot be drawn, as with too little memory
        return None


def _views_of_one(trainer: Trainer, train: ImageSet, k: int) -> Tensor:
    """Make the views of one image of step k alone, from the numbers that the step drew for them."""
    config, feed, views = trainer.config, trainer.feed, trainer.computation.views
    m = config.accumulation_steps - 1
    image = rows(train.images, feed.positions(k, m)[:1].cpu())
    views.seed(k)
    _, _, height, width = image.shape
    drawn = views.kinds[0].draw(config.step_images, height, width, feed.device)
    place = feed.rows(m).start
    one = drawn[torch.tensor([place, config.step_images + place], device=feed.device)]
    pair = Views(config, trainer.mean, trainer.std).carry_out(image.to(feed.device), one)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (trainer.mean, trainer.std))
    shown = [as_float(image)[0], *((v[0].float().cpu() * std + mean).clamp(0, 1) for v in pair)]
    return torch.cat([thumbnails(each[None], min(SIDE, trainer.view_size)) for each in shown])


def _length(vectors: Tensor) -> float:
    return float(torch.linalg.vector_norm(vectors.float(), dim=1).mean())


def _finite(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if math.isfinite(value)}
