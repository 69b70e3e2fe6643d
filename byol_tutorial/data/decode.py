"""Decode pictures: any file becomes channels of one size and depth, as a Reading says; mostly 8-bit RGB."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError
from torch import Tensor

from ..config.errors import DataError
from .bands import Bands, check_memory, holds_more, is_array, is_tiff, pages_of, read_bands, with_channels
from .formats import open_image, reason_of
from .reading import Reading
from .value_range import ValueRange, is_deep

Picture = Image.Image | Bands
T = TypeVar("T")  # what a source is: a file name, a position
NAMED = 5  # so many files are named in an error; the others are counted


# --- one picture --------------------------------------------------------------------------------


def to_rgb(image: Image.Image, value_range: ValueRange | None = None) -> Image.Image:
    """Convert any PIL image to 8-bit RGB, turned upright as its EXIF data say.

    Transparent parts become white. An animation gives its first frame, a file of several pages its first page.

    value_range: the values that become 0 and 255 in an image deeper than 8 bits. Default: 16-bit and 32-bit integers
        are divided by 257, so that 65535 becomes 255; floats are taken as [0, 1], or as [0, 255] if one exceeds 1.
    """
    image = ImageOps.exif_transpose(image)
    deep = is_deep(image.mode)
    if deep:
        values = np.asarray(image)
        image = Image.fromarray((value_range or _usual_range(values, image.mode)).to_uint8(values))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    if value_range is not None and value_range.every and not deep:
        image = Image.fromarray(value_range.to_uint8(np.asarray(image)))
    return image


def _usual_range(values: np.ndarray, mode: str) -> ValueRange:
    if values.dtype == np.int8:
        return ValueRange(0, 127)
    return ValueRange(0, 65535 if mode != "F" else 1 if np.nan_to_num(values).max() <= 1 else 255)


def to_tensor(picture: Picture, how: Reading | int) -> Tensor:
    """Resize the shorter side, bicubic, and cut out the centre: uint8 or uint16 (channels, size, size).

    how: a Reading; a number is a size, with 8-bit RGB.

    Raises:
        ValueError: the picture has fewer channels than wanted.
    """
    how = Reading(how) if isinstance(how, int) else how
    if isinstance(picture, Image.Image) and (how.channels, how.bits) == (3, 8):
        rgb = _fit(to_rgb(picture, how.value_range), how.size)
        return torch.from_numpy(np.array(rgb)).permute(2, 0, 1).contiguous()
    bands = picture if isinstance(picture, Bands) else as_bands(picture, opaque=how.channels != 4)
    values = with_channels(bands, how.channels)
    planes = [np.asarray(_fit(Image.fromarray(plane), how.size)) for plane in _scaled(values, how)]
    if how.bits == 16:  # bicubic weights are below 0 at some distance
        planes = [plane.clip(0, 65535).round().astype(np.uint16) for plane in planes]
    return torch.from_numpy(np.stack(planes))


def _fit(image: Image.Image, size: int) -> Image.Image:
    if image.size == (size, size):
        return image
    return ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)


def as_bands(image: Image.Image, opaque: bool = True) -> Bands:
    """Return a PIL image as an array, turned upright; what is transparent becomes white if `opaque`."""
    image = ImageOps.exif_transpose(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        grey = image.mode in ("LA", "La", "L")
        image = image.convert("RGBA")
        if not opaque:
            return Bands(np.asarray(image), alpha=True)
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("L" if grey else "RGB")
    if image.mode == "1":
        image = image.convert("L")
    if image.mode not in ("L", "RGB", "RGBX") and not is_deep(image.mode):
        image = image.convert("RGB")
    values = np.asarray(image)
    return Bands(values if values.ndim == 3 else values[:, :, None])


def _scaled(values: np.ndarray, how: Reading) -> list[np.ndarray]:
    """Return the planes of (H, W, C) scaled to the range of the reading: uint8 (H, W) each, or float32 of 0 to 65535."""
    deep, scale = values.dtype != np.uint8, how.value_range
    if deep or (scale is not None and scale.every):
        scale = scale or _usual_range(values, "F" if values.dtype.kind == "f" else "I")
        unit = scale.to_unit(values)
    elif how.bits == 8:
        return list(np.ascontiguousarray(values.transpose(2, 0, 1)))
    else:
        unit = values / 255
    planes = np.ascontiguousarray(unit.transpose(2, 0, 1))
    return list((planes * 255).round().astype(np.uint8) if how.bits == 8 else (planes * 65535).astype(np.float32))


def open_picture(file: str | os.PathLike[str], least: int | None = None, how: Reading | None = None) -> Picture:
    """Decode the picture in a file. A file that is damaged leads decoders to raise exceptions of many kinds.

    how: what it will become, which says whether more than Pillow's 8 bits a colour is needed, and whether the pages of a
        grey TIFF are its channels: they are if there are as many, and not three, which is a colour.
    least: allow a JPEG to be decoded at a half, a quarter or an eighth of its size, which is faster, as long as
        neither side becomes shorter than this many pixels.
    """
    if is_array(file):
        return read_bands(file)
    try:
        with open_image(file) as image:
            if holds_more(image, deep=how is not None and how.bits == 16):
                return read_bands(file)
            if how is not None and 1 < pages_of(image) == how.channels != 3 and len(image.getbands()) == 1:
                check_memory((how.channels, *image.size), 4)
                return Bands(np.dstack([np.asarray(page) for page in ImageSequence.Iterator(image)]))
            if least is not None:
                image.draft(None, (least, least))  # other formats ignore it
            image.load()
            return image
    except UnidentifiedImageError:
        if is_tiff(file):
            return read_bands(file)
        raise


def refusal(unreadable: Mapping[str, str], total: int) -> DataError:
    """Return the error that names files that cannot be read, out of so many, each with its reason."""
    names = ", ".join(f"{file} ({reason})" for file, reason in list(unreadable.items())[:NAMED])
    names += f" and {len(unreadable) - NAMED} more" if len(unreadable) > NAMED else ""
    return DataError(
        f"{len(unreadable)} of {total} image files cannot be read: {names}; replace or remove them, or choose corrupt='skip'"
    )


# --- many pictures ------------------------------------------------------------------------------


def stack(read: Callable[[T], Picture], sources: Sequence[T], how: Reading | int) -> tuple[Tensor, dict[int, str]]:
    """Read a picture from each source, on all cores.

    Returns the pictures as `to_tensor` makes them, (N, channels, size, size), and the positions of the sources that could not be read, with the
    reason; the picture is black there.
    """
    how = Reading(how) if isinstance(how, int) else how
    images = torch.zeros(len(sources), how.channels, how.size, how.size, dtype=how.dtype)

    def failure(i: int) -> str:
        try:
            images[i] = to_tensor(read(sources[i]), how)
        except Exception as error:  # a decoder may raise any kind
            return reason_of(error)
        return ""

    with ThreadPoolExecutor() as pool:
        return images, {i: reason for i, reason in enumerate(pool.map(failure, range(len(sources)))) if reason}
