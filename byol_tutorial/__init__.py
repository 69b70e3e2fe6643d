"""BYOL, Bootstrap Your Own Latent (Grill et al. 2020), to read, to break and to train.

Start reading at `byol_tutorial.methods.byol`.
"""

from types import ModuleType

from . import _starting

_starting.begin()  # before the imports that take long

from . import augment, config, evaluate, networks, train
from ._version import __version__
from .config import Config, ConfigError, DataError, preset
from .data import ImageSet, StreamedSet, images_from, load
from .evaluate import (
    accuracies,
    compare,
    dense_probe,
    diagnose,
    embed,
    factor_probe,
    features,
    knn_accuracy,
    linear_probe,
)
from .evaluate.diagnose import collapse_report
from .evaluate.embed import pca_embedding, umap_embedding
from .evaluate.image_files import embed_images
from .evaluate.pretrained import guest
from .evaluate.protocols import PROTOCOLS
from .live.experiment import Experiment, rebuild
from .live.recorder import record
from .live.recording import Recording
from .live.session import Session
from .methods.byol import BYOL, byol_loss, tau_at
from .runtime.threads import set_threads
from .train import Trainer, optim
from .train.encoder_file import load_encoder
from .train.onnx_file import export_onnx
from .train.optim import LARS

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
    "__version__",
    "accuracies",
    "augment",
    "byol_loss",
    "collapse_report",
    "compare",
    "config",
    "dense_probe",
    "diagnose",
    "embed",
    "embed_images",
    "evaluate",
    "export_onnx",
    "factor_probe",
    "features",
    "guest",
    "images_from",
    "knn_accuracy",
    "linear_probe",
    "load",
    "load_encoder",
    "networks",
    "optim",
    "pca_embedding",
    "preset",
    "rebuild",
    "record",
    "set_threads",
    "tau_at",
    "train",
    "umap_embedding",
]

# Only notebooks need these, and they are slow to import, so they are loaded at the first use.
LAZY = {"widgets": ".widgets", "exercises": ".course.exercises"}


def __getattr__(name: str) -> ModuleType:
    if name in LAZY:
        import importlib

        return importlib.import_module(LAZY[name], __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
