"""Callbacks that are called whenever something has changed. They are added and removed from any thread."""

import threading
from collections.abc import Callable


class Subscribers:
    """A set of callbacks. A callback that raises is not called again; `errors` holds the exceptions."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self._lock = threading.Lock()
        self._callbacks: dict[object, Callable] = {}

    def add(self, callback: Callable) -> Callable[[], None]:
        """Add a callback and return the function that removes it."""
        key = object()
        with self._lock:
            self._callbacks[key] = callback
        return lambda: self._remove(key)

    def notify(self, *arguments: object) -> None:
        """Call every callback with these arguments, on this thread."""
        with self._lock:
            callbacks = list(self._callbacks.items())
        for key, callback in callbacks:
            try:
                callback(*arguments)
            except Exception as error:
                self.errors.append(error)
                self._remove(key)

    def clear(self) -> None:
        """Remove all callbacks."""
        with self._lock:
            self._callbacks.clear()

    def _remove(self, key: object) -> None:
        with self._lock:
            self._callbacks.pop(key, None)
