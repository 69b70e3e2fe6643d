"""Files that hold more than Pillow gives: several bands, 16 bits a colour, arrays. And the channels that are made of them.

    .npy                (H, W), (H, W, C) or (C, H, W), by NumPy
    PNG, 16-bit colour  by torchvision
    TIFF                several bands, 16-bit colour, floats in colour, by tifffile, which is optional

All else is Pillow's.
"""

import logging
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from ..config.installed import is_installed

MOST_CHANNELS = 64  # an axis of an array that is longer is no axis of channels
FEW_CHANNELS = 4  # if two axes may be the channels, one as short as this is it, as in grey and coloured pictures
LUMA = (0.299, 0.587, 0.114)  # the weights with which Pillow makes colours grey

# tifffile logs what it finds wrong with a file; without a handler Python would print it beside the error that says so
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class UnclearAxes(ValueError):
    """The error of a picture whose channels may be first or last."""


@dataclass(frozen=True)
class Bands:
    """A picture as an array.

    values  (H, W, C), of the file's own type
    alpha   whether the last of the channels is the opacity
    """

    values: np.ndarray
    alpha: bool = False

    @property
    def channels(self) -> int:
        """The number of channels without the opacity."""
        return self.values.shape[2] - self.alpha


def is_array(file: str | os.PathLike[str]) -> bool:
    """Return whether a file is a NumPy array, by its name."""
    return os.fspath(file).lower().endswith(".npy")


def holds_more(image: Image.Image, deep: bool = True) -> bool:
    """Return whether a file that Pillow has opened has bands that Pillow leaves out, or with `deep` lower bits of colours.

    Signed bytes count too, because Pillow takes -1 for 255.
    """
    tags: Any = getattr(image, "tag_v2", None)  # a TIFF has these
    if tags is not None and tags.get(277, 1) > len(image.getbands()):  # samples of a pixel
        return True
    if tags is not None and image.mode == "L" and tags.get(339, (1,))[0] == 2:  # the format of a sample
        return True
    if tags is not None and pages_of(image) > 1 and has_tifffile():
        return tiff_channels(getattr(image, "filename", "")) > 1
    return deep and deep_colour(image)


def pages_of(image: Image.Image) -> int:
    """Return the number of pages of a TIFF; 1 of other files, and of one whose later pages are damaged."""
    try:
        return getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
    except Exception:  # damaged files lead Pillow to raise errors of many kinds
        return 1


def has_more(image: Image.Image) -> bool:
    """Return whether a file holds further pages, or frames of an animation, than the one that is used.

    The second picture of a photograph's file is its preview or its brightness, and the layers of a PSD are within the first.
    """
    try:
        return image.format not in ("MPO", "PSD") and bool(getattr(image, "is_animated", False))
    except Exception:  # damaged files lead Pillow to raise errors of many kinds
        return False


def deep_colour(image: Image.Image) -> bool:
    """Return whether an image in colour, or grey with opacity, has 16 bits a channel, of which Pillow keeps the upper eight."""
    return image.mode in ("RGB", "RGBA", "RGBX", "LA") and any(
        ";16" in str(tile[-1]) for tile in getattr(image, "tile", ()) or ()
    )


def has_tifffile() -> bool:
    """Return whether tifffile can be imported."""
    return is_installed("tifffile")


def is_tiff(file: str | os.PathLike[str]) -> bool:
    """Return whether a file begins as a TIFF does."""
    with open(file, "rb") as opened:
        return opened.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_bands(file: str | os.PathLike[str]) -> Bands:
    """Read a picture with all its bands and bits.

    Raises:
        ValueError: a file that cannot be read; a TIFF without tifffile; an array that is no picture; too many pixels.
        UnclearAxes: an array (H, W, C) or (C, H, W) that may be either.
    """
    if is_array(file):
        values = _array(file)
        return Bands(np.ascontiguousarray(np.moveaxis(values, channel_axis(values.shape), 2)))
    if is_tiff(file):
        return _read_tiff(file)
    from torchvision.io import ImageReadMode, decode_image  # here, because it takes longer to import than torch

    try:
        planes = decode_image(os.fspath(file), ImageReadMode.UNCHANGED, apply_exif_orientation=True)
    except RuntimeError as error:
        raise ValueError(str(error).split("\n")[0]) from error
    return Bands(planes.permute(1, 2, 0).numpy(), alpha=len(planes) in (2, 4))


