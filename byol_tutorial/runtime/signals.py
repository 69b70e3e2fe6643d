"""A signal ends a run after a whole step, so that nothing that was learned is lost."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stop_flag(signals: tuple[int, ...]) -> Iterator[threading.Event]:
    """An event that these signals set instead of breaking into a step; a second Ctrl-C breaks in as usual.

    Schedulers send SIGTERM to a launcher and to all that it has launched, so that one process may get several. Only the
    main thread receives signals: in any other, the event is never set. `flag.signal` is the one that came.
    """
    flag = threading.Event()
    flag.signal = None
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = {number: signal.getsignal(number) for number in signals}

    def on_signal(number, _frame):
        # first, so that the next one does not come into the middle of this
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
    """Nothing comes of this signal in here, but where a `stop_flag` asks for it; nor later, if it ends by SystemExit."""
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
