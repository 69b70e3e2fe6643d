"""What the headers of image files tell, without decoding them: size, channels, depth, pages; and what follows from them."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import UnidentifiedImageError

from .bands import deep_colour, drops_planes, has_more, has_tifffile, holds_more, is_array, is_tiff, pages_of, shape_of
from .formats import open_image
from .value_range import Scale, ValueRange, find_range, is_deep

LARGEST_DEFAULT = 96  # pixels a side that images of different sizes are brought to, unless a size is given
LOOKED_AT = 2048  # headers that are read for sizes, depth and pages


@dataclass(frozen=True)
class Header:
    """What the header of a file says.

    size         width and height
    pages        number of pages
    channels     1 of grey files, 3 of coloured ones, or the number of bands; opacity is not counted
    deep         whether its values are others than 0 to 255: more than 8 bits, signed, or floats
    deep_colour  whether it is a colour file of 16 bits a channel, of which Pillow keeps the upper eight
    more         whether the file holds further pages or frames
    """

    file: str | os.PathLike[str]
    size: tuple[int, int]
    pages: int = 1
    channels: int = 3
    deep: bool = False
    deep_colour: bool = False
    more: bool = False

    def pages_are(self, channels: int) -> bool:
        """Return whether the pages become so many channels, as `open_picture` decides."""
        return self.channels == 1 and self.pages == channels != 3


def read_header(file: str | os.PathLike[str]) -> Header | None:
    """Read the header alone; return None for a file that cannot be read, for whatever reason Pillow gives."""
    try:
        if is_array(file):
            return _of_bands(file)
        try:
            with open_image(file) as image:
                if not holds_more(image, deep=False):
                    readable = image.format != "TIFF" or has_tifffile()
                    deep = is_deep(image.mode) or (deep_colour(image) and readable)
                    own = _channels_of(image.mode)
                    return Header(file, image.size, pages_of(image), own, deep, deep_colour(image), has_more(image))
        except UnidentifiedImageError:
            if not is_tiff(file):
                return None
        return _of_bands(file)
    except Exception:  # damaged files lead Pillow to raise errors of many kinds
        return None


def _of_bands(file: str | os.PathLike[str]) -> Header:
    width, height, channels, kind = shape_of(file)
    return Header(file, (width, height), 1, channels, kind not in (np.uint8, np.bool_), more=drops_planes(file))


def _channels_of(mode: str) -> int:
    """Return the channels of a Pillow mode, without opacity; those of a palette are three."""
    if mode in ("1", "L", "LA", "La") or is_deep(mode):
        return 1
    return 4 if mode == "RGBX" else 3


def sample_headers(files: Sequence[str]) -> list[Header]:
    """Read the headers of at most LOOKED_AT of the files, evenly spread; those that cannot be read are left out."""
    return [h for h in map(read_header, files[:: -(-len(files) // LOOKED_AT) or 1]) if h is not None]


def common_size(sizes: Iterable[tuple[int, int]]) -> int:
    """Return the side of pictures that are all square, equal and at most LARGEST_DEFAULT; else LARGEST_DEFAULT.

    It stops at the first size that decides this.
    """
    first = None
    for width, height in sizes:
        first = first or (width, height)
        if (width, height) != first or width != height or width > LARGEST_DEFAULT:
            return LARGEST_DEFAULT
    return first[0] if first else LARGEST_DEFAULT


def extent(headers: Sequence[Header]) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return the least and the greatest width and height; None of no headers."""
    if not headers:
        return None
    widths, heights = zip(*(h.size for h in headers), strict=True)
    return (min(widths), min(heights)), (max(widths), max(heights))


def choose_range(given: Scale, headers: Sequence[Header]) -> ValueRange | None:
    """Return the range by which images with these headers are scaled; None: each by what its depth could hold.

    Where none was given, it is found from the files that are deeper than 8 bits, of which a sample is decoded.
    """
    if isinstance(given, ValueRange):
        return given
    if given == "depth":
        return None
    deep = [h.file for h in headers if h.deep]
    found = find_range(deep) if deep else None
    return found if given is None else ValueRange(*given, every=True, gaps=0 if found is None else found.gaps)
