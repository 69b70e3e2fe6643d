"""BYOL and its relatives: what each is trained to do. Start reading at byol.py."""

from .base import Objective, Output
from .registry import OBJECTIVES, TITLES, build_model

__all__ = ["OBJECTIVES", "TITLES", "Objective", "Output", "build_model"]
