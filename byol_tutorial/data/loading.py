"""Images: `load` makes an ImageSet from any source that has an entry in SOURCES.

    load("shapes")              drawn by the library, with the factors of every picture
    load("digits")              scikit-learn's bundled handwritten digits
    load("photographs")         squares of ten real photographs that the library brings
    load("cifar10"), ...        torchvision's sets, through their normal download
    load("folder:PATH")         your images, in class sub-folders or flat

Images that a program already has, as arrays, tensors or a data set of another library, become one by `images_from`.

All become uint8 (N, 3, size, size) in memory, so that training can keep them on its device; files of a folder may have
other channels than red, green and blue, and keep 16 bits where they are deeper than 8 (reading.py). Only a folder too large
for memory stays on disk, as a StreamedSet, which has the same methods.

A new source is a function from a Request to an ImageSet or a StreamedSet, and one entry in SOURCES.
"""

import os
import tempfile
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, overload

from ..config.errors import DataError
from .embedded import load_digits, load_shapes
from .folder import load_folder
from .image_set import ImageSet
from .photographs import load_photographs
from .request import HOLDOUT, Request, Source, in_memory
from .streaming import StreamedSet
from .torchvision_sets import TORCHVISION, load_torchvision
from .value_range import Scale

# what torch and Python say in a RuntimeError when the system gives no more memory
NO_MEMORY = ("can't allocate memory", "not enough memory", "can't start new thread")

# the name of a set, or a prefix that ends in ":" and is followed by a place
SOURCES: dict[str, Source] = {
    "shapes": in_memory(load_shapes),
    "digits": in_memory(load_digits),
    "photographs": in_memory(load_photographs),
    **dict.fromkeys(TORCHVISION, in_memory(load_torchvision)),
    "folder:": load_folder,
}


@overload
def load(
    name: Literal["shapes", "digits", "photographs"],
    split: str = "train",
    size: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    corrupt: str = "refuse",
    root: str | Path | None = None,
    stream: bool | None = None,
) -> ImageSet: ...


@overload
def load(
    name: str,
    split: str = "train",
    size: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    corrupt: str = "refuse",
    root: str | Path | None = None,
    stream: bool | None = None,
    labels: str = "auto",
    holdout: float = HOLDOUT,
    value_range: Scale = None,
    channels: int | None = None,
    bits: int | None = None,
) -> ImageSet | StreamedSet: ...


def load(
    name: str,
    split: str = "train",
    size: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    corrupt: str = "refuse",
    root: str | Path | None = None,
    stream: bool | None = None,
    labels: str = "auto",
    holdout: float = HOLDOUT,
    value_range: Scale = None,
    channels: int | None = None,
    bits: int | None = None,
) -> ImageSet | StreamedSet:
    """Load images by name; see the module's docstring for the names.

    Args:
        split: "train" or "test". A folder with train/ and test/ (or val/) inside keeps its own split;
            any other folder, and a torchvision set without one, is divided 80 : 20, the same way each time;
            see `holdout`.
        size: pixels a side. Default: the images' own size where all are square, equal and at most 96 px; else 96.
            Images are resized by their shorter side and cropped to the centre.
        limit: the largest number of images, drawn without repetition, the same for the same seed.
        seed: draws "shapes", the squares of "photographs", and `limit`. A whole number, at least 0.
        corrupt: what to do about files that cannot be read. "refuse" raises an error that names them; "skip" leaves
            them out and lists them in `skipped`. In a streamed set this happens as the files are read, while training.
        root: where torchvision keeps its sets. Default: $BYOL_DATA, else ~/.cache/byol_tutorial.
        stream: leave a folder's images on disk and decode them while training. Default: where they would take
            more than 4 GiB of memory.
        labels: whether the sub-folders of a folder are classes. "auto": if there are any; "folders": they must be
            there; "none": they mean nothing, such as dates or patients.
        holdout: share of a folder's images, in [0, 1), that are kept for tests where it has no split of its own.
        value_range: the values (LOW, HIGH) that become black and white in a folder's images. Default: 8-bit images are
            taken as they are; for deeper ones, one range is found from a sample of the files, see value_range.py.
        channels: of a folder's images. 1: grey; 3: red, green and blue; N: the first N bands of the files. Default: grey
            and coloured files become three channels, and files with other bands keep all of them.
        bits: 8 or 16, the depth of a folder's images. Default: 16 where a file is deeper than 8 bits, else 8.

    Raises:
        DataError: an unknown name, or a value that is not allowed; a folder that is missing, holds no image or only
            one, has a class without images or a file that cannot be read; a set that cannot be downloaded.
    """
    source = source_of(name)
    place = Path(root or default_root())
    request = Request(
        name, split, size, limit, seed, corrupt, place, stream, labels, holdout, value_range, channels, bits
    )
    try:
        return source(request)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in NO_MEMORY):
            raise
        remedy = "give stream=True (--stream), a smaller size" if name.startswith("folder:") else "give a smaller size"
        raise DataError(
            f"the {split} images of {name!r} do not fit into the memory that this process may use: {remedy}, or a limit "
            "(--limit)"
        ) from error


def source_of(name: str) -> Source:
    """Return the entry of SOURCES for this name.

    Raises:
        DataError: an unknown name; the message suggests a similar one, or lists all.
    """
    if not isinstance(name, str):
        raise DataError(
            f"data set {name!r:.60}: give its name as text, such as 'shapes' or 'folder:PATH'; bt.images_from takes arrays and data sets"
        )
    prefix, colon, _ = name.partition(":")
    if source := SOURCES.get(prefix + colon):
        return source
    known = [entry for entry in SOURCES if not entry.endswith(":")]
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}, or folder:PATH"
    if name and Path(name).is_dir():
        hint = f"for a folder of images write 'folder:{name}'"
    raise DataError(f"unknown data set {name!r}: {hint}")


def default_root() -> Path:
    """Return the folder where torchvision keeps its sets: $BYOL_DATA, else `kept_folder`."""
    return Path(os.environ.get("BYOL_DATA") or kept_folder())


def kept_folder() -> Path:
    """Return the folder for what is kept between runs: ~/.cache/byol_tutorial.

    A user without a home folder, as in some containers, gets a folder among temporary files.
    """
    try:
        return Path.home() / ".cache" / "byol_tutorial"
    except RuntimeError:
        user = os.getuid() if hasattr(os, "getuid") else "user"
        return Path(tempfile.gettempdir()) / f"byol_tutorial-{user}"
