"""The fields of Config that decide T and T′, their groups, and recipes for them. Config gives their bounds and help."""

import reprlib

from ...config.config import FIELDS, RANGES, Config
from ...config.errors import ConfigError
from ...config.fields import checked
from ...config.presets import PAPER_VIEWS, preset
from .explanations import explanations

GROUPS = {
    "Crop and flip": ("crop_area", "crop_ratio", "flip_p", "vertical_flip_p", "quarter_turn_p"),
    "Colour": ("jitter_p", "brightness", "contrast", "saturation", "hue", "colour_form"),
    "Grayscale, blur, solarize": ("grayscale_p", "blur_p", "blur_sigma", "solarize_p"),
}
SETTINGS = tuple(name for names in GROUPS.values() for name in names)
PAIRED = tuple(name for name in SETTINGS if isinstance(FIELDS[name].default, tuple) and name not in RANGES)
LOGARITHMIC = ("crop_ratio", "blur_sigma")  # the fields whose sliders are logarithmic
NO_COLOUR = {"jitter_p": 0.0, "grayscale_p": 0.0}


def equal(config: Config) -> bool:
    """Return whether T and T′ have the same settings."""
    return all(len(set(getattr(config, name))) == 1 for name in PAIRED)


def recipes(given: Config | None) -> dict[str, dict]:
    """Return the fields that each recipe sets, by its name. The last two only switch operations off."""
    lesson = preset("shapes")
    usual = {name: getattr(lesson, name) for name in SETTINGS}
    first = {} if given is None else {"as given": {name: getattr(given, name) for name in SETTINGS}}
    return first | {
        "the lesson's": usual,
        "the paper's T and T′": usual | PAPER_VIEWS,
        "crop and flip only": NO_COLOUR | {"blur_p": 0.0, "solarize_p": 0.0},
        "no colour change": NO_COLOUR,
    }


def controls(names: dict) -> dict:
    """Return what the browser needs to build the controls, and a button for each of these recipes."""
    groups = [{"title": title, "fields": [_field(name) for name in fields]} for title, fields in GROUPS.items()]
    return {"groups": groups, "recipes": list(names), "views": ["v", "v′"], "about": explanations()}


def inert(config: Config) -> dict[str, str]:
    """Return why a field has no effect, for each field that has none with the present settings."""
    found: dict[str, str] = {}
    if config.jitter_p == (0, 0):
        found |= dict.fromkeys(
            ("brightness", "contrast", "saturation", "hue"), "colours are never changed, because jitter p is 0"
        )
    if config.grayscale_p == (1, 1):
        found |= dict.fromkeys(("saturation", "hue"), "every view is grey, because grayscale p is 1")
    if config.blur_p == (0, 0):
        found["blur_sigma"] = "nothing is blurred, because blur p is 0"
        if config.jitter_p == (0, 0):
            found["colour_form"] = "neither colours nor sharpness are changed"
    return found


def refuse_impossible(settings: dict[str, object]) -> None:
    """Refuse names that have no control, and values that their control cannot have.

    A control sends a choice, or two numbers within the bounds of its field.

    Raises:
        ConfigError: the first such name or value.
    """
    for name, value in settings.items():
        if name not in SETTINGS:
            raise ConfigError(f"{reprlib.repr(name)} has no control here: choose one of {', '.join(SETTINGS)}")
        if not FIELDS[name].metadata["choices"] and not isinstance(value, list | tuple):
            raise ConfigError(f"{name}={reprlib.repr(value)}: give two numbers")
        checked(FIELDS[name], value)


def _field(name: str) -> dict:
    meta = FIELDS[name].metadata
    kind = "choice" if meta["choices"] else "range" if name in RANGES else "pair"
    bounds = {key: meta[key] for key in ("help", "low", "high", "choices")}
    return bounds | {"name": name, "kind": kind, "logarithmic": name in LOGARITHMIC}