def shape_of(file: str | os.PathLike[str]) -> tuple[int, int, int, np.dtype[Any]]:
    """Return width, height, channels without opacity, and type of an array or a TIFF, without reading its pixels.

    Raises:
        ValueError: as `read_bands`.
    """
    if is_array(file):
        values = _array(file)
        values = np.moveaxis(values, channel_axis(values.shape), 2)
        return values.shape[1], values.shape[0], values.shape[2], values.dtype
    with _open_tiff(file) as series:
        axis, alpha = _tiff_axis(series)
        lengths = dict(zip(series.axes, series.shape, strict=True))
        if axis is not None and _is_unnamed(series):
            height, width = (n for k, n in enumerate(series.shape) if k != axis)
        else:
            height, width = lengths["Y"], lengths["X"]
        return width, height, 1 if axis is None else series.shape[axis] - alpha, series.dtype


def drops_planes(file: str | os.PathLike[str]) -> bool:
    """Return whether a TIFF holds further pictures, such as times or depths, than the first, which `read_bands` reads."""
    if is_array(file):
        return False
    width, height, *_ = shape_of(file)
    with _open_tiff(file) as series:
        axis, _ = _tiff_axis(series)
        return math.prod(series.shape) > width * height * (1 if axis is None else series.shape[axis])


def check_memory(shape: Sequence[int], itemsize: int) -> None:
    """Refuse an array of this shape if it takes more memory than the largest picture that Pillow opens, of four bytes a pixel.

    Pillow opens up to twice Image.MAX_IMAGE_PIXELS pixels; None is no limit, here too.

    Raises:
        ValueError: it is larger.
    """
    needed = math.prod(shape) * itemsize
    if Image.MAX_IMAGE_PIXELS is not None and needed > (most := 2 * Image.MAX_IMAGE_PIXELS * 4):
        raise ValueError(
            f"its {' × '.join(map(str, shape))} values take {needed:,} bytes, and at most {most:,} are read: cut it into "
            "smaller pictures"
        )


# --- arrays -------------------------------------------------------------------------------------


def _array(file: str | os.PathLike[str]) -> np.ndarray:
    """Return the array in a file, (H, W, 1), (H, W, C) or (C, H, W), not yet read from the disk."""
    values = np.load(file, mmap_mode="r", allow_pickle=False)
    if values.ndim not in (2, 3) or values.dtype.kind not in "buif" or 0 in values.shape:
        raise ValueError(f"its array of {values.dtype} {values.shape} is no picture (H, W), (H, W, C) or (C, H, W)")
    check_memory(values.shape, values.dtype.itemsize)
    return values[:, :, None] if values.ndim == 2 else values


def square_axis(shape: Sequence[int]) -> int | None:
    """Return which axis of (H, W, C) or (C, H, W) is that of the channels if H = W: 2 or 0; None if the sizes do not decide it."""
    first, middle, last = shape
    if (first == middle) == (middle == last):
        return None
    return 2 if first == middle else 0


def channel_axis(shape: tuple[int, ...], remedy: str = "load the arrays and give bt.images_from their layout") -> int:
    """Return which axis of (H, W, C) or (C, H, W) is that of the channels, 2 or 0.

    It is the one beside two equal sides; else the only one of at most MOST_CHANNELS, or of at most FEW_CHANNELS.

    Raises:
        UnclearAxes: both may be; `remedy` says what to do.
        ValueError: none can be.
    """
    odd = square_axis(shape)
    possible = [axis for axis in ((2, 0) if odd is None else (odd,)) if shape[axis] <= MOST_CHANNELS]
    few = [axis for axis in possible if shape[axis] <= FEW_CHANNELS]
    if not possible:
        raise ValueError(
            f"its array {shape} has neither first nor last at most {MOST_CHANNELS} channels beside a picture"
        )
    if len(possible) == 1 or len(few) == 1:
        return (few or possible)[0]
    raise UnclearAxes(f"its array {shape} may have {shape[2]} channels last or {shape[0]} first: {remedy}")


# --- TIFF ---------------------------------------------------------------------------------------


@contextmanager
def _open_tiff(file: str | os.PathLike[str]) -> Iterator[Any]:
    """Open a TIFF by tifffile, and yield its first series of pages."""
    if not has_tifffile():
        raise ValueError("its bands need tifffile, which is not installed: pip install tifffile")
    import tifffile

    try:
        with tifffile.TiffFile(file) as opened:
            yield opened.series[0]
    except (tifffile.TiffFileError, IndexError, KeyError, RuntimeError) as error:
        raise ValueError(str(error).split("\n")[0] or "it is damaged") from error


