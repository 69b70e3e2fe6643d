"""The cockpit's controls and presets: which fields of Config can be changed, and how the browser shows them.

Bounds, choices and help are those of the fields, unless CONTROLS gives others.
"""

from collections.abc import Mapping

from ...config.config import FIELDS, LIVE, Config, refuse_unknown
from ...config.errors import ConfigError
from ...config.fields import Pair, checked
from ...config.paper_tables import NO_SHARPENING

# group, field, label, and what differs from the field: the slider's ends and scale, or the options of a choice
CONTROLS: tuple[tuple[str, str, str, dict], ...] = (
    ("Algorithm", "tau_base", "decay rate τ", {"scale": "tau", "low": 0, "high": 1}),
    ("Algorithm", "predictor", "predictor q", {}),
    ("Algorithm", "target", "target network", {}),
    ("Algorithm", "stop_gradient", "stop-gradient", {}),
    ("Algorithm", "symmetric", "symmetric loss", {}),
    ("Algorithm", "negatives_weight", "negatives β", {}),
    ("Algorithm", "negatives", "negatives", {}),
    ("Algorithm", "temperature", "temperature α", {"scale": "log", "low": 0.02, "high": 2}),
    ("Algorithm", "centering", "centring", {}),
    ("Algorithm", "center_momentum", "momentum m of the centre", {}),
    ("Algorithm", "teacher_temperature", "temperature τ_t, teacher", {"scale": "log", "low": 0.002, "high": 0.2}),
    ("Algorithm", "student_temperature", "temperature τ_s, student", {"scale": "log", "low": 0.02, "high": 1}),
    ("Algorithm", "koleo_weight", "weight of KoLeo", {"low": 0, "high": 1}),
    ("Optimiser", "lr", "learning rate", {"scale": "log", "low": 0.001, "high": 10}),
    ("Optimiser", "predictor_lr_multiplier", "predictor's rate ×", {"scale": "log", "low": 0.01, "high": 100, "zero": True}),
    ("Optimiser", "weight_decay", "weight decay", {"scale": "log", "low": 1e-6, "high": 0.1, "zero": True}),
    ("Augmentation", "crop_area", "smallest crop, of the area", {"low": 0.05}),
    ("Augmentation", "hue", "hue", {}),
    ("Augmentation", "brightness", "brightness", {}),
    ("Augmentation", "contrast", "contrast", {}),
    ("Augmentation", "saturation", "saturation", {}),
    ("Augmentation", "grayscale_p", "P(grayscale)", {}),
    ("Augmentation", "blur_p", "P(blur)", {}),
    ("Augmentation", "solarize_p", "P(solarize)", {}),
    ("New run", "batch_size", "batch size", {"scale": "choice", "options": [16, 32, 64, 128]}),
    ("New run", "epochs", "epochs", {"scale": "choice", "options": [4, 8, 12, 24, 48]}),
    ("New run", "width", "encoder width", {"scale": "choice", "options": [8, 16, 24, 32]}),
    ("New run", "norm", "normalisation", {}),
)  # fmt: skip
LABELS = {name: label for _, name, label, _ in CONTROLS}
MAIN = ("predictor", "stop_gradient", "target", "tau_base", "negatives", "centering", "lr", "predictor_lr_multiplier",
        "teacher_temperature", "student_temperature", "temperature", "weight_decay", "crop_area", "hue")  # fmt: skip
LOWER_ONLY = {"crop_area"}  # a pair (low, high): the slider moves only the first value

BYOL_PRESETS: dict[str, dict] = {
    "healthy": {},
    "no predictor": {"predictor": "identity"},
    "no stop-gradient": {"stop_gradient": False},
    "τ = 1": {"target": "random"},
    "τ = 0": {"target": "online"},
    "colour shortcut": {"jitter_p": 0.0, "grayscale_p": 0.0},
}
PRESETS: dict[str, dict[str, dict]] = {  # method: {name of the preset: the fields that it changes}
    "byol": BYOL_PRESETS,
    "simclr": {
        "healthy": {},
        "no negatives": {"negatives": False},
        "colour shortcut": BYOL_PRESETS["colour shortcut"],
    },
    "simsiam": {
        name: BYOL_PRESETS[name] for name in ("healthy", "no predictor", "no stop-gradient", "colour shortcut")
    },
    "dino": {
        "healthy": {},
        "no centring": {"centering": "none"},
        "no sharpening": NO_SHARPENING,
        "colour shortcut": BYOL_PRESETS["colour shortcut"],
    },
}


