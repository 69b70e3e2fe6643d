"""One step, whole runs, what a run remembers, and the files it is kept in."""

from ..config.errors import CheckpointError, DivergedError, TrainingError
from . import optim
from .history import History
from .trainer import Trainer

__all__ = ["CheckpointError", "DivergedError", "History", "Trainer", "TrainingError", "optim"]
