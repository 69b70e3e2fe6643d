"""Folders of images: their files, found by layout.py, become images in memory or on disk, and a record of what was found.

`find` reads names and headers only. `load_folder` then decodes the files at once, or leaves that to streaming.py, which
decodes them while training.
"""

import os
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from unicodedata import normalize

import numpy as np
import torch

from ..config.errors import DataError
from ..config.user_text import user_path
from .decode import open_picture, refusal, stack
from .found import Found
from .headers import Header, common_size, extent, read_header, sample_headers
from .image_set import ImageSet, draw_positions, nearly_constant
from .layout import Layout, arrange
from .reading import Reading, choose_reading, in_words
from .request import Request
from .streaming import StreamedSet

STREAM_ABOVE = 4 * 2**30  # bytes of images; a folder that would take more stays on disk
STRIP = 4  # an image that is so many times as long as wide is mostly cut away
SAMPLED = 256  # images of a streamed folder that are decoded to see whether they have content


class NoTestImages(DataError):
    """The error of a folder that has images to train on, but no test images, and too few to set some apart."""


@dataclass(frozen=True)
class Listing:
    """The image files of one split.

    files        their paths, sorted
    labels       for each file the position of its class in `classes`, or None
    reading      what each of them becomes
    divided      whether the library divided the files, because the folder has no split of its own
    found        what the folder holds
    """

    files: list[str]
    labels: list[int] | None
    classes: tuple[str, ...]
    reading: Reading
    divided: bool
    found: Found


def load_folder(request: Request) -> ImageSet | StreamedSet:
    """Load the images of folder:PATH into memory, or leave them on disk if they are many or if `stream` asks for it.

    Raises:
        DataError: as `find`; files that cannot be read, unless `corrupt` is "skip"; fewer than two images.
        NoTestImages: the folder has training images only, or `holdout` keeps none for tests.
    """
    path = user_path(request.name.removeprefix("folder:"))
    if request.name == "folder:":
        raise DataError("folder: names no folder; give folder:PATH, or folder:. for the one you are in")
    listing = find(path, request)
    stream = request.stream
    if stream is None:
        stream = len(listing.files) * listing.reading.bytes > STREAM_ABOVE
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
        listing.reading.size,
        labels,
        listing.classes,
        request.corrupt,
        listing.reading.value_range,
        listing.reading.channels,
        listing.reading.bits,
    )


def _in_memory(request: Request, listing: Listing) -> ImageSet:
    files = listing.files
    pixels, bad = stack(partial(open_picture, how=listing.reading), files, listing.reading)
    reasons = {files[i]: reason for i, reason in bad.items()}
    if bad and (request.corrupt == "refuse" or len(bad) == len(files)):
        raise refusal(reasons, len(files))
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


def find(path: Path, request: Request) -> Listing:
    """List the files of one split of this folder; the fields of `request` as in data.load.

    Raises:
        DataError: no such folder; its layout cannot be used, see layout.py.
        NoTestImages: the folder has train/, but no folder of test images, or `holdout` is 0.
    """
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise DataError(f"folder {str(path)!r} {what}: give a folder of images, folder:PATH")
    layout = arrange(path, request.labels, request.holdout)
    # the same files decide size and range of both splits, so that their images are comparable
    deciding = layout.files["train"] if layout.own_split else layout.tree.images
    headers, size = sample_headers(deciding), request.size
    if size is None:
        size = common_size(h.size for h in map(read_header, deciding) if h is not None)
    reading = choose_reading(headers, size, request.channels, request.bits, request.value_range)
    files, labels = layout.files[request.split], layout.labels[request.split]
    if request.split == "test" and not files:
        remedy = "add one, or give the path of train/ itself" if layout.own_split else "give a holdout above 0"
        what = f"has {layout.train}/ but no test/ or val/" if layout.own_split else "keeps no images for tests"
        raise NoTestImages(f"folder {str(path)!r} {what}: {remedy}")
    if request.limit is not None and request.limit < len(files):
        files = [files[i] for i in draw_positions(len(files), request.limit, request.seed)]
    chosen = [labels[file] for file in files] if labels else None
    found = _describe(path, request, layout, headers, reading)
    return Listing(files, chosen, layout.classes, reading, not layout.own_split, found)


