"""Folders of images: which files belong to which split, what their labels are, and what size they are brought to.

    PATH/*.jpg                       flat: no labels, divided 80 : 20
    PATH/CLASS/**/*.jpg              class sub-folders: labels, each class divided 80 : 20
    PATH/train/..., PATH/test/...    the folder's own split, in any case; train/ may be called training/, test/ also
                                     testing/, val/, valid/ or validation/

`find` reads names and headers only. `load_folder` then decodes the files at once, or leaves that to streaming.py, which
decodes them while training. Both describe the folder in a Found record.
"""

import os
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ..config.errors import DataError
from .decode import Header, common_size, open_picture, read_header, stack
from .found import NAMED, Found
from .image_set import ImageSet, draw_positions, nearly_constant
from .request import HOLDOUT, Request
from .streaming import StreamedSet
from .tree import Tree, look, parts, subfolders
from .value_range import ValueRange, find_range, is_deep

STREAM_ABOVE = 4 * 2**30  # bytes of images; a folder that would take more stays on disk
SAMPLED = 256  # images of a streamed folder that are decoded to see whether they have content
LOOKED_AT = 2048  # headers that are read for sizes, depth and pages
TRAIN_FOLDERS = ("train", "training")
TEST_FOLDERS = ("test", "testing", "val", "valid", "validation")  # the first one found beside train/ is taken
PICTURE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages", "pictures")
ANNOTATION_FOLDERS = ("labels", "label", "annotations", "annotation", "masks", "mask", "imagesets")


class NoTestImages(DataError):
    """The error of a folder that has images to train on, but no test images, and too few to set some apart."""


@dataclass(frozen=True)
class Listing:
    """The image files of one split.

    files        their paths, sorted
    labels       for each file the position of its class in `classes`, or None
    size         pixels a side that they are brought to
    divided      whether this module divided the files, because the folder has no split of its own
    value_range  the values that become 0 and 255 in images deeper than 8 bits, or in all if the user gave them
    found        what the folder holds
    """

    files: list[str]
    labels: list[int] | None
    classes: tuple[str, ...]
    size: int
    divided: bool
    value_range: ValueRange | None
    found: Found


def load_folder(request: Request) -> ImageSet | StreamedSet:
    """Load the images of folder:PATH into memory, or leave them on disk if they are many or if `stream` asks for it.

    Raises:
        DataError: as `find`; files that cannot be read, unless `corrupt` is "skip"; fewer than two images.
        NoTestImages: the folder has training images only, or `holdout` keeps none for tests.
    """
    path = Path(os.path.expanduser(request.name.removeprefix("folder:")))
    listing = find(path, request)
    stream = request.stream
    if stream is None:
        stream = len(listing.files) * 3 * listing.size * listing.size > STREAM_ABOVE
    images = _on_disk(request, listing) if stream else _in_memory(request, listing)
    if len(images) < 2:
        kind = NoTestImages if request.split == "test" and listing.divided else DataError
        raise kind(
            f"folder {str(path)!r} gives {request.split} {len(images)} image{'' if len(images) == 1 else 's'}: "
            "at least 2 are needed, and some hundreds to learn from; add some"
        )
    return replace(images, found=_with_pixels(listing, images))


def _on_disk(request: Request, listing: Listing) -> StreamedSet:
    labels = _labels(listing)
    return StreamedSet(
        request.name,
        request.split,
        _paths(listing),
        listing.size,
        labels,
        listing.classes,
        request.corrupt,
        listing.value_range,
    )


