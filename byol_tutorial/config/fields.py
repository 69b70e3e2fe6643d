"""A field of Config: its range, its explanation, and the check of its values with a message for a wrong one."""

import dataclasses
import math
import sys
from collections.abc import Sequence
from dataclasses import field
from typing import Any

from .checks import brief
from .errors import ConfigError

Pair = tuple[float, float]  # one value for T, one for T′
Value = str | bool | int | float | Pair  # the value of a field
METHODS: list[str] = []  # the values that Config.method may have; methods/registry.py fills it


def option(
    default: Value,
    group: str,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: Sequence[str] | None = None,
    live: bool = False,
    of: Sequence[str] = METHODS,
    alone: str | None = None,
) -> Any:
    """Return a dataclass field with all that is needed to check, explain and present it.

    Args:
        low, high: inclusive bounds of a number.
        above: exclusive lower bound of a number.
        choices: the values that a text may have. "timm:NAME" stands for every name after the colon.
        live: whether a running Trainer can change it.
        of: the methods in which it has an effect.
        alone: the value that the option of the command line means where no value follows it.
    """
    meta = {"group": group, "help": help, "low": low, "high": high, "above": above, "choices": choices, "live": live}
    return field(default=default, metadata=meta | {"of": of, "alone": alone})


def checked(f: dataclasses.Field[Any], value: object) -> Value:
    """Return the value in the type of the field.

    Raises:
        ConfigError: a value that the field does not allow.
    """
    meta = f.metadata
    if meta["choices"]:
        open_ended = [choice.removesuffix("NAME") for choice in meta["choices"] if choice.endswith(":NAME")]
        if not isinstance(value, str) or (value not in meta["choices"] and not _begins(value, open_ended)):
            raise ConfigError(f"{f.name}={brief(value)}: choose one of {', '.join(meta['choices'])}")
        return value
    if f.type is bool:
        if not isinstance(value, bool):
            raise ConfigError(f"{f.name}={brief(value)}: give True or False")
        return value
    if f.type is Pair:
        both = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
        if len(both) != 2:
            raise ConfigError(f"{f.name}={brief(value)}: give one number, or two: for T and for T′")
        return _number(f, both[0]), _number(f, both[1])
    return _number(f, value)


def _begins(value: str, starts: Sequence[str]) -> bool:
    """Return whether a text begins with one of these, and goes on."""
    return any(value.startswith(start) and value != start for start in starts)


def _number(f: dataclasses.Field[Any], value: object) -> int | float:
    """Return the value as int or float, as the field has it, or raise ConfigError."""
    meta = f.metadata
    whole = f.type is int
    expected = "a whole number" if whole else "a number"
    bounds = [
        f"{sign} {meta[key]:g}"
        for key, sign in (("low", "at least"), ("above", "above"), ("high", "at most"))
        if meta[key] is not None
    ]
    allowed = f"give {expected} {' and '.join(bounds)}".rstrip()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{f.name}={brief(value)}: {allowed}")
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        raise ConfigError(f"{f.name}: a whole number of more than 308 digits; {allowed}")
    out_of_range = (
        not math.isfinite(value)
        or (whole and value % 1)
        or (meta["low"] is not None and value < meta["low"])
        or (meta["above"] is not None and value <= meta["above"])
        or (meta["high"] is not None and value > meta["high"])
    )
    if out_of_range:
        raise ConfigError(f"{f.name}={value:g}: {allowed}")
    return int(value) if whole else float(value)
