"""Holds what only the lessons need: scale, runs and their cache, exercises that check themselves, the ledger of claims.

scale.py       pick(smoke=..., laptop=...) sets how long a notebook trains; images() and recipe() set on what
runs.py        run and run_all train, evaluate and keep runs; parallel.py does several at a time
measures.py    what `run(..., track=...)` can measure during training
supervised.py  the supervised baseline: the same encoder trained with labels
cache.py       cached(...) keeps any other result that takes long to compute
comparison.py  compare, as bt.compare, with the row of raw pixels kept
exercises/     bt.exercises.check, hint, predict, outcome; one file of exercises for each lesson
ledger/        claims of the paper and its successors, what we measured, and the verdicts
figures/       maps of representations, spheres, a ladder of networks; BYOL on one page
best_prediction.py   a world in a plane in which the best predictor can be computed and seen
editions.py    student and teacher editions of the notebooks
bugs.py        five bugs that people report, in one training loop
longer.py      the encoder of a longer run on photographs, which comes with the course
board.py       the runs behind the board's sliders
"""

from ..runtime.threads import one_by_default
from .cache import cached
from .comparison import compare
from .longer import LongerRun, longer_run
from .runs import FinishedRun, Results, run, run_all
from .scale import SCALES, images, pick, recipe, scale
from .supervised import Supervised, supervised

one_by_default()  # only lessons and panels import this, and the loops that a notebook writes are of small operations too

__all__ = [
    "SCALES",
    "FinishedRun",
    "LongerRun",
    "Results",
    "Supervised",
    "cached",
    "compare",
    "images",
    "longer_run",
    "pick",
    "recipe",
    "run",
    "run_all",
    "scale",
    "supervised",
]
