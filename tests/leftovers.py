"""Waits until what a test opened is gone."""

import time
from collections.abc import Callable


def wait_until_no_more(count: Callable[[], tuple[int, ...]], before: tuple[int, ...], seconds: float) -> None:
    """Return once `count` gives no number above `before`; fail if that takes longer than so many seconds.

    A number may be lower than before, because what an earlier test left can end in between.
    """
    end = time.monotonic() + seconds
    while any(now > then for now, then in zip(count(), before, strict=True)):
        assert time.monotonic() < end, (count(), before)
        time.sleep(0.05)
