"""The fingerprint of a set of images, by which a resumed run recognises the images that it began with."""

import os
import zlib
from typing import Any

from .image_set import ImageSet
from .streaming import StreamedSet

FINGERPRINT = 64  # images by which a resumed run recognises its data


def fingerprint(images: ImageSet | StreamedSet) -> dict[str, Any]:
    """Return what the images of a resumed run must have in common with these: name, number, size and checksums.

    Channels and bits are named where they are not 3 and 8."""
    usual = {"channels": 3, "bits": 8}
    kind = {"channels": images.channels, "bits": images.bits}
    return {
        "name": images.name,
        "images": len(images),
        "pixels": list(images.image_size),
        "content": zlib.crc32(images.sample(FINGERPRINT).images.numpy().tobytes()),
        "labels": None if images.labels is None else zlib.crc32(images.labels.numpy().tobytes()),
        # Images on disk are compared by name, because reading them all would take as long as an epoch.
        "all": zlib.crc32(images.images.numpy().tobytes() if isinstance(images, ImageSet) else _names(images)),
    } | {name: value for name, value in kind.items() if value != usual[name]}  # older records have neither


def _names(images: StreamedSet) -> bytes:
    """Return the names of the files relative to their common folder, because that folder may have moved."""
    files = [os.fsdecode(file) for file in images.files]
    top = os.path.commonpath(files) if len(files) > 1 else ""
    return "\0".join(os.path.relpath(file, top) if top else os.path.basename(file) for file in files).encode(
        "utf-8", "surrogateescape"
    )
