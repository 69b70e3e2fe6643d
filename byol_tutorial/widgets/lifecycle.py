"""The end of panels in a notebook: a cell that is run again closes its earlier panels, and an interrupt stops all runs.

JupyterLab sends the name of the cell with each request to run it. So a panel can replace the panels that earlier runs
of the same cell made. Outside a notebook none of this happens.
"""

import weakref
from types import FrameType
from typing import Any, Protocol


class Endable(Protocol):
    """A panel that can be interrupted and closed."""

    def interrupted(self) -> None: ...

    def close(self) -> None: ...


_panels: weakref.WeakKeyDictionary[Endable, tuple[str | None, str | None]] = weakref.WeakKeyDictionary()  # cell and run
_hooked: weakref.WeakSet = weakref.WeakSet()  # shells whose interrupts are passed on to the panels


def register(panel: Endable) -> None:
    """Close the panels of earlier runs of the present cell; call `panel.interrupted()` at each interrupt from now on."""
    cell, run = _cell_and_run()
    if cell is not None:
        for other, (its_cell, its_run) in list(_panels.items()):
            if its_cell == cell and its_run != run:
                other.close()
    _panels[panel] = (cell, run)
    _hook_interrupts()


def unregister(panel: Endable) -> None:
    """Remove a panel that is closed."""
    _panels.pop(panel, None)


def _kernel() -> Any:
    """Return the running IPython kernel, or None outside a notebook."""
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    return getattr(get_ipython(), "kernel", None)


def _cell_and_run() -> tuple[str | None, str | None]:
    """Return the ids of the cell that is being run and of this run; None if they are unknown."""
    kernel = _kernel()
    parent = kernel.get_parent("shell") if kernel is not None else None
    if not parent:
        return None, None
    return parent.get("metadata", {}).get("cellId"), parent.get("header", {}).get("msg_id")


def _hook_interrupts() -> None:
    """Have all panels interrupted when the user interrupts the kernel, within a cell or between two cells.

    Within a cell the interrupt is a KeyboardInterrupt, which is found in IPython's result afterwards. Between two cells
    ipykernel ignores it: after each cell it sets the handler back to `saved_sigint_handler`, so ours replaces that.
    """
    kernel = _kernel()
    shell = getattr(kernel, "shell", None)
    if shell is None:
        return

    def between_cells(_number: int, _frame: FrameType | None) -> None:
        interrupt_all()

    kernel.saved_sigint_handler = between_cells
    if shell in _hooked:
        return
    _hooked.add(shell)

    def after_cell(result: Any) -> None:
        if isinstance(result.error_in_exec, KeyboardInterrupt):
            interrupt_all()

    shell.events.register("post_run_cell", after_cell)


def interrupt_all() -> None:
    """Interrupt every panel."""
    for panel in list(_panels):
        panel.interrupted()
