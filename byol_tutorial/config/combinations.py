"""Values of a Config that exclude each other. fields.py checks each field alone."""

from typing import TYPE_CHECKING

from .errors import ConfigError

if TYPE_CHECKING:
    from .config import Config

# pairs that are a smallest and a largest value, the same for T and T′
RANGES = ("crop_area", "crop_ratio", "blur_sigma", "local_crop_area", "mask_ratio")
RESIDUAL = ("zero_init_residual", "projection_shortcut")  # fields of ResNets alone


def refuse_combinations(config: "Config") -> None:
    """Raise ConfigError for the first two values of the config that exclude each other."""
    for name in RANGES:
        low, high = getattr(config, name)
        if low > high:
            raise ConfigError(f"{name}=({low:g}, {high:g}): the first is larger than the second; exchange them")
    if config.warmup_epochs > config.epochs:
        raise ConfigError(
            f"warmup_epochs={config.warmup_epochs:g}: longer than the run of epochs={config.epochs}; lower it"
        )
    if config.negatives_weight > 0 and config.loss_normalization != "l2":
        raise ConfigError(
            f"loss_normalization={config.loss_normalization!r}: the negatives compare cosines; give 'l2', or "
            "negatives_weight=0"
        )
    _refuse_without_resnet(config)
    if config.method == "dino":
        _refuse_in_dino(config)


def _refuse_without_resnet(config: "Config") -> None:
    for name in RESIDUAL:
        if getattr(config, name) and not config.encoder.startswith("resnet"):
            raise ConfigError(
                f"{name}=True: encoder={config.encoder!r} is built without it; give resnet18, resnet34 or resnet50, or "
                "False"
            )
    if config.zero_init_residual and config.norm == "none":
        raise ConfigError(
            "zero_init_residual=True: norm='none' has no scale to start at 0; give 'bn' or 'gn_ws', or False"
        )


def _refuse_in_dino(config: "Config") -> None:
    if config.local_crops and config.local_crop_area[1] > config.crop_area[1]:
        raise ConfigError(
            f"local_crop_area=({config.local_crop_area[0]:g}, {config.local_crop_area[1]:g}): local crops are no "
            f"larger than the global ones, crop_area=({config.crop_area[0]:g}, {config.crop_area[1]:g}); lower the "
            "second number"
        )
    if config.ibot_weight > 0 and not config.encoder.startswith("vit"):
        raise ConfigError(
            f"ibot_weight={config.ibot_weight:g}: encoder={config.encoder!r} has no patches to hide; "
            "give vit_nano, vit_tiny or vit_small, or 0"
        )
