"""Exercises of lesson 02, views and what they share."""

from .batch import BATCH
from .colour import SHORTCUT
from .other_question import COLOUR_CLASS
from .solarize import SOLARIZE

EXERCISES = (SOLARIZE, BATCH, SHORTCUT, COLOUR_CLASS)
