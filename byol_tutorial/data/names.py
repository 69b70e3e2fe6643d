"""Names of image sets as pages show them: without the folder in which the images of their user lie."""

import re

from .image_set import ImageSet
from .streaming import StreamedSet


def short_name(name: str) -> str:
    """Return the name of a set, of a folder only its last part: "folder:cats" for "folder:/home/ada/cats".

    Panels are exported, films are saved and experiments are sent to others. None of these needs the rest of the path,
    which tells who made them.
    """
    kind, colon, path = name.partition(":")
    parts = [part for part in re.split(r"[/\\]", path) if part]
    return f"folder:{parts[-1] if parts else ''}" if kind == "folder" and colon else name


def described(images: ImageSet | StreamedSet) -> str:
    """Return the line that repr gives of a set, with its short name."""
    return repr(images).replace(repr(images.name), repr(short_name(images.name)), 1)
