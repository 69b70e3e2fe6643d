"""The value range of images that are deeper than 8 bits: found once for a folder, so that one scale serves all of it.

A microscope stores 12 bits in 16, a satellite reflectances from 0 to 10,000, a scanner signed numbers. Scaled by what
the file could hold, such images turn black or white; scaled one by one, they lose the brightness that tells them apart.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from PIL import UnidentifiedImageError

from ..config.errors import DataError
from .bands import holds_more, is_array, is_tiff, read_bands
from .formats import open_image

SAMPLE = 64  # files whose pixels decide the range
FULL_SCALES = (1, 255, 1023, 4095, 16383, 65535)  # the largest values of a mask and of 8, 10, 12, 14 and 16 bits
OUTLIER = 10  # a value further out than so many times the span of 99.8 % of the values does not count


@dataclass(frozen=True)
class ValueRange:
    """The values that become 0 and 255, or 0 and 65535 with 16 bits; those outside are clipped.

    every    whether 8-bit images are scaled too, as a range given by the user demands
    gaps     number of the files that decided it which have values that are not finite
    """

    low: float
    high: float
    every: bool = False
    gaps: int = field(default=0, compare=False)

    def to_uint8(self, values: np.ndarray) -> np.ndarray:
        """Scale values linearly from [low, high] to [0, 255], rounded; NaN becomes low."""
        return (self.to_unit(values) * 255).round().astype(np.uint8)

    def to_unit(self, values: np.ndarray) -> np.ndarray:
        """Scale values linearly from [low, high] to [0, 1], float64; NaN becomes low."""
        scaled = (np.nan_to_num(values.astype(np.float64), nan=self.low) - self.low) / (self.high - self.low)
        return scaled.clip(0, 1)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


# How the pixels of a folder are scaled: two numbers for all images; a ValueRange; None: found from a sample of the files;
# "depth": by what each file could hold, 65535 for integers, as versions before did that had no range for a folder
Scale = tuple[float, float] | ValueRange | Literal["depth"] | None


def check_scale(value: object) -> None:
    """Raise DataError if this is no Scale."""
    if value is None or value == "depth":
        return
    pair: Any = (value.low, value.high) if isinstance(value, ValueRange) else value
    try:
        low, high = map(float, pair)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise DataError(f"value_range={value!r}: give two numbers, the first below the second, such as (0, 4095)")


def is_deep(mode: str) -> bool:
    """Return whether a Pillow mode holds integers of more than 8 bits, or floats."""
    return mode.startswith("I") or mode == "F"


def range_of(values: np.ndarray) -> ValueRange:
    """Choose the range for images with these values, of any shape.

    Integers of at least 0 get the full scale of the fewest bits that hold them: 3,900 gets 0 to 4,095. Floats within
    [0, 1] or [0, 255] get that. Anything else gets its own least and greatest value; outliers, such as dead pixels, do
    not count there, nor do values that are not finite.
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return ValueRange(0, 1)
    low, high = float(values.min()), float(values.max())
    inner_low, inner_high = np.percentile(values, (0.1, 99.9))
    reach = OUTLIER * (inner_high - inner_low)
    if reach > 0:
        low = low if inner_low - low <= reach else float(inner_low)
        high = high if high - inner_high <= reach else float(inner_high)
    integers = bool((values == np.round(values)).all())
    if integers and low >= 0 and values.max() <= FULL_SCALES[-1]:
        high = float(values.max())  # stars and cells are sparse, bright and no outliers
    if low >= 0 and integers and high <= FULL_SCALES[-1]:
        return ValueRange(0, next(scale for scale in FULL_SCALES if high <= scale))
    if low >= 0 and high <= 255:
        return ValueRange(0, 1 if high <= 1 else 255)
    return ValueRange(0 if 0 <= low < high / 2 else low, high) if low < high else ValueRange(low, low + 1)


def find_range(files: Sequence[str | os.PathLike[str]]) -> ValueRange | None:
    """Find the range of a folder's deep images from at most 64 of them, evenly spread; None where none can be read."""
    values, gaps = [], 0
    for file in files[:: -(-len(files) // SAMPLE) or 1]:
        try:
            pixels = _values(file).astype(np.float64).ravel()
        except Exception:  # damaged files lead Pillow to raise errors of many kinds
            continue  # it is refused, or skipped, when it is loaded
        gaps += not np.isfinite(pixels).all()
        values.append(pixels[:: -(-pixels.size // 2**18) or 1])
    return replace(range_of(np.concatenate(values)), gaps=gaps) if values else None


def _values(file: str | os.PathLike[str]) -> np.ndarray:
    """Return the values in a file, of any shape."""
    if is_array(file):
        return read_bands(file).values
    try:
        with open_image(file) as image:
            return read_bands(file).values if holds_more(image) else np.asarray(image)
    except UnidentifiedImageError:
        if is_tiff(file):
            return read_bands(file).values
        raise
