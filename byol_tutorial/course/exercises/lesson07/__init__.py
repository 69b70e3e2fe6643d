"""Exercises of lesson 07, training for real."""

from .bugs import BUGS
from .lars import LARS
from .recipe import RECIPE
from .resume import RESUME, TinyRun
from .views import DIFFER

__all__ = ["EXERCISES", "TinyRun"]

EXERCISES = (LARS, RESUME, BUGS, DIFFER, RECIPE)
