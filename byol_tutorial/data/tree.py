"""The image files below a folder, and everything else that lies there: counted, so that nothing is left out in silence.

Links to folders are followed, and a link that leads back to a folder above it is not. Folders that systems and
programs leave behind, and the run folders of this library, hold no data and are not entered. Where such a folder has a name
that may also be that of a class, its contents decide. Pipes and devices, on which reading may wait for ever, are not read.
"""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..config.errors import DataError
from .bands import is_array
from .formats import extensions

# folders that other programs leave among a user's files, in lower case
LITTER = frozenset({
    "@eadir", "#recycle", "@recycle", "$recycle.bin", "system volume information", "lost+found", ".trash",
    ".trashes", ".spotlight-v100", ".fseventsd", "__macosx", "__pycache__",
})  # fmt: skip
THUMBNAILS, RECYCLER = "thumbnails", "recycler"  # so may these be called, but classes of images, too
LEFT = "left by the system or another program"
HIDDEN, COPIES = "hidden", "copies of the images beside it"
RUN_FILES = ("settings.json", "checkpoint.pt")  # a folder with both is a run of this library
RESERVED = ".byol-run"  # so is a folder with this file, which a run writes first
RUN = "a run folder"
LITTER_FILES = ("thumbs.db", "desktop.ini")


@dataclass
class Tree:
    """The contents of a folder, as `look` finds them.

    images      paths of image files, sorted; of .npy files where there are no others
    arrays      paths of .npy files
    others      number of the other files for each ending, such as {".heic": 12}; "" are files without one
    left_out    folders that were not entered, with the reason
    links       number of links to folders that were followed
    dead_links  links that lead nowhere, or to themselves
    special     pipes and devices that have the ending of an image
    kept        folders that are used as data, although programs also leave folders of this name
    hidden      number of hidden files, and of those that systems leave behind
    hidden_images  number of hidden files that have the ending of an image
    """

    images: list[str] = field(default_factory=list)
    arrays: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, str] = field(default_factory=dict)
    links: int = 0
    dead_links: list[str] = field(default_factory=list)
    special: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    hidden: int = 0
    hidden_images: int = 0

    def add(self, other: "Tree") -> None:
        """Take in what another part of the same folder holds."""
        self.images += other.images
        self.others += other.others
        self.left_out |= other.left_out
        self.links += other.links
        self.dead_links += other.dead_links
        self.special += other.special
        self.kept += other.kept
        self.hidden += other.hidden
        self.hidden_images += other.hidden_images


def look(folder: str | os.PathLike[str], deep: bool = True, root: str | os.PathLike[str] | None = None) -> Tree:
    """Find what lies in a folder, and with `deep` in all folders below.

    root: a folder above this one, to which no link is followed back.

    Raises:
        DataError: a folder that cannot be listed.
    """
    tree = Tree()
    try:
        if _is_run(folder):
            raise DataError(
                f"{os.fspath(folder)!r} is a run folder, and its figures are no data: give the folder of the images"
            )
        seen = set() if root is None else {_identity(root)}
        _look(os.fspath(folder), deep, tree, seen)
    except OSError as error:
        raise _cannot_be_listed(error) from error
    if tree.arrays and not tree.images:  # beside images they hold something else, such as labels
        tree.images = tree.arrays
    else:
        tree.others[".npy"] += len(tree.arrays)
    tree.others = +tree.others  # without zeros
    tree.images.sort(key=parts)
    return tree


def subfolders(folder: str | os.PathLike[str]) -> tuple[list[str], Tree]:
    """Return the paths of the folders in a folder that may hold data, sorted, and what was left out beside them.

    Raises:
        DataError: the folder cannot be listed.
    """
    beside = look(folder, deep=False)
    return sorted((path for path in folders_in(folder) if path not in beside.left_out), key=parts), beside