def _in_memory(request: Request, listing: Listing) -> ImageSet:
    files = listing.files
    pixels, bad = stack(open_picture, files, listing.size, listing.value_range)
    reasons = {files[i]: reason for i, reason in bad.items()}
    if bad and (request.corrupt == "refuse" or len(bad) == len(files)):
        names = ", ".join(f"{file} ({reason})" for file, reason in list(reasons.items())[:NAMED])
        names += f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        raise DataError(
            f"{len(bad)} of {len(files)} image files cannot be read: {names}; replace or remove them, or choose "
            "corrupt='skip'"
        )
    images = ImageSet(
        request.name,
        request.split,
        pixels,
        _labels(listing),
        listing.classes,
        unreadable=reasons,
        files=_paths(listing),
    )
    return images[[i for i in range(len(files)) if i not in bad]] if bad else images


def _paths(listing: Listing) -> np.ndarray:
    """Return absolute paths, because a worker that decodes may have another current folder: bytes (N,)."""
    return np.array([os.fsencode(os.path.abspath(file)) for file in listing.files], dtype=bytes)


def _labels(listing: Listing) -> torch.Tensor | None:
    return None if listing.labels is None else torch.tensor(listing.labels)


def _with_pixels(listing: Listing, images: ImageSet | StreamedSet) -> Found:
    """Add to the record what only pixels tell: constant images, and how bright the brightest pixel is."""
    if isinstance(images, StreamedSet):
        files = [listing.files[i] for i in draw_positions(len(listing.files), SAMPLED, seed=0).tolist()]
        pixels, bad = stack(open_picture, files, listing.size, listing.value_range)
        unreadable = {files[i]: reason for i, reason in bad.items()}
        readable = [i for i in range(len(files)) if i not in bad]
        pixels, files = pixels[readable], [files[i] for i in readable]
    else:
        pixels, unreadable = images.images, dict(images.unreadable)
        files = [file for file in listing.files if file not in unreadable]
    constant = tuple(files[i] for i in nearly_constant(pixels).nonzero()[:, 0].tolist())
    brightest = int(pixels.max()) if len(pixels) else 255
    return replace(listing.found, constant=constant, brightest=brightest, unreadable=unreadable)


# --- which files --------------------------------------------------------------------------------


def find(path: Path, request: Request) -> Listing:
    """List the files of one split of this folder; the fields of `request` as in data.load.

    Raises:
        DataError: no such folder; no image in it, or in one of its classes; a class that only the test images have;
            pictures and annotations side by side.
        NoTestImages: the folder has train/, but no folder of test images, or `holdout` is 0.
    """
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise DataError(f"folder {str(path)!r} {what}: give a folder of images, folder:PATH")
    folders, tree = subfolders(path)
    if request.labels != "folders":
        _refuse_annotations(path, folders)
    trains, tests = _named(folders, TRAIN_FOLDERS), _named(folders, TEST_FOLDERS)
    # A train/ that lies among other folders, without a test/, is a class as they are: bus/, car/, train/.
    own_split = bool(trains) and bool(tests or len(folders) == 1)
    if own_split:
        _warn_of_images_beside(path, f"{_name(trains[0])}/", "move them into it, or into the folder of test images")
    train = _labelled(Path(trains[0]) if own_split else path, request.labels)
    if own_split:
        tree.images = []  # those beside train/, which are not used
        tree.add(train.tree)
    else:
        tree = train.tree
    size, headers = request.size, [h for h in map(read_header, _spread(train.files)) if h is not None]
    if size is None:  # both splits take it from the training files, so that their images get the same size
        size = common_size(h.size for h in map(read_header, train.files) if h is not None)
    value_range = _value_range(request, train.files, headers)
    if own_split:
        test = _labelled(Path(tests[0]), request.labels, train.classes) if tests else _Labelled([], {}, (), Tree())
        tree.add(test.tree)
        parted = {"train": train.files, "test": test.files}
        divided = f"the folder's own split, {_name(trains[0])}/" + (f" and {_name(tests[0])}/" if tests else "")
        used = {trains[0], *tests[:1]}
        divided += "".join(f"; {_name(other)}/ is not used" for other in folders if other not in used)
        if tests and train.classes and not test.classes:
            divided += f"; {_name(tests[0])}/ has no sub-folders, so its images have no labels"
    else:
        parted = {split: _divide(train, split, request.holdout) for split in ("train", "test")}
        kept = f"{request.holdout:.0%} of " + ("each class" if train.classes else "them") + " kept for tests"
        divided = kept if request.holdout else "none kept for tests"
    found = Found(
        folder=str(path),
        layout=_layout(train, request.labels),
        files=_by_ending(tree.images),
        others=dict(tree.others),
        left_out=tree.left_out,
        links=tree.links,
        dead_links=tuple(tree.dead_links),
        used={split: len(files) for split, files in parted.items()},
        divided=divided,
        classes=_class_counts(train, parted["train"]),
        sizes=_extent(headers),
        looked_at=len(headers),
        size=size,
        deep=sum(is_deep(h.mode) for h in headers),
        value_range=None if value_range is None else (value_range.low, value_range.high),
        pages=sum(h.pages > 1 for h in headers),
        deep_colour=sum(h.deep_colour for h in headers),
        hidden=tree.hidden,
    )
    if request.split == "test" and not parted["test"]:
        remedy = "add one, or give the path of train/ itself" if own_split else "give a holdout above 0"
        what = f"has {_name(trains[0])}/ but no test/ or val/" if own_split else "keeps no images for tests"
        raise NoTestImages(f"folder {str(path)!r} {what}: {remedy}")
    files, labels = parted[request.split], train.labels if not own_split or request.split == "train" else test.labels
    if request.limit is not None and request.limit < len(files):
        files = [files[i] for i in draw_positions(len(files), request.limit, request.seed)]
    # test images may have no labels although those for training have, as in competitions
    chosen = [labels[file] for file in files] if labels else None
    return Listing(files, chosen, train.classes, size, not own_split, value_range, found)


