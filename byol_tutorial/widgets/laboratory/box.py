"""The laboratory as a notebook shows it: the panel of all runs and, beneath it, the cockpit of one of them.

    lab = bt.widgets.laboratory()        # both tables on "shapes"; show it as a cell's last line, then press play
    found = lab.run()                    # or without the panel: returns when all runs are over
    lab.open("no predictor")             # this run in a cockpit

At BYOL_SCALE=smoke the runs are tiny, so that a page or a test gets them quickly.
"""

import threading
from collections.abc import Iterable, Mapping
from typing import Any

import ipywidgets

from ...config.config import Config
from ...config.paper_tables import own_rows, tables
from ...config.presets import preset
from ...course.scale import pick
from ...data.image_set import ImageSet
from ...data.loading import load
from ...live.findings import Findings
from ...live.laboratory import Laboratory
from ...runtime.markup import escaped
from ..cockpit import Cockpit, cockpit
from ..static import as_page, bundle, with_page
from .panel import LaboratoryPanel

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


def _close(widget: ipywidgets.Widget) -> None:
    """Close a widget, and the layout and style that it has made for itself."""
    for own in (getattr(widget, "layout", None), getattr(widget, "style", None), widget):
        if own is not None:
            own.close()
