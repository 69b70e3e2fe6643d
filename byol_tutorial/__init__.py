"""BYOL, Bootstrap Your Own Latent (Grill et al. 2020), to read, to break and to train. Start at `byol_tutorial.byol`."""

__version__ = "0.1.0"

from . import augment
from .byol import BYOL, byol_loss, tau_at
from .checkpoint import load_encoder
from .config import Config, ConfigError
from .data import DataError, ImageSet, StreamedSet, load
from .diagnose import collapse_report
from .evaluate import compare, factor_probe, features, knn_accuracy, linear_probe
from .optim import LARS
from .presets import preset
from .protocols import PROTOCOLS
from .train import Trainer

__all__ = [
    "BYOL",
    "LARS",
    "PROTOCOLS",
    "Config",
    "ConfigError",
    "DataError",
    "ImageSet",
    "StreamedSet",
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
    "load_encoder",
    "preset",
    "tau_at",
]
