"""The hyperparameter board: sliders over a grid of runs that were trained beforehand (course/board.py).

All runs are in the browser, so the board responds at once, also in a static page.
"""

import math

import traitlets

from ..course import board as grid
from ..evaluate.diagnose import collapse_verdict
from ..live.judgement import Judgement, Measured, judge
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
    recorded = grid.recorded()
    runs = [run | {"verdict": str(verdict_on(run))} for run in recorded["runs"]]
    return Board(runs=recorded | {"runs": runs, "circle": hue_circle(24), "full": grid.FULL})


def verdict_on(run: dict) -> Judgement:
    """Judge a recorded run by its spread and its kNN accuracy; its rank was not recorded."""
    (step, knn), spread = run["knn"][-1], run["spread"]
    reported = spread, collapse_verdict(spread)
    return judge(Measured(step, step, 0, run["std"], math.inf, 0, reported, knn, run["start_knn"]))


class Board(Panel):
    """The panel of a grid of runs; see `board`. runs: the content of board.json, and the colours of hues."""

    _esm = source("plots", "js") + script("board.js")
    _css = source("board", "css")
    runs = traitlets.Dict().tag(sync=True)
