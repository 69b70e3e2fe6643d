"""The augmentation strip: one operation at a time, at every strength, drawn beforehand.

The pictures are made by augment.Views, so the strip shows exactly the views that training uses. All pictures are parts
of one image, so the strip also works in a static page.
"""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import traitlets
from PIL import Image

from ..augment.views import Views
from ..config.config import Config
from ..config.errors import UserError
from ..data.colours import false_colour, in_colours
from ..data.image_set import ImageSet
from .assets import source
from .panel import Panel

LEVELS = 9  # strengths of an operation; the first is none
MOST, LARGEST = 8, 96  # largest number of pictures, and their largest side in pixels
NONE: dict[str, Any] = {  # no operation changes anything
    "crop_area": (1.0, 1.0), "crop_ratio": (1.0, 1.0), "flip_p": 0.0, "jitter_p": 1.0, "brightness": 0.0,
    "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "grayscale_p": 0.0, "blur_p": 0.0, "solarize_p": 0.0,
}  # fmt: skip

# operation: what its strength means, the strength's first and last value, and the fields of Config that it sets
OPERATIONS: dict[str, tuple[str, tuple[float, float], Callable[[float], dict[str, Any]]]] = {
    "random resized crop": ("smallest area", (1.0, 0.08), lambda x: {"crop_area": (x, 1.0), "crop_ratio": (0.75, 4 / 3) if x < 1 else (1.0, 1.0)}),
    "brightness": ("factor in 1 ±", (0.0, 0.8), lambda x: {"brightness": x}),
    "contrast": ("factor in 1 ±", (0.0, 0.8), lambda x: {"contrast": x}),
    "saturation": ("factor in 1 ±", (0.0, 0.8), lambda x: {"saturation": x}),
    "hue": ("turn of the circle, ±", (0.0, 0.5), lambda x: {"hue": x}),
    "grayscale": ("probability", (0.0, 1.0), lambda x: {"grayscale_p": x}),
    "Gaussian blur": ("sigma in pixels", (0.0, 3.0), lambda x: {"blur_p": 1.0, "blur_sigma": (x, x)} if x else {}),
    "solarize": ("probability", (0.0, 1.0), lambda x: {"solarize_p": x}),
    "horizontal flip": ("probability", (0.0, 1.0), lambda x: {"flip_p": x}),
}  # fmt: skip


def strip(images: ImageSet, count: int = 8, seed: int = 0) -> "Strip":
    """Make a panel of two views of each image under one operation, with a slider for the operation's strength.

    >>> bt.widgets.strip(bt.load("shapes"))

    The random numbers stay the same while the slider moves, so that only the effect of the strength is seen.

    Args:
        images: the first `count` are shown.
        count: how many, 1 to 8.
        seed: of the random numbers.

    Raises:
        UserError: a count that is not allowed, or images larger than 96 pixels a side.

    Accessible names, for tests and assistive technology: region "Augmentation strip"; choice "operation"; slider
    "strength"; images "Image and its two views ...".
    """
    if not 1 <= count <= min(MOST, len(images)):
        raise UserError(f"count={count}: give a whole number from 1 to {min(MOST, len(images))}")
    height, width = images.image_size
    if max(height, width) > LARGEST:
        raise UserError(f"images of {height}×{width} pixels: at most {LARGEST} a side; load them with size={LARGEST}")
    return Strip(images, count, seed)


class Strip(Panel):
    """The panel of one operation; see `strip`.

    about: names and numbers. sheet: lossless WebP, a row of tiles for each operation and level.
    """

    _esm = source("strip", "js")
    _css = source("strip", "css")
    about = traitlets.Dict().tag(sync=True)
    sheet = traitlets.Bytes().tag(sync=True)

    def __init__(self, images: ImageSet, count: int, seed: int):
        originals = images.images[:count]
        shown = [name for name in OPERATIONS if images.channels == 3 or not config_of(name, LEVELS - 1).rgb_operations]
        rows = [tiles(originals, seed, name, level) for name in shown for level in range(LEVELS)]
        values = {
            name: [float(f"{x:.3g}") for x in np.linspace(*ends, LEVELS)] for name, (_, ends, _) in OPERATIONS.items()
        }
        names = [] if images.labels is None else [images.classes[k] for k in images.labels[:count]]
        if words := false_colour(images.channels):
            names = [f"{name}, {words}" for name in names] or [words] * count
        super().__init__(
            about={
                "operations": [{"name": n, "unit": unit, "values": values[n]} for n, (unit, _, _) in OPERATIONS.items() if n in shown],
                "count": count, "size": rows[0].shape[0], "names": names,
            },
            sheet=webp(np.concatenate([originals_row(originals, rows[0].shape[0]), *rows])),
        )  # fmt: skip


def config_of(operation: str, level: int) -> Config:
    """Return a Config with this operation alone, at a level from 0 (none) to LEVELS − 1."""
    _, ends, fields = OPERATIONS[operation]
    return Config(**(NONE | fields(float(np.linspace(*ends, LEVELS)[level]))))


def tiles(images: torch.Tensor, seed: int, operation: str, level: int) -> np.ndarray:
    """Return both views of uint8 images (n, 3, s, s) as one row: uint8 (s, 2 n s, 3)."""
    views = Views(config_of(operation, level), (0.0,), (1.0,), torch.Generator().manual_seed(seed))
    both = torch.stack(views(images), dim=1)  # (n, 2, 3, s, s)
    return as_row(both.flatten(0, 1))


def originals_row(images: torch.Tensor, size: int) -> np.ndarray:
    """Return the images themselves as a row, each in the column of its first view: uint8 (size, 2 n size, 3)."""
    views = Views(Config(**NONE, view_size=size), (0.0,), (1.0,))(images)
    return as_row(torch.stack(views, dim=1).flatten(0, 1))


def as_row(pictures: torch.Tensor) -> np.ndarray:
    """Return pictures, float (n, C, s, s) in [0, 1], side by side: uint8 (s, n s, 3)."""
    rounded = (in_colours(pictures).clamp(0, 1) * 255).round().to(torch.uint8)
    return rounded.permute(2, 0, 3, 1).flatten(1, 2).numpy()


def webp(sheet: np.ndarray) -> bytes:
    """Return a picture, uint8 (H, W, 3), as lossless WebP."""
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()
