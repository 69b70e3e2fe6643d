"""Images: one record, ImageSet, and one function that makes it from any source, load().

    load("shapes")              drawn by the library, with the factors of every picture
    load("digits")              scikit-learn's bundled handwritten digits
    load("cifar10"), ...        torchvision's sets, through their normal download
    load("folder:PATH")         your images, in class sub-folders or flat

All become uint8 (N, 3, size, size) in memory, so training can keep them on its device.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from . import shapes
from .config import UserError

EMBEDDED = ("shapes", "digits")
SPLITS = ("train", "test")
LARGEST_DEFAULT = 96  # pixels a side that images of different sizes are brought to, unless a size is given
TEST_SHARE = 0.2  # of a source that comes without a split
TEST_FOLDERS = ("test", "val", "valid", "validation")  # the first that lies beside train/ is taken
SHAPES_SIZES = {"train": 4096, "test": 2048}

# what Pillow raises for a file it cannot decode; RuntimeError is its AVIF reader's
UNREADABLE = (OSError, SyntaxError, ValueError, RuntimeError, EOFError, Image.DecompressionBombError)


class DataError(UserError):
    """Data that cannot be used: the message names it, what is allowed, and what to do next."""


class NoTestImages(DataError):
    """A folder that has images to train on, but none set apart and too few to divide."""


@dataclass(frozen=True)
class ImageSet:
    """Images, with labels and factors where they are known.

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

    def sample(self, n: int, seed: int = 0) -> "ImageSet":
        """n images drawn without repetition, the same for the same seed; all of them if there are no more."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        return self[order[:n].sort().values]

    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel, of values in [0, 1]; from at most 4,096 images."""
        x = self.images[:: max(1, len(self) // 4096)].double() / 255
        std = x.std(dim=(0, 2, 3)).clamp(min=1e-3)
        return x.mean(dim=(0, 2, 3)).tolist(), std.tolist()


def load(
    name: str,
    split: str = "train",
    size: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    corrupt: str = "refuse",
    root: str | Path | None = None,
) -> ImageSet:
    """Images by name; see the module's docstring for the names.

    Args:
        split: "train" or "test". A folder with train/ and test/ (or val/) inside keeps its own split;
            any other folder, and a torchvision set without one, is divided 80 : 20, the same way each time.
        size: pixels a side. Default: the images' own size where all are square, equal and at most 96 px; else 96.
            Images are resized by their shorter side and cropped to the centre.
        limit: at most so many images, drawn without repetition, the same for the same seed.
        seed: draws "shapes", and `limit`.
        corrupt: files that cannot be read are an error that names them ("refuse"), or left out and
            listed in `skipped` ("skip").
        root: where torchvision keeps its sets. Default: $BYOL_DATA, else ~/.cache/byol_tutorial.

    Raises:
        DataError: an unknown name or split; a folder that is missing, holds no image or only one, has a
            class without images or a file that cannot be read; a set that cannot be downloaded.
    """
    if split not in SPLITS:
        raise DataError(f"split={split!r}: choose one of {', '.join(SPLITS)}")
    if corrupt not in ("refuse", "skip"):
        raise DataError(f"corrupt={corrupt!r}: choose refuse or skip")
    for key, value, least in (("size", size, 8), ("limit", limit, 2)):
        if value is not None and (not isinstance(value, int) or value < least):
            raise DataError(f"{key}={value!r}: give a whole number, at least {least}")

    if name == "shapes":
        images = _shapes(split, size or 32, seed, limit)
    elif name == "digits":
        images = _digits(split, size or 32)
    elif name.startswith("folder:"):
        images = _folder(
            Path(os.path.expanduser(name.removeprefix("folder:"))), name, split, size, corrupt, limit, seed
        )
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
    at = order[_share(len(order), split)]
    grey = [Image.fromarray((image * (255 / 16)).round().astype(np.uint8)) for image in bunch.images[at]]
    images = torch.stack([to_tensor(image, size) for image in grey])
    return ImageSet("digits", split, images, torch.from_numpy(bunch.target[at]).long(), tuple("0123456789"))


def _share(n: int, split: str) -> slice:
    """The first 80 % for train, the rest for test; at least one each where there are two."""
    cut = min(max(1, round(n * (1 - TEST_SHARE))), n - 1) if n > 1 else n
    return slice(0, cut) if split == "train" else slice(cut, n)


# --- from any picture to RGB --------------------------------------------------------------------


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


def _stack(read: Callable, sources: Sequence, size: int) -> tuple[Tensor, list[int]]:
    """Read a picture from each source, on all cores, into one tensor; and which could not be read."""
    images = torch.zeros(len(sources), 3, size, size, dtype=torch.uint8)

    def failed(i: int) -> bool:
        try:
            images[i] = to_tensor(read(sources[i]), size)
        except UNREADABLE:
            return True
        return False

    with ThreadPoolExecutor() as pool:
        return images, [i for i, bad in enumerate(pool.map(failed, range(len(sources)))) if bad]


def _common_size(sizes: set[tuple[int, int]]) -> int:
    """The size of square pictures that all have the same, small one; else LARGEST_DEFAULT."""
    width, height = next(iter(sizes))
    return width if len(sizes) == 1 and width == height <= LARGEST_DEFAULT else LARGEST_DEFAULT


# --- folders ------------------------------------------------------------------------------------


def _folder(
    path: Path, name: str, split: str, size: int | None, corrupt: str, limit: int | None, seed: int
) -> ImageSet:
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise DataError(f"folder {str(path)!r} {what}: give a folder of images, folder:PATH")
    inside = {folder.name for folder in _subfolders(path)}
    tests = [path / s for s in TEST_FOLDERS if s in inside]
    # Among other folders, a train/ without a test/ is a class like them: bus/, car/, train/.
    own_split = "train" in inside and bool(tests or len(inside) == 1)
    files, labels, classes = _find(path / "train" if own_split else path)
    if size is None:  # from the same files for both splits, so that test images are brought to the train images' size
        sizes = {s for s in map(_header_size, files) if s is not None}
        size = _common_size(sizes) if sizes else LARGEST_DEFAULT
    if not own_split:
        files = _divide(files, labels, split)
    elif split == "test":
        if not tests:
            raise NoTestImages(f"folder {str(path)!r} has train/ but no test/ or val/: add one, or name its train/")
        files, labels, classes = _find(tests[0], classes)

    if limit is not None and limit < len(files):  # before reading them, which takes the time
        order = torch.randperm(len(files), generator=torch.Generator().manual_seed(seed))
        files = [files[i] for i in order[:limit].sort().values]
    images, bad = _stack(_open, files, size)
    if bad:
        names = ", ".join(str(files[i]) for i in bad[:5]) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
        if corrupt == "refuse" or len(bad) == len(files):
            raise DataError(
                f"{len(bad)} of {len(files)} image files cannot be read: {names}; mend or remove them, or choose corrupt='skip'"
            )
    good = sorted(set(range(len(files))) - set(bad))
    if len(good) < 2:
        kind = NoTestImages if split == "test" and not own_split else DataError
        raise kind(
            f"folder {str(path)!r} gives {split} {len(good)} image{'' if len(good) == 1 else 's'}: "
            "at least 2 are needed, and some hundreds to learn from; add some"
        )
    label = torch.tensor([labels[files[i]] for i in good]) if classes else None
    return ImageSet(name, split, images[good], label, classes, skipped=tuple(str(files[i]) for i in bad))


def _open(file: Path) -> Image.Image:
    with Image.open(file) as image:
        image.load()
        return image


def _header_size(file: Path) -> tuple[int, int] | None:
    try:
        with Image.open(file) as image:
            return image.size
    except UNREADABLE:
        return None


def _subfolders(path: Path) -> list[Path]:
    return sorted(d for d in path.iterdir() if d.is_dir() and not d.name.startswith((".", "__")))


def _find(path: Path, known: tuple[str, ...] = ()) -> tuple[list[Path], dict[Path, int], tuple[str, ...]]:
    """The image files below a folder, sorted; their labels and the classes, where it has sub-folders.

    known: the train images' classes, so that a label means the same class in both splits.
    """
    Image.init()
    extensions = {e for e, kind in Image.EXTENSION.items() if kind in Image.OPEN}  # not PDF, which is only written

    def images_in(folder: Path, pattern: str) -> list[Path]:
        found = (f for f in folder.glob(pattern) if f.suffix.lower() in extensions and f.is_file())
        return sorted(f for f in found if not any(part.startswith(".") for part in f.relative_to(folder).parts))

    folders = _subfolders(path)
    if not folders:
        files = images_in(path, "*")
        if not files:
            others = sum(f.is_file() for f in path.iterdir())
            holds = f"holds {others} files but no image" if others else "is empty"
            raise DataError(
                f"folder {str(path)!r} {holds}: put images (.jpg, .png, ...) there, or in one sub-folder a class"
            )
        return files, {}, ()
    classes = known or tuple(folder.name for folder in folders)
    files, labels = [], {}
    for folder in folders:
        if folder.name not in classes:
            raise DataError(
                f"class {folder.name!r} in {str(path)!r} is not one of train/: {', '.join(classes)}; rename it"
            )
        found = images_in(folder, "**/*")
        if not found:
            raise DataError(f"class {folder.name!r} in {str(path)!r} has no images: add some or remove the folder")
        files += found
        labels |= dict.fromkeys(found, classes.index(folder.name))
    return files, labels, classes


def _divide(files: list[Path], labels: dict[Path, int], split: str) -> list[Path]:
    """80 : 20 within each class, shuffled the same way each time."""
    groups: dict[int, list[Path]] = {}
    for file in files:
        groups.setdefault(labels.get(file, 0), []).append(file)
    kept = []
    for group in groups.values():
        order = np.random.default_rng(0).permutation(len(group))
        kept += [group[i] for i in order[_share(len(group), split)]]
    return sorted(kept)


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
        at = np.random.default_rng(0).permutation(len(dataset))[_share(len(dataset), split)]
    first = [dataset[int(i)][0].size for i in at[:16]]
    size = size or _common_size(set(first))
    labels = torch.empty(len(at), dtype=torch.int64)

    def read(i: int) -> Image.Image:
        image, labels[i] = dataset[int(at[i])]
        return image

    images, bad = _stack(read, range(len(at)), size)
    if bad:
        raise DataError(
            f"{len(bad)} images of {name!r} in {str(root)!r} cannot be read: remove its folder, to fetch it anew"
        )
    names = getattr(dataset, "classes", None) or getattr(dataset, "categories", None)
    classes = tuple(str(c) for c in names) if names else tuple(str(i) for i in range(int(labels.max()) + 1))
    return ImageSet(name, split, images, labels, classes)
