"""Signals that end a run after a whole step, so that nothing it has learned is lost."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopFlag(threading.Event):
    """An event with the number of the signal that set it, or None."""

    signal: int | None = None


@contextmanager
def stop_flag(signals: tuple[int, ...]) -> Iterator[StopFlag]:
    """Yield an event that these signals set, where they would otherwise interrupt a step. A second Ctrl-C interrupts.

    Schedulers send SIGTERM to a launcher and to all processes that it has started, so one process may get several. Only
    the main thread receives signals: in any other thread the event is never set.
    """
    flag = StopFlag()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = {number: signal.getsignal(number) for number in signals}

    def on_signal(number: int, _frame: FrameType | None) -> None:
        # This comes first, so that a second signal cannot interrupt this function.
        signal.signal(number, before[number] if number == signal.SIGINT else signal.SIG_IGN)
        flag.signal = number
        flag.set()

    for number in signals:
        signal.signal(number, on_signal)
    try:
        yield flag
    finally:
        for number in signals:
            signal.signal(number, before[number])


@contextmanager
def ignored(number: int) -> Iterator[None]:
    """Ignore this signal within the context, unless a `stop_flag` handles it; if SystemExit ends it, also later."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    except SystemExit:
        raise
    except BaseException:
        signal.signal(number, before)
        raise
    signal.signal(number, before)
