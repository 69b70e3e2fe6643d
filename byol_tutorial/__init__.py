"""BYOL, Bootstrap Your Own Latent (Grill et al. 2020), to read, to break and to train. Start at `byol_tutorial.byol`."""

__version__ = "0.1.0"

from typing import Any

from . import augment
from .byol import BYOL, byol_loss, tau_at
from .checkpoint import load_encoder
from .config import Config
from .data import DataError, ImageSet, StreamedSet, load
from .diagnose import collapse_report
from .embed import pca_embedding, umap_embedding
from .evaluate import compare, factor_probe, features, knn_accuracy, linear_probe
from .experiment import Experiment, rebuild
from .guests import guest
from .optim import LARS
from .option import ConfigError
from .presets import preset
from .protocols import PROTOCOLS
from .recording import Recording, record
from .session import Session
from .train import Trainer

__all__ = [
    "BYOL",
    "LARS",
    "PROTOCOLS",
    "Config",
    "ConfigError",
    "DataError",
    "Experiment",
    "ImageSet",
    "Recording",
    "Session",
    "StreamedSet",
    "Trainer",
    "augment",
    "byol_loss",
    "collapse_report",
    "compare",
    "factor_probe",
    "features",
    "guest",
    "knn_accuracy",
    "linear_probe",
    "load",
    "load_encoder",
    "pca_embedding",
    "preset",
    "rebuild",
    "record",
    "tau_at",
    "umap_embedding",
]

# needed by notebooks alone, and slow to import: loaded when first asked for
LAZY = {"widgets": ".widgets", "exercises": ".course.exercises"}


def __getattr__(name: str) -> Any:
    if name in LAZY:
        import importlib

        return importlib.import_module(LAZY[name], __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
