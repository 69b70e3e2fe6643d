"""Which pages show a panel: this follows from the messages that they send, and from missing ones.

While a run goes on, a page sends a message every two seconds that it shows the panel. While none goes on, it sends fewer,
and a hidden tab sends none. When the panel's view is closed, the page sends a last message. A view that stops sending without
a last message counts as closed after a while: the tab of its notebook was closed, the browser has ended, or the network
is gone. Browsers let the timers of a hidden tab run once a minute, so a hidden page may send nothing for longer.
"""

import time
from collections.abc import Callable

SILENT = 8.0  # seconds without a message after which a visible view counts as closed while a run goes on
IDLE = 75.0  # the same while no run goes on; when a run begins, a page sends a message at once
HIDDEN = 180.0  # the same for a view in a hidden tab
LEFT = 8.0  # seconds after a view's last message; by then a page that is loaded again, or a cell that is moved, is back
MOST = 32  # views that are kept


class Presence:
    """The views of one panel. It counts as gone when there was a view and every view has left or stopped sending.

    now: a clock in seconds that never goes back. The methods may be called from any thread.
    """

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        self._now = now or (lambda: time.monotonic())
        self._until: dict[str, float] = {}  # view: when it counts as closed unless it sends a message before
        self._last: float | None = None  # when the views that have left stop counting; None before the first view

    def shows(self, view: str, hidden: bool, idle: bool = False) -> bool:
        """Note that this view shows the panel. Return whether a run that was paused meanwhile should go on.

        It should if this view had counted as closed only because it was silent. Where every view has left, the first one
        after that counts as a page that was loaded again. idle: whether no run goes on in the page.
        """
        now, limit = self._now(), HIDDEN if hidden else IDLE if idle else SILENT
        others = {name: until for name, until in self._until.items() if name != view}
        kept = sorted(others, key=others.__getitem__)[-(MOST - 1) :]
        silent = view in self._until and self._until[view] < now
        loaded_again = self.gone and not any(until > (self._last or 0.0) for until in self._until.values())
        self._until = {name: others[name] for name in kept} | {view: now + limit}
        self._last = self._last or now
        return silent or loaded_again

    def left(self, view: str) -> None:
        """Note that this view is closed."""
        self._until = {name: until for name, until in self._until.items() if name != view}
        if self._last is not None:
            self._last = max(self._last, self._now() + LEFT)

    @property
    def gone(self) -> bool:
        """Whether a page showed the panel earlier and none shows it now."""
        return self._last is not None and self._now() > max(self._last, *self._until.values(), 0.0)
