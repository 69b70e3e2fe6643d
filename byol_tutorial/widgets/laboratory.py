"""Laboratory: the runs of tables 5a and 5b side by side, advancing together, the paper's number beside ours.

    lab = bt.widgets.laboratory()        # both tables on "shapes"; show it as a cell's last line, then press play
    found = lab.run()                    # or without the panel: returns when all runs are over
    lab.open("no predictor")             # that run in a cockpit

The runs train in processes of their own, see ..laboratory; here is only what is shown of them.
"""

import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import asdict
from html import escape
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
from ..evaluate.diagnose import THRESHOLDS
from ..live.findings import Findings, remark
from ..live.laboratory import Laboratory
from ..live.laboratory_runs import Cell
from .assets import source
from .cockpit import Cockpit, cockpit
from .panel import Panel
from .static import as_page, bundle

POINTS = 160  # a curve has at most so many; longer runs are averaged in blocks
RATES = (None, 20.0, 5.0, 1.0)  # steps a second that the panel offers
SMOKE = {"epochs": 2, "warmup_epochs": 1.0, "width": 4, "hidden_dim": 16, "projection_dim": 8, "batch_size": 16}


def laboratory(
    train: ImageSet | None = None,
    test: ImageSet | None = None,
    config: Config | None = None,
    cells: str | Iterable[str] | Mapping[str, Config] = ("5a", "5b"),
    workers: int | None = None,
) -> "LaboratoryBox":
    """The runs of the paper's two tables on collapse; they stand at their first steps until play is pressed.

    Args:
        train, test: images in memory. Default: "shapes"; at BYOL_SCALE=smoke a few of them.
        config: what the rows of the tables change. Default: the recipe for "shapes"; at smoke scale a tiny one.
        cells: "5a", "5b", "family", names of rows, or several of these; or runs of your own, {name: Config}.
        workers: processes. Default: one a core, at most 8, at most one a run.

    Raises:
        ConfigError, DataError, LaboratoryError: as Laboratory does; a name that is no table and no row.

    Accessible names, for whoever drives the panel by them. Region "Collapse laboratory". Buttons "play", "pause", "reset";
    choices "speed", "tables", "y-axis", "sort by". Each run is an article of its row's name, such as "τ = 0", with the
    buttons "open τ = 0 in cockpit" and "copy code of τ = 0"; the arrow keys go from one to the next.
    """
    if train is None:
        limits = pick(smoke=(192, 96), laptop=(None, None))
        train = load("shapes", limit=limits[0])
        test = load("shapes", "test", limit=limits[1]) if test is None else test
    config = config or preset("shapes", **pick(smoke=SMOKE, laptop={}))
    rows = own_rows(cells) if isinstance(cells, Mapping) else tables(*([cells] if isinstance(cells, str) else cells))
    return LaboratoryBox(Laboratory(rows, config, train, test, workers))


class LaboratoryBox(ipywidgets.VBox):
    """See `laboratory`: the panel, and beneath it the cockpit of the run that was opened last.

    lab: the Laboratory, for what is not here. panel: what shows it, alone.
    """

    def __init__(self, lab: Laboratory):
        self.lab, self._closed = lab, False
        self._opening = threading.Lock()
        self.bench = ipywidgets.VBox(layout={"margin": "6px 0 0"})
        self.panel = LaboratoryPanel(lab, self)
        super().__init__(children=[self.panel, self.bench])

    def run(self, progress: bool = False) -> Findings:
        """Train until all runs are over; what they found, as a table. See Laboratory.run."""
        return self.lab.run(progress)

    def play(self) -> None:
        self.lab.start().result()

    def pause(self) -> None:
        """Returns when the last step has been made."""
        self.lab.pause().result()

    def reset(self) -> None:
        self.lab.reset().result()

    @property
    def findings(self) -> Findings:
        return self.lab.findings

    def rehearse(self, seconds: float = 60.0) -> None:
        """Train for so long, or until all runs are over: for a page that shows the last picture."""
        over = threading.Event()
        self.lab.subscribe(lambda lab: over.set() if lab.state in ("done", "failed") else None)
        self.play()
        if not over.wait(seconds):
            self.pause()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return bundle(self) if as_page() else super()._repr_mimebundle_(**options)

    def open(self, cell: str | None = None) -> Cockpit | None:
        """A cockpit for one run, from where it stands; see Laboratory.session. The laboratory's own run goes its way.

        Without a cell it is what ipywidgets calls when a widget is made.
        """
        return super().open() if cell is None else cockpit(self.lab.session(cell))

    def open_beneath(self, cell: str) -> None:
        """The same, beneath the panel, in place of the one that was there."""
        with self._opening:
            opened = cockpit(self.lab.session(cell))
            self.put_away()
            step = opened.session.snapshot().step
            words = ipywidgets.HTML(
                f"<b>{escape(cell)}</b>, from step {step}. A run of its own: the laboratory's is not touched."
            )
            leave = ipywidgets.Button(description="close cockpit", tooltip=f"Close the cockpit of {cell}")
            leave.on_click(lambda _: self.put_away())
            self.bench.children = [ipywidgets.HBox([words, leave], layout={"justify_content": "space-between"}), opened]

    def put_away(self) -> None:
        """Close the cockpit beneath, if there is one."""
        children, self.bench.children = self.bench.children, []
        for child in children:
            for part in (*getattr(child, "children", ()), child):
                _close(part)

    def close(self) -> None:
        """End the processes and take everything away."""
        if not self._closed:
            self._closed = True
            self.lab.close()
            self.put_away()
            self.panel.close()
            _close(self.bench)
            self.layout.close()
            super().close()