# --- what is told of them -----------------------------------------------------------------------


def _describe(path: Path, request: Request, layout: Layout, headers: list[Header], reading: Reading) -> Found:
    """Record what the folder holds, as far as names and headers tell it."""
    tree, train, scale = layout.tree, layout.files["train"], reading.value_range
    unusual = {reading.channels, *(h.channels for h in headers)} != {3}
    return Found(
        folder=str(path),
        layout=_in_words(layout, request.labels),
        files=_by_ending(tree.images),
        others=dict(tree.others),
        left_out=tree.left_out,
        links=tree.links,
        dead_links=tuple(tree.dead_links),
        used={split: len(files) for split, files in layout.files.items()},
        divided=layout.divided,
        classes=_class_counts(layout, train),
        sizes=extent(headers),
        looked_at=len(headers),
        size=reading.size,
        deep=sum(h.deep for h in headers),
        channels=reading.channels,
        bits=reading.bits,
        file_channels=in_words(headers) if headers and unusual else "",
        value_range=None if scale is None else (scale.low, scale.high),
        pages=sum(h.more and not h.pages_are(reading.channels) for h in headers),
        deep_colour=sum(h.deep_colour for h in headers),
        hidden=tree.hidden,
        hidden_images=tree.hidden_images,
        alike=_alike(layout.classes),
        strips=sum(max(h.size) > STRIP * min(h.size) for h in headers),
        gaps=0 if scale is None else scale.gaps,
        special=tuple(tree.special),
        kept=tuple(tree.kept),
    )


def _with_pixels(listing: Listing, images: ImageSet | StreamedSet) -> Found:
    """Add to the record what only pixels tell: constant images, and how bright the brightest pixel is."""
    if isinstance(images, StreamedSet):
        files = [listing.files[i] for i in draw_positions(len(listing.files), SAMPLED, seed=0).tolist()]
        pixels, bad = stack(partial(open_picture, how=listing.reading), files, listing.reading)
        unreadable = {files[i]: reason for i, reason in bad.items()}
        readable = [i for i in range(len(files)) if i not in bad]
        pixels, files = pixels[readable], [files[i] for i in readable]
    else:
        pixels, unreadable = images.images, dict(images.unreadable)
        files = [file for file in listing.files if file not in unreadable]
    constant = tuple(files[i] for i in nearly_constant(pixels).nonzero()[:, 0].tolist())
    brightest = max((int(part.int().max()) for part in pixels.split(256)), default=2**listing.reading.bits - 1)
    brightest = brightest * 255 // (2**listing.reading.bits - 1)
    return replace(listing.found, constant=constant, brightest=brightest, unreadable=unreadable)


def _in_words(layout: Layout, mode: str) -> str:
    if layout.classes:
        return "each sub-folder is a class (--labels none if they are not)"
    return "sub-folders are no classes, no labels" if mode == "none" else "no sub-folders, no labels"


def _by_ending(files: list[str]) -> dict[str, int]:
    return dict(Counter(os.path.splitext(file)[1].lower() for file in files))


def _alike(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of classes that differ only in case, in spaces at their ends, or in how their accents are encoded."""
    plain = [normalize("NFC", name).strip().casefold() for name in classes]
    often = Counter(plain)
    return tuple(name for name, key in zip(classes, plain, strict=True) if often[key] > 1)


def _class_counts(layout: Layout, files: list[str]) -> dict[str, int]:
    labels = layout.labels["train"]
    counts = Counter(layout.classes[labels[file]] for file in files) if layout.classes else Counter[str]()
    return {name: counts[name] for name in layout.classes}
