"""Panel: the base class of all live panels. Each panel is one anywidget that receives commands and sends pictures.

From the browser to Python: custom messages {"do": NAME, ...}, carried out by the method do_NAME, whose annotations say
what the arguments may be; everything else is refused (messages.py). Traits are not used in this direction, because
JupyterLab delivers messages on a separate thread, and two threads that set traits of one widget disturb each other.
From Python to the browser: traits, set only by `show`, which has a lock.

A panel's code in the browser is common.js followed by the panel's file: one ES module with a `render` function. Pages
without a kernel use the same module; see static.py.
"""

import sys
import threading
from typing import Any

import anywidget
import traitlets

from ..config.errors import UserError
from . import lifecycle
from .messages import command_of, shown_problem
from .presence import SILENT, Presence
from .static import as_page, bundle, with_page


class Panel(anywidget.AnyWidget):
    """A widget whose commands are methods do_NAME(**arguments), and that shows their errors in the panel.

    In a notebook it replaces the panels that earlier runs of its cell made; see lifecycle.py.

    problem: the message of the last error, or "".
    """

    problem = traitlets.Unicode("").tag(sync=True)

    def __init__(self, **traits: object):
        self._lock = threading.RLock()
        self._ended = False
        self._presence = Presence()
        self._waits_for_cells = False  # whether messages of pages wait until a running cell ends
        super().__init__(**traits)
        # From 7.4 on, ipykernel sends a page's messages to the shell from which the panel last sent something. A run's
        # thread sends from the main shell, where messages would wait until a running cell ends. So the page chooses.
        if hasattr(self.comm, "_reply_subshell_for"):
            self.comm._reply_subshell_for = lambda _data, asked: asked
        lifecycle.register(self)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """Return what a notebook shows."""
        return bundle(self) if as_page() else with_page(self, super()._repr_mimebundle_(**options))

    def show(self, **traits: object) -> None:
        """Set traits, from any thread. The browser receives bytes as a DataView."""
        with self._lock:
            for name, value in traits.items():
                setattr(self, name, value)

    def _handle_msg(self, msg: dict) -> None:
        """Take what a page sends: commands, and the request for the traits. A page does not set traits.

        It takes the place of the method of ipywidgets, which prints a traceback into the notebook for anything else.
        """
        data = msg["content"].get("data")
        match data:
            case {"method": "custom", "content": content}:
                self.command(content)
            case {"method": "request_state"}:
                self.send_state()
            case _:
                self.refuse(UserError("a page sent something that is not a command; load the page again"))

    def command(self, content: object) -> None:
        """Carry out a message from the browser. An error is shown in the panel and not raised."""
        try:
            carry_out, arguments = command_of(self, content)
            if carry_out not in (self.do_ping, self.do_left):  # these a page sends by itself
                self.show(problem="")
            carry_out(**arguments)
        except Exception as error:
            self.refuse(error)

    def refuse(self, error: BaseException) -> None:
        """Show in the panel why a command was not carried out."""
        self.show(problem=shown_problem(error))

    def do_ping(self, view: str = "", hidden: bool = False, idle: bool = False) -> None:
        """Answer a view that shows this panel. The view asks every two seconds, or more rarely while it is idle, that is while no run goes on."""
        self._waits_for_cells = threading.current_thread() is threading.main_thread()
        back = self._presence.shows(view, hidden, idle)
        self.send({"pong": True})
        if back:
            self.returned()

    def do_left(self, view: str = "") -> None:
        """Note that a view of this panel is closed."""
        self._presence.left(view)

    @property
    def abandoned(self) -> bool:
        """Whether a page showed this panel earlier and none shows it now. See presence.py."""
        if self._waits_for_cells and lifecycle.cell_ran_within(SILENT):  # its messages may not have arrived yet
            return False
        return self._presence.gone

    def returned(self) -> None:
        """Go on, because a page that sent nothing for a while sends again. A panel that pauses meanwhile overrides this."""

    def interrupted(self) -> None:
        """Stop what the panel runs, because the kernel was interrupted. A panel with a thread overrides this."""

    def end(self) -> None:
        """End what the panel runs, because the panel is closed; called once. A panel with a thread overrides this."""

    def close(self) -> None:
        """End what the panel runs, and remove the panel from the page. Closing it again does nothing."""
        with self._lock:
            ended, self._ended = self._ended, True
        # At Python's end widgets are closed too, but then no thread can be started or joined any more.
        if not ended and not sys.is_finalizing():
            lifecycle.unregister(self)
            self.end()
            self.layout.close()  # a separate widget, which would remain
        super().close()
