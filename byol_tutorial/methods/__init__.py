"""BYOL and its relatives: the networks and the loss of each. Start reading at byol.py."""

from .base import Objective, Output
from .registry import OBJECTIVES, TITLES, build_model

__all__ = ["OBJECTIVES", "TITLES", "Objective", "Output", "build_model"]
