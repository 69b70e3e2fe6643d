"""Recording: the maps of a run through training, saved so that they can be shown as a film."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..augment.operations import as_float
from ..augment.views import Views
from ..config.checks import Refused, fields, list_of, one_of, parse_json, tensor, text, whole
from ..config.errors import CheckpointError, DivergedError, EmbedError
from ..data.colours import false_colour, thumbnails
from ..data.image_set import ImageSet
from ..data.names import short_name
from ..data.streaming import StreamedSet
from ..evaluate.balance import accuracy, balanced_accuracy, floor_if_uneven
from ..evaluate.diagnose import spread
from ..evaluate.directions import directions
from ..evaluate.embed import KINDS, successive_maps
from ..evaluate.knn import vote
from ..train.checkpoint import write_or_explain
from ..train.monitor import represent_or_refuse
from ..train.trainer import Trainer

SPACES = ("y", "z")
MOST_POINTS = 5000  # of a larger set this many images are drawn; a film shows them at 30 frames/s
THUMBNAIL = 32  # pixels a side
NEIGHBOURS = 5  # recorded for each point
VOTERS = 20  # neighbours that vote on a point's class
FORMAT, VERSION = "byol_tutorial recording", 1
TENSORS = ("epochs", "maps", "neighbours", "spread", "knn", "images", "views")  # arrays that every file has
OPTIONAL = ("labels", "balanced")  # and those that some have


@dataclass(frozen=True)
class Recording:
    """T maps of the same N images through training, as `record` makes them.

    name        name of the image set
    kind        how the maps are made: "pca" or "umap"
    space       what is mapped: the representations "y" or the projections "z"
    epochs      float32 (T,), when each map was made
    maps        float32 (T, N, 2)
    neighbours  int16 (T, N, k), the k other points that are nearest by cosine in the mapped space, nearest first
    spread      float32 (T,), √d·std of z
    knn         float32 (T,), kNN accuracy in the mapped space, see `neighbours_and_vote`; NaN without labels
    images      uint8 (N, 3, s, s), thumbnails; of images with other channels in false colour
    views       uint8 (N, 2, 3, s, s), one view of each image from T and one from T′
    labels      int64 (N,) or None; `classes` are their names
    factors     name: float32 (N,); empty if the factors are not known
    note        why the recording ended early, or ""
    balanced    float32 (T,), the balanced accuracy of the same vote where classes are not equally frequent, else None
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
    balanced: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return (
            f"Recording({self.name!r}: {self.kind} of {self.space}, {len(self.epochs)} maps of {len(self):,} images, "
            f"epochs {self.epochs[0]:g} to {self.epochs[-1]:g})"
        )

    def save(self, path: str | Path) -> None:
        """Write the recording as one NumPy archive, without pickle. An old file is replaced only when all is written.

        Raises:
            CheckpointError: the file cannot be written.
        """
        about = {"format": FORMAT, "version": VERSION, "name": self.name, "kind": self.kind, "space": self.space}
        about |= {"note": self.note, "classes": self.classes, "factors": list(self.factors)}
        arrays = {name: getattr(self, name).numpy() for name in TENSORS}
        arrays |= {f"factor_{name}": values.numpy() for name, values in self.factors.items()}
        for name in OPTIONAL:
            if (values := getattr(self, name)) is not None:
                arrays[name] = values.numpy()
        write_or_explain(path, lambda file: np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays))

    @classmethod
    def load(cls, path: str | Path) -> "Recording":
        """Read a file that `save` wrote. Nothing in the file is executed.

        Raises:
            CheckpointError: the file is missing, damaged, or not a recording of this version.
        """
        if not Path(path).is_file():
            raise CheckpointError(f"recording {str(path)!r} does not exist: name a file that Recording.save wrote")
        try:
            with np.load(path, allow_pickle=False) as file:
                about = parse_json(str(file["about"]))
                if not isinstance(about, dict) or (about.get("format"), about.get("version")) != (FORMAT, VERSION):
                    raise KeyError("format")
                ABOUT(about, "")
                arrays: dict[str, Any] = {name: torch.from_numpy(file[name]) for name in TENSORS}
                optional: dict[str, Any] = {
                    name: torch.from_numpy(file[name]) if name in file else None for name in OPTIONAL
                }
                factors = {name: torch.from_numpy(file[f"factor_{name}"]) for name in about["factors"]}
            _check(arrays, optional, len(about["classes"]), factors)
        except Refused as error:
            raise CheckpointError(f"recording {str(path)!r} is damaged ({error}): record the run again") from error
        except Exception as error:  # a damaged archive can make its reader raise anything
            raise CheckpointError(
                f"{str(path)!r} is not a recording of byol_tutorial, of another version, or damaged: "
                "record the run again"
            ) from error
        texts = {name: about[name] for name in ("name", "kind", "space", "note")}
        return cls(**texts, **arrays, **optional, classes=tuple(about["classes"]), factors=factors)


ABOUT = fields({
    "name": text(), "kind": one_of(*KINDS), "space": one_of(*SPACES), "note": text(),
    "classes": list_of(text(), most=100_000), "factors": list_of(text(200), most=100),
})  # fmt: skip


def _check(
    arrays: dict[str, Tensor], optional: dict[str, Tensor | None], classes: int, factors: dict[str, Tensor]
) -> None:
    """Raise Refused unless the arrays of a file are those of T maps of the same N images."""
    tensor([torch.float32], (None,))(arrays["epochs"], "epochs")
    tensor([torch.uint8], (None, 3, None, None))(arrays["images"], "images")
    t, (n, _, height, width) = len(arrays["epochs"]), arrays["images"].shape
    whole(1)(t, "the number of maps")
    whole(1)(n, "the number of images")
    shapes: dict[str, tuple[torch.dtype, tuple[int | None, ...]]] = {
        "maps": (torch.float32, (t, n, 2)),
        "neighbours": (torch.int16, (t, n, None)),
        "spread": (torch.float32, (t,)),
        "knn": (torch.float32, (t,)),
        "views": (torch.uint8, (n, 2, 3, height, width)),
    }
    for name, (dtype, shape) in shapes.items():
        tensor([dtype], shape, finite=name == "maps")(arrays[name], name)
    _within("neighbours", arrays["neighbours"], n)
    if (labels := optional["labels"]) is not None:
        tensor([torch.int64], (n,))(labels, "labels")
        _within("labels", labels, max(classes, 1))
    if (balanced := optional["balanced"]) is not None:
        tensor([torch.float32], (t,))(balanced, "balanced")
    for name, values in factors.items():
        tensor([torch.float32], (n,), finite=False)(values, f"factor_{name}")


def _within(name: str, values: Tensor, end: int) -> None:
    if values.numel() and not (int(values.min()) >= 0 and int(values.max()) < end):
        raise Refused(f"{name} has values outside 0 to {end - 1}")


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
