"""Images: one record, ImageSet, and one function that makes it from any source, load().

    load("shapes")              drawn by the library, with the factors of every picture
    load("digits")              scikit-learn's bundled handwritten digits
    load("cifar10"), ...        torchvision's sets, through their normal download
    load("folder:PATH")         your images, in class sub-folders or flat

All become uint8 (N, 3, size, size) in memory, so training can keep them on its device. Only a folder too large for
that stays on disk, as a StreamedSet, which can do the same.
"""

import os
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..config.errors import DataError
from . import shapes
from .decode import common_size, open_picture, stack, to_tensor
from .folder import NoTestImages, find, share
from .image_set import ImageSet
from .streaming import StreamedSet

EMBEDDED = ("shapes", "digits")
SPLITS = ("train", "test")
SHAPES_SIZES = {"train": 4096, "test": 2048}
STREAM_ABOVE = 4 * 2**30  # bytes of images; a folder that would take more stays on disk


def load(
    name: str,
    split: str = "train",
    size: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    corrupt: str = "refuse",
    root: str | Path | None = None,
    stream: bool | None = None,
) -> ImageSet | StreamedSet:
    """Images by name; see the module's docstring for the names.

    Args:
        split: "train" or "test". A folder with train/ and test/ (or val/) inside keeps its own split;
            any other folder, and a torchvision set without one, is divided 80 : 20, the same way each time.
        size: pixels a side. Default: the images' own size where all are square, equal and at most 96 px; else 96.
            Images are resized by their shorter side and cropped to the centre.
        limit: at most so many images, drawn without repetition, the same for the same seed.
        seed: draws "shapes", and `limit`. A whole number, at least 0.
        corrupt: files that cannot be read are an error that names them ("refuse"), or left out and
            listed in `skipped` ("skip"). Of a streamed set this shows as the files are read, while training.
        root: where torchvision keeps its sets. Default: $BYOL_DATA, else ~/.cache/byol_tutorial.
        stream: leave a folder's images on disk and decode them while training. Default: where they would take
            more than 4 GiB of memory.

    Raises:
        DataError: an unknown name, or a value that is not allowed; a folder that is missing, holds no image or only one, has a
            class without images or a file that cannot be read; a set that cannot be downloaded.
    """
    if split not in SPLITS:
        raise DataError(f"split={split!r}: choose one of {', '.join(SPLITS)}")
    if corrupt not in ("refuse", "skip"):
        raise DataError(f"corrupt={corrupt!r}: choose refuse or skip")
    for key, value, least in (("size", size, 8), ("limit", limit, 2), ("seed", seed, 0)):
        if value is None and key != "seed":
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**63:
            raise DataError(f"{key}={value!r}: give a whole number, at least {least}")
    if stream not in (None, True, False):
        raise DataError(f"stream={stream!r}: choose True or False, or None to let the size decide")
    if stream and name in (*EMBEDDED, *TORCHVISION):
        raise DataError(f"stream=True: {name!r} is kept in memory; leave stream out, or give folder:PATH")

    if name == "shapes":
        images = _shapes(split, size or 32, seed, limit)
    elif name == "digits":
        images = _digits(split, size or 32)
    elif name.startswith("folder:"):
        return _folder(name, split, size, limit, seed, corrupt, stream)
    elif name in TORCHVISION:
        images = _torchvision(name, split, size, Path(root or default_root()))
    else:
        known = (*EMBEDDED, *TORCHVISION)
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}, or folder:PATH"
        if name and Path(name).is_dir():
            hint = f"for a folder of images write 'folder:{name}'"
        raise DataError(f"unknown data set {name!r}: {hint}")
    return images if limit is None else images.sample(limit, seed)


def default_root() -> Path:
    return Path(os.environ.get("BYOL_DATA") or Path.home() / ".cache" / "byol_tutorial")


# --- embedded sets ------------------------------------------------------------------------------


def _shapes(split: str, size: int, seed: int, limit: int | None) -> ImageSet:
    n = max(SHAPES_SIZES[split], limit or 0)
    # Train and test come from different streams of the same seed.
    factors = shapes.sample_factors(n, seed=[seed, SPLITS.index(split)])
    return ImageSet("shapes", split, shapes.draw(factors, size), factors.shape, tuple(shapes.CLASSES), factors)


