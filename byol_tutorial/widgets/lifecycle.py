"""When a panel ends: its cell is run again, the kernel is interrupted, or nobody looks at it any more.

JupyterLab tells the kernel which cell it runs. A panel made by a cell replaces the panels that earlier runs of the
same cell made. Outside of a notebook nothing of this happens.
"""

import weakref
from typing import Any, Protocol

from ..runtime.omp_threads import release_helpers

_panels: weakref.WeakKeyDictionary["Ending", tuple] = weakref.WeakKeyDictionary()  # panel: (cell, which run of it)
_hooked: weakref.WeakSet = weakref.WeakSet()  # shells in which interrupts are heard


class Ending(Protocol):
    """A panel that can be ended from here."""

    def close(self) -> None: ...

    def interrupted(self) -> None: ...


def adopt(panel: Ending) -> None:
    """Close what an earlier run of the present cell made, and let `panel.interrupted()` hear the stop button."""
    cell, run = _place()
    if cell is not None:
        for other, (its_cell, its_run) in list(_panels.items()):
            if its_cell == cell and its_run != run:
                other.close()
    _panels[panel] = (cell, run)
    _hear_interrupts()


def release(panel: Ending) -> None:
    """The panel is closed: forget it."""
    _panels.pop(panel, None)


def _kernel() -> Any:
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    return getattr(get_ipython(), "kernel", None)


def _place() -> tuple[str | None, str | None]:
    """The cell that is being run, and which run of it this is; None where nothing tells."""
    kernel = _kernel()
    parent = kernel.get_parent("shell") if kernel is not None else None
    if not parent:
        return None, None
    return parent.get("metadata", {}).get("cellId"), parent.get("header", {}).get("msg_id")


def _hear_interrupts() -> None:
    """Tell every panel when the user interrupts the kernel: in the middle of a cell, or between two.

    Within a cell the interrupt is a KeyboardInterrupt, which IPython's result shows afterwards. Between two cells
    ipykernel ignores it: it sets the handler back to `saved_sigint_handler` after each cell, so that is where ours goes.
    """
    kernel = _kernel()
    shell = getattr(kernel, "shell", None)
    if shell is None:
        return

    def between_cells(_number: int, _frame: object) -> None:
        interrupt_all()

    kernel.saved_sigint_handler = between_cells
    if shell in _hooked:
        return
    _hooked.add(shell)

    def after_cell(result: Any) -> None:
        release_helpers()  # so that the runs of the panels go on at full speed
        if isinstance(result.error_in_exec, KeyboardInterrupt):
            interrupt_all()

    shell.events.register("post_run_cell", after_cell)


def interrupt_all() -> None:
    for panel in list(_panels):
        panel.interrupted()
