"""The methods by name: Config.method -> the objective that is trained."""

from ..config.config import Config
from ..config.errors import ConfigError
from ..networks.vit import check_patches
from .base import Objective
from .byol import BYOL
from .dino import DINO
from .simclr import SimCLR
from .simsiam import SimSiam

OBJECTIVES: dict[str, type[Objective]] = {"byol": BYOL, "simclr": SimCLR, "simsiam": SimSiam, "dino": DINO}
TITLES = {name: method.__name__ for name, method in OBJECTIVES.items()}  # as papers spell them


def build_model(config: Config, view_size: int, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)) -> Objective:
    """The model of config.method, for views of so many pixels a side.

    Raises:
        ConfigError: local crops larger than the views, or patches that do not tile them.
    """
    if config.method == "dino" and config.local_crops > 0:
        local = config.local_size(view_size)
        if local > view_size:
            raise ConfigError(
                f"local_view_size={local}: local crops are smaller than the global views of {view_size} px; lower it, or "
                "0 for half of those"
            )
        if config.encoder.startswith("vit"):
            check_patches(local, config.patch_size)
    return OBJECTIVES[config.method](config, view_size, mean, std)
