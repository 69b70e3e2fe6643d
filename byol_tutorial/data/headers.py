"""What the headers of image files tell, without decoding them: size, depth, pages; and what follows for a whole folder."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from PIL import Image

from .value_range import Scale, ValueRange, find_range, is_deep

LARGEST_DEFAULT = 96  # pixels a side that images of different sizes are brought to, unless a size is given
LOOKED_AT = 2048  # headers that are read for sizes, depth and pages


@dataclass(frozen=True)
class Header:
    """What the header of a file says: width and height, Pillow's mode, number of pages."""

    file: str | os.PathLike[str]
    size: tuple[int, int]
    mode: str
    pages: int
    deep_colour: bool = False


def read_header(file: str | os.PathLike[str]) -> Header | None:
    """Read the header alone; return None for a file that cannot be read, for whatever reason Pillow gives."""
    try:
        with Image.open(file) as image:
            pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
            return Header(file, image.size, image.mode, pages, _deep_colour(image))
    except Exception:  # damaged files lead Pillow to raise errors of many kinds
        return None


def _deep_colour(image: Image.Image) -> bool:
    """Return whether a colour image has 16 bits a channel in its file, of which Pillow keeps the upper eight."""
    return image.mode.startswith("RGB") and any(";16" in str(tile[-1]) for tile in getattr(image, "tile", ()) or ())


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
    if given is not None:
        return ValueRange(*given, every=True)
    deep = [h.file for h in headers if is_deep(h.mode)]
    return find_range(deep) if deep else None
