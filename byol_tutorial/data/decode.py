"""Decode pictures: any file that Pillow can open becomes 8-bit RGB of one size."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

T = TypeVar("T")  # what a source is: a file name, a position

LARGEST_DEFAULT = 96  # pixels a side that images of different sizes are brought to, unless a size is given

# what Pillow raises for a file that it cannot decode; RuntimeError comes from its AVIF reader
UNREADABLE = (OSError, SyntaxError, ValueError, RuntimeError, EOFError, Image.DecompressionBombError)


# --- one picture --------------------------------------------------------------------------------


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any PIL image to 8-bit RGB, turned upright as its EXIF data say.

    Transparent parts become white. 16-bit and 32-bit integers are divided by 257, so that 65535 becomes 255. Floats
    are taken as [0, 1], or as [0, 255] if one exceeds 1. An animation gives its first frame.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.float64)
        image = Image.fromarray((values.clip(0, 65535) / 257).round().astype(np.uint8))
    elif image.mode == "F":
        values = np.nan_to_num(np.asarray(image).astype(np.float64))
        image = Image.fromarray((values * (255 if values.max() <= 1 else 1)).clip(0, 255).round().astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def to_tensor(image: Image.Image, size: int) -> Tensor:
    """Resize the shorter side to `size`, bicubic, and cut out the centre: uint8 (3, size, size)."""
    image = to_rgb(image)
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


def header_size(file: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Read width and height from the header alone; return None for a file that cannot be read."""
    try:
        with Image.open(file) as image:
            return image.size
    except UNREADABLE:
        return None


# --- many pictures ------------------------------------------------------------------------------


def stack(read: Callable[[T], Image.Image], sources: Sequence[T], size: int) -> tuple[Tensor, list[int]]:
    """Read a picture from each source, on all cores.

    Returns the pictures, uint8 (N, 3, size, size), and the positions of the sources that could not be read, where the
    picture is black.
    """
    images = torch.zeros(len(sources), 3, size, size, dtype=torch.uint8)

    def failed(i: int) -> bool:
        try:
            images[i] = to_tensor(read(sources[i]), size)
        except UNREADABLE:
            return True
        return False

    with ThreadPoolExecutor() as pool:
        return images, [i for i, bad in enumerate(pool.map(failed, range(len(sources)))) if bad]


def common_size(sizes: Iterable[tuple[int, int]]) -> int:
    """Return the side of pictures that are all square, equal and at most LARGEST_DEFAULT; else LARGEST_DEFAULT.

    It stops at the first size that decides this.
    """
    first = None
    for width, height in sizes:
        first = first or (width, height)
        if (width, height) != first or width != height or width > LARGEST_DEFAULT:
            return LARGEST_DEFAULT
    return first[0] if first else LARGEST_DEFAULT
