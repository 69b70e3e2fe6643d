"""Whether a progress bar is shown, and what it says when it is stopped. TQDM_DISABLE=1 hides all, also in notebooks, where
tqdm ignores it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def hidden(progress: bool) -> bool:
    """Return the value of tqdm's `disable`: True if `progress` is off or TQDM_DISABLE is set."""
    return not progress or os.environ.get("TQDM_DISABLE", "") not in ("", "0")


def say(bar: Any, text: str) -> None:
    """Write this before a tqdm bar, unless it stands there already: a bar that is redrawn fills the log of a program."""
    if getattr(bar, "desc", "") != text:  # a hidden bar has none at first
        bar.set_description_str(text)


def say_stopped(bar: Any, kept: str) -> None:
    """Write on a tqdm bar that its user stopped it, and what is kept; in a notebook it otherwise only turns red."""
    bar.set_description_str(f"stopped; {kept}")


@contextmanager
def saying_stopped(bar: Any, kept: str) -> Iterator[None]:
    """Write it on the bar if Ctrl-C, or the notebook's stop button, ends the block."""
    try:
        yield
    except KeyboardInterrupt:
        say_stopped(bar, kept)
        raise
