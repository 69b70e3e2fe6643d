"""The laboratory: the runs of tables 5a and 5b advance side by side, with the paper's numbers beside ours.

    lab = bt.widgets.laboratory()        # both tables on "shapes"; show it as a cell's last line, then press play
    found = lab.run()                    # or without the panel: returns when all runs are over
    lab.open("no predictor")             # this run in a cockpit

The runs train in separate processes, see live/laboratory.py; this module shows them.
"""

import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import asdict
from typing import Any

import ipywidgets
import numpy as np
import traitlets

from ..config.config import Config
from ..config.errors import LaboratoryError
from ..config.paper_tables import TABLES, differences, own_rows, tables
from ..config.presets import preset
from ..course.scale import pick
from ..data.image_set import ImageSet
from ..data.loading import load
from ..data.names import short_name
from ..evaluate.balance import floor_if_uneven
from ..evaluate.diagnose import THRESHOLDS
from ..live.curves import shortened
from ..live.findings import Findings, remark
from ..live.laboratory import Laboratory
from ..live.laboratory_runs import Cell
from ..runtime.markup import escaped
from .assets import script, source
from .cockpit import Cockpit, cockpit
from .explained import explained
from .laboratory_words import TEXTS
from .panel import Panel
from .static import as_page, bundle, with_page

POINTS = 160  # values of a curve, at most; longer curves are averaged in blocks
RATES = (None, 20.0, 5.0, 1.0)  # the panel's choices of steps a second; None is no limit
SMOKE = {"epochs": 2, "warmup_epochs": 1.0, "width": 4, "hidden_dim": 16, "projection_dim": 8, "batch_size": 16}


def laboratory(
    train: ImageSet | None = None,
    test: ImageSet | None = None,
    config: Config | None = None,
    cells: str | Iterable[str] | Mapping[str, Config] = ("5a", "5b"),
    workers: int | None = None,
) -> "LaboratoryBox":
    """Make a panel of the runs of the paper's two tables on collapse. The runs begin when play is pressed.

    Args:
        train, test: images in memory. Default: "shapes"; at BYOL_SCALE=smoke a few of them.
        config: the config that the rows change. Default: the recipe for "shapes"; at smoke scale a tiny one.
        cells: "5a", "5b", "family", names of rows, or several of these; or other runs as {name: Config}.
        workers: number of processes. Default: see Laboratory.

    Raises:
        ConfigError, DataError, LaboratoryError: as Laboratory does, and for a name that is neither a table nor a row.

    Accessible names, for tests and assistive technology. Region "Collapse laboratory". Buttons "play", "pause",
    "reset"; choices "speed", "tables", "y-axis", "sort by". Each run is an article named like its row, such as "τ = 0". A click or
    the focus selects it; then its words are below all runs, with the buttons "open τ = 0 in cockpit" and "copy code of
    τ = 0". The arrow keys go from one run to the next.
    """
    if train is None:
        limits = pick(smoke=(192, 96), laptop=(None, None))
        train = load("shapes", limit=limits[0])
        test = load("shapes", "test", limit=limits[1]) if test is None else test
    config = config or preset("shapes", **pick(smoke=SMOKE, laptop={}))
    rows = own_rows(cells) if isinstance(cells, Mapping) else tables(*([cells] if isinstance(cells, str) else cells))
    return LaboratoryBox(Laboratory(rows, config, train, test, workers))


class LaboratoryBox(ipywidgets.VBox):
    """A box of the laboratory's panel and, beneath it, the cockpit of the run that was opened last; see `laboratory`.

    lab: the Laboratory, with more commands than the box has. panel: the panel alone.
    """

    _closed = True  # as long as there is nothing to close

    def __init__(self, lab: Laboratory):
        self.lab = lab
        self._opening = threading.Lock()
        self.bench = ipywidgets.VBox(layout={"margin": "6px 0 0"})
        self.panel = LaboratoryPanel(lab, self)
        super().__init__(children=[self.panel, self.bench])
        self._closed = False

    def run(self, progress: bool = False) -> Findings:
        """Train until all runs are over; return their findings, which a notebook shows as a table."""
        return self.lab.run(progress)

    def play(self) -> None:
        """Start the processes if necessary, and let the runs advance."""
        self.lab.start().result()

    def pause(self) -> None:
        """Pause all runs; return when the last step has been made."""
        self.lab.pause().result()

    def reset(self) -> None:
        """Put all runs back to step 0, and end the processes."""
        self.lab.reset().result()

    @property
    def findings(self) -> Findings:
        """The findings of the chosen runs; see Laboratory.findings."""
        return self.lab.findings

    def prepare_picture(self, seconds: float = 60.0) -> None:
        """Train for at most this long, so that a page without a kernel has something to show."""
        over = threading.Event()
        self.lab.subscribe(lambda lab: over.set() if lab.state in ("done", "failed") else None)
        self.play()
        if not over.wait(seconds):
            self.pause()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return bundle(self) if as_page() else with_page(self, super()._repr_mimebundle_(**options))

    def open(self, cell: str | None = None) -> Cockpit | None:
        """Return a cockpit with a copy of one run, at the run's present step; see Laboratory.session.

        Without a cell this is the method that ipywidgets calls when a widget is made.
        """
        return super().open() if cell is None else cockpit(self.lab.session(cell))

    def open_beneath(self, cell: str) -> None:
        """Open a cockpit beneath the panel, and close the one that was there."""
        with self._opening:
            opened = cockpit(self.lab.session(cell))
            opened.name = cell
            opened.show(frame=opened.frame | {"name": cell})
            self.close_cockpit()
            step = opened.session.snapshot().step
            words = ipywidgets.HTML(
                f"<b>{escaped(cell)}</b>, from step {step}. This is a copy: the laboratory's run is not changed."
            )
            close = ipywidgets.Button(description="close cockpit", tooltip=f"Close the cockpit of {cell}")
            close.on_click(lambda _: self.close_cockpit())
            self.bench.children = [ipywidgets.HBox([words, close], layout={"justify_content": "space-between"}), opened]

    def close_cockpit(self) -> None:
        """Close the cockpit beneath the panel, if there is one."""
        children, self.bench.children = self.bench.children, []
        for child in children:
            for part in (*getattr(child, "children", ()), child):
                _close(part)

    def close(self) -> None:
        """End the processes and close all widgets."""
        if not self._closed:
            self._closed = True
            self.lab.close()
            self.close_cockpit()
            self.panel.close()
            _close(self.bench)
            self.layout.close()
            super().close()


