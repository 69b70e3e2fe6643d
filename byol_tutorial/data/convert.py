"""`images_from`: an ImageSet of images that a program already has, as arrays, tensors, pictures or a data set of another
library.

An array is converted in blocks. Anything else gives one image at a time, so that a data set which decodes its images when
they are asked for never has all of them in memory at their full size, unless they are all equal and stay so.
"""

import os
import warnings
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..config.errors import DataError
from .arrays import as_array, bits_of, choose_array_range, layout_of, to_images
from .bands import Bands
from .decode import as_bands, to_tensor
from .formats import reason_of
from .headers import common_size
from .image_set import ImageSet
from .labels import number_labels
from .reading import Reading, check_channels
from .request import check_whole
from .tables import is_table, pairs_of_table
from .value_range import SAMPLE, Scale, ValueRange, check_scale

BLOCK = 256  # images of an array that are converted at a time


@dataclass(frozen=True)
class _Wanted:
    """What the user asked for; see `images_from`. None leaves it to the images."""

    layout: str | None
    value_range: ValueRange | None
    channels: int | None
    bits: int | None
    size: int | None

    def reading(self, own: int, sample: Sequence[np.ndarray]) -> Reading:
        """Return what images with `own` channels become; the sample, of one dtype, decides range and depth."""
        scale = choose_array_range(sample, self.value_range)
        channels = self.channels or (3 if own in (1, 3) else own)
        return Reading(self.size or 0, channels, self.bits or bits_of(sample[0].dtype, scale), scale)


