"""Recording: the map of a run through training, kept, to be shown as a film."""

import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..augment.views import Views
from ..config.errors import CheckpointError, DivergedError, EmbedError
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..evaluate.diagnose import spread
from ..evaluate.embed import KINDS, successive_maps
from ..runtime.files import write_atomically
from ..train.monitor import represent_or_refuse
from ..train.trainer import Trainer

SPACES = ("y", "z")
MOST_POINTS = 5000  # of a larger set so many are drawn; a film shows them at 30 frames/s
THUMBNAIL = 32  # pixels a side
NEIGHBOURS = 5  # shown of each point
VOTERS = 20  # neighbours that vote on a point's class
FORMAT, VERSION = "byol_tutorial recording", 1


@dataclass(frozen=True)
class Recording:
    """What `record` saw: T maps of the same N images through training.

    name        of the images             kind     "pca" or "umap"       space   "y" or "z", what is mapped
    epochs      float32 (T,)              maps     float32 (T, N, 2)
    neighbours  int16 (T, N, k), nearest by cosine in the mapped space, itself not among them
    spread      float32 (T,), √d·std of z          knn     float32 (T,), NaN without labels: see `neighbours_and_vote`
    note        why it ended early; "" where it did not
    images      uint8 (N, 3, s, s)                 views   uint8 (N, 2, 3, s, s), one drawn from T, one from T′
    labels      int64 (N,) or None                 classes   their names
    factors     name: float32 (N,); empty where they are not known
    """

    name: str
    kind: str
    space: str
    epochs: Tensor
    maps: Tensor
    neighbours: Tensor
    spread: Tensor
    knn: Tensor
    images: Tensor
    views: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    factors: dict[str, Tensor] = field(default_factory=dict)
    note: str = ""

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return (
            f"Recording({self.name!r}: {self.kind} of {self.space}, {len(self.epochs)} maps of {len(self):,} images, "
            f"epochs {self.epochs[0]:g} to {self.epochs[-1]:g})"
        )

    def save(self, path: str | Path) -> None:
        """Write all of it as one NumPy archive, without pickle. What was at `path` stays until all is written.

        Raises:
            CheckpointError: the file cannot be written.
        """
        about = {"format": FORMAT, "version": VERSION, "name": self.name, "kind": self.kind, "space": self.space}
        about |= {"note": self.note, "classes": self.classes, "factors": list(self.factors)}
        arrays = {name: getattr(self, name).numpy() for name in _TENSORS}
        arrays |= {f"factor_{name}": values.numpy() for name, values in self.factors.items()}
        arrays |= {} if self.labels is None else {"labels": self.labels.numpy()}
        try:
            write_atomically(path, lambda file: np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays))
        except OSError as error:
            raise CheckpointError(
                f"{str(path)!r} could not be written ({error.strerror}): what was there before is untouched; "
                "make room, or choose another place"
            ) from error

    @classmethod
    def load(cls, path: str | Path) -> "Recording":
        """Read what `save` wrote. Nothing in the file is executed.

        Raises:
            CheckpointError: the file is missing, damaged, or no recording of this version.
        """
        if not Path(path).is_file():
            raise CheckpointError(f"recording {str(path)!r} does not exist: name a file that Recording.save wrote")
        try:
            with np.load(path, allow_pickle=False) as file:
                about = json.loads(str(file["about"]))
                if (about["format"], about["version"]) != (FORMAT, VERSION):
                    raise KeyError("format")
                read = lambda name: torch.from_numpy(file[name])  # noqa: E731
                tensors: dict[str, Any] = {name: read(name) for name in _TENSORS}
                labels = read("labels") if "labels" in file else None
                factors = {name: read(f"factor_{name}") for name in about["factors"]}
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile, zlib.error) as error:
            raise CheckpointError(
                f"{str(path)!r} is not a recording of byol_tutorial, of another version, or damaged: record the run again"
            ) from error
        more = {name: about[name] for name in ("name", "kind", "space", "note")}
        return cls(**more, **tensors, labels=labels, classes=tuple(about["classes"]), factors=factors)


@dataclass(frozen=True)
class Frame:
    """The run after one step, before its map is drawn: one point, float32 (D,), per image, and what goes with it."""

    step: int
    points: Tensor
    neighbours: Tensor
    spread: float
    knn: float


