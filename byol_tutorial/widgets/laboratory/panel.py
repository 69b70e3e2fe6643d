"""The panel of all runs: what the browser's buttons do, and when the runs pause because no page shows them."""

from concurrent.futures import Future
from typing import Protocol

import traitlets

from ...live.laboratory import Laboratory
from ..assets import script, source
from ..panel import Panel
from .frames import cell_frame, setup_of


class Box(Protocol):
    """What the panel asks of the box that it is in."""

    _closed: bool

    def open_beneath(self, cell: str) -> None: ...

    def close(self) -> None: ...


class LaboratoryPanel(Panel):
    """The panel of all runs.

    setup: what stays the same. frame: everything that changes, replaced at most four times a second.
    """

    _esm = source("hints", "js") + script("laboratory.js")
    _css = source("laboratory", "css")
    setup = traitlets.Dict().tag(sync=True)
    frame = traitlets.Dict().tag(sync=True)

    def __init__(self, lab: Laboratory, box: Box):
        self.lab, self.box = lab, box
        self.note = ""
        self._unwatched = False  # whether the panel has paused the runs because no page showed it
        self.opened: tuple[str, int] = ("", 0)  # the run that was opened last, and the number of runs opened so far
        super().__init__(setup=setup_of(lab), frame=self._frame())
        lab.subscribe(self._on_change)

    # --- commands from the browser, passed on to the laboratory ----------------------------------

    def do_play(self) -> None:
        """Let the chosen runs advance."""
        self.note, self._unwatched = "", False
        self._show_error_of(self.lab.start())

    def do_pause(self) -> None:
        """Pause all runs."""
        self._show_error_of(self.lab.pause(self._by_hand))

    def do_reset(self) -> None:
        """Put all runs back to step 0."""
        self.note, self._unwatched = "", False
        self._show_error_of(self.lab.reset())

    def do_speed(self, rate: float | None = None) -> None:
        """Limit the steps a second of each run; None removes the limit."""
        self._show_error_of(self.lab.limit(rate))

    def do_choose(self, tables: list[str]) -> None:
        """Let only the runs of these tables take part."""
        self._show_error_of(self.lab.choose([name for name, row in self.lab.rows.items() if row.table in tables]))

    def do_open(self, cell: str) -> None:
        """Open a run in a cockpit beneath the panel."""
        self.box.open_beneath(cell)
        self.opened = (cell, self.opened[1] + 1)
        self.show(frame=self._frame())

    def _show_error_of(self, command: Future) -> None:
        """Show the command's error in the panel when it is done, if it has one."""

        def done(command: Future) -> None:
            error = command.exception()
            if error is not None:
                self.refuse(error)

        command.add_done_callback(done)

    # --- frames to the browser -------------------------------------------------------------------

    def _on_change(self, lab: Laboratory) -> None:
        """Send a frame. The laboratory's thread calls this when a cell has changed."""
        if self._is_unwatched():
            lab.suspend(self._suspends)
        self.show(frame=self._frame())

    def _frame(self) -> dict:
        lab, best = self.lab, self.lab.findings.best
        return {
            "state": lab.state,
            "seconds": lab.seconds,
            "chosen": lab.chosen,
            "rate": lab.rate,
            "note": self.note,
            "opened": list(self.opened),
            "cells": [cell_frame(cell, best) for cell in lab.cells.values()],
        }

    # --- its end ---------------------------------------------------------------------------------

    def _is_unwatched(self) -> bool:
        """Return whether the runs advance though no page shows them and no call of run() waits for them."""
        return self.lab.state in ("starting", "running") and not self.lab.awaited and self.abandoned

    def _suspends(self) -> bool:
        """Return whether to pause because no page shows the runs.

        Like the functions below it is asked on the laboratory's thread, so that the order of commands decides.
        """
        paused = self._is_unwatched()
        if paused:
            self.note, self._unwatched = "paused, because no page showed it any more", True
        return paused

    def _by_hand(self) -> bool:
        """Note that the user pauses the runs, so that they stay paused when a page comes back."""
        self._unwatched = False
        return True

    def _resumes(self) -> bool:
        """Return whether to go on: a page is back, and the runs were paused only because none was there."""
        back, self._unwatched = self._unwatched and self.lab.state in ("idle", "paused"), False
        self.note = "" if back else self.note
        return back

    def returned(self) -> None:
        """Let the runs advance again that were paused while the network was down, or the browser had suspended the page."""
        self._show_error_of(self.lab.start(self._resumes))

    def interrupted(self) -> None:
        """Pause all runs and end the processes when the kernel is interrupted."""

        def note() -> bool:
            self.note = "interrupted; play goes on from here"
            return self._by_hand()

        self.lab.suspend(note)

    def close(self) -> None:
        """Close the box of this panel, which closes the panel too."""
        if self.box._closed:
            super().close()
        else:
            self.box.close()
