"""Exercises of lesson 04, the predictor and the stop-gradient."""

from .alignment import ALIGNMENT
from .best import BEST
from .directpred import DIRECTPRED
from .dynamics import DYNAMICS
from .limit import LIMIT
from .predictors import PREDICTORS
from .rungs import RUNGS
from .sphere import SPHERE
from .table_21 import TABLE_21
from .what_counts import COUNTS

EXERCISES = (SPHERE, RUNGS, BEST, COUNTS, PREDICTORS, TABLE_21, ALIGNMENT, DYNAMICS, DIRECTPRED, LIMIT)