def controls(config: Config) -> list[dict]:
    """Return what the browser needs to draw the controls of this config's method, with their values at the start."""
    rows = [row for row in CONTROLS if config.method in FIELDS[row[1]].metadata["of"]]
    return [_control(*row, config) for row in rows if row[1] != "width" or config.encoder == "small"]


def main_controls(controls: list[dict]) -> list[str]:
    """Return the names of the six controls that matter most, in the order of the panel; the others are under "more"."""
    names = {control["name"] for control in controls}
    return [name for name in MAIN if name in names][:6]


def _control(group: str, name: str, label: str, other: dict, config: Config) -> dict:
    f, meta = FIELDS[name], FIELDS[name].metadata
    kind = "switch" if f.type is bool else "choice" if meta["choices"] or other.get("scale") == "choice" else "slider"
    options = list(meta["choices"] or other.get("options", ()))
    value = shown_value(config, name)
    if kind == "choice" and value not in options:
        options = sorted([*options, value])
    return {
        "group": group, "name": name, "label": label, "kind": kind, "options": options, "help": meta["help"],
        "live": name in LIVE, "low": other.get("low", meta["low"]), "high": other.get("high", meta["high"]),
        "scale": other.get("scale", "linear"), "zero": other.get("zero", False), "value": value,
    }  # fmt: skip


def shown_value(config: Config, name: str) -> object:
    """Return a field's value as its control shows it: the first value of a pair."""
    value = getattr(config, name)
    return value[0] if FIELDS[name].type is Pair else value


def changed_value(controls: list[dict], config: Config, name: str, value: float | bool | str) -> object:
    """Return the value of the field for the value of its control, or of the number field of the seed.

    Raises:
        ConfigError: there is no such field or no control for it, or its control cannot have this value.
    """
    refuse_unknown([name])
    control = next((c for c in controls if c["name"] == name), None)
    if control is None and name != "seed":
        raise ConfigError(f"{name!r} has no control here: change it with session.change({name}=...)")
    checked(FIELDS[name], value)
    if control is not None and control["kind"] == "choice" and value not in control["options"]:
        raise ConfigError(f"{name}={value!r}: choose one of {', '.join(map(str, control['options']))}")
    if control is not None and control["kind"] == "slider":
        low, high = 0 if control["zero"] else control["low"], control["high"]
        if isinstance(value, bool | str) or not low <= value <= high:
            raise ConfigError(f"{name}={value:g}: the slider goes from {low:g} to {high:g}")
    if name in LOWER_ONLY:
        return (value, max(value, getattr(config, name)[1]))
    return value


def change_words(before: Mapping[str, object], fields: Mapping[str, object]) -> str:
    """Return a change of these fields in words, such as "decay rate τ 0.9 → 0.99, predictor removed".

    before: the values of the config's fields before the change.
    """
    return ", ".join(_words(name, before[name], value) for name, value in fields.items())


def _words(name: str, before: object, after: object) -> str:
    if name == "predictor" and "identity" in (before, after):
        return "predictor removed" if after == "identity" else f"predictor back: {after}"
    if name == "stop_gradient":
        return "stop-gradient back" if after else "stop-gradient cut"
    label = LABELS.get(name, name)
    if isinstance(after, bool):
        return f"{label} {'on' if after else 'off'}"
    return f"{label} {_value_text(name, before)} → {_value_text(name, after)}"


def _value_text(name: str, value: object) -> str:
    if isinstance(value, tuple):
        first, second = value
        return f"{first:g}" if first == second or name in LOWER_ONLY else f"({first:g}, {second:g})"
    return f"{value:g}" if isinstance(value, float) else f"{value}"
