"""Arrays of images: which axis is which, which values become black and white, and their conversion to channels of 8 or 16 bits."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config.errors import DataError
from .bands import MOST_CHANNELS, Bands, square_axis, with_channels
from .reading import Reading
from .value_range import ValueRange, range_of

LAYOUTS = ("HW", "HWC", "CHW")  # the axes of one image
FEW_CHANNELS = 12  # without a given layout, an axis of at most so many entries may be that of the channels
BRIGHT = 64  # floats of 0 to 255 are recognised as such if one of them is at least so bright
SLACK = 0.1  # a float may lie outside the range of the others by this share of it, as interpolation makes them
MOSTLY = 0.5  # a range outside of which more than this share of an image's values lies is taken for a mistake


def as_array(values: Any, what: str) -> np.ndarray:
    """Return a tensor or an array as an array of numbers; `what` names it in errors.

    Raises:
        DataError: values that are no real numbers, or that are masked.
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.dtype in (torch.bfloat16, torch.float16) else values).numpy()
    array = np.asarray(values)
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    if np.ma.is_masked(values):
        raise DataError(f"{what} has masked values: replace them first, for example images.filled(0)")
    if array.dtype.kind not in "buif":
        raise DataError(f"{what} is an array of {array.dtype}: give numbers, of whole or floating-point type")
    return array


def layout_of(shape: Sequence[int], given: str | None, what: str) -> str:
    """Return which of LAYOUTS images of this shape have; `what` names them in errors.

    The axis of the channels has at most FEW_CHANNELS entries, and is beside two equal sides if there are any.

    Raises:
        DataError: neither or both axes can be that of the channels; `given` does not fit the shape.
    """
    shape = tuple(shape)
    if given is not None:
        if given not in LAYOUTS:
            raise DataError(f"layout={given!r}: choose one of {', '.join(LAYOUTS)}")
        if len(given) != len(shape) or (len(shape) == 3 and shape[given.index("C")] > MOST_CHANNELS):
            raise DataError(
                f"layout={given!r}: {what} of shape {shape} does not have it; channels are at most {MOST_CHANNELS}"
            )
        return given
    if len(shape) == 2:
        return "HW"
    if len(shape) != 3:
        raise DataError(f"{what} has shape {shape}: give (H, W), (H, W, C) or (C, H, W)")
    found = [axes for axes in LAYOUTS[1:] if shape[axes.index("C")] <= FEW_CHANNELS]
    fitting = [axes for axes in found if square_axis(shape) in (None, axes.index("C"))]
    if len(fitting) == 1:
        return fitting[0]
    where = "channels first or last" if found else f"more than {FEW_CHANNELS} entries first and last"
    raise DataError(f"{what} has shape {shape}, with {where}: give layout='CHW' or layout='HWC'")


def choose_array_range(arrays: Sequence[np.ndarray], given: ValueRange | None) -> ValueRange | None:
    """Return the values that become 0 and 255 in arrays of one dtype, of which these are a sample.

    None: they are 8 bits deep already. Deeper integers get the full scale of the fewest bits that hold them, as in
    `range_of`. Floats get [0, 1] or [0, 255].

    Raises:
        DataError: floats that are neither.
    """
    kind, size = arrays[0].dtype.kind, arrays[0].dtype.itemsize
    if given is not None:
        return given
    if kind == "u" and size == 1:
        return None
    values = np.concatenate([a.ravel()[:: -(-a.size // 2**16) or 1] for a in arrays])
    if kind != "f":
        return range_of(values)
    finite = [a[np.isfinite(a)] for a in arrays]
    if not all(a.size for a in finite):
        return ValueRange(0, 1)  # `to_images` refuses these
    low, high = float(min(a.min() for a in finite)), float(max(a.max() for a in finite))
    if low >= 0 and high <= 1:
        return ValueRange(0, 1)
    if low >= 0 and BRIGHT <= high <= 255:
        return ValueRange(0, 255)
    raise DataError(
        f"images have floats from {low:g} to {high:g}, which may be 0 to 1, 0 to 255 or normalised ones: give "
        "value_range=(LOW, HIGH), the values that become black and white"
    )


def to_images(array: np.ndarray, layout: str, how: Reading, found: bool, first: int) -> Tensor:
    """Convert images of any dtype (n, ...) in this layout to what `how` says, of their own size: (n, C, H, W), a copy.

    found: whether the range was found from a sample, and not given by the user.
    first: the position of the first of these images, which errors name.

    Raises:
        DataError: values that are not finite, or that do not lie in the range; fewer channels than wanted.
    """
    value_range = how.value_range
    if array.dtype.kind == "f":
        _check_floats(array, value_range, found, first)
    if value_range is not None and not found:
        outside = ((array < value_range.low) | (array > value_range.high)).mean()
        if outside > MOSTLY:
            raise DataError(
                f"value_range=({value_range.low:g}, {value_range.high:g}): {outside:.0%} of the values of image {first} lie "
                f"outside, from {array.min():g} to {array.max():g}: give the values that become black and white"
            )
    values = array[..., None] if layout == "HW" else np.moveaxis(array, 1, -1) if layout == "CHW" else array
    n, height, width, own = values.shape
    try:
        values = with_channels(Bands(values.reshape(n * height, width, own)), how.channels)
    except ValueError as error:
        raise DataError(f"channels={how.channels}, but image {first} has {own}: give fewer, or leave it out") from error
    most = 2**how.bits - 1
    if value_range is None:  # 8 bits deep, as `choose_array_range` found
        pixels = values if how.bits == 8 else values.astype(np.uint16) * 257
    else:
        pixels = (value_range.to_unit(values) * most).round().astype(np.uint8 if how.bits == 8 else np.uint16)
    return torch.from_numpy(pixels.reshape(n, height, width, -1).transpose(0, 3, 1, 2).copy(order="C"))


def bits_of(dtype: np.dtype[Any], value_range: ValueRange | None) -> int:
    """Return the depth that arrays of this type keep: 16 bits for integers that need more than 8, else 8."""
    deep = dtype.kind in "ui" and value_range is not None and value_range.high - value_range.low > 255
    return 16 if deep else 8


def _check_floats(array: np.ndarray, value_range: ValueRange | None, found: bool, first: int) -> None:
    finite = np.isfinite(array).reshape(len(array), -1).all(1)
    if not finite.all():
        raise DataError(
            f"image {first + int(finite.argmin())} has values that are not finite (NaN or infinite): replace them, for "
            "example by numpy.nan_to_num, or leave the image out"
        )
    if not found or value_range is None:
        return
    low, high = float(array.min()), float(array.max())
    slack = SLACK * (value_range.high - value_range.low)
    if low < value_range.low - slack or high > value_range.high + slack:
        raise DataError(
            f"images from number {first} on have values from {low:g} to {high:g}, others lie within {value_range}: give all "
            "images one scale, or value_range=(LOW, HIGH)"
        )
