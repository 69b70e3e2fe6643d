"""The layout of a folder of images: which files belong to which split, and what their labels are.

    PATH/*.jpg                       flat: no labels, divided 80 : 20
    PATH/CLASS/**/*.jpg              class sub-folders: labels, each class divided 80 : 20
    PATH/train/..., PATH/test/...    the folder's own split, in any case; train/ may be called training/, test/ also
                                     testing/, val/, valid/ or validation/

Only the names of files and folders are read.
"""

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

import numpy as np

from ..config.errors import DataError
from .request import HOLDOUT
from .tree import Tree, folders_in, look, parts, subfolders

TRAIN_FOLDERS = ("train", "training")
TEST_FOLDERS = ("test", "testing", "val", "valid", "validation")  # the first one found beside train/ is taken
PICTURE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages", "pictures")
SEEN = 5  # classes that are looked into for folders of splits
ANNOTATION_FOLDERS = ("labels", "label", "annotations", "annotation", "masks", "mask", "imagesets")


@dataclass(frozen=True)
class Layout:
    """The image files of a folder by split, with their labels.

    files      "train" and "test": paths, sorted; the latter may be none
    labels     for each of these files the position of its class in `classes`; empty for a split without labels
    classes    names of the classes of the training images; empty without labels
    own_split  whether the folder has train/ and test/, or at least train/
    train      the name of its folder of training images; "" without an own split
    divided    how the splits came about, in words
    tree       all that lies in the folder, its images being those that are used
    """

    files: dict[str, list[str]]
    labels: dict[str, dict[str, int]]
    classes: tuple[str, ...]
    own_split: bool
    train: str
    divided: str
    tree: Tree


def arrange(path: Path, mode: str, holdout: float) -> Layout:
    """Find out how a folder is arranged; `mode` and `holdout` are `labels` and `holdout` of data.load.

    Raises:
        DataError: no image, or none in a class; a class that only the test images have; pictures and annotations side by
            side.
    """
    folders, tree = subfolders(path)
    if mode != "folders":
        refuse_annotations(path, folders)
    trains, tests = named(folders, TRAIN_FOLDERS), named(folders, TEST_FOLDERS)
    # A train/ that lies among other folders, without a test/, is a class as they are: bus/, car/, train/.
    if trains and (tests or len(folders) == 1):
        return _own_split(path, mode, folders, trains[0], tests, tree)
    found = labelled(path, mode)
    files = {split: divide(found, split, holdout) for split in ("train", "test")}
    kept = f"{holdout:.0%} of " + ("each class" if found.classes else "them") + " kept for tests"
    divided = kept if holdout else "none kept for tests"
    both = {"train": found.labels, "test": found.labels}
    return Layout(files, both, found.classes, False, "", divided, found.tree)


def _own_split(path: Path, mode: str, folders: list[str], train: str, tests: list[str], tree: Tree) -> Layout:
    """Return the layout of a folder with train/, and mostly test/, of its own. `tree` is what lies beside them."""
    warn_of_images_beside(path, f"{_name(train)}/", "move them into it, or into the folder of test images")
    ours = labelled(Path(train), mode)
    theirs = Labelled([], {}, (), Tree())
    if tests:  # without classes in train/, folders in test/ can be no classes either
        theirs = labelled(Path(tests[0]), mode if ours.classes else "none", ours.classes)
    tree.images = []  # those beside train/, which are not used
    tree.add(ours.tree)
    tree.add(theirs.tree)
    divided = f"the folder's own split, {_name(train)}/" + (f" and {_name(tests[0])}/" if tests else "")
    divided += "".join(f"; {_name(other)}/ is not used" for other in folders if other not in (train, *tests[:1]))
    if tests and ours.classes and not theirs.classes:  # as in competitions
        divided += f"; {_name(tests[0])}/ has no sub-folders, so its images have no labels"
    if tests and mode == "auto" and not ours.classes and subfolders(tests[0])[0]:
        divided += f"; {_name(train)}/ has no sub-folders, so those of {_name(tests[0])}/ are no classes"
    files, labels = {"train": ours.files, "test": theirs.files}, {"train": ours.labels, "test": theirs.labels}
    return Layout(files, labels, ours.classes, True, _name(train), divided, tree)


def part_of_split(n: int, split: str, holdout: float = HOLDOUT) -> slice:
    """Return which of n images are a split: the last `holdout` of them are test images, at least one of each if n > 1."""
    cut = min(max(1, round(n * (1 - holdout))), n - 1) if holdout and n > 1 else n
    return slice(0, cut) if split == "train" else slice(cut, n)


@dataclass(frozen=True)
class Labelled:
    """The image files below a folder, sorted; the class of each, as its position in `classes`; and all that lies there."""

    files: list[str]
    labels: dict[str, int]
    classes: tuple[str, ...]
    tree: Tree


