"""Training: one step, whole runs, their history, and the files that a run is saved in."""

from ..config.errors import CheckpointError, DivergedError, TrainingError
from . import optim
from .history import History
from .trainer import Trainer

__all__ = ["CheckpointError", "DivergedError", "History", "Trainer", "TrainingError", "optim"]
