"""ImageSet: images in memory, with labels where they are known, and their statistics."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from . import shapes
from .checks import check_images, check_labels, check_length
from .found import Found

STATISTICS_IMAGES = 4096  # mean and standard deviation are computed from at most so many images
CONSTANT = 4  # levels of 255 by which the pixels of an image without content may differ, as JPEG makes them
Index = slice | Tensor | np.ndarray | Sequence[int]  # a slice, positions, or one truth value for each image


def draw_positions(total: int, n: int, seed: int) -> Tensor:
    """Draw n of `total` positions without repetition, the same for the same seed: int64 (min(n, total),), ascending."""
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:n].sort().values


def statistics(batches: Iterable[Tensor]) -> tuple[list[float], list[float]]:
    """Compute mean and standard deviation of each channel of batches (b, C, H, W), as values in [0, 1].

    A pixel value of uint8 has 256 levels, and one of uint16 65,536. How often each level occurs in a channel decides both
    numbers, and counts add up exactly, so the result does not depend on how the images are divided into batches.
    """
    counts, levels = torch.zeros(1), 0
    for batch in batches:
        levels = torch.iinfo(batch.dtype).max + 1
        channels = batch.int().transpose(0, 1).flatten(1)  # int32, because torch counts no uint16
        counts = counts + torch.stack([channel.bincount(minlength=levels) for channel in channels]).double()
    values, total = torch.arange(levels, dtype=torch.float64) / (levels - 1), counts[0].sum()
    mean = (counts * values).sum(1) / total
    variance = (counts * (values - mean[:, None]).square()).sum(1) / (total - 1)
    return mean.tolist(), variance.sqrt().clamp(min=1e-3).tolist()


@dataclass(frozen=True)
class ImageSet:
    """Images in memory, with labels and factors where they are known. `bt.images_from` makes one of other arrays.

    images      uint8 (N, C, H, W) on the CPU, or uint16 for images deeper than 8 bits; N >= 1; C is 3 for images in colour
    labels      int64 (N,) from 0 to len(classes) - 1, or None
    classes     the name of each label; empty without labels
    factors     the shapes.Factors of each image, or None
    unreadable  files that could not be read and were left out, with the reason
    files       absolute path of each image, encoded: bytes (N,); None for images that are from no files
    found       what the folder holds that the images are from, or None

    Raises:
        DataError: no images, or a field that is not as above.
    """

    name: str
    split: str
    images: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    factors: shapes.Factors | None = None
    unreadable: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: np.ndarray | None = field(default=None, repr=False, compare=False)
    found: Found | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_images(self.name, self.images)
        check_labels(self.name, self.labels, self.classes, len(self.images))
        for what in ("factors", "files"):
            if (values := getattr(self, what)) is not None:
                check_length(self.name, what, values, len(self.images))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Index) -> "ImageSet":
        """Return the images at this index: a slice, or a tensor of positions or of truth values."""
        labels = None if self.labels is None else self.labels[index]
        factors = None if self.factors is None else self.factors[index]
        files = None if self.files is None else self.files[index if isinstance(index, slice) else np.asarray(index)]
        return replace(self, images=self.images[index], labels=labels, factors=factors, files=files)

    def __repr__(self) -> str:
        height, width = self.image_size
        labels = f"{len(self.classes)} classes" if self.labels is not None else "no labels"
        skipped = f", {len(self.skipped)} unreadable files left out" if self.skipped else ""
        size = f"{height}×{width} px{kind_in_words(self.channels, self.bits)}"
        return f"ImageSet({self.name!r}, {self.split}: {len(self)} images of {size}, {labels}{skipped})"

    @property
    def image_size(self) -> tuple[int, int]:
        """The height and width in pixels."""
        height, width = self.images.shape[2:]
        return height, width

    @property
    def channels(self) -> int:
        """The number of channels C; 3 are red, green and blue."""
        return self.images.shape[1]

    @property
    def bits(self) -> int:
        """The depth of a channel, 8 or 16 bits."""
        return 8 * self.images.dtype.itemsize

    @property
    def skipped(self) -> tuple[str, ...]:
        """The files that could not be read and were left out."""
        return tuple(self.unreadable)

    def batches(self, batch_size: int = 512) -> Iterator[Tensor]:
        """Iterate over all images in order, in batches (b, C, H, W) of the type of `images`."""
        return iter(self.images.split(batch_size))

    def sample(self, n: int, seed: int = 0) -> "ImageSet":
        """Draw n images without repetition, the same for the same seed; all of them if there are no more."""
        return self[draw_positions(len(self), n, seed)]

    def statistics(self) -> tuple[list[float], list[float]]:
        """Compute mean and standard deviation of each channel, as values in [0, 1], from at most 4,096 images."""
        return statistics(self[statistics_rows(len(self))].batches())


def nearly_constant(images: Tensor) -> Tensor:
    """Return which of these images have no content: all pixels within CONSTANT levels of each other, in each channel.

    uint8 or uint16 (N, C, H, W) -> bool (N,).
    """
    if images.dtype == torch.uint16:  # torch compares no uint16
        return torch.cat([nearly_constant(part.int()) for part in images.split(256)])
    pixels = images.flatten(2)
    return (pixels.amax(2).int() - pixels.amin(2).int()).amax(1) <= CONSTANT


def kind_in_words(channels: int, bits: int) -> str:
    """Say what is unusual about images of this kind, such as " with 5 channels of 16 bits"; "" of 8-bit colours."""
    words = "" if channels == 3 else f" with {channels} channel{'s'[: channels > 1]}"
    return words + ("" if bits == 8 else f" {'of' if words else 'with'} {bits} bits" + ("" if words else " a channel"))


def statistics_rows(n: int) -> slice:
    """Return the positions of at most STATISTICS_IMAGES of n images, evenly spread."""
    return slice(None, None, max(1, -(-n // STATISTICS_IMAGES)))
