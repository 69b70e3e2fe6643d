"""Exercises of lesson 03, BYOL built in one notebook."""

from .bug import BUG
from .ema import EMA
from .loss import LOSS
from .loss_values import LOSS_VALUES
from .many_views import MANY_VIEWS
from .stop_gradient import STOP_GRADIENT
from .tau import TAU

EXERCISES = (LOSS, BUG, STOP_GRADIENT, EMA, TAU, LOSS_VALUES, MANY_VIEWS)
