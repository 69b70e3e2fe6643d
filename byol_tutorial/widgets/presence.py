"""Which pages show a panel, by what they say and by their silence.

A page says every two seconds that it shows the panel, and that it leaves when the panel's view is closed. A view that has
fallen silent without a word counts as closed after a while: the tab of its notebook was closed, the browser has ended, or
the network is gone. Browsers let the timers of a hidden tab run once a minute, so a hidden page may be silent for longer.
"""

import time
from collections.abc import Callable

SILENT = 8.0  # seconds of silence after which a visible view counts as closed
HIDDEN = 180.0  # the same for a view in a hidden tab
LEFT = 5.0  # seconds after a view's last word; a page that is loaded again, or a cell that is moved, is back by then
MOST = 32  # views that are kept


class Presence:
    """The views of one panel. It counts as gone when there was a view and every view has left or fallen silent.

    now: a clock in seconds that never goes back. The methods may be called from any thread.
    """

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        self._now = now or (lambda: time.monotonic())
        self._until: dict[str, float] = {}  # view: when it counts as closed unless it says something before
        self._last: float | None = None  # when the views that have left stop counting; None before the first view

    def shows(self, view: str, hidden: bool) -> bool:
        """Note that this view shows the panel. Return whether it had counted as closed only because it was silent."""
        now = self._now()
        others = {name: until for name, until in self._until.items() if name != view}
        kept = sorted(others, key=others.__getitem__)[-(MOST - 1) :]
        back = view in self._until and self._until[view] < now
        self._until = {name: others[name] for name in kept} | {view: now + (HIDDEN if hidden else SILENT)}
        self._last = self._last or now
        return back

    def left(self, view: str) -> None:
        """Note that this view is closed."""
        self._until = {name: until for name, until in self._until.items() if name != view}
        if self._last is not None:
            self._last = max(self._last, self._now() + LEFT)

    @property
    def gone(self) -> bool:
        """Whether a page showed the panel earlier and none shows it now."""
        return self._last is not None and self._now() > max(self._last, *self._until.values(), 0.0)