def labelled(path: Path, mode: str, known: tuple[str, ...] = ()) -> Labelled:
    """List the images below a folder and, if it has sub-folders, their labels and classes.

    mode: "auto": sub-folders are classes; "folders": they must be there; "none": they mean nothing.
    known: the classes of the training images, so that a label means the same class in both splits.
    """
    folders, tree = subfolders(path)
    if mode != "folders":
        refuse_annotations(path, folders)
    if mode == "auto":
        refuse_splits(path, folders)
    if mode == "none":
        tree = look(path)
        return Labelled(_some(path, tree), {}, (), tree)
    if not folders:
        if mode == "folders":
            raise DataError(f"folder {str(path)!r} has no sub-folders to be classes: add some, or choose labels='none'")
        return Labelled(_some(path, tree), {}, (), tree)
    warn_of_images_beside(path, "its class folders", "move them into the folder of their class")
    tree.images = []
    classes = known or tuple(map(_name, folders))
    files: list[str] = []
    labels: dict[str, int] = {}
    spelled = {normalize("NFC", name): name for name in classes}  # an é may be one character, or an e and an accent
    for folder in folders:
        name = _name(folder)
        if name not in classes:
            name = spelled.get(normalize("NFC", name), "")
        if name not in classes:
            name = _name(folder)
            raise DataError(f"class {name!r} in {str(path)!r} is not one of train/: {', '.join(classes)}; rename it")
        inside = look(folder, root=path)
        inside.links += os.path.islink(folder)
        if not inside.images:
            hidden = f" but {inside.hidden_images} hidden ones" if inside.hidden_images else ""
            raise DataError(
                f"class {name!r} in {str(path)!r} has no images{hidden}: add some, remove the folder, or choose "
                "labels='none' if sub-folders are not classes"
            )
        tree.add(inside)
        files += inside.images
        labels |= dict.fromkeys(inside.images, classes.index(name))
    return Labelled(files, labels, classes, tree)


def _some(path: Path, tree: Tree) -> list[str]:
    """Return the images of a tree, or raise DataError if there are none."""
    if not tree.images:
        others = sum(tree.others.values())
        holds = f"holds {others} files but no image" if others else "is empty"
        holds += f", except for {tree.hidden_images} hidden images" if tree.hidden_images else ""
        if tree.left_out:
            holds += (
                f", except for {len(tree.left_out)} folders that hold no data ({next(iter(tree.left_out.values()))})"
            )
        raise DataError(
            f"folder {str(path)!r} {holds}: put images (.jpg, .png, ...) there, or into a sub-folder for each class"
        )
    return tree.images


def refuse_annotations(path: Path, folders: Sequence[str]) -> None:
    """Raise DataError for pictures and annotations side by side, as YOLO and COCO keep them; they are not two classes."""
    pictures, annotations = named(folders, PICTURE_FOLDERS), named(folders, ANNOTATION_FOLDERS)
    if pictures and annotations:
        raise DataError(
            f"folder {str(path)!r} has {_name(pictures[0])}/ beside {_name(annotations[0])}/, as sets for detection and "
            f"segmentation do: these are not two classes; give folder:{pictures[0]}, or labels='folders' if they are classes"
        )


def refuse_splits(path: Path, folders: Sequence[str]) -> None:
    """Raise DataError for folders of splits that would become classes; print a warning for some that may be meant.

    Unpacked archives often hold a folder in a folder of the same name, or one folder around train/ and test/.
    """
    ways = "or labels='folders' if its sub-folders are classes"
    if named(folders, TRAIN_FOLDERS) and named(folders, TEST_FOLDERS):
        both = f"{_name(named(folders, TRAIN_FOLDERS)[0])}/ and {_name(named(folders, TEST_FOLDERS)[0])}/"
        raise DataError(f"folder {str(path)!r} lies within a split and has {both} itself: give folder:{path}, {ways}")
    if len(folders) == 1 and named(folders, TRAIN_FOLDERS + TEST_FOLDERS):
        raise DataError(
            f"the only folder in {str(path)!r} is {_name(folders[0])}/, which is called like a split: give "
            f"folder:{folders[0]}, {ways}"
        )
    inner = {folder: folders_in(folder) for folder in folders[:SEEN]}
    split = [folder for folder, found in inner.items() if named(found, TRAIN_FOLDERS) and named(found, TEST_FOLDERS)]
    if split and len(folders) == 1:
        raise DataError(
            f"the only folder in {str(path)!r} is {_name(folders[0])}/, and it has folders for training and tests: give "
            f"folder:{folders[0]}, {ways}"
        )
    if split:
        warnings.warn(
            f"class {_name(split[0])!r} in {str(path)!r} has folders for training and tests, which are not used as such; for "
            "that, put train/ and test/ outside and the classes inside",
            stacklevel=3,
        )
    elif len(folders) == 1 and len(inner[folders[0]]) > 1 and not look(folders[0], deep=False).images:
        warnings.warn(
            f"all of {str(path)!r} is one class, {_name(folders[0])!r}; if the folders in it are the classes, give "
            f"folder:{folders[0]}",
            stacklevel=3,
        )


def warn_of_images_beside(path: Path, what: str, advice: str) -> None:
    if beside := look(path, deep=False).images:
        count = "1 image lies" if len(beside) == 1 else f"{len(beside)} images lie"
        warnings.warn(
            f"{count} in {str(path)!r} beside {what} and will not be used, for example {beside[0]!r}: {advice}",
            stacklevel=3,
        )


def named(folders: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return those of the folders that have one of these names, in any case, in the order of the names."""
    by_name = {_name(folder).lower(): folder for folder in folders}
    return [by_name[name] for name in names if name in by_name]


def _name(folder: str) -> str:
    return os.path.basename(folder)


def divide(found: Labelled, split: str, holdout: float) -> list[str]:
    """Return the files of one split, divided within each class and shuffled the same way each time."""
    groups: dict[int, list[str]] = {}
    for file in found.files:
        groups.setdefault(found.labels.get(file, 0), []).append(file)
    kept = []
    for group in groups.values():
        order = np.random.default_rng(0).permutation(len(group))
        kept += [group[i] for i in order[part_of_split(len(group), split, holdout)]]
    return sorted(kept, key=parts)
