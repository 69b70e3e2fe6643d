"""The checks of an ImageSet when it is made, so that a wrong array is named here and not by a later step of training."""

from collections.abc import Sequence, Sized

import torch
from torch import Tensor

from ..config.errors import DataError
from .bands import MOST_CHANNELS

MAKE = "bt.images_from makes a set of other arrays"


def check_images(name: str, images: object) -> None:
    """Raise DataError unless `images` is uint8 or uint16 (N, C, H, W) in the memory of the CPU, with N, H and W at least 1."""
    if not isinstance(images, Tensor):
        raise DataError(f"images of {name!r} are a {type(images).__name__}, not a torch tensor; {MAKE}")
    shape = tuple(images.shape)
    if images.ndim != 4:
        raise DataError(f"images of {name!r} have shape {shape}: give (N, C, H, W); {MAKE}")
    if images.dtype not in (torch.uint8, torch.uint16):
        raise DataError(f"images of {name!r} are {_plain(images.dtype)}: give uint8, from 0 to 255, or uint16; {MAKE}")
    if not len(images):
        raise DataError(f"{name!r} has no images: give at least one; an index may have chosen none")
    if 0 in shape:
        raise DataError(f"images of {name!r} have shape {shape}: give at least one pixel")
    if images.shape[1] > MOST_CHANNELS:
        raise DataError(
            f"images of {name!r} have shape {shape}, that is {shape[1]} channels: give (N, C, H, W) with C from 1 to "
            f"{MOST_CHANNELS}; {MAKE}"
        )
    _check_place(f"images of {name!r}", "images", images)


def check_labels(name: str, labels: object, classes: Sequence[str], n: int) -> None:
    """Raise DataError unless `labels` is int64 (n,) with values from 0 to len(classes) - 1, and `classes` are names."""
    if isinstance(classes, str) or not all(isinstance(c, str) for c in classes):
        raise DataError(f"classes of {name!r} are {classes!r}: give a tuple of names, such as ('cat', 'dog')")
    if labels is None:
        return
    if not isinstance(labels, Tensor):
        raise DataError(f"labels of {name!r} are a {type(labels).__name__}: give a tensor, torch.tensor(labels)")
    if labels.dtype != torch.int64:
        raise DataError(f"labels of {name!r} are {_plain(labels.dtype)}: give int64, labels.long() if they are whole")
    if labels.ndim != 1:
        raise DataError(f"labels of {name!r} have shape {tuple(labels.shape)}: give one number for each image, ({n},)")
    check_length(name, "labels", labels, n)
    _check_place(f"labels of {name!r}", "labels", labels)
    low, high = int(labels.min()), int(labels.max())
    if low < 0:
        where = int(labels.argmin())
        raise DataError(
            f"labels of {name!r}: image {where} has {low}; labels count from 0. Leave out images without a label, or all "
            "labels (labels=None)"
        )
    if high >= len(classes):
        raise DataError(
            f"labels of {name!r} go up to {high}, but classes has {len(classes)} names: give a name for each number from "
            f"0 to {high}"
        )


def check_length(name: str, what: str, values: Sized, n: int) -> None:
    """Raise DataError unless there is one of these values for each of n images."""
    if len(values) != n:
        raise DataError(f"{name!r} has {n} images and {len(values)} {what}: give one for each image, in the same order")


def _check_place(what: str, name: str, tensor: Tensor) -> None:
    if tensor.device.type != "cpu":
        raise DataError(
            f"{what} are on {tensor.device}: give {name}.cpu(); a trainer copies them to its device, if they fit there"
        )


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
