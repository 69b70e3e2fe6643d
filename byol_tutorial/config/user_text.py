"""Paths and names as users have them: a path as it was typed, and a name as it can be printed."""

import os
from pathlib import Path
from unicodedata import category


def user_path(typed: str | os.PathLike[str]) -> Path:
    """Return a path in which ~ is the home folder and $NAME the variable of that name.

    A shell replaces both, but neither in --out=~/run nor between single quotes. What exists under the text as it is
    stays as it is, and so do an unknown user's ~ and a variable that is not set.
    """
    text = os.fspath(typed)
    return Path(text if os.path.lexists(text) else os.path.expanduser(os.path.expandvars(text)))


def printable(text: str) -> str:
    """Return a text with escapes for characters that a terminal would not show, or would take for commands.

    A line break is one of them.

    >>> printable("two\\nlines")
    'two\\\\nlines'
    """
    return "".join(c if c.isprintable() or category(c) == "Zs" else c.encode("unicode_escape").decode() for c in text)
