"""Exercises of lesson 01, from negatives to a target that moves."""

from .chain import CHAIN
from .contrast import CONTRAST
from .lag import LAG
from .random_target import RANDOM_TARGET
from .rounds import ROUNDS
from .weights import WEIGHTS

EXERCISES = (CONTRAST, RANDOM_TARGET, CHAIN, ROUNDS, WEIGHTS, LAG)
