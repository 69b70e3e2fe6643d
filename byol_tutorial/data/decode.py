"""Decode pictures: whatever Pillow can open becomes 8-bit RGB of one size."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

LARGEST_DEFAULT = 96  # pixels a side that images of different sizes are brought to, unless a size is given

# what Pillow raises for a file it cannot decode; RuntimeError is its AVIF reader's
UNREADABLE = (OSError, SyntaxError, ValueError, RuntimeError, EOFError, Image.DecompressionBombError)


# --- one picture --------------------------------------------------------------------------------


def to_rgb(image: Image.Image) -> Image.Image:
    """Any PIL image as 8-bit RGB, upright.

    Transparent parts are laid on white. 16-bit and 32-bit integers are divided by 257, so that 65535 becomes
    255; floats are taken as [0, 1], or as [0, 255] where they exceed 1. Of an animation, the first frame.
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
    """uint8 (3, size, size): shorter side resized to `size`, bicubic, then the centre."""
    image = to_rgb(image)
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def open_picture(file: str | os.PathLike, least: int | None = None) -> Image.Image:
    """The decoded picture of a file; one of UNREADABLE where that fails.

    least: a JPEG may be decoded at a half, a quarter or an eighth of its size, which is faster, as long as
        neither side gets shorter than this.
    """
    with Image.open(file) as image:
        if least is not None:
            image.draft(None, (least, least))  # other formats ignore it
        image.load()
        return image


def header_size(file: str | os.PathLike) -> tuple[int, int] | None:
    """Width and height, from the header alone; None for a file that cannot be read."""
    try:
        with Image.open(file) as image:
            return image.size
    except UNREADABLE:
        return None


# --- many pictures ------------------------------------------------------------------------------


def stack(read: Callable, sources: Sequence, size: int) -> tuple[Tensor, list[int]]:
    """Read a picture from each source, on all cores: uint8 (N, 3, size, size); and which could not be read."""
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
    """The size of square pictures that all have the same, small one; else LARGEST_DEFAULT.

    It stops at the first size that decides.
    """
    first = None
    for width, height in sizes:
        first = first or (width, height)
        if (width, height) != first or width != height or width > LARGEST_DEFAULT:
            return LARGEST_DEFAULT
    return first[0] if first else LARGEST_DEFAULT
