"""What only the lessons need: their scale, their runs and cache, exercises that check themselves, claims of the paper.

scale.py       pick(smoke=..., laptop=...): how long a notebook trains; images and recipe: on what
runs.py        run, run_all: train, judge and keep; measures.py is what can be measured on the way
supervised.py  the same encoder, told the classes
cache.py       cached: keep anything else that takes long
exercises/     bt.exercises.check, hint, predict, outcome; one file of exercises a lesson
ledger/        claims of the paper and its successors, what we measured, and the verdicts
figures/       maps of representations; BYOL on one page
editions.py    student and teacher versions of the notebooks
"""

from .cache import cached
from .runs import FinishedRun, Results, run, run_all
from .scale import SCALES, images, pick, recipe, scale
from .supervised import Supervised, supervised

__all__ = [
    "SCALES",
    "FinishedRun",
    "Results",
    "Supervised",
    "cached",
    "images",
    "pick",
    "recipe",
    "run",
    "run_all",
    "scale",
    "supervised",
]
