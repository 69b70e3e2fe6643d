"""Folders of images: which files make which split, what their labels are, and to what size they are brought.

    PATH/*.jpg                       flat: no labels, divided 80 : 20
    PATH/CLASS/**/*.jpg              class sub-folders: labels, each class divided 80 : 20
    PATH/train/..., PATH/test/...    the folder's own split; test/ may be called val/, valid/ or validation/

Only names and headers are read here; what the files hold is decoded by loading.py at once, or by streaming.py while
training.
"""

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..config.errors import DataError
from .decode import common_size, header_size
from .image_set import draw_positions

TEST_SHARE = 0.2  # of a source that comes without a split
TEST_FOLDERS = ("test", "val", "valid", "validation")  # the first that lies beside train/ is taken


class NoTestImages(DataError):
    """A folder that has images to train on, but none set apart and too few to divide."""


@dataclass(frozen=True)
class Listing:
    """The image files of one split.

    files     their paths, sorted
    labels    position in `classes` of each, or None
    size      pixels a side that they are to be brought to
    divided   whether the split is ours: the folder has none of its own
    """

    files: list[str]
    labels: list[int] | None
    classes: tuple[str, ...]
    size: int
    divided: bool


def find(path: Path, split: str, size: int | None, limit: int | None, seed: int) -> Listing:
    """The files of a split of this folder; `split`, `size`, `limit`, `seed` as in data.load.

    Raises:
        DataError: no such folder; no image in it, or in one of its classes; a class that only the test images have.
        NoTestImages: train/ stands alone.
    """
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise DataError(f"folder {str(path)!r} {what}: give a folder of images, folder:PATH")
    inside = {folder.name for folder in _subfolders(path)}
    tests = [path / s for s in TEST_FOLDERS if s in inside]
    # Among other folders, a train/ without a test/ is a class like them: bus/, car/, train/.
    own_split = "train" in inside and bool(tests or len(inside) == 1)
    if own_split:
        _warn_of_images_beside(path, "train/", "move them into train/ or test/")
    files, labels, classes = _labelled(path / "train" if own_split else path)
    if size is None:  # from the same files for both splits, so that test images are brought to the train images' size
        size = common_size(s for s in map(header_size, files) if s is not None)
    if not own_split:
        files = _divide(files, labels, split)
    elif split == "test":
        if not tests:
            raise NoTestImages(f"folder {str(path)!r} has train/ but no test/ or val/: add one, or name its train/")
        files, labels, classes = _labelled(tests[0], classes)
    if limit is not None and limit < len(files):
        files = [files[i] for i in draw_positions(len(files), limit, seed)]
    return Listing(files, [labels[f] for f in files] if classes else None, classes, size, not own_split)


def share(n: int, split: str) -> slice:
    """The first 80 % for train, the rest for test; at least one each where there are two."""
    cut = min(max(1, round(n * (1 - TEST_SHARE))), n - 1) if n > 1 else n
    return slice(0, cut) if split == "train" else slice(cut, n)


def _labelled(path: Path, known: tuple[str, ...] = ()) -> tuple[list[str], dict[str, int], tuple[str, ...]]:
    """The image files below a folder, sorted; their labels and the classes, where it has sub-folders.

    known: the train images' classes, so that a label means the same class in both splits.
    """
    folders = _subfolders(path)
    if not folders:
        files = _images(path, deep=False)
        if not files:
            others = sum(f.is_file() for f in path.iterdir())
            holds = f"holds {others} files but no image" if others else "is empty"
            raise DataError(
                f"folder {str(path)!r} {holds}: put images (.jpg, .png, ...) there, or in one sub-folder a class"
            )
        return files, {}, ()
    _warn_of_images_beside(path, "its class folders", "move them into the folder of their class")
    classes = known or tuple(folder.name for folder in folders)
    files, labels = [], {}
    for folder in folders:
        if folder.name not in classes:
            raise DataError(
                f"class {folder.name!r} in {str(path)!r} is not one of train/: {', '.join(classes)}; rename it"
            )
        found = _images(folder, deep=True)
        if not found:
            raise DataError(f"class {folder.name!r} in {str(path)!r} has no images: add some or remove the folder")
        files += found
        labels |= dict.fromkeys(found, classes.index(folder.name))
    return files, labels, classes


def _warn_of_images_beside(path: Path, what: str, advice: str) -> None:
    if beside := _images(path, deep=False):
        count = "1 image lies" if len(beside) == 1 else f"{len(beside)} images lie"
        warnings.warn(
            f"{count} in {str(path)!r} beside {what} and will not be used, {beside[0]!r} for one: {advice}",
            stacklevel=3,
        )


def _subfolders(path: Path) -> list[Path]:
    return sorted(d for d in path.iterdir() if d.is_dir() and not d.name.startswith((".", "__")))


def _images(folder: Path, deep: bool) -> list[str]:
    """The image files in a folder, and with `deep` in all below, sorted by folder and name; no hidden ones."""
    Image.init()
    extensions = {e for e, kind in Image.EXTENSION.items() if kind in Image.OPEN}  # not PDF, which is only written

    def walk(at: str) -> Iterator[str]:
        with os.scandir(at) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if deep:
                        yield from walk(entry.path)
                elif os.path.splitext(entry.name)[1].lower() in extensions and entry.is_file():
                    yield entry.path

    try:
        return sorted(walk(str(folder)), key=_parts)
    except OSError as error:
        raise DataError(
            f"folder {error.filename!r} cannot be listed ({error.strerror}): permit it, or move it elsewhere"
        ) from error


def _parts(file: str) -> list[str]:
    return file.split(os.sep)


def _divide(files: list[str], labels: dict[str, int], split: str) -> list[str]:
    """80 : 20 within each class, shuffled the same way each time."""
    groups: dict[int, list[str]] = {}
    for file in files:
        groups.setdefault(labels.get(file, 0), []).append(file)
    kept = []
    for group in groups.values():
        order = np.random.default_rng(0).permutation(len(group))
        kept += [group[i] for i in order[share(len(group), split)]]
    return sorted(kept, key=_parts)
