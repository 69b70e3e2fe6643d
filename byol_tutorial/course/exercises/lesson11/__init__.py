"""Exercises of lesson 11, real photographs: a clean split, a simple rival, and what labels are worth."""

from .cut import CUT_SQUARES
from .histogram import HISTOGRAM
from .light import LIGHT
from .worth import WORTH

EXERCISES = (CUT_SQUARES, HISTOGRAM, LIGHT, WORTH)
