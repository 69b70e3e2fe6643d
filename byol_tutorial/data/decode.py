"""Decode pictures: any file that Pillow can open becomes 8-bit RGB of one size."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ..config.errors import DataError
from .value_range import ValueRange, is_deep

T = TypeVar("T")  # what a source is: a file name, a position
NAMED = 5  # so many files are named in an error; the others are counted

# what Pillow raises for a file that it cannot decode; RuntimeError comes from its AVIF reader
UNREADABLE = (OSError, SyntaxError, ValueError, RuntimeError, EOFError, Image.DecompressionBombError)


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
    return ValueRange(0, 65535 if mode != "F" else 1 if np.nan_to_num(values).max() <= 1 else 255)


def to_tensor(image: Image.Image, size: int, value_range: ValueRange | None = None) -> Tensor:
    """Resize the shorter side to `size`, bicubic, and cut out the centre: uint8 (3, size, size)."""
    image = to_rgb(image, value_range)
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def open_picture(file: str | os.PathLike[str], least: int | None = None) -> Image.Image:
    """Decode the picture in a file, or raise one of UNREADABLE.

    least: allow a JPEG to be decoded at a half, a quarter or an eighth of its size, which is faster, as long as
        neither side becomes shorter than this many pixels.
    """
    with Image.open(file) as image:
        if least is not None:
            image.draft(None, (least, least))  # other formats ignore it
        image.load()
        return image


def reason_of(error: BaseException) -> str:
    """Return why a file cannot be read, in a few words."""
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if isinstance(error, FileNotFoundError):
        return "it is not there any more"
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels"
    if isinstance(error, UnidentifiedImageError):
        return "no format that can be read: it is damaged, empty, or has bands or a depth that Pillow does not know"
    return getattr(error, "strerror", None) or str(error).split("\n")[0] or repr(error)


def refusal(unreadable: Mapping[str, str], total: int) -> DataError:
    """Return the error that names files that cannot be read, out of so many, each with its reason."""
    names = ", ".join(f"{file} ({reason})" for file, reason in list(unreadable.items())[:NAMED])
    names += f" and {len(unreadable) - NAMED} more" if len(unreadable) > NAMED else ""
    return DataError(
        f"{len(unreadable)} of {total} image files cannot be read: {names}; replace or remove them, or choose corrupt='skip'"
    )


# --- many pictures ------------------------------------------------------------------------------


def stack(
    read: Callable[[T], Image.Image], sources: Sequence[T], size: int, value_range: ValueRange | None = None
) -> tuple[Tensor, dict[int, str]]:
    """Read a picture from each source, on all cores.

    Returns the pictures, uint8 (N, 3, size, size), and the positions of the sources that could not be read, with the
    reason; the picture is black there.
    """
    images = torch.zeros(len(sources), 3, size, size, dtype=torch.uint8)

    def failure(i: int) -> str:
        try:
            images[i] = to_tensor(read(sources[i]), size, value_range)
        except UNREADABLE as error:
            return reason_of(error)
        return ""

    with ThreadPoolExecutor() as pool:
        return images, {i: reason for i, reason in enumerate(pool.map(failure, range(len(sources)))) if reason}