class LaboratoryPanel(Panel):
    """What the browser shows. setup: what stays. frame: all that moves, replaced at most four times a second."""

    _esm = source("laboratory", "js")
    _css = source("laboratory", "css")
    setup = traitlets.Dict().tag(sync=True)
    frame = traitlets.Dict().tag(sync=True)

    def __init__(self, lab: Laboratory, box: LaboratoryBox):
        self.lab, self.box = lab, box
        self.note = ""
        self.opened: tuple[str, int] = ("", 0)  # the run that was opened last, and how many were before
        super().__init__(setup=self._setup(), frame=self._frame())
        lab.subscribe(self._on_news)

    # --- commands from the browser, which only give orders ---------------------------------------

    def do_play(self) -> None:
        self.note = ""
        self._watch(self.lab.start())

    def do_pause(self) -> None:
        self._watch(self.lab.pause())

    def do_reset(self) -> None:
        self.note = ""
        self._watch(self.lab.reset())

    def do_speed(self, rate: float | None = None) -> None:
        self._watch(self.lab.limit(None if rate is None else float(rate)))

    def do_choose(self, tables: list[str]) -> None:
        self._watch(self.lab.choose([name for name, row in self.lab.rows.items() if row.table in tables]))

    def do_open(self, cell: str) -> None:
        self.box.open_beneath(cell)
        self.opened = (cell, self.opened[1] + 1)
        self.show(frame=self._frame())

    def _watch(self, future: Future) -> None:
        """Show what becomes of an order: its error is words in the panel."""

        def done(future: Future) -> None:
            if future.exception() is not None:
                self.show(problem=f"{future.exception()}" or type(future.exception()).__name__)

        future.add_done_callback(done)

    # --- pictures to the browser -----------------------------------------------------------------

    def _on_news(self, lab: Laboratory) -> None:
        """On the laboratory's thread."""
        if self.abandoned and lab.state in ("starting", "running"):
            self.note = "paused, since no page showed it any more"
            lab.suspend()
        self.show(frame=self._frame())

    def _setup(self) -> dict:
        lab = self.lab
        first = next(iter(lab.cells.values())).snapshot
        data = f"{len(lab.train):,} images of {lab.train.name!r}"
        classes = "" if not lab.train.classes else f", {len(lab.train.classes)} classes"
        in_tables = [table for table in TABLES if any(row.table == table for row in lab.rows.values())]
        same, other = differences(lab.base, data + classes, first.total_steps, in_tables[0] if in_tables else "")
        return {
            "cells": [self._cell_setup(name, cell) for name, cell in lab.cells.items()],
            "tables": {table: TABLES[table] for table in in_tables},
            "same": same if in_tables else [],
            "other": other if in_tables else [],
            "data": data + classes,
            "processes": lab.workers,
            "rates": list(RATES),
            "thresholds": asdict(THRESHOLDS),
        }

    def _cell_setup(self, name: str, cell: Cell) -> dict:
        before, after = self.lab.experiment(name).code.rsplit(f'"steps": {cell.snapshot.step}', 1)
        return {
            "name": name,
            "table": cell.row.table,
            "about": cell.row.about,
            "paper": cell.row.paper,
            "total": cell.snapshot.total_steps,
            "epoch": cell.snapshot.steps_per_epoch,
            "code": [before + '"steps": ', after],  # the number of steps goes between
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

    def interrupted(self) -> None:
        self.note = "interrupted; play goes on from here"
        self.lab.suspend()

    def close(self) -> None:
        if self.box._closed:
            super().close()
        else:
            self.box.close()


def _close(widget: ipywidgets.Widget) -> None:
    """With the widgets that it has made for itself."""
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
        "accuracy": f and f.knn,  # of all test images, as the linear probe's; `knn` is of some, while training
        "linear": f and f.linear,
        "random_linear": f and f.random_linear,
        "remark": words,
        "agrees": agrees,
    }


def _curves(loss: list[float], std: list[float]) -> dict:
    """Both curves, averaged in blocks of so many steps that they have at most POINTS values; null where not finite."""
    n = len(loss)
    block = max(1, -(-n // POINTS))
    starts = np.arange(0, n, block)
    sizes = np.diff(np.append(starts, n))

    def short(values: list[float]) -> list[float | None]:
        means = np.add.reduceat(np.asarray(values, np.float64), starts) / sizes if n else np.empty(0)
        return [float(f"{x:.4g}") if np.isfinite(x) else None for x in means]

    return {"block": block, "loss": short(loss), "std": short(std)}


__all__ = ["LaboratoryBox", "LaboratoryError", "LaboratoryPanel", "laboratory"]
