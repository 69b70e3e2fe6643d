"""A queue of commands, and the one thread that carries them out, one after another, between pieces of its owner's work.

Session, Laboratory and the explorer are steered through it from any thread. What only this thread changes needs no
lock, and no command interrupts a piece of work.
"""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class CommandQueue:
    """A queue that carries commands out in order, on a thread that exists only while there is something to do.

    Args:
        name: the thread's name.
        work: a function that is called on the thread while no command waits. It does one piece of work and returns the
            seconds until its next call: 0 means at once, infinity after the next command. It returns None when there
            is nothing more to do: the thread then ends, and the next command starts another. Default: no such work.
        on_error: called on the thread with the exception that a posted command raised. Needed if commands are posted.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], float | None] = lambda: None,
        on_error: Callable[[Exception], None] | None = None,
    ):
        self.name, self.work, self.on_error = name, work, on_error
        self._lock = threading.RLock()  # guards the thread's beginning and end; never held during a command or work
        self._commands: queue.SimpleQueue = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def thread(self) -> threading.Thread | None:
        """The thread, or None while there is nothing to do."""
        return self._thread

    def submit(self, action: Callable[[], object], only_if: Callable[[], bool] = lambda: True) -> Future:
        """Carry the action out on the thread; return a Future of its result, or of the exception that it raised.

        only_if: asked on the thread when the action's turn has come. If it says no, nothing is done, and the result is None.
        If the result is a Future itself, the returned Future gets the result of that one.
        """
        future: Future = Future()
        with self._lock:
            self._commands.put((future, lambda: action() if only_if() else None))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                self._thread.start()
        return future

    def post(self, action: Callable[[], object]) -> None:
        """Carry the action out on the thread, which must be running. There is no result to wait for."""
        self._commands.put((None, action))

    def call(self, action: Callable[[], T]) -> T:
        """Carry the action out on the thread, and return its result. On the thread itself, carry it out at once."""
        return action() if threading.current_thread() is self._thread else self.submit(action).result()

    def finish(self, action: Callable[[], object]) -> None:
        """Carry the action out as the last command, and return when the thread has ended. It starts no new thread.

        On the thread itself the action is carried out at once, and the thread ends when it has nothing more to do.
        """
        with self._lock:
            thread = self._thread
            if thread is None:
                action()
                return
        if thread is threading.current_thread():
            action()
            return
        try:
            self.submit(action).result()
        finally:
            thread.join()

    def _run(self) -> None:
        try:
            self._take_commands()
        except BaseException as error:  # a fault in `work`: without this, later commands would wait for ever
            with self._lock:
                self._thread = None
                while not self._commands.empty():
                    future, _ = self._commands.get()
                    if future is not None and future.set_running_or_notify_cancel():
                        future.set_exception(error)
            raise

    def _take_commands(self) -> None:
        due = 0.0  # when work is called next, in the seconds of time.monotonic
        while True:
            left = due - time.monotonic()
            try:
                future, action = self._commands.get(left > 0, None if left > threading.TIMEOUT_MAX else left)
            except queue.Empty:
                wait = self.work()
                if wait is None:
                    with self._lock:
                        if self._commands.empty():
                            self._thread = None
                            return
                    wait = 0.0  # a command came while the work ended
                due = time.monotonic() + wait
            else:
                self._carry_out(future, action)
                due = 0.0

    def _carry_out(self, future: Future | None, action: Callable[[], object]) -> None:
        if future is not None and not future.set_running_or_notify_cancel():
            return  # cancelled while it waited
        try:
            result = action()
        except Exception as error:
            if future is not None:
                future.set_exception(error)
            elif self.on_error is not None:
                self.on_error(error)
            else:
                raise
        else:
            if isinstance(result, Future) and future is not None:
                result.add_done_callback(lambda done: pass_on(done, future))
            elif future is not None:
                future.set_result(result)


def pass_on(done: Future, to: Future) -> None:
    """Give the second Future the result or the exception of the first."""
    error = done.exception()
    if error is not None:
        to.set_exception(error)
    else:
        to.set_result(done.result())


def all_of(futures: list[Future]) -> Future:
    """Return a Future that is done, without a result, when all of these are done, whether they raise or not."""
    done: Future = Future()
    left, lock = len(futures), threading.Lock()
    if not futures:
        done.set_result(None)

    def count_down(_: Future) -> None:
        nonlocal left
        with lock:
            left -= 1
            last = left == 0
        if last:
            done.set_result(None)

    for future in futures:
        future.add_done_callback(count_down)
    return done