def tiff_channels(file: str | os.PathLike[str]) -> int:
    """Return how many channels a TIFF has by what its program wrote about its axes; 1 where it says nothing.

    Raises:
        UnclearAxes: as `channel_axis`.
    """
    try:
        return shape_of(file)[2]
    except UnclearAxes:
        raise
    except ValueError:
        return 1


def _tiff_axis(series: Any) -> tuple[int | None, bool]:
    """Return the axis of the channels of a series, None if it has none, and whether the last of them is the opacity.

    S are the samples of a pixel, C the channels of a microscope. Arrays that tifffile wrote without information about
    their axes are understood as those in .npy files.
    """
    for name in "SC":
        if name in series.axes:
            extra = tuple(series.keyframe.extrasamples) if name == "S" else ()
            return series.axes.index(name), bool(extra) and int(extra[-1]) in (1, 2)
    if not _is_unnamed(series) or min(series.shape[0], series.shape[2]) > MOST_CHANNELS:
        return None, False
    return channel_axis(series.shape, "name its axes, tifffile.imwrite(..., metadata={'axes': 'YXC'}) or 'CYX'"), False


def _is_unnamed(series: Any) -> bool:
    """Return whether a series is an array of three axes that tifffile wrote without naming them."""
    return series.kind == "shaped" and len(series.shape) == 3 and "Q" in series.axes


def _read_tiff(file: str | os.PathLike[str]) -> Bands:
    with _open_tiff(file) as series:
        axis, alpha = _tiff_axis(series)
        check_memory(series.shape, series.dtype.itemsize)
        values, plain = series.asarray(), _is_unnamed(series) and axis is not None
        turn = getattr(series.keyframe.tags.get("Orientation"), "value", 1)
    if axis is None:
        values, axis = values[..., None], values.ndim
    values = np.moveaxis(values, axis, -1)
    if not plain:
        values = values.reshape(-1, *values.shape[-3:])[0]  # the first of all other axes, as time or depth
    return Bands(np.ascontiguousarray(_upright(values, int(turn))), alpha)


def _upright(values: np.ndarray, turn: int) -> np.ndarray:
    """Turn (H, W, C) as the value of TIFF's tag Orientation says, from 1 to 8."""
    if turn in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if turn in (3, 4, 7, 8):
        values = values[::-1]
    return values[:, ::-1] if turn in (2, 3, 6, 7) else values


# --- channels -----------------------------------------------------------------------------------


def can_become(own: int, wanted: int, pages: int = 1) -> bool:
    """Return whether `with_channels` makes so many channels of a file with `own`, and of `pages` if it is grey."""
    return own >= wanted or (own, wanted) in ((1, 3), (3, 4)) or (own == 1 and pages == wanted)


def with_channels(bands: Bands, wanted: int) -> np.ndarray:
    """Return (H, W, wanted) of the file's own type.

    Grey becomes three equal channels; colours become grey by their luma, 0.299 R + 0.587 G + 0.114 B; of more bands than
    wanted, the first are taken. Opacity is a fourth channel if 4 are wanted, full where the file has none; else what is
    transparent becomes white.

    Raises:
        ValueError: fewer channels than wanted.
    """
    values, own = bands.values, bands.channels
    if values.dtype == bool:
        values = values.astype(np.uint8) * 255
    full = np.iinfo(values.dtype).max if values.dtype.kind in "ui" else 1
    if wanted == 4 and own == 3:
        return values if bands.alpha else np.dstack((values, np.full_like(values[..., :1], full)))
    if bands.alpha:
        share = values[..., -1:] / full
        values = _as(values.dtype, values[..., :-1] * share + full * (1 - share))
    if wanted == own:
        return values
    if wanted == 1 and own == 3:
        return _as(values.dtype, values @ np.array(LUMA))[..., None]
    if wanted == 3 and own == 1:
        return values.repeat(3, axis=2)
    if wanted < own:
        return values[..., :wanted]
    raise ValueError(f"it has {own} channel{'s'[: own > 1]}, and {wanted} are needed")


def _as(kind: np.dtype[Any], values: np.ndarray) -> np.ndarray:
    """Return values of this type, rounded if it is one of integers."""
    return (values.round() if kind.kind in "ui" else values).astype(kind)
