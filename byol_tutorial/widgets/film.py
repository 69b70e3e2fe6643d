"""The embedding film: the map of a run through training, as moving points that can be played and scrubbed.

    film = bt.widgets.film(bt.record(trainer, images))

The browser has everything: the numbers as one int16 buffer, the pictures as one image. The film needs no kernel, so it
also plays in a static page (static.py).
"""

import numpy as np
import torch
import traitlets
from torch import Tensor

from ..config.errors import UserError
from ..data.shapes import tint
from ..evaluate.balance import floor_if_uneven
from ..live.recording import Recording
from .assets import script, source
from .atlas import make_atlas
from .panel import Panel

FULL = 32000  # a coordinate of 1, and the largest value of a factor, as int16
CIRCULAR, BINS = ("hue", "rotation"), 24  # factors that are angles; number of colours of a factor


def film(recording: Recording) -> "Film":
    """Make a film of a Recording, which `bt.record` returns.

    The film can be played and scrubbed, and its points coloured by class or by a factor. Rest on a point to see its
    picture and two views of it. Press the point, or Enter, to see its nearest neighbours in the mapped space. Drag around
    points to see their pictures together. Double-click, or press + and −, to look closer, and 0 to see the whole map. Classes
    can be hidden in the legend.

    Raises:
        UserError: something that is not a Recording.

    Accessible names, for tests and assistive technology: region "Embedding film of ..."; buttons "play", "pause", and
    each class; slider "epoch"; choices "speed" and "colour by"; image "Map by ...", on which arrow keys go from point
    to point and Enter shows neighbours.
    """
    if not isinstance(recording, Recording):
        raise UserError(f"recording={type(recording).__name__}: give a Recording, as bt.record made it")
    return Film(recording)


class Film(Panel):
    """The panel of a Recording; see `film`.

    about: names and sizes.
    data: int16, one array after the other.
        maps (T, N, 2), rotated together to be wider than tall, in units of 1/32000 of the largest coordinate of all
        frames, so that a map that shrinks is seen to shrink; neighbours (T, N, k); labels (N,), −1 if there are none;
        each factor (N,), 0 for its least and 32000 for its largest value.
    atlas: WebP. Each image has a row of three tiles, the image and its two views; the rows fill one column after the
        other from top to bottom.
    """

    _esm = source("dots", "js") + script("film.js")
    _css = source("film", "css")
    about = traitlets.Dict().tag(sync=True)
    data = traitlets.Bytes().tag(sync=True)
    atlas = traitlets.Bytes().tag(sync=True)

    def __init__(self, recording: Recording):
        self.recording = r = recording
        frames, n, _ = r.maps.shape
        factors = {name: v.numpy().astype(np.float64) for name, v in r.factors.items() if name != "shape"}
        atlas, columns = make_atlas(torch.cat((r.images[:, None], r.views), 1))
        ranges = {name: (float(v.min()), float(v.max())) for name, v in factors.items()}
        about = {
            "name": r.name, "kind": {"pca": "PCA", "umap": "UMAP"}[r.kind], "space": r.space, "note": r.note,
            "frames": frames, "points": n, "neighbours": r.neighbours.shape[2], "size": r.images.shape[2],
            "columns": columns, "epochs": r.epochs.tolist(), "spread": r.spread.tolist(), "knn": _finite(r.knn),
            "balanced": None if r.balanced is None else _finite(r.balanced), "floor": floor_if_uneven(r.labels),
            "classes": list(r.classes) if r.labels is not None else [], "factors": ranges,
        }  # fmt: skip
        circle = hue_circle(BINS)
        about["circles"] = {name: circle for name in CIRCULAR if name in factors}
        maps = lie_down(r.maps.numpy())
        about["height"] = max(1.0, float(np.abs(maps[..., 1]).max()))
        super().__init__(about=about, data=pack(r, maps, factors), atlas=atlas)


def lie_down(maps: np.ndarray) -> np.ndarray:
    """Return all maps (T, N, 2) rotated together to be wider than tall, centred, with FULL as the largest coordinate.

    The orientation of a map has no meaning, and a picture in a page is wider than tall.
    """
    points = maps.reshape(-1, 2).astype(np.float64)
    points = points - points.mean(0)
    points = points @ np.linalg.svd(points, full_matrices=False)[2].T  # widest direction first
    points -= (points.max(0) + points.min(0)) / 2
    return (points / max(np.abs(points).max(), 1e-12) * FULL).reshape(maps.shape)


def pack(r: Recording, maps: np.ndarray, factors: dict[str, np.ndarray]) -> bytes:
    """Return the numbers of a film as one buffer; see Film."""
    labels = np.full(len(r), -1) if r.labels is None else r.labels.numpy()
    scaled = [(v - v.min()) / max(v.max() - v.min(), 1e-12) * FULL for v in factors.values()]
    parts = [maps.round(), r.neighbours.numpy(), labels, *map(np.round, scaled)]
    return b"".join(np.ascontiguousarray(part, dtype="<i2").tobytes() for part in parts)


def hue_circle(bins: int) -> list[str]:
    """Return the circle of hues that "shapes" are tinted with, as this many colours "#rrggbb"."""
    colours = tint((torch.arange(bins) + 0.5) / bins, luma=0.5).tolist()
    return ["#" + "".join(f"{round(255 * x):02x}" for x in rgb) for rgb in colours]


def _finite(values: Tensor) -> list[float] | None:
    """Return the values, or None if one of them is not finite, because JSON has no NaN."""
    return values.tolist() if bool(values.isfinite().all()) else None
