"""Recording: the maps of a run through training, and the file in which they are kept to be shown as a film."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config.checks import Refused, fields, list_of, one_of, parse_json, tensor, text, whole
from ..config.errors import CheckpointError
from ..evaluate.embed import KINDS
from ..train.checkpoint import write_or_explain

SPACES = ("y", "z")
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
    knn         float32 (T,), kNN accuracy in the mapped space, see recorder.neighbours_and_vote; NaN without labels
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
