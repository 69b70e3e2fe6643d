"""Pictures: whatever Pillow can open becomes 8-bit RGB of one size, and an ImageSet holds many of them in memory."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from . import shapes
from .option import UserError

LARGEST_DEFAULT = 96  # pixels a side that images of different sizes are brought to, unless a size is given
STATISTICS_IMAGES = 4096  # at most so many decide mean and standard deviation

# what Pillow raises for a file it cannot decode; RuntimeError is its AVIF reader's
UNREADABLE = (OSError, SyntaxError, ValueError, RuntimeError, EOFError, Image.DecompressionBombError)


class DataError(UserError):
    """Data that cannot be used: the message names it, what is allowed, and what to do next."""


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


def draw_positions(total: int, n: int, seed: int) -> Tensor:
    """n of `total` positions, ascending, without repetition, the same for the same seed: int64 (min(n, total),)."""
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:n].sort().values


def statistics(batches: Iterable[Tensor]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of uint8 (b, 3, H, W) batches, of values in [0, 1].

    256 counts a channel are all that is needed of the pictures, and they add up exactly, however these are divided.
    """
    counts = torch.zeros(3, 256, dtype=torch.float64)
    for batch in batches:
        counts += torch.stack([batch[:, c].flatten().bincount(minlength=256) for c in range(3)])
    values, total = torch.arange(256, dtype=torch.float64) / 255, counts[0].sum()
    mean = (counts * values).sum(1) / total
    variance = (counts * (values - mean[:, None]).square()).sum(1) / (total - 1)
    return mean.tolist(), variance.sqrt().clamp(min=1e-3).tolist()


@dataclass(frozen=True)
class ImageSet:
    """Images in memory, with labels and factors where they are known.

    images    uint8 (N, 3, H, W)
    labels    int64 (N,), or None
    classes   name of each label; empty without labels
    factors   shapes.Factors of each image, or None
    skipped   files that could not be read and were left out
    """

    name: str
    split: str
    images: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    factors: shapes.Factors | None = None
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index) -> "ImageSet":
        """The images at this index: a slice, or a tensor of positions or of truth values."""
        labels = None if self.labels is None else self.labels[index]
        factors = None if self.factors is None else self.factors[index]
        return replace(self, images=self.images[index], labels=labels, factors=factors)

    def __repr__(self) -> str:
        n, _, height, width = self.images.shape
        labels = f"{len(self.classes)} classes" if self.labels is not None else "no labels"
        skipped = f", {len(self.skipped)} unreadable files left out" if self.skipped else ""
        return f"ImageSet({self.name!r}, {self.split}: {n} images of {height}×{width} px, {labels}{skipped})"

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return tuple(self.images.shape[2:])

    def batches(self, batch_size: int = 512) -> Iterator[Tensor]:
        """All images in order, uint8 (b, 3, H, W) at a time."""
        return iter(self.images.split(batch_size))

    def sample(self, n: int, seed: int = 0) -> "ImageSet":
        """n images drawn without repetition, the same for the same seed; all of them if there are no more."""
        return self[draw_positions(len(self), n, seed)]

    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel, of values in [0, 1]; from at most 4,096 images."""
        return statistics(self[statistics_rows(len(self))].batches())


def statistics_rows(n: int) -> slice:
    """At most STATISTICS_IMAGES of n images, evenly spread."""
    return slice(None, None, max(1, -(-n // STATISTICS_IMAGES)))
