"""torchvision's sets: their names, their splits, and how they become an ImageSet."""

import inspect
from collections.abc import Sized
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from ..config.errors import DataError
from .decode import stack
from .embedded import EMBEDDED
from .formats import open_image
from .headers import common_size
from .image_set import ImageSet
from .layout import part_of_split
from .request import Request

# name: (class in torchvision.datasets, arguments for train, arguments for test).
# None for test: the set has no split, and is divided 80 : 20.
_TRAIN, _TEST = {"train": True}, {"train": False}
_SPLIT = {"split": "train"}, {"split": "test"}
TORCHVISION: dict[str, tuple[str, dict[str, Any], dict[str, Any] | None]] = {
    "cifar10": ("CIFAR10", _TRAIN, _TEST),
    "cifar100": ("CIFAR100", _TRAIN, _TEST),
    "mnist": ("MNIST", _TRAIN, _TEST),
    "fashion-mnist": ("FashionMNIST", _TRAIN, _TEST),
    "kmnist": ("KMNIST", _TRAIN, _TEST),
    "emnist": ("EMNIST", {"split": "balanced", "train": True}, {"split": "balanced", "train": False}),
    "qmnist": ("QMNIST", _TRAIN, _TEST),
    "usps": ("USPS", _TRAIN, _TEST),
    "stl10": ("STL10", *_SPLIT),
    "svhn": ("SVHN", *_SPLIT),
    "gtsrb": ("GTSRB", *_SPLIT),
    "food101": ("Food101", *_SPLIT),
    "flowers102": ("Flowers102", *_SPLIT),
    "dtd": ("DTD", *_SPLIT),
    "pets": ("OxfordIIITPet", {"split": "trainval"}, {"split": "test"}),
    "aircraft": ("FGVCAircraft", {"split": "trainval"}, {"split": "test"}),
    "country211": ("Country211", *_SPLIT),
    "pcam": ("PCAM", *_SPLIT),
    "imagenette": ("Imagenette", {"split": "train", "size": "160px"}, {"split": "val", "size": "160px"}),
    "eurosat": ("EuroSAT", {}, None),
    "caltech101": ("Caltech101", {}, None),
    "caltech256": ("Caltech256", {}, None),
    "sun397": ("SUN397", {}, None),
}


class _Pictures(Sized, Protocol):
    """A data set of torchvision: pairs of a picture and its label."""

    def __getitem__(self, index: int) -> tuple[Image.Image, int]: ...


def load_torchvision(request: Request) -> ImageSet:
    """Load a set of torchvision from `root`, where torchvision downloads it if it is not there.

    Raises:
        DataError: the set cannot be downloaded, or some of its images cannot be read.
    """
    name, split = request.name, request.split
    dataset = _open(name, split, request.root)
    at = np.arange(len(dataset))
    if TORCHVISION[name][2] is None:
        at = np.random.default_rng(0).permutation(len(dataset))[part_of_split(len(dataset), split)]
    first = [dataset[int(i)][0].size for i in at[:16]]
    size = request.size or common_size(set(first))
    labels = torch.empty(len(at), dtype=torch.int64)

    def read(i: int) -> Image.Image:
        image, labels[i] = dataset[int(at[i])]
        return image

    images, bad = stack(read, range(len(at)), size)
    if bad:
        raise DataError(
            f"{len(bad)} images of {name!r} in {str(request.root)!r} cannot be read: remove the folder of this set, "
            "and it will be downloaded again"
        )
    names = getattr(dataset, "classes", None) or getattr(dataset, "categories", None)
    classes = tuple(str(c) for c in names) if names else tuple(str(i) for i in range(int(labels.max()) + 1))
    return ImageSet(name, split, images, labels, classes)


def _read_rgb(file: str) -> Image.Image:
    """Read a picture as torchvision's own loader does, but of no other formats than files of a folder may have."""
    with open_image(file) as image:
        return image.convert("RGB")


def _open(name: str, split: str, root: Path) -> _Pictures:
    """Return torchvision's data set, downloaded if needed; all of it where it has no split of its own."""
    import torchvision.datasets  # here, because torchvision takes longer to import than torch

    class_name, train, test = TORCHVISION[name]
    arguments = dict(train if split == "train" or test is None else test)
    kind = getattr(torchvision.datasets, class_name)
    if "loader" in inspect.signature(kind).parameters:  # it opens image files, which it otherwise does by their content
        arguments["loader"] = _read_rgb
    try:
        root.mkdir(parents=True, exist_ok=True)
        return kind(str(root), download=True, **arguments)
    except (OSError, RuntimeError) as error:  # URLError is an OSError
        # A failed download may leave files behind. torchvision verifies them the next time, so nothing is removed here.
        raise DataError(
            f"data set {name!r} is not in {str(root)!r} and could not be fetched ({error}): "
            f"connect to the network or set BYOL_DATA to a folder that has it; {', '.join(EMBEDDED)} need no network"
        ) from error
