"""Vectors for image files: whatever files one has, without labels, splits or a training run."""

import os
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from unicodedata import normalize

import torch
from torch import Tensor, nn

from ..config.errors import DataError
from ..config.user_text import user_path
from ..data.bands import is_array
from ..data.decode import NAMED, open_picture, refusal, stack
from ..data.formats import extensions
from ..data.headers import sample_headers
from ..data.layout import TEST_FOLDERS, TRAIN_FOLDERS
from ..data.reading import channels_of_an_encoder, check_channels, choose_reading
from ..data.tree import Tree, look
from ..data.value_range import Scale, ValueRange, check_scale
from .features import features


@dataclass(frozen=True)
class ImageVectors:
    """Image files and the representation of each.

    files       paths, in the order in which they were given
    features    float32 (N, D), y = f(x)
    unreadable  files that were left out, with the reason
    labels      int64 (N,), the position of each file's class in `classes`; None unless a single folder was given whose
                images all lie in sub-folders, which are the classes
    classes     names of the classes, sorted; those of train/ and test/ are the folders in these
    """

    files: list[str]
    features: Tensor
    unreadable: dict[str, str] = field(default_factory=dict)
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()


def embed_images(
    encoder: nn.Module,
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    size: int | None = None,
    value_range: Scale = None,
    corrupt: str = "refuse",
    batch_size: int = 256,
    channels: int | None = None,
    bits: int | None = None,
) -> ImageVectors:
    """Compute y = f(x) for image files, in evaluation mode, without gradient; one file is enough.

    Args:
        encoder: as `bt.load_encoder` or `trainer.model.encoder` gives it, or any network that maps (N, C, H, W) to
            (N, D).
        paths: a file, a folder (all images in it and below), or several of these. ~ is the home folder.
        size: pixels a side to which images are brought, as in training. Default: the encoder's `view_size`, else 96.
        value_range: the values (LOW, HIGH) that become black and white. Default: those of the training, if the
            encoder is from a file that holds them; else as in `load`, found from these files.
        corrupt: "refuse" raises an error that names the files that cannot be read; "skip" leaves them out.
        batch_size: images that are decoded and encoded at a time.
        channels: as in `load`. Default: as many as the encoder is made for.
        bits: 8 or 16, as in `load`. Default: those of the training, if the encoder is from a file that holds them.

    Raises:
        DataError: no image; a path that does not exist; a file that cannot be read, unless `corrupt` is "skip".
    """
    if corrupt not in ("refuse", "skip"):
        raise DataError(f"corrupt={corrupt!r}: choose refuse or skip")
    check_scale(value_range)
    check_channels(channels, bits)
    paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    files = list_images(paths)
    size = size or int(getattr(encoder, "view_size", 0)) or 96
    mean, bits = getattr(encoder, "pixel_mean", None), bits or getattr(encoder, "bits", None)
    own = channels is None
    channels = channels or (None if mean is None else len(mean))
    if value_range is None and (scale := getattr(encoder, "value_range", None)) is not None:
        value_range = ValueRange(*scale)
    with channels_of_an_encoder() if own else nullcontext():
        how = choose_reading(sample_headers(files), size, channels, bits, value_range)
    rows: list[Tensor] = []
    kept: list[str] = []
    unreadable: dict[str, str] = {}
    for first in range(0, len(files), batch_size):
        part = files[first : first + batch_size]
        pixels, bad = stack(partial(open_picture, how=how), part, how)
        unreadable |= {part[i]: reason for i, reason in bad.items()}
        good = [i for i in range(len(part)) if i not in bad]
        kept += [part[i] for i in good]
        if good:
            rows.append(features(encoder, pixels[good], batch_size))
    if unreadable and (corrupt == "refuse" or not kept):
        raise refusal(unreadable, len(files))
    return ImageVectors(kept, torch.cat(rows), unreadable, *number_classes(classes_of(paths, kept)))


def classes_of(paths: Sequence[str | os.PathLike[str]], files: Sequence[str]) -> list[str]:
    """Return the class of each file, which is the first folder on its way from a single folder; empty where there are none.

    Where those folders are the splits of a data set, as `load` reads them, it is the second. Folders that `load` takes for
    no classes, such as tests without train/, give none.
    """
    if len(paths) != 1 or not (root := user_path(paths[0])).is_dir():
        return []
    ways = [Path(file).relative_to(root).parts[:-1] for file in files]
    first = {way[0].lower() for way in ways if way}
    train, tests = first & set(TRAIN_FOLDERS), first & set(TEST_FOLDERS)
    if not train and first == tests:
        return []
    if train and (tests or first == train):
        names = _names_in_splits(ways, train, tests)
    else:
        names = [way[0] if way else "" for way in ways]
    return names if all(names) else []


def _names_in_splits(ways: Sequence[tuple[str, ...]], train: set[str], tests: set[str]) -> list[str]:
    """Return the class on each way, its second folder, as train/ spells it; "" beside the splits and without a class.

    The same accent may be encoded in two ways, and the names in both splits may differ in that.
    """
    own = {way[1] for way in ways if len(way) > 1 and way[0].lower() in train}
    spelled = {normalize("NFC", name): name for name in own}
    names = [way[1] if len(way) > 1 and way[0].lower() in train | tests else "" for way in ways]
    return [name if name in own else spelled.get(normalize("NFC", name), name) for name in names]


def number_classes(names: Sequence[str]) -> tuple[Tensor | None, tuple[str, ...]]:
    """Return the position of each name among the sorted names, int64 (N,), and these; None of no names."""
    classes = tuple(sorted(set(names)))
    position = {name: k for k, name in enumerate(classes)}
    return torch.tensor([position[name] for name in names]) if names else None, classes


def list_images(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str]:
    """List the image files that these paths name: files as they are, and all images in folders and below.

    Raises:
        DataError: a path that does not exist; no image at all; a file that is no image by its ending.
    """
    return find_images(paths).images


def find_images(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> Tree:
    """Find the image files that these paths name, as `list_images` does, and what else lies in their folders."""
    several = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found = Tree()
    for path in map(user_path, several):
        if path.is_dir():
            found.add(look(path))
        elif not path.exists():
            what = "is a link that leads nowhere" if path.is_symlink() else "does not exist"
            raise DataError(f"{str(path)!r} {what}: name image files or folders of images")
        elif path.suffix.lower() not in extensions() and not is_array(path):
            raise DataError(f"{str(path)!r} is no image by its ending: name image files or folders of images")
        elif not path.is_file():
            raise DataError(f"{str(path)!r} is a pipe or a device: name image files or folders of images")
        else:
            found.images.append(str(path))
    if not found.images:
        raise DataError(f"there is no image in {', '.join(map(str, several[:NAMED])) or 'an empty list'}: name some")
    return found
