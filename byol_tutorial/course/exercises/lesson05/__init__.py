"""Exercises of lesson 05, the moving average and the kinds of collapse."""

from .clouds import CLOUDS
from .lag import LAG
from .memory import MEMORY
from .rank import RANK
from .rotation import ROTATION
from .tau import TAU

EXERCISES = (TAU, MEMORY, CLOUDS, RANK, LAG, ROTATION)
