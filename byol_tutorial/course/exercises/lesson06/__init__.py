"""Exercises of lesson 06, from SimCLR to BYOL by three switches."""

from .batch import BATCH
from .below_zero import BELOW_ZERO
from .negatives import NEGATIVES
from .queue import QUEUE
from .rows import ROWS

EXERCISES = (NEGATIVES, ROWS, BELOW_ZERO, BATCH, QUEUE)
