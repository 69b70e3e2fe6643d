"""Exercises of lesson 08, what a representation is worth, and how one can be wrong about it."""

from .baseline import BASELINE
from .choose import CHOOSE
from .dense import DENSE
from .difference import DIFFERENCE
from .knn import KNN
from .leak import LEAK

EXERCISES = (KNN, DENSE, BASELINE, LEAK, CHOOSE, DIFFERENCE)
