"""The hyperparameter board: sliders over a grid of runs that were trained beforehand (course/board.py).

All runs are in the browser, so the board responds at once, also in a static page.
"""

from dataclasses import asdict

import traitlets

from ..course import board as grid
from ..evaluate.diagnose import THRESHOLDS, VERDICTS
from .assets import script, source
from .film import hue_circle
from .panel import Panel


def board() -> "Board":
    """Make a panel that shows the run with the chosen τ, predictor, stop-gradient and colour changes.

    >>> bt.widgets.board()

    It shows the run's curves, map and verdict; the pale curves are those of BYOL. The runs were trained on "shapes",
    with seed 0, for `course.board.EPOCHS` epochs each.

    Accessible names, for tests and assistive technology: region "Hyperparameter board"; slider "decay rate τ"; check
    boxes "predictor", "stop-gradient" and "colour changes"; choice "colour by"; image "Map of the projections ...".
    """
    verdicts = {"thresholds": asdict(THRESHOLDS), "verdicts": VERDICTS}
    return Board(runs=grid.recorded() | {"circle": hue_circle(24), "full": grid.FULL} | verdicts)


class Board(Panel):
    """The panel of a grid of runs; see `board`. runs: the content of board.json, and the colours of hues."""

    _esm = source("plots", "js") + script("board.js")
    _css = source("board", "css")
    runs = traitlets.Dict().tag(sync=True)
