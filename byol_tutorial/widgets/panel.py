"""Panel: what all live panels have in common. One anywidget each; commands come in, pictures go out.

Browser → Python: custom messages {"do": NAME, ...}, answered by the method do_NAME. Never traits, for two
threads that set traits of one widget disturb each other: JupyterLab delivers messages on a thread of its own.
Python → browser: traits, set by `show` alone, which has a lock.

A panel's code in the browser is common.js followed by its own file, one ES module with a `render` function.
The same module is shown without a kernel by static.py.
"""

import sys
import threading
import time
from typing import Any

import anywidget
import traitlets

from . import lifecycle
from .static import as_page, bundle

AWAY = 180.0  # seconds without a sign of life after which nobody is looking; hidden tabs give one a minute
LEFT = 10.0  # the same, after the page said that it is closing; another page may still be open


class Panel(anywidget.AnyWidget):
    """A widget whose commands are methods do_NAME(**arguments), and whose errors are words in the panel.

    In a notebook it replaces the panels that earlier runs of its cell made; see lifecycle.py.

    problem: what went wrong last, for the learner; "" when nothing did.
    """

    problem = traitlets.Unicode("").tag(sync=True)

    def __init__(self, **traits: Any):
        self._lock = threading.RLock()
        self._ended = False
        self._away_at: float | None = None  # when nobody is looking any more; None: nobody ever has
        super().__init__(**traits)
        # ipykernel from 7.4 sends a page's messages to the shell from which the panel last spoke. A run's thread speaks
        # for the main shell, and there messages would wait for the end of a running cell: let the page choose.
        if hasattr(self.comm, "_reply_subshell_for"):
            self.comm._reply_subshell_for = lambda _data, asked: asked
        self.on_msg(lambda _widget, content, _buffers: self.command(content))
        lifecycle.adopt(self)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """What a notebook shows."""
        return bundle(self) if as_page() else super()._repr_mimebundle_(**options)

    def show(self, **traits: object) -> None:
        """Set traits, from any thread. Bytes arrive in the browser as one DataView each."""
        with self._lock:
            for name, value in traits.items():
                setattr(self, name, value)

    def command(self, content: dict) -> None:
        """Carry out a message from the browser; what it raises is shown and not raised again."""
        arguments = dict(content)
        name = arguments.pop("do", None)
        if name == "ping":  # is anybody there?
            self._away_at = time.monotonic() + AWAY
            self.send({"pong": True})
            return
        if name == "left":
            self._away_at = time.monotonic() + LEFT
            return
        method = getattr(self, f"do_{name}", None)
        try:
            if method is None:
                raise ValueError(f"{name!r} is not a command of this panel")
            self.show(problem="")
            method(**arguments)
        except Exception as error:
            self.show(problem=f"{error}" or type(error).__name__)

    @property
    def abandoned(self) -> bool:
        """Whether there was a page that showed this panel, and is none any more."""
        return self._away_at is not None and time.monotonic() > self._away_at

    def interrupted(self) -> None:
        """The kernel was interrupted; a panel with a thread ends it here."""

    def end(self) -> None:
        """The panel is being closed; a panel with a thread ends it here. Called once."""

    def close(self) -> None:
        """End what the panel has running, and take it off the page. Once closed, it stays so."""
        with self._lock:
            ended, self._ended = self._ended, True
        # when Python itself is ending, widgets are closed too, and no thread can be started or joined any more
        if not ended and not sys.is_finalizing():
            lifecycle.release(self)
            self.end()
            self.layout.close()  # a widget of its own, which would stay
        super().close()
