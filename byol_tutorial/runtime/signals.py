"""Signals that end a run after a whole step, so that nothing it has learned is lost."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


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
def ignored(*numbers: int) -> Iterator[None]:
    """Ignore these signals within the context, unless a `stop_flag` handles them; if SystemExit ends it, also later."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    except SystemExit:
        raise
    except BaseException:
        _restore(before)
        raise
    _restore(before)


def _restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


class EndedBySignal(SystemExit):
    """The end of the process that a signal asked for. `signal` is its name."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number).name


@contextmanager
def exit_on(*numbers: int) -> Iterator[None]:
    """Turn these signals into EndedBySignal within the context, so that what it has begun can be removed.

    Where SystemExit ends the context, the signals are ignored from then on, so that none changes the exit status.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: object) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise EndedBySignal(number)

    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    except SystemExit:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise
    except BaseException:
        _restore(before)
        raise
    _restore(before)


def ending_signals() -> tuple[int, ...]:
    """Return the signals that ask a process to end: SIGTERM, and SIGHUP, which a terminal sends when it is closed.

    SIGHUP is left out where the process was started to ignore it, as nohup does, and on Windows, which has none.
    """
    hangup = getattr(signal, "SIGHUP", None)
    return (
        (signal.SIGTERM,) if hangup is None or signal.getsignal(hangup) == signal.SIG_IGN else (signal.SIGTERM, hangup)
    )
