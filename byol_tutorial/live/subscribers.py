"""Callbacks that want to be told of news, added and removed from any thread."""

import threading
from collections.abc import Callable


class Subscribers:
    """A set of callbacks. One that raises is not called again; `errors` holds what it raised."""

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

    def notify(self, *news: object) -> None:
        """Call every callback with the news, on this thread."""
        with self._lock:
            callbacks = list(self._callbacks.items())
        for key, callback in callbacks:
            try:
                callback(*news)
            except Exception as error:
                self.errors.append(error)
                self._remove(key)

    def clear(self) -> None:
        with self._lock:
            self._callbacks.clear()

    def _remove(self, key: object) -> None:
        with self._lock:
            self._callbacks.pop(key, None)
