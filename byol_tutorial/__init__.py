"""BYOL, Bootstrap Your Own Latent (Grill et al. 2020), to read, to break and to train. Start at `byol_tutorial.byol`."""

__version__ = "0.1.0"

from . import augment
from .byol import BYOL, byol_loss, tau_at
from .config import Config, ConfigError
from .data import DataError, ImageSet, load
from .diagnose import collapse_report
from .evaluate import compare, factor_probe, features, knn_accuracy, linear_probe
from .optim import LARS
from .presets import preset
from .train import Trainer

__all__ = [
    "BYOL",
    "LARS",
    "Config",
    "ConfigError",
    "DataError",
    "ImageSet",
    "Trainer",
    "augment",
    "byol_loss",
    "collapse_report",
    "compare",
    "factor_probe",
    "features",
    "knn_accuracy",
    "linear_probe",
    "load",
    "preset",
    "tau_at",
]
