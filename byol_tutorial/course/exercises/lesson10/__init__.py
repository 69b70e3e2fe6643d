"""Exercises of lesson 10, DINO and its relatives."""

from .collapse import COLLAPSE
from .count import COUNT
from .same_view import SAME_VIEW
from .sinkhorn import SINKHORN
from .sort import SORT

EXERCISES = (SORT, COLLAPSE, SAME_VIEW, SINKHORN, COUNT)