def _digits(split: str, size: int) -> ImageSet:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.images))
    at = order[share(len(order), split)]
    grey = [Image.fromarray((image * (255 / 16)).round().astype(np.uint8)) for image in bunch.images[at]]
    images = torch.stack([to_tensor(image, size) for image in grey])
    return ImageSet("digits", split, images, torch.from_numpy(bunch.target[at]).long(), tuple("0123456789"))


# --- folders ------------------------------------------------------------------------------------


def _folder(
    name: str, split: str, size: int | None, limit: int | None, seed: int, corrupt: str, stream: bool | None
) -> ImageSet | StreamedSet:
    path = Path(os.path.expanduser(name.removeprefix("folder:")))
    found = find(path, split, size, limit, seed)
    files, size = found.files, found.size
    labels = None if found.labels is None else torch.tensor(found.labels)
    if stream is None:
        stream = len(files) * 3 * size * size > STREAM_ABOVE
    if stream:
        # absolute, for a worker may have another current folder
        encoded = np.array([os.fsencode(os.path.abspath(f)) for f in files], dtype=bytes)
        images = StreamedSet(name, split, encoded, size, labels, found.classes, corrupt)
    else:
        pixels, bad = stack(open_picture, files, size)
        if bad:
            names = ", ".join(files[i] for i in bad[:5]) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
            if corrupt == "refuse" or len(bad) == len(files):
                raise DataError(
                    f"{len(bad)} of {len(files)} image files cannot be read: {names}; mend or remove them, or choose corrupt='skip'"
                )
        skipped = tuple(files[i] for i in bad)
        images = ImageSet(name, split, pixels, labels, found.classes, skipped=skipped)
        if bad:
            images = images[sorted(set(range(len(files))) - set(bad))]
    if len(images) < 2:
        kind = NoTestImages if split == "test" and found.divided else DataError
        raise kind(
            f"folder {str(path)!r} gives {split} {len(images)} image{'' if len(images) == 1 else 's'}: "
            "at least 2 are needed, and some hundreds to learn from; add some"
        )
    return images


# --- torchvision --------------------------------------------------------------------------------

# name: (class in torchvision.datasets, arguments for train, arguments for test).
# None for test: the set has no split, and is divided 80 : 20.
_TRAIN, _TEST = {"train": True}, {"train": False}
_SPLIT = {"split": "train"}, {"split": "test"}
TORCHVISION: dict[str, tuple[str, dict, dict | None]] = {
    "cifar10": ("CIFAR10", _TRAIN, _TEST),
    "cifar100": ("CIFAR100", _TRAIN, _TEST),
    "mnist": ("MNIST", _TRAIN, _TEST),
    "fashion-mnist": ("FashionMNIST", _TRAIN, _TEST),
    "kmnist": ("KMNIST", _TRAIN, _TEST),
    "emnist": ("EMNIST", {"split": "balanced"} | _TRAIN, {"split": "balanced"} | _TEST),
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


def _torchvision(name: str, split: str, size: int | None, root: Path) -> ImageSet:
    import torchvision.datasets

    class_name, train, test = TORCHVISION[name]
    make = getattr(torchvision.datasets, class_name)
    arguments = train if split == "train" or test is None else test
    try:
        root.mkdir(parents=True, exist_ok=True)
        dataset = make(str(root), download=True, **arguments)
    except (OSError, RuntimeError) as error:  # URLError is an OSError
        # what a failed download left behind would be taken for the data next time; torchvision checks that itself
        raise DataError(
            f"data set {name!r} is not in {str(root)!r} and could not be fetched ({error}): "
            f"connect to the network or set BYOL_DATA to a folder that has it; {' and '.join(EMBEDDED)} need no network"
        ) from error

    at = np.arange(len(dataset))
    if test is None:
        at = np.random.default_rng(0).permutation(len(dataset))[share(len(dataset), split)]
    first = [dataset[int(i)][0].size for i in at[:16]]
    size = size or common_size(set(first))
    labels = torch.empty(len(at), dtype=torch.int64)

    def read(i: int) -> Image.Image:
        image, labels[i] = dataset[int(at[i])]
        return image

    images, bad = stack(read, range(len(at)), size)
    if bad:
        raise DataError(
            f"{len(bad)} images of {name!r} in {str(root)!r} cannot be read: remove its folder, to fetch it anew"
        )
    names = getattr(dataset, "classes", None) or getattr(dataset, "categories", None)
    classes = tuple(str(c) for c in names) if names else tuple(str(i) for i in range(int(labels.max()) + 1))
    return ImageSet(name, split, images, labels, classes)
