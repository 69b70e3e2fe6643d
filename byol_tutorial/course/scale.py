"""One environment variable, BYOL_SCALE, decides how long the notebooks train, and on what."""

import os

import torch

from ..config.config import Config
from ..config.errors import UserError
from ..config.presets import preset
from ..data.loading import load

SCALES = {
    "smoke": "seconds: the cells run, nothing is learned",
    "laptop": "about a minute on two cores: the phenomena are real",
    "gpu": "CIFAR-10 on CUDA",
}
SMOKE = {"train": 512, "test": 256}  # images


def scale() -> str:
    """The value of BYOL_SCALE; "laptop" where it is not set.

    Raises:
        UserError: it is set to something else, or to "gpu" where there is no CUDA device.
    """
    name = os.environ.get("BYOL_SCALE") or "laptop"
    if name not in SCALES:
        raise UserError(f"BYOL_SCALE={name!r}: choose one of {', '.join(SCALES)}")
    if name == "gpu" and not torch.cuda.is_available():
        raise UserError("BYOL_SCALE='gpu': no CUDA device was found here; choose laptop or smoke")
    return name


def pick(smoke, laptop, gpu=None):
    """The value for the current scale; `laptop`'s where there is none for "gpu"."""
    values = {"smoke": smoke, "laptop": laptop, "gpu": laptop if gpu is None else gpu}
    return values[scale()]


def images(split: str = "train"):
    """The images of the current scale: "shapes", a part of them at smoke, CIFAR-10 at gpu.

    For lessons that need no factors; CIFAR-10 has none.

    Raises:
        DataError: CIFAR-10 is not here and could not be downloaded.
    """
    return load("cifar10", split) if scale() == "gpu" else load("shapes", split, limit=pick(SMOKE[split], None))


def recipe(**changes) -> Config:
    """The recipe for those images, with any field changed: the preset "shapes", one epoch of it at smoke, or "cifar10"."""
    if scale() == "gpu":
        return preset("cifar10", **{"precision": "mixed"} | changes)
    return preset("shapes", **pick({"epochs": 1}, {}) | changes)