def _frame(trainer: Trainer, images: ImageSet, space: str) -> Frame:
    """Look at the run as it stands. Raises DivergedError where its representations are not finite."""
    y, z = represent_or_refuse(trainer, images.images)
    points = {"y": y, "z": z}[space]
    neighbours, knn = neighbours_and_vote(points, images.labels)
    return Frame(trainer.steps_done, points, neighbours, float(spread(z)), knn)


_TENSORS = ("epochs", "maps", "neighbours", "spread", "knn", "images", "views")


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
    """Train and watch: run `trainer` on, and map `images` as it stands now, after every so many epochs, and at the end.

    A run that is ended by Ctrl-C, or diverges, is recorded up to there; `note` says so. The run itself is what it
    would be unwatched: nothing of its randomness is used.

    Args:
        trainer: with steps left to do.
        images: of more than 5,000 so many are drawn. Labels and factors are taken along.
        epochs: train for so many. Default: to the end of its config.epochs.
        every: epochs between two maps, above 0.
        kind: "pca" or "umap".
        space: what is mapped: the representation "y", or the projection "z", which is where a collapse shows first.
        seed: of UMAP, and of the example views.

    Raises:
        EmbedError: a value that is not allowed, or a trainer that has nothing left to do.
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
    start, per_map = trainer.steps_done, max(1, round(every * trainer.steps_per_epoch))
    frames = [_frame(trainer, images, space)]

    def watch(t: Trainer) -> None:
        if (t.steps_done - start) % per_map == 0:
            frames.append(_frame(t, images, space))

    note = ""
    try:
        trainer.run(epochs, progress, on_step=watch)
        if trainer.interrupted:
            note = f"stopped by hand at epoch {trainer.epoch:.2f}"
    except DivergedError as error:
        note = f"stopped: {error}"
    if trainer.steps_done > frames[-1].step:
        try:
            frames.append(_frame(trainer, images, space))
        except DivergedError as error:  # the weights themselves have overflowed
            note = note or f"stopped: {error}"
    factors = {} if images.factors is None else {n: v for n, v in vars(images.factors).items() if n != "shape"}
    thumbnails, views = _thumbnails(trainer, images.images, seed)
    return Recording(
        name=f"{images.name}, {images.split}",
        kind=kind,
        space=space,
        note=note,
        epochs=torch.tensor([f.step for f in frames]) / trainer.steps_per_epoch,
        maps=successive_maps([f.points for f in frames], kind, seed),
        neighbours=torch.stack([f.neighbours for f in frames]),
        spread=torch.tensor([f.spread for f in frames]),
        knn=torch.tensor([f.knn for f in frames]),
        images=thumbnails,
        views=views,
        labels=images.labels,
        classes=tuple(images.classes),
        factors=factors,
    )


def neighbours_and_vote(x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, float]:
    """Each point's k nearest others by cosine, int16 (N, 5), nearest first; and their kNN accuracy, NaN without labels.

    The accuracy leaves one out: the share of points whose class wins the vote of their 20 nearest others, each vote
    weighed exp(cosine / 0.07), as in evaluate.knn_accuracy.
    """
    x = F.normalize(x.float(), dim=1)
    index, right = [], 0
    for first in range(0, len(x), 1024):
        rows = torch.arange(first, min(first + 1024, len(x)))
        similarity = x[rows] @ x.T
        similarity[torch.arange(len(rows)), rows] = -torch.inf
        value, at = similarity.topk(min(VOTERS, len(x) - 1), dim=1)
        index.append(at[:, :NEIGHBOURS].to(torch.int16))
        if labels is not None:
            votes = torch.zeros(len(rows), int(labels.max()) + 1)
            votes.scatter_add_(1, labels[at], torch.exp((value - 1) / 0.07))
            right += int((votes.argmax(1) == labels[rows]).sum())
    return torch.cat(index), float("nan") if labels is None else right / len(x)


def _thumbnails(trainer: Trainer, images: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Images and a pair of views of each, small: uint8 (N, 3, s, s) and (N, 2, 3, s, s)."""
    views = Views(trainer.config, generator=torch.Generator().manual_seed(seed), mean=(0.0,) * 3, std=(1.0,) * 3)
    size = min(THUMBNAIL, *images.shape[2:])
    small = lambda x: F.interpolate(x, (size, size), mode="area").mul(255).round().to(torch.uint8)  # noqa: E731
    pictures, pairs = [], []
    for batch in images.split(256):
        pictures.append(small(batch.float() / 255))
        pairs.append(torch.stack([small(v.clamp(0, 1)) for v in views(batch)], 1))
    return torch.cat(pictures), torch.cat(pairs)
