"""One environment variable, BYOL_SCALE, decides how long the notebooks train."""

import os

from ..config import UserError

SCALES = {
    "smoke": "seconds: the cells run, nothing is learned",
    "laptop": "about a minute on two cores: the phenomena are real",
    "gpu": "CIFAR-10 on CUDA",
}


def scale() -> str:
    """The value of BYOL_SCALE; "laptop" where it is not set.

    Raises:
        UserError: it is set to something else.
    """
    name = os.environ.get("BYOL_SCALE") or "laptop"
    if name not in SCALES:
        raise UserError(f"BYOL_SCALE={name!r}: choose one of {', '.join(SCALES)}")
    return name


def pick(smoke, laptop, gpu=None):
    """The value for the current scale; `laptop`'s where there is none for "gpu"."""
    values = {"smoke": smoke, "laptop": laptop, "gpu": laptop if gpu is None else gpu}
    return values[scale()]
