"""Folders of images: which files belong to which split, what their labels are, and what size they are brought to.

    PATH/*.jpg                       flat: no labels, divided 80 : 20
    PATH/CLASS/**/*.jpg              class sub-folders: labels, each class divided 80 : 20
    PATH/train/..., PATH/test/...    the folder's own split; test/ may be called val/, valid/ or validation/

`find` reads names and headers only. `load_folder` then decodes the files at once, or leaves that to streaming.py, which
decodes them while training.
"""

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..config.errors import DataError
from .decode import common_size, header_size, open_picture, stack
from .image_set import ImageSet, draw_positions
from .request import Request
from .streaming import StreamedSet

STREAM_ABOVE = 4 * 2**30  # bytes of images; a folder that would take more stays on disk
TEST_SHARE = 0.2  # of the images of a source that has no split of its own
TEST_FOLDERS = ("test", "val", "valid", "validation")  # the first one found beside train/ is taken


class NoTestImages(DataError):
    """The error of a folder that has images to train on, but no test images, and too few to set some apart."""


@dataclass(frozen=True)
class Listing:
    """The image files of one split.

    files     their paths, sorted
    labels    for each file the position of its class in `classes`, or None
    size      pixels a side that they are brought to
    divided   whether this module divided the files, because the folder has no split of its own
    """

    files: list[str]
    labels: list[int] | None
    classes: tuple[str, ...]
    size: int
    divided: bool


def load_folder(request: Request) -> ImageSet | StreamedSet:
    """Load the images of folder:PATH into memory, or leave them on disk if they are many or if `stream` asks for it.

    Raises:
        DataError: as `find`; files that cannot be read, unless `corrupt` is "skip"; fewer than two images.
        NoTestImages: the folder has training images only.
    """
    path = Path(os.path.expanduser(request.name.removeprefix("folder:")))
    found = find(path, request.split, request.size, request.limit, request.seed)
    stream = request.stream
    if stream is None:
        stream = len(found.files) * 3 * found.size * found.size > STREAM_ABOVE
    images = _on_disk(request, found) if stream else _in_memory(request, found)
    if len(images) < 2:
        kind = NoTestImages if request.split == "test" and found.divided else DataError
        raise kind(
            f"folder {str(path)!r} gives {request.split} {len(images)} image{'' if len(images) == 1 else 's'}: "
            "at least 2 are needed, and some hundreds to learn from; add some"
        )
    return images


def _on_disk(request: Request, found: Listing) -> StreamedSet:
    # absolute paths, because a worker may have another current folder
    files = np.array([os.fsencode(os.path.abspath(file)) for file in found.files], dtype=bytes)
    return StreamedSet(request.name, request.split, files, found.size, _labels(found), found.classes, request.corrupt)


def _in_memory(request: Request, found: Listing) -> ImageSet:
    files = found.files
    pixels, bad = stack(open_picture, files, found.size)
    if bad and (request.corrupt == "refuse" or len(bad) == len(files)):
        names = ", ".join(files[i] for i in bad[:5]) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
        raise DataError(
            f"{len(bad)} of {len(files)} image files cannot be read: {names}; replace or remove them, or choose "
            "corrupt='skip'"
        )
    skipped = tuple(files[i] for i in bad)
    images = ImageSet(request.name, request.split, pixels, _labels(found), found.classes, skipped=skipped)
    return images[sorted(set(range(len(files))) - set(bad))] if bad else images


def _labels(found: Listing) -> torch.Tensor | None:
    return None if found.labels is None else torch.tensor(found.labels)


def find(path: Path, split: str, size: int | None, limit: int | None, seed: int) -> Listing:
    """List the files of one split of this folder; `split`, `size`, `limit`, `seed` as in data.load.

    Raises:
        DataError: no such folder; no image in it, or in one of its classes; a class that only the test images have.
        NoTestImages: the folder has train/, but no folder of test images.
    """
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise DataError(f"folder {str(path)!r} {what}: give a folder of images, folder:PATH")
    inside = {folder.name for folder in _subfolders(path)}
    tests = [path / s for s in TEST_FOLDERS if s in inside]
    # A train/ that lies among other folders, without a test/, is a class as they are: bus/, car/, train/.
    own_split = "train" in inside and bool(tests or len(inside) == 1)
    if own_split:
        _warn_of_images_beside(path, "train/", "move them into train/ or test/")
    files, labels, classes = _labelled(path / "train" if own_split else path)
    if size is None:  # both splits take it from the training files, so that their images get the same size
        size = common_size(s for s in map(header_size, files) if s is not None)
    if not own_split:
        files = _divide(files, labels, split)
    elif split == "test":
        if not tests:
            raise NoTestImages(
                f"folder {str(path)!r} has train/ but no test/ or val/: add one, or give the path of train/ itself"
            )
        files, labels, classes = _labelled(tests[0], classes)
    if limit is not None and limit < len(files):
        files = [files[i] for i in draw_positions(len(files), limit, seed)]
    return Listing(files, [labels[f] for f in files] if classes else None, classes, size, not own_split)


def share(n: int, split: str) -> slice:
    """Return which of n images are a split: the first 80 % for train, the rest for test, at least one each if n > 1."""
    cut = min(max(1, round(n * (1 - TEST_SHARE))), n - 1) if n > 1 else n
    return slice(0, cut) if split == "train" else slice(cut, n)


def _labelled(path: Path, known: tuple[str, ...] = ()) -> tuple[list[str], dict[str, int], tuple[str, ...]]:
    """Return the image files below a folder, sorted, and, if it has sub-folders, their labels and the classes.

    known: the classes of the training images, so that a label means the same class in both splits.
    """
    folders = _subfolders(path)
    if not folders:
        files = _images(path, deep=False)
        if not files:
            others = sum(f.is_file() for f in path.iterdir())
            holds = f"holds {others} files but no image" if others else "is empty"
            raise DataError(
                f"folder {str(path)!r} {holds}: put images (.jpg, .png, ...) there, or into a sub-folder for each class"
            )
        return files, {}, ()
    _warn_of_images_beside(path, "its class folders", "move them into the folder of their class")
    classes = known or tuple(folder.name for folder in folders)
    files = []
    labels: dict[str, int] = {}
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
            f"{count} in {str(path)!r} beside {what} and will not be used, for example {beside[0]!r}: {advice}",
            stacklevel=3,
        )


def _subfolders(path: Path) -> list[Path]:
    return sorted(d for d in path.iterdir() if d.is_dir() and not d.name.startswith((".", "__")))


def _images(folder: Path, deep: bool) -> list[str]:
    """List the image files in a folder, and with `deep` in all below, sorted by path, without hidden ones."""
    Image.init()
    extensions = {
        e for e, kind in Image.EXTENSION.items() if kind in Image.OPEN
    }  # without PDF, which Pillow can only write

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
            f"folder {error.filename!r} cannot be listed ({error.strerror}): give yourself the permission to read it, "
            "or move it elsewhere"
        ) from error


def _parts(file: str) -> list[str]:
    return file.split(os.sep)


def _divide(files: list[str], labels: dict[str, int], split: str) -> list[str]:
    """Return the files of one split: 80 : 20 within each class, shuffled the same way each time."""
    groups: dict[int, list[str]] = {}
    for file in files:
        groups.setdefault(labels.get(file, 0), []).append(file)
    kept = []
    for group in groups.values():
        order = np.random.default_rng(0).permutation(len(group))
        kept += [group[i] for i in order[share(len(group), split)]]
    return sorted(kept, key=_parts)
