"""The methods by name: Config.method names the objective that is trained.

To add one, write a subclass of Objective (base.py) in a file of its own, and give it a line in OBJECTIVES. Fields of
Config that belong to it alone name it in their `of`.
"""

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


def build_model(config: Config, view_size: int, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)) -> Objective:
    """The model of config.method, for views of so many pixels a side.

    Raises:
        ConfigError: views that the method cannot use, such as too small ones for its local crops.
    """
    return OBJECTIVES[config.method](config, view_size, mean, std)