class LaboratoryPanel(Panel):
    """The panel of all runs.

    setup: what stays the same. frame: everything that changes, replaced at most four times a second.
    """

    _esm = source("hints", "js") + script("laboratory.js")
    _css = source("laboratory", "css")
    setup = traitlets.Dict().tag(sync=True)
    frame = traitlets.Dict().tag(sync=True)

    def __init__(self, lab: Laboratory, box: LaboratoryBox):
        self.lab, self.box = lab, box
        self.note = ""
        self._unwatched = False  # whether the panel has paused the runs because no page showed it
        self.opened: tuple[str, int] = ("", 0)  # the run that was opened last, and the number of runs opened so far
        super().__init__(setup=self._setup(), frame=self._frame())
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

    def _setup(self) -> dict:
        lab = self.lab
        first = next(iter(lab.cells.values())).snapshot
        data = f"{len(lab.train):,} images of {short_name(lab.train.name)!r}"
        classes = "" if not lab.train.classes else f", {len(lab.train.classes)} classes"
        in_tables = [table for table in TABLES if any(row.table == table for row in lab.rows.values())]
        same, other = differences(lab.base, data + classes, first.total_steps, in_tables[0] if in_tables else "")
        return {
            "cells": [self._cell_setup(name, cell) for name, cell in lab.cells.items()],
            "tables": {table: TABLES[table] for table in in_tables},
            "same": same if in_tables else [],
            "other": other if in_tables else [],
            "data": data + classes,
            "floor": floor_if_uneven(None if lab.test is None else lab.test.labels),
            "processes": lab.workers,
            "rates": list(RATES),
            "thresholds": asdict(THRESHOLDS),
            "about": explained(TEXTS),
        }

    def _cell_setup(self, name: str, cell: Cell) -> dict:
        before, after = self.lab.experiment(name).code.rsplit(f"steps={cell.snapshot.step}", 1)
        return {
            "name": name,
            "table": cell.row.table,
            "about": cell.row.about,
            "paper": cell.row.paper,
            "total": cell.snapshot.total_steps,
            "epoch": cell.snapshot.steps_per_epoch,
            "code": [before + "steps=", after],  # the browser puts the number of steps in between
        }

    def _frame(self) -> dict:
        lab, cells = self.lab, self.lab.cells
        best = lab.findings.best
        return {
            "state": lab.state,
            "seconds": lab.seconds,
            "chosen": lab.chosen,
            "rate": lab.rate,
            "note": self.note,
            "opened": list(self.opened),
            "cells": [_cell_frame(cell, best) for cell in cells.values()],
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
        """Return whether to go on, because a page is back and the runs stand for its absence alone."""
        back, self._unwatched = self._unwatched and self.lab.state in ("idle", "paused"), False
        self.note = "" if back else self.note
        return back

    def returned(self) -> None:
        """Let the runs advance again that were paused while the network was gone, or the page asleep."""
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


def _close(widget: ipywidgets.Widget) -> None:
    """Close a widget, and the layout and style that it has made for itself."""
    for own in (getattr(widget, "layout", None), getattr(widget, "style", None), widget):
        if own is not None:
            own.close()


def _cell_frame(cell: Cell, best: float | None) -> dict:
    s, f = cell.snapshot, cell.finding
    words, agrees = ("", None) if f is None or f.error else remark(f, best)
    return {
        "state": s.state,
        "step": s.step,
        "verdict": s.verdict,
        "curves": _curves(s.series("loss"), s.series("std")),
        "knn": [list(check) for check in s.knn],
        "start_knn": s.start_knn,
        "accuracy": f and f.knn,  # on all test images, like the linear probe; `knn` is on some of them, while training
        "linear": f and f.linear,
        "random_linear": f and f.random_linear,
        "balanced": f.balanced if f else {"knn": s.knn_balanced[-1][1]} if s.knn_balanced and s.knn else {},
        "remark": words,
        "agrees": agrees,
    }


def _curves(loss: list[float], std: list[float]) -> dict:
    """Return both curves with at most POINTS values, to four digits, and the steps in a block; None if not finite."""
    block, curves = shortened(POINTS, loss, std)
    rounded = [[float(f"{x:.4g}") if np.isfinite(x) else None for x in curve] for curve in curves]
    return {"block": block, "loss": rounded[0], "std": rounded[1]}


__all__ = ["LaboratoryBox", "LaboratoryError", "LaboratoryPanel", "laboratory"]
