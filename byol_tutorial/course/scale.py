"""The scale of the notebooks: one environment variable, BYOL_SCALE, sets how long they train and on which images."""

import os
from typing import Any, TypeVar

import torch

from ..config.config import Config
from ..config.errors import UserError
from ..config.presets import preset
from ..data.image_set import ImageSet
from ..data.loading import load
from ..data.streaming import StreamedSet

SCALES = {
    "smoke": "seconds: the cells run, nothing is learned",
    "laptop": "about a minute on two cores: the phenomena are real",
    "gpu": "CIFAR-10 on CUDA",
}
T = TypeVar("T")
SMOKE = {"train": 512, "test": 256}  # images


def scale() -> str:
    """Return the value of BYOL_SCALE, or "laptop" where it is not set.

    Raises:
        UserError: it is set to a name that is not in SCALES, or to "gpu" where there is no CUDA device.
    """
    name = os.environ.get("BYOL_SCALE") or "laptop"
    if name not in SCALES:
        raise UserError(f"BYOL_SCALE={name!r}: choose one of {', '.join(SCALES)}")
    if name == "gpu" and not torch.cuda.is_available():
        raise UserError("BYOL_SCALE='gpu': no CUDA device was found here; choose laptop or smoke")
    return name


def pick(smoke: T, laptop: T, gpu: T | None = None) -> T:
    """Return the value for the current scale. Without a value for "gpu", that of `laptop` serves there too."""
    values = {"smoke": smoke, "laptop": laptop, "gpu": laptop if gpu is None else gpu}
    return values[scale()]


def images(split: str = "train") -> ImageSet | StreamedSet:
    """Load the images of the current scale: "shapes", a part of them at smoke, CIFAR-10 at gpu.

    Lessons that need the factors of "shapes" load them themselves, since CIFAR-10 has none.

    Raises:
        DataError: CIFAR-10 is not on this machine and could not be downloaded.
    """
    return load("cifar10", split) if scale() == "gpu" else load("shapes", split, limit=pick(SMOKE[split], None))


def recipe(**changes: Any) -> Config:
    """Return the recipe for those images, with these fields changed.

    It is the preset "shapes", with one epoch at smoke, or the preset "cifar10" in mixed precision at gpu.
    """
    if scale() == "gpu":
        return preset("cifar10", **{"precision": "mixed"} | changes)
    return preset("shapes", **pick({"epochs": 1}, {}) | changes)
