"""The formats of image files that are opened, whatever the ending of the file, and why a file cannot be read.

A file's content decides which decoder of Pillow reads it, and not its ending. Some of these start another program
(Ghostscript for EPS), read other files, or only know a film's first frame. So only decoders on a list are used.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

# These are their names in Pillow, which itself decodes all of them into pixels.
FORMATS = (
    "AVIF", "BLP", "BMP", "CUR", "DCX", "DDS", "DIB", "FITS", "FTEX", "GBR", "GIF", "ICNS", "ICO", "IM", "JPEG", "JPEG2000",
    "MSP", "PCD", "PCX", "PIXAR", "PNG", "PPM", "PSD", "QOI", "SGI", "SUN", "TGA", "TIFF", "WEBP", "XBM", "XPM",
)  # fmt: skip


@cache
def formats() -> tuple[str, ...]:
    """Return those of FORMATS that the installed Pillow can read."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@cache
def extensions() -> frozenset[str]:
    """Return the endings of files of these formats, in lower case, with the dot."""
    readable = formats()  # first, because this fills Pillow's tables
    return frozenset(ending for ending, name in Image.EXTENSION.items() if name in readable)


@contextmanager
def open_image(file: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """Open an image file and read its header; the pixels are decoded when they are asked for, before the file is closed.

    Raises:
        Exception: of any kind that Pillow raises for a file that is damaged; see `reason_of`.
        OSError: the file is not there, may not be read, or is no regular file.
    """
    with _open_regular(file) as opened, Image.open(opened, formats=formats()) as image:
        image.filename = os.fspath(file)  # other libraries need it to read what Pillow leaves out
        yield image


def _open_regular(file: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading, but no pipe or device, on which reading might wait for ever."""
    descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError("it is a pipe or a device, not a regular file")


def reason_of(error: BaseException) -> str:
    """Return why a file cannot be read, in a few words."""
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if isinstance(error, FileNotFoundError):
        return "it is not there any more"
    if isinstance(error, MemoryError):
        return "its pixels do not fit into memory"
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels"
    if isinstance(error, UnidentifiedImageError):
        return (
            "no format that can be read: it is damaged, empty, of another kind than images of pixels (EPS, WMF, PDF), or has "
            "bands or a depth that Pillow does not know"
        )
    words = getattr(error, "strerror", None) or str(error).split("\n")[0]
    if not words or isinstance(error, OSError | ValueError | RuntimeError | SyntaxError):
        return words or repr(error)
    return f"damaged: {type(error).__name__}, {words}"  # a decoder's own words, such as a missing key