class Source(Protocol):
    """Images by position; an item is an image, or a pair of an image and its label."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...


def images_from(
    source: Any,
    labels: Any = None,
    *,
    classes: Sequence[str] | None = None,
    layout: str | None = None,
    value_range: Scale = None,
    channels: int | None = None,
    bits: int | None = None,
    size: int | None = None,
    name: str = "images",
    split: str = "train",
    image_column: str | None = None,
    label_column: str | None = None,
) -> ImageSet:
    """Make an ImageSet of images that are in memory, or in a data set of another library. The pixels are copied.

    Args:
        source: one of these.
            A NumPy array or torch tensor (N, H, W), (N, H, W, C) or (N, C, H, W), of integers, floats or truth values.
            A list of PIL images, or of arrays or tensors of one image each, whose sizes may differ.
            A torch Dataset with a length, whose items are images, or pairs (image, label). They are asked for one after
            another, and some of them a second time before that.
            A Dataset of Hugging Face's `datasets`.
        labels: whole numbers from 0, or names; (N,). Default: those of the data set, if it has any.
        classes: the name of each number. Default: those of the data set, else the numbers, or the sorted names. Give
            `train.classes` for test images, so that a label means the same in both.
        layout: the axes of one image, "HW", "HWC" or "CHW". It is needed only where the shape leaves it open.
        value_range: the values (LOW, HIGH) that become black and white. Default: 8-bit values stay; deeper integers get the full
            scale of the fewest bits that hold them; floats get 0 to 1 or 0 to 255, if they are clearly one of these.
        channels: of the images. 1: grey; 3: red, green and blue; N: the first N bands. Default: grey and coloured images
            become three channels, and images with other bands keep all of them. In PIL images what is transparent becomes
            white, unless 4 are asked for.
        bits: 8 or 16. Default: 16 for integers that need more than 8 bits, else 8.
        size: pixels a side, by resizing the shorter side and cropping to the centre. Default: the images' own size, if it
            is the same for all; else as for folders, with a warning that says what was done.
        name, split: how the set is called.
        image_column, label_column: columns of a Hugging Face data set. Default: found by their type or name.

    Raises:
        DataError: an array whose layout or whose values can be understood in two ways; values that are not finite; labels
            that do not fit; an item that cannot be read; an empty source, or one that is none of these.
    """
    check_scale(value_range)
    check_channels(channels, bits)
    if isinstance(source, Tensor) and (source.layout is not torch.strided or source.is_meta):
        raise DataError("the tensor is sparse or without values: give a plain one, such as tensor.to_dense()")
    if size is not None:
        check_whole("size", size, 8)
    if is_table(source):
        source, found_classes = pairs_of_table(source, image_column, label_column)
        classes = found_classes if classes is None else classes
    elif image_column is not None or label_column is not None:
        raise DataError("image_column and label_column are for Hugging Face data sets: leave them out")
    elif not isinstance(source, np.ndarray | Tensor | list | tuple):
        classes = _classes_of(source) if classes is None else classes
    given = ValueRange(*value_range, every=True) if isinstance(value_range, tuple | list) else value_range
    if given == "depth":
        raise DataError("value_range='depth': it is for folders; give (LOW, HIGH), or leave it out")
    wanted = _Wanted(layout, given, channels, bits, size)
    if isinstance(source, np.ndarray | Tensor) and not _ragged(source):
        pixels, own = _of_array(source, wanted), None
    else:
        pixels, own = _of_items(_checked(source), wanted)
    labels = own if labels is None else labels
    if labels is None:
        return ImageSet(name, split, pixels, None, tuple(classes or ()))
    numbers, names = number_labels(labels, classes, len(pixels))
    return ImageSet(name, split, pixels, numbers, names)


# --- one array ----------------------------------------------------------------------------------


def _of_array(source: np.ndarray | Tensor, wanted: _Wanted) -> Tensor:
    shape = tuple(source.shape)
    if len(shape) not in (3, 4):
        raise DataError(f"array of shape {shape}: give images (N, H, W), (N, H, W, C) or (N, C, H, W)")
    if 0 in shape:
        raise DataError(f"array of shape {shape} has no images, or images without pixels: give at least one")
    if len(shape) == 3 and wanted.layout is None and (shape[2] in (1, 3, 4) or shape[0] == 3):
        raise DataError(
            f"array of shape {shape} may be one image or {shape[0]} images without channels: give array[None] for one "
            "image, or layout='HW'"
        )
    axes = layout_of(shape[1:], wanted.layout, "the image")
    every = -(-len(source) // SAMPLE)
    sample = [as_array(image, "the array") for image in source[::every]]
    how = wanted.reading(_own_channels(shape[1:], axes), sample)
    images = None
    for first in range(0, len(source), BLOCK):
        values = as_array(source[first : first + BLOCK], "the array")
        block = to_images(values, axes, how, wanted.value_range is None, first)
        if wanted.size is not None:
            block = torch.stack([_resized(image, wanted.size) for image in block])
        if images is None:
            images = block.new_empty(len(source), *block.shape[1:])
        images[first : first + BLOCK] = block
    assert images is not None  # the array is not empty
    return images


def _own_channels(shape: Sequence[int], layout: str) -> int:
    return 1 if layout == "HW" else shape[layout.index("C")]


def _resized(image: Tensor, size: int) -> Tensor:
    """Bring one image to size × size pixels, as images of folders are: (C, H, W) -> (C, size, size)."""
    full = None if image.dtype == torch.uint8 else ValueRange(0, 65535)
    bands = Bands(image.permute(1, 2, 0).numpy())
    return to_tensor(bands, Reading(size, bands.channels, 8 * image.dtype.itemsize, full))


# --- one image at a time ------------------------------------------------------------------------


def _of_items(source: Source, wanted: _Wanted) -> tuple[Tensor, list[Any] | None]:
    """Return the images, (N, C, H, W), and their labels, or None if the items are no pairs."""
    how = _reading_of_sample(source, wanted)
    images: list[Tensor] = []
    labels: list[Any] = []
    sizes: set[tuple[int, int]] = set()
    side = wanted.size
    for i in range(len(source)):
        array, layout, label = _item(source, i, wanted)
        own = _own_channels(array.shape, layout)
        if wanted.channels is None and own != how.channels and {own, how.channels} != {1, 3}:
            raise DataError(
                f"image {i} has {own} channels, others have {how.channels}: separate them, or give channels="
                f"{min(own, how.channels)}, which takes the first of those that have more"
            )
        pixels = to_images(array[None], layout, how, wanted.value_range is None, i)[0]
        height, width = pixels.shape[1:]
        sizes.add((width, height))
        if side is None and len(sizes) > 1:
            side = common_size(sizes)
            images = [_resized(one, side) for one in images]
        images.append(pixels if side is None or (height, width) == (side, side) else _resized(pixels, side))
        labels += label
        if len(labels) not in (0, i + 1):
            raise DataError(
                f"item {i} has {'a' if label else 'no'} label, unlike those before it: give labels for all, or none"
            )
    if wanted.size is None and side is not None:
        widths, heights = zip(*sizes, strict=True)
        warnings.warn(
            f"the images have {min(widths)}×{min(heights)} to {max(widths)}×{max(heights)} px: they are brought to {side}×{side} "
            "by their shorter side and cropped to the centre; give size= for another size",
            stacklevel=3,
        )
    return torch.stack(images), labels or None


def _reading_of_sample(source: Source, wanted: _Wanted) -> Reading:
    """Return what the images become, as a sample of them decides."""
    sample = [_item(source, i, wanted)[:2] for i in range(0, len(source), -(-len(source) // SAMPLE))]
    kinds = {array.dtype for array, _ in sample}
    if len(kinds) > 1:
        raise DataError(f"the images are of several types, {', '.join(sorted(map(str, kinds)))}: give all the same")
    own = {_own_channels(array.shape, layout) for array, layout in sample}
    return wanted.reading(max(own), [array for array, _ in sample])


def _item(source: Source, i: int, wanted: _Wanted) -> tuple[np.ndarray, str, list[Any]]:
    """Return image i of a source as an array, its layout, and its label in a list, which is empty if there is none."""
    try:
        item = source[i]
    except Exception as error:
        raise DataError(
            f"item {i} of the data set cannot be read ({reason_of(error)}): repair it, or leave it out"
        ) from error
    label: list[Any] = []
    if isinstance(item, tuple | list) and len(item) in (1, 2) and _is_image(item[0]):
        item, *label = item
    if not _is_image(item):
        what = f"{type(item).__name__} of {len(item)}" if isinstance(item, Sized) else type(item).__name__
        of_files = "; bt.load('folder:PATH') reads files" if isinstance(item, str | os.PathLike) else ""
        raise DataError(
            f"item {i} is a {what}: give an image (PIL, array or tensor), or a pair (image, label), in this order{of_files}"
        )
    if isinstance(item, Image.Image):
        try:
            return as_bands(item, opaque=wanted.channels != 4).values, "HWC", label
        except Exception as error:  # a damaged file is decoded here
            raise DataError(f"image {i} cannot be read ({reason_of(error)}): replace it, or leave it out") from error
    array = as_array(item, f"image {i}")
    if 0 in array.shape:
        raise DataError(f"image {i} has shape {array.shape}: give at least one pixel")
    return array, layout_of(array.shape, wanted.layout, f"image {i}"), label


def _is_image(value: object) -> bool:
    return isinstance(value, Image.Image) or (isinstance(value, np.ndarray | Tensor) and value.ndim >= 2)


# --- what a source is ---------------------------------------------------------------------------


def _checked(source: Any) -> Source:
    """Return a source of items with a length; raise DataError for anything else."""
    remedy = "give an array or a tensor, a list of images, or a data set with a length"
    if isinstance(source, Image.Image):
        raise DataError("one PIL image is no set: give a list of images, [image]")
    if isinstance(source, str | bytes | dict) or not hasattr(source, "__getitem__"):
        hint = "bt.load loads folders and data sets by name" if isinstance(source, str | os.PathLike) else remedy
        hint = "give its .dataset" if hasattr(source, "dataset") else hint
        raise DataError(f"{type(source).__name__} {source!r:.60} is no source of images: {hint}")
    try:
        n = len(source)
    except TypeError as error:
        raise DataError(f"{type(source).__name__} has no length, so it may be endless: give list(...) of it") from error
    if not n:
        raise DataError(f"{type(source).__name__} is empty: give at least one image")
    return source


def _ragged(source: np.ndarray | Tensor) -> bool:
    return isinstance(source, np.ndarray) and source.dtype == object and source.ndim == 1


def _classes_of(source: Any) -> list[str] | None:
    """Return the names of the classes of a torch Dataset, as those of torchvision have them; None without any."""
    names: Any = getattr(source, "classes", None) or getattr(getattr(source, "dataset", None), "classes", None)
    known = isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names)
    return list(names) if known else None
