"""The methods by name: Config.method names the objective that is trained.

To add a method, write a subclass of Objective (base.py) in a file of its own, and give it a line in OBJECTIVES. Fields
of Config that only this method uses name it in their `of`.
"""

from collections.abc import Callable, Sequence

from torch import nn

from ..config.config import Config
from ..config.fields import METHODS
from .base import Objective
from .byol import BYOL
from .dino import DINO
from .simclr import SimCLR
from .simsiam import SimSiam

OBJECTIVES: dict[str, type[Objective]] = {"byol": BYOL, "simclr": SimCLR, "simsiam": SimSiam, "dino": DINO}
TITLES = {name: method.__name__ for name, method in OBJECTIVES.items()}  # as papers spell them
METHODS[:] = OBJECTIVES  # what Config.method may be


def build_model(
    config: Config,
    view_size: int,
    mean: Sequence[float] = (0.5, 0.5, 0.5),
    std: Sequence[float] = (0.25, 0.25, 0.25),
    own: nn.Module | None = None,
) -> Objective:
    """Build the model of config.method for views of `view_size` pixels a side.

    mean, std: statistics of each channel, by which the views are normalised; the encoder keeps them.
    own: the module of which the encoder is a copy if config.encoder is "own".

    Raises:
        ConfigError: views that the method cannot use, such as views too small for its local crops; a network that cannot
            be the encoder.
    """
    method: Callable[..., Objective] = OBJECTIVES[config.method]
    return method(config, view_size, mean, std, *([] if own is None else [own]))
