"""Orders: one thread carries out, one after another, what any other thread asks for, and tells whoever wants to know.

What is changed by orders alone needs no lock. The thread lives while there is something to do, or to wait for.
"""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future


class Orders:
    """A queue of actions, and the thread that carries them out.

    Args:
        name: of the thread.
        busy: whether the thread must stay although the queue is empty. Called on the thread, and when it ends.
        every: seconds between two calls of the subscribers, at least.
        broken: told of what a posted action raises.
    """

    def __init__(self, name: str, busy: Callable[[], bool], every: float, broken: Callable[[Exception], None]):
        self.name, self.busy, self.every, self.broken = name, busy, every, broken
        self.subscriber_errors: list[Exception] = []
        self._lock = threading.RLock()  # of the thread's beginning and end, and of the subscribers
        self._inbox: queue.SimpleQueue = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._subscribers: dict[object, Callable[[], None]] = {}
        self._told_at, self._untold = 0.0, False

    def order(self, action: Callable) -> Future:
        """Carry this out. The Future has what it gives or raises; if it gives a Future, what that one has."""
        future: Future = Future()
        with self._lock:
            self._inbox.put((future, action))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self.name, daemon=True)
                self._thread.start()
        return future

    def post(self, action: Callable) -> None:
        """Carry this out, which nobody waits for. Only while the thread is busy."""
        self._inbox.put((None, action))

    def finish(self, action: Callable) -> None:
        """Carry this out as the last order, and return when the thread has ended. Starts no thread."""
        with self._lock:
            thread = self._thread
            if thread is None:
                action()
                return
        self.order(action).result()
        if thread is not threading.current_thread():
            thread.join()

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back on the thread when something was done, the last time after the last; returns what ends it.

        A callback that raises is called no more; see subscriber_errors.
        """
        key = object()
        with self._lock:
            self._subscribers[key] = callback
        return lambda: self._subscribers.pop(key, None)

    def forget_subscribers(self) -> None:
        with self._lock:
            self._subscribers.clear()

    # --- the thread -----------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._lock:
                if self._inbox.empty() and not self._untold and not self.busy():
                    self._thread = None
                    return
            left = max(0.0, self._told_at + self.every - time.monotonic()) if self._untold else None
            try:
                future, action = self._inbox.get(timeout=left)
            except queue.Empty:
                self._tell()
                continue
            self._carry_out(future, action)
            self._untold = True
            if time.monotonic() >= self._told_at + self.every:
                self._tell()

    def _carry_out(self, future: Future | None, action: Callable) -> None:
        try:
            result = action()
        except Exception as error:
            if future is None:
                self.broken(error)
            else:
                future.set_exception(error)
        else:
            if isinstance(result, Future) and future is not None:
                result.add_done_callback(lambda done: pass_on(done, future))
            elif future is not None:
                future.set_result(result)

    def _tell(self) -> None:
        self._told_at, self._untold = time.monotonic(), False
        with self._lock:
            subscribers = list(self._subscribers.items())
        for key, callback in subscribers:
            try:
                callback()
            except Exception as error:
                self.subscriber_errors.append(error)
                self._subscribers.pop(key, None)


def pass_on(done: Future, to: Future) -> None:
    """What the first Future has, the second gets."""
    if done.exception() is not None:
        to.set_exception(done.exception())
    else:
        to.set_result(done.result())


def all_of(futures: list[Future]) -> Future:
    """A Future that is done, without result, when all of these are, whether they raise or not."""
    done, left, lock = Future(), [len(futures)], threading.Lock()
    if not futures:
        done.set_result(None)

    def one(_) -> None:
        with lock:
            left[0] -= 1
            if left[0] == 0:
                done.set_result(None)

    for future in futures:
        future.add_done_callback(one)
    return done