def part_of_split(n: int, split: str, holdout: float = HOLDOUT) -> slice:
    """Return which of n images are a split: the last `holdout` of them are test images, at least one of each if n > 1."""
    cut = min(max(1, round(n * (1 - holdout))), n - 1) if holdout and n > 1 else n
    return slice(0, cut) if split == "train" else slice(cut, n)


@dataclass(frozen=True)
class _Labelled:
    """The image files below a folder, sorted; the class of each, as its position in `classes`; and all that lies there."""

    files: list[str]
    labels: dict[str, int]
    classes: tuple[str, ...]
    tree: Tree


def _labelled(path: Path, mode: str, known: tuple[str, ...] = ()) -> _Labelled:
    """List the images below a folder and, if it has sub-folders, their labels and classes.

    mode: "auto": sub-folders are classes; "folders": they must be there; "none": they mean nothing.
    known: the classes of the training images, so that a label means the same class in both splits.
    """
    folders, tree = subfolders(path)
    if mode != "folders":
        _refuse_annotations(path, folders)
    if mode == "none":
        tree = look(path)
        return _Labelled(_some(path, tree), {}, (), tree)
    if not folders:
        if mode == "folders":
            raise DataError(f"folder {str(path)!r} has no sub-folders to be classes: add some, or choose labels='none'")
        return _Labelled(_some(path, tree), {}, (), tree)
    _warn_of_images_beside(path, "its class folders", "move them into the folder of their class")
    tree.images = []
    classes = known or tuple(map(_name, folders))
    files: list[str] = []
    labels: dict[str, int] = {}
    for folder in folders:
        name = _name(folder)
        if name not in classes:
            raise DataError(f"class {name!r} in {str(path)!r} is not one of train/: {', '.join(classes)}; rename it")
        inside = look(folder, root=path)
        inside.links += os.path.islink(folder)
        if not inside.images:
            raise DataError(
                f"class {name!r} in {str(path)!r} has no images: add some, remove the folder, or choose "
                "labels='none' if sub-folders are not classes"
            )
        tree.add(inside)
        files += inside.images
        labels |= dict.fromkeys(inside.images, classes.index(name))
    return _Labelled(files, labels, classes, tree)


