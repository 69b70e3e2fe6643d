"""The settings that the playground can change: fields of Config, with what its page needs to know about each.

A page trains on "shapes" alone, with the course's small encoder, so it has few of Config's fields. The names are the
same, so that an experiment of a page is an experiment of the library, and the reverse.
"""

from typing import Any

from ..._version import __version__
from ...config.checks import brief
from ...config.config import FIELDS, Config
from ...config.errors import UserError
from ...config.presets import preset
from ...data.names import short_name
from ...live.experiment import Experiment

BATCHES = (16, 32, 64, 128)
SIZES = {24: 8, 32: 16}  # pixels a side: width of the small encoder
NAMES = (
    "method", "seed", "epochs", "batch_size", "width", "target", "tau_base", "tau_schedule", "predictor", "stop_gradient",
    "symmetric", "temperature", "negatives", "lr", "warmup_epochs", "weight_decay", "crop_area", "jitter_p", "grayscale_p",
)  # fmt: skip
FEWER = {  # values that a page has, where Config allows more
    "method": ("byol", "simsiam", "simclr"),
    "predictor": ("mlp", "linear", "identity"),
    "batch_size": BATCHES,
    "width": tuple(SIZES.values()),
}
PAIRS = {"crop_area": "low", "jitter_p": "both", "grayscale_p": "both"}  # which number of a pair the page changes
IGNORED = ("knn_every", "compile", "cuda_graph")  # fields that do not change what a run learns
# A playground has no end: the schedule is so long that lr and τ stay nearly constant after the warm-up.
OPEN_END: dict[str, Any] = {"epochs": 1000, "tau_schedule": "constant"}
LARGEST = 1e30
MOST: dict[str, float] = {
    "epochs": 10_000,
    "warmup_epochs": 10_000,
}  # less than Config allows, so that a page can hold a run
IMAGES = 4096  # the page draws so many shapes to train on
MOST_STEPS = int(MOST["epochs"]) * IMAGES // min(BATCHES)  # steps of the longest schedule
OF_METHOD = ("lr", "weight_decay", "temperature")  # what the page sets when the method changes


def fields() -> dict[str, dict[str, Any]]:
    """Return what the page needs to know about each setting: its kind, Config's default, what it may be, and whether it is live."""
    described = {name: _described(name) for name in NAMES}
    pixels = {
        "kind": "choice",
        "value": 32,
        "options": list(SIZES),
        "live": False,
        "help": "pixels a side of a picture",
    }
    return described | {"pixels": pixels}


def _described(name: str) -> dict[str, Any]:
    f, meta, value = FIELDS[name], FIELDS[name].metadata, getattr(Config(), name)
    options = FEWER.get(name) or meta["choices"]
    described = {
        "kind": "switch" if f.type is bool else "choice" if options else "number", "live": meta["live"], "help": meta["help"],
        "value": value[0] if name in PAIRS else value, "whole": f.type is int,
    }  # fmt: skip
    if options:
        return described | {"options": list(options)}
    if name in PAIRS:
        described["pair"] = PAIRS[name]
    low = meta["low"] if meta["low"] is not None else 1e-9
    high = LARGEST if meta["high"] is None else meta["high"]
    return described | {"low": low, "high": MOST.get(name, high)}


def settings(config: Config, pixels: int) -> dict[str, Any]:
    """Return the settings of a config as the page has them.

    Raises:
        UserError: the config has a field, or a value of one, that the page cannot have; or the size is not 24 or 32.
    """
    if pixels not in SIZES:
        raise UserError(f"size={pixels!r}: choose one of {', '.join(map(str, SIZES))}")
    usual = Config()
    for name in FIELDS:
        value = getattr(config, name)
        if value != getattr(usual, name) and name not in (*NAMES, *IGNORED):
            raise UserError(f"{name}={value!r}: the page cannot change it; it can change {', '.join(NAMES)}")
        if name in FEWER and value not in FEWER[name]:
            raise UserError(f"{name}={value!r}: the page has {', '.join(map(str, FEWER[name]))}")
        if name in MOST and value > MOST[name]:
            raise UserError(f"{name}={value!r}: the page has at most {MOST[name]}")
    return {name: _shown(name, getattr(config, name)) for name in NAMES} | {"pixels": pixels}


def _shown(name: str, value: Any) -> Any:
    if name not in PAIRS:
        return value
    first, second = value
    if second != (1 if PAIRS[name] == "low" else first):
        what = "the first number alone, beside 1" if PAIRS[name] == "low" else "both views together"
        raise UserError(f"{name}={value!r}: the page can change {what}")
    return first


def plan(experiment: Experiment) -> dict[str, Any]:
    """Return the experiment as the page has it: the settings at the start, the changes, and the number of steps.

    Raises:
        UserError: other images than 4,096 "shapes" of 24 or 32 px, more steps than the page's longest schedule has, or what
            `settings` refuses.
    """
    size, config, changes = _size(experiment.data), experiment.config, []
    for step in (experiment.steps, *(step for step, _ in experiment.changes)):
        if step > MOST_STEPS:
            raise UserError(f"step {step}: a run of the page has at most {MOST_STEPS} steps")
    for step, values in experiment.changes:
        config = config.replace(**values)
        settings(config, size)
        shown = {n: _shown(n, getattr(config, n)) for n in values if n not in IGNORED}
        changes += [[step, shown]] if shown else []
    return {"settings": settings(experiment.config, size), "changes": changes, "steps": experiment.steps}


def fragment(plan: dict[str, Any]) -> str:
    """Return a plan as the end of an address of the page; see js/playground/settings.js."""
    first, given = page_settings(), plan["settings"]
    usual_width = SIZES[given["pixels"]]
    parts = [
        f"{name}={_word(value)}"
        for name, value in given.items()
        if value != (usual_width if name == "width" else first[name])
    ]
    parts += [f"{step}:{name}={_word(value)}" for step, values in plan["changes"] for name, value in values.items()]
    parts += [f"steps={plan['steps']}"] if plan["steps"] else []
    return "&".join(["#playground", *parts])


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def page_settings() -> dict[str, Any]:
    """Return the settings with which the page begins."""
    return settings(Config(width=SIZES[24], **OPEN_END), 24)


def _size(data: dict[str, Any]) -> int:
    """Return the pixels a side of an experiment's images, or raise UserError where the page does not have these images."""
    name, images, pixels = data.get("name"), data.get("images", IMAGES), data.get("pixels")
    sides = list(pixels) if isinstance(pixels, list | tuple) else []
    if (
        name != "shapes"
        or sides not in [[size, size] for size in SIZES]
        or any(type(side) is not int for side in sides)
    ):
        shown = short_name(name) if isinstance(name, str) else name  # a page does not tell where a user's folder is
        raise UserError(
            f"images of {brief(shown)}, {brief(pixels)} pixels: the page has the shapes of 24 and 32 px alone"
        )
    if images != IMAGES:
        raise UserError(f"{brief(images)} images: the page trains on {IMAGES}; give an experiment on as many")
    return sides[0]


def about() -> dict[str, Any]:
    """Return all that the page needs to know about settings.

    These are the fields, the page's own first settings, those that belong to each method, and the library's version.
    """
    first = page_settings()
    recipes = {"byol": preset("shapes"), "simsiam": preset("simsiam"), "simclr": preset("simclr")}
    methods = {method: {name: getattr(recipe, name) for name in OF_METHOD} for method, recipe in recipes.items()}
    return {"fields": fields(), "settings": first, "methods": methods, "ignored": list(IGNORED), "most_steps": MOST_STEPS,
            "version": __version__}  # fmt: skip
