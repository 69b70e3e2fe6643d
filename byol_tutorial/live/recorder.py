"""Record a run: train it on, and map its images at the start, every so many epochs, and at the end."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..augment.operations import as_float
from ..augment.views import Views
from ..config.errors import DivergedError, EmbedError
from ..data.colours import false_colour, thumbnails
from ..data.image_set import ImageSet
from ..data.names import short_name
from ..data.streaming import StreamedSet
from ..evaluate.balance import accuracy, balanced_accuracy, floor_if_uneven
from ..evaluate.diagnose import spread
from ..evaluate.directions import directions
from ..evaluate.embed import KINDS, successive_maps
from ..evaluate.knn import vote
from ..train.monitor import represent_or_refuse
from ..train.trainer import Trainer
from .recording import SPACES, Recording

MOST_POINTS = 5000  # so many images are drawn from a larger set; a film shows them at 30 frames/s
THUMBNAIL = 32  # pixels a side
NEIGHBOURS = 5  # recorded for each point
VOTERS = 20  # neighbours that vote on a point's class


@dataclass(frozen=True)
class Frame:
    """The run after one step. `points` float32 (N, D) becomes a map when the run is over; the rest: see Recording."""

    step: int
    points: Tensor
    neighbours: Tensor
    spread: float
    knn: float
    balanced: float

    @classmethod
    def of(cls, trainer: Trainer, images: ImageSet, space: str) -> "Frame":
        """Return the run as it is now. Raises DivergedError if its representations are not finite."""
        y, z = represent_or_refuse(trainer, images.images)
        points = {"y": y, "z": z}[space]
        neighbours, knn, balanced = neighbours_and_vote(points, images.labels)
        return cls(trainer.steps_done, points, neighbours, float(spread(z)), knn, balanced)


def record(
    trainer: Trainer,
    images: ImageSet | StreamedSet,
    epochs: float | None = None,
    every: float = 1.0,
    kind: str = "pca",
    space: str = "y",
    seed: int = 0,
    progress: bool = True,
) -> Recording:
    """Train the run on, and map `images` at the start, after every `every` epochs, and at the end.

    If the run is ended by Ctrl-C, or diverges, it is recorded up to that step, and `note` gives the reason. Recording
    does not change the run: it uses none of the run's random numbers.

    Args:
        trainer: a Trainer with steps left to make.
        images: the images to map. If there are more than 5,000, this many are drawn. Their labels and factors are
            recorded too.
        epochs: how long to train. Default: to the end of the trainer's config.epochs.
        every: epochs between two maps, above 0.
        kind: "pca" or "umap".
        space: what is mapped: the representation "y", or the projection "z", where a collapse shows first.
        seed: seed of UMAP, of the example views, and of the images that are drawn.
        progress: show a bar.

    Raises:
        EmbedError: a value that is not allowed, too few images, or a trainer without steps left to make.
    """
    for name, value, allowed in (("kind", kind, KINDS), ("space", space, SPACES)):
        if value not in allowed:
            raise EmbedError(f"{name}={value!r}: choose one of {', '.join(allowed)}")
    if not every > 0:
        raise EmbedError(f"every={every}: give a number of epochs above 0")
    if trainer.steps_done >= trainer.total_steps or (epochs is not None and not epochs > 0):
        raise EmbedError("there are no steps to record: give a Trainer with steps left to do, and epochs above 0")
    if len(images) > MOST_POINTS or isinstance(images, StreamedSet):
        images = images.sample(MOST_POINTS, seed)
    if len(images) <= VOTERS:
        raise EmbedError(f"{len(images)} images: give more than {VOTERS}")
    frames, note = _train_and_watch(trainer, images, epochs, every, space, progress)
    factors = {} if images.factors is None else {n: v for n, v in vars(images.factors).items() if n != "shape"}
    thumbnails, views = _thumbnails(trainer, images.images, seed)
    return Recording(
        name=", ".join(filter(None, (short_name(images.name), images.split, false_colour(images.channels)))),
        kind=kind,
        space=space,
        note=note,
        epochs=torch.tensor([f.step for f in frames]) / trainer.steps_per_epoch,
        maps=successive_maps([f.points for f in frames], kind, seed),
        neighbours=torch.stack([f.neighbours for f in frames]),
        spread=torch.tensor([f.spread for f in frames]),
        knn=torch.tensor([f.knn for f in frames]),
        balanced=torch.tensor([f.balanced for f in frames]) if floor_if_uneven(images.labels) else None,
        images=thumbnails,
        views=views,
        labels=images.labels,
        classes=tuple(images.classes),
        factors=factors,
    )


def _train_and_watch(
    trainer: Trainer, images: ImageSet, epochs: float | None, every: float, space: str, progress: bool
) -> tuple[list[Frame], str]:
    """Train the run on; return its frames, the first before training, and the reason if it ended early."""
    start, per_frame = trainer.steps_done, max(1, round(every * trainer.steps_per_epoch))
    frames = [Frame.of(trainer, images, space)]

    def add_if_due(t: Trainer) -> None:
        if (t.steps_done - start) % per_frame == 0:
            frames.append(Frame.of(t, images, space))

    note = ""
    try:
        trainer.run(epochs, progress, on_step=add_if_due)
        if trainer.interrupted:
            note = f"stopped by hand at epoch {trainer.epoch:.2f}"
    except DivergedError as error:
        note = f"stopped: {error}"
    if trainer.steps_done > frames[-1].step:
        try:
            frames.append(Frame.of(trainer, images, space))
        except DivergedError as error:  # the weights themselves have overflowed
            note = note or f"stopped: {error}"
    return frames, note


def neighbours_and_vote(x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, float, float]:
    """Return the 5 nearest other points of each point by cosine, int16 (N, 5), nearest first; kNN and balanced accuracy.

    The accuracy is that of leaving one out: the share of points whose class wins the vote of their 20 nearest other
    points, where each vote has the weight exp(cosine / 0.07), as in evaluate.knn_accuracy. Both are NaN without labels.

    Args:
        x: float (N, D). labels: int64 (N,), or None.
    """
    x = directions(x.float())
    index, votes = [], []
    for first in range(0, len(x), 1024):
        rows = torch.arange(first, min(first + 1024, len(x)))
        similarity = x[rows] @ x.T
        similarity[torch.arange(len(rows)), rows] = -torch.inf
        value, at = similarity.topk(min(VOTERS, len(x) - 1), dim=1)
        index.append(at[:, :NEIGHBOURS].to(torch.int16))
        if labels is not None:
            votes.append(vote(value, labels[at], int(labels.max()) + 1, temperature=0.07))
    if labels is None:
        return torch.cat(index), math.nan, math.nan
    voted = torch.cat(votes)
    return torch.cat(index), accuracy(voted, labels), balanced_accuracy(voted, labels)


def _thumbnails(trainer: Trainer, images: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Return small images, uint8 (N, 3, s, s), and a pair of small views of each, uint8 (N, 2, 3, s, s)."""
    views = Views(trainer.config, generator=torch.Generator().manual_seed(seed), mean=(0.0,), std=(1.0,))
    size = min(THUMBNAIL, *images.shape[2:])
    pictures, pairs = [], []
    for batch in images.split(256):
        pictures.append(thumbnails(as_float(batch), size))
        pairs.append(torch.stack([thumbnails(v.clamp(0, 1), size) for v in views(batch)], 1))
    return torch.cat(pictures), torch.cat(pairs)