def folders_in(folder: str | os.PathLike[str]) -> list[str]:
    """Return the paths of all folders in a folder, without a look at its files, of which there may be a million.

    Raises:
        DataError: the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return [entry.path for entry in entries if _is_folder(entry)]
    except OSError as error:
        raise _cannot_be_listed(error) from error


def _cannot_be_listed(error: OSError) -> DataError:
    return DataError(
        f"folder {error.filename!r} cannot be listed ({error.strerror}): give yourself the permission to read it, "
        "or move it elsewhere"
    )


def parts(path: str) -> list[str]:
    """Return the parts of a path, by which paths are sorted: "a/b" comes before "a-1/b"."""
    return path.split(os.sep)


def not_data(name: str, names: Iterable[str]) -> str:
    """Return why a folder of this name, with these entries, holds no data; "" where it may."""
    if name.lower() in LITTER:
        return LEFT
    if name.startswith("."):
        return HIDDEN
    names = set(names)
    if RESERVED in names or names.issuperset(RUN_FILES):
        return RUN
    return ""


def _is_run(folder: str | os.PathLike[str]) -> bool:
    """Return whether a folder is that of a run, as `not_data` does, without a list of its files."""
    there = lambda name: os.path.lexists(os.path.join(folder, name))  # noqa: E731
    return there(RESERVED) or all(map(there, RUN_FILES))


def _look(folder: str, deep: bool, tree: Tree, seen: set[tuple[int, int]]) -> None:
    """Add what lies in a folder to the tree. `seen` are the folders that were entered."""
    seen.add(_identity(folder))
    with os.scandir(folder) as opened:
        entries = sorted(opened, key=lambda entry: entry.name)
    for entry in entries:
        ending = os.path.splitext(entry.name)[1].lower()
        if _is_folder(entry):
            if reason := _closed(entry, seen):
                tree.left_out[entry.path] = reason
                continue
            if entry.name.lower() in (THUMBNAILS, RECYCLER):
                tree.kept.append(entry.path)
            if deep:
                tree.links += entry.is_symlink()
                _look(entry.path, deep, tree, seen)
        elif entry.is_symlink() and not os.path.exists(entry.path):
            tree.dead_links.append(entry.path)
        elif entry.name.startswith(".") or entry.name.lower() in LITTER_FILES:
            tree.hidden += 1
            tree.hidden_images += ending in extensions() and not entry.name.startswith("._")  # macOS leaves these
        elif ending not in extensions() and not is_array(entry.path):
            tree.others[ending] += 1
        elif not entry.is_file():
            tree.special.append(entry.path)
        else:
            (tree.arrays if is_array(entry.path) else tree.images).append(entry.path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder or a link to one; a link that leads back to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _closed(entry: os.DirEntry[str], seen: set[tuple[int, int]]) -> str:
    """Return why a folder is not entered; "" where it is."""
    if reason := not_data(entry.name, ()):
        return reason
    if entry.is_symlink() and _is_above(entry.path):
        return "a link to a folder above it"
    inside = os.listdir(entry.path)
    if entry.name.lower() == THUMBNAILS and _only_copies(entry.path):
        return COPIES
    if entry.name.lower() == RECYCLER and all(name.upper().startswith("S-1-") for name in inside):  # numbers of users
        return LEFT
    if reason := not_data(entry.name, inside):
        return reason
    if _only_runs(entry.path, inside):
        return "a folder of runs"
    return "used already, through a link" if _identity(entry.path) in seen else ""


def _is_above(link: str) -> bool:
    """Return whether a link leads to the folder in which it lies, or to one above that."""
    target, here = os.path.realpath(link), os.path.realpath(os.path.dirname(link))
    return os.path.join(here, "").startswith(os.path.join(target, ""))


def _only_copies(folder: str) -> bool:
    """Return whether each image in a folder and below has the name of one at the same place beside the folder.

    The endings may differ, and a copy may keep that of the original within its name: sea.tif, sea.jpg, sea.tif.jpg.
    """
    beside = os.path.dirname(folder)
    for place, _, names in os.walk(folder):
        try:
            originals = [n for n in os.listdir(os.path.join(beside, os.path.relpath(place, folder))) if _is_image(n)]
        except OSError:  # there is no such place
            originals = []
        known = {os.path.splitext(name)[0] for name in originals}.union(originals)
        if not all(os.path.splitext(name)[0] in known for name in names if _is_image(name)):
            return False
    return True


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in extensions() and not name.startswith(".")


def _only_runs(folder: str, inside: Iterable[str], depth: int = 4) -> bool:
    """Return whether a folder with these entries holds nothing but run folders, and folders of run folders."""
    below = [os.path.join(folder, name) for name in inside if not name.startswith(".")]
    if not below or depth == 0 or not all(map(os.path.isdir, below)):
        return False
    for path in below:
        names = os.listdir(path)
        if not_data("", names) != RUN and not _only_runs(path, names, depth - 1):
            return False
    return True


def _identity(folder: str | os.PathLike[str]) -> tuple[int, int]:
    """Return what distinguishes a folder from all others, by whatever path it is reached."""
    found = os.stat(folder)
    return found.st_dev, found.st_ino
