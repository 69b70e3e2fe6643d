"""The hyperparameter board: sliders over a grid of runs that were trained beforehand (course/board.py).

Everything is in the browser, so it answers at once, in a static page too.
"""

from dataclasses import asdict

import traitlets

from ..course import board as grid
from ..evaluate.diagnose import THRESHOLDS, VERDICTS
from .assets import script, source
from .film import hue_circle
from .panel import Panel


def board() -> "Board":
    """Choose τ, predictor, stop-gradient and colour changes, and see the run that comes of it: curves, map, verdict.

    >>> bt.widgets.board()

    The runs are of "shapes", seed 0, `course.board.EPOCHS` epochs each. The pale curves are BYOL's.

    Accessible names, for whoever drives the panel by them: region "Hyperparameter board"; slider "decay rate τ"; check
    boxes "predictor", "stop-gradient" and "colour changes"; choice "colour by"; image "Map of the projections ...".
    """
    verdicts = {"thresholds": asdict(THRESHOLDS), "verdicts": VERDICTS}
    return Board(runs=grid.recorded() | {"circle": hue_circle(24), "full": grid.FULL} | verdicts)


class Board(Panel):
    """See `board`. runs: the content of board.json, and the colours of hues."""

    _esm = source("plots", "js") + script("board.js")
    _css = source("board", "css")
    runs = traitlets.Dict().tag(sync=True)
