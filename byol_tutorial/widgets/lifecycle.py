"""The end of panels in a notebook: a cell that is run again closes its earlier panels, and an interrupt stops all runs.

JupyterLab sends the name of the cell with each request to run it. So a panel can replace the panels that earlier runs
of the same cell made. IPython keeps the value of each cell and what was shown of it, and with a panel its run, networks
and images. So a panel that was replaced is removed there too. Outside a notebook none of this happens.
"""

import contextlib
import ctypes
import gc
import sys
import time
import weakref
from types import FrameType
from typing import Any, Protocol


class Endable(Protocol):
    """A panel that can be interrupted and closed."""

    def interrupted(self) -> None: ...

    def close(self) -> None: ...


_panels: weakref.WeakKeyDictionary[Endable, tuple[str | None, str | None]] = weakref.WeakKeyDictionary()  # cell and run
_replaced: weakref.WeakSet = weakref.WeakSet()  # closed panels, and their boxes, that a later run of the cell replaced
_hooked: weakref.WeakSet = weakref.WeakSet()  # shells whose interrupts are passed on to the panels
_cell_ended = float("-inf")  # when the last cell ended, by time.monotonic; infinity while one runs


def register(panel: Endable) -> None:
    """Close the panels of earlier runs of the present cell; call `panel.interrupted()` at each interrupt from now on."""
    cell, run = _cell_and_run()
    if cell is not None:
        for other, (its_cell, its_run) in list(_panels.items()):
            if its_cell == cell and its_run != run:
                other.close()
                _replaced.update({other, getattr(other, "box", other)})
    _panels[panel] = (cell, run)
    _hook_shell()


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


def _hook_shell() -> None:
    """Follow the cells of the notebook; have all panels interrupted when the user interrupts the kernel.

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

    def before_cell(*_: object) -> None:
        global _cell_ended
        _cell_ended = float("inf")

    def after_cell(result: Any) -> None:
        global _cell_ended
        _cell_ended = time.monotonic()
        if isinstance(result.error_in_exec, KeyboardInterrupt):
            interrupt_all()
        if _replaced:
            remove_from_outputs(shell, set(_replaced))
            _replaced.clear()  # only once, because what the user keeps or shows again belongs to the user
            give_memory_back()

    before_cell()  # the panel is made by a cell that runs
    shell.events.register("pre_run_cell", before_cell)
    shell.events.register("post_run_cell", after_cell)


def cell_ran_within(seconds: float) -> bool:
    """Return whether a cell is running, or was until so many seconds ago."""
    return time.monotonic() < _cell_ended + seconds


def remove_from_outputs(shell: Any, panels: set) -> None:
    """Remove panels from all that IPython keeps of earlier outputs: Out, _7, the last three as _, __ and ___, their pictures.

    A variable of the user stays, also one that is called _; IPython's own are in its namespace of hidden names too. Of the
    pictures only the panel's is removed, because the value of a cell is its last "execute_result".
    """
    shown = {id(panel) for panel in panels}
    outputs, hook, history = shell.user_ns.get("_oh", {}), shell.displayhook, shell.history_manager
    for number in [number for number, value in outputs.items() if id(value) in shown]:
        del outputs[number]
        kept = getattr(history, "outputs", {}).get(number, [])  # IPython 8 has none
        results = [k for k, output in enumerate(kept) if output.output_type == "execute_result"]
        if results:
            del kept[results[-1]]
    hidden = shell.user_ns_hidden
    own = [name for name, value in hidden.items() if id(value) in shown and not name.strip("_0123456789")]
    for name in own:
        for names in (shell.user_ns, hidden):
            if names.get(name) is not hidden[name]:
                continue
            if name.strip("_"):
                del names[name]
            else:
                names[name] = ""
    for name in ("_", "__", "___"):
        if id(getattr(hook, name, None)) in shown:
            setattr(hook, name, "")


def give_memory_back() -> None:
    """Free what is not reachable, and return it to the system.

    A panel and its run refer to each other, so they are freed by Python's collection of cycles alone, which counts
    objects and not the memory of tensors. glibc keeps freed memory until malloc_trim returns it.
    """
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # a C library without it
            ctypes.CDLL(None).malloc_trim(0)


def interrupt_all() -> None:
    """Interrupt every panel."""
    for panel in list(_panels):
        panel.interrupted()
