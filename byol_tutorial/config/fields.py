"""A field of Config: what it may be, how it is explained, how a value is checked, and what is said of a wrong one."""

import dataclasses
import math
from dataclasses import field
from typing import Any

from .errors import ConfigError

Pair = tuple[float, float]  # one value for T, one for T'
METHODS: list[str] = []  # what Config.method may be: methods/registry.py, which knows the methods, fills it


def option(
    default, group: str, help: str, *, low=None, high=None, above=None, choices=None, live=False, of=METHODS, alone=None
) -> Any:
    """A dataclass field with what is needed to check, explain and present it.

    `low` and `high` are inclusive bounds, `above` an exclusive lower one. `live`: a running Trainer can change it. `of`:
    the methods in which it acts. `alone`: what the command line's option means where no value follows it.
    """
    meta = {"group": group, "help": help, "low": low, "high": high, "above": above, "choices": choices, "live": live}
    return field(default=default, metadata=meta | {"of": of, "alone": alone})


def checked(f: dataclasses.Field, value):
    """The value as the field's type, or ConfigError."""
    meta = f.metadata
    if meta["choices"]:
        if value not in meta["choices"]:
            raise ConfigError(f"{f.name}={value!r}: choose one of {', '.join(meta['choices'])}")
        return value
    if f.type is bool:
        if not isinstance(value, bool):
            raise ConfigError(f"{f.name}={value!r}: give True or False")
        return value
    if f.type is Pair:
        both = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
        if len(both) != 2:
            raise ConfigError(f"{f.name}={value!r}: give one number, or two: for T and for T′")
        return tuple(_number(f, v) for v in both)
    return _number(f, value)


def _number(f: dataclasses.Field, value):
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
        raise ConfigError(f"{f.name}={value!r}: {allowed}")
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