def _some(path: Path, tree: Tree) -> list[str]:
    """Return the images of a tree, or raise DataError if there are none."""
    if not tree.images:
        others = sum(tree.others.values())
        holds = f"holds {others} files but no image" if others else "is empty"
        if tree.left_out:
            holds += (
                f", except for {len(tree.left_out)} folders that hold no data ({next(iter(tree.left_out.values()))})"
            )
        raise DataError(
            f"folder {str(path)!r} {holds}: put images (.jpg, .png, ...) there, or into a sub-folder for each class"
        )
    return tree.images


def _refuse_annotations(path: Path, folders: Sequence[str]) -> None:
    """Raise DataError for pictures and annotations side by side, as YOLO and COCO keep them; they are not two classes."""
    pictures, annotations = _named(folders, PICTURE_FOLDERS), _named(folders, ANNOTATION_FOLDERS)
    if pictures and annotations:
        raise DataError(
            f"folder {str(path)!r} has {_name(pictures[0])}/ beside {_name(annotations[0])}/, as sets for detection and "
            f"segmentation do: these are not two classes; give folder:{pictures[0]}, or labels='folders' if they are classes"
        )


def _warn_of_images_beside(path: Path, what: str, advice: str) -> None:
    if beside := look(path, deep=False).images:
        count = "1 image lies" if len(beside) == 1 else f"{len(beside)} images lie"
        warnings.warn(
            f"{count} in {str(path)!r} beside {what} and will not be used, for example {beside[0]!r}: {advice}",
            stacklevel=3,
        )


def _named(folders: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return those of the folders that have one of these names, in any case, in the order of the names."""
    by_name = {_name(folder).lower(): folder for folder in folders}
    return [by_name[name] for name in names if name in by_name]


def _name(folder: str) -> str:
    return os.path.basename(folder)


def _divide(found: _Labelled, split: str, holdout: float) -> list[str]:
    """Return the files of one split, divided within each class and shuffled the same way each time."""
    groups: dict[int, list[str]] = {}
    for file in found.files:
        groups.setdefault(found.labels.get(file, 0), []).append(file)
    kept = []
    for group in groups.values():
        order = np.random.default_rng(0).permutation(len(group))
        kept += [group[i] for i in order[part_of_split(len(group), split, holdout)]]
    return sorted(kept, key=parts)


# --- what is told of them -----------------------------------------------------------------------


def _spread(files: list[str]) -> list[str]:
    """Return at most LOOKED_AT of the files, evenly spread."""
    return files[:: -(-len(files) // LOOKED_AT) or 1]


def _value_range(request: Request, files: list[str], headers: list[Header]) -> ValueRange | None:
    """Return the range that the user gave, or that of the files deeper than 8 bits, of which a sample is decoded."""
    if isinstance(given := request.value_range, ValueRange):
        return given
    if given == "depth":
        return None
    if given is not None:
        return ValueRange(*given, every=True)
    deep = [h.file for h in headers if is_deep(h.mode)]
    return find_range(deep) if deep else None


def _layout(found: _Labelled, mode: str) -> str:
    if found.classes:
        return "each sub-folder is a class (--labels none if they are not)"
    return "sub-folders are no classes, no labels" if mode == "none" else "no sub-folders, no labels"


def _by_ending(files: list[str]) -> dict[str, int]:
    return dict(Counter(os.path.splitext(file)[1].lower() for file in files))


def _class_counts(found: _Labelled, files: list[str]) -> dict[str, int]:
    counts = Counter(found.classes[found.labels[file]] for file in files) if found.classes else Counter()
    return {name: counts[name] for name in found.classes}


def _extent(headers: list[Header]) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return the least and the greatest width and height."""
    if not headers:
        return None
    widths, heights = zip(*(h.size for h in headers), strict=True)
    return (min(widths), min(heights)), (max(widths), max(heights))
