"""Checks of what is read from a file: a description of all that is allowed, and the name of the field that differs.

    check = fields({"name": text(), "steps": whole(0), "scores": list_of(number(0, 1))})
    check({"name": "a", "steps": -1, "scores": []}, "")    # Refused: steps is -1, not a whole number of at least 0

A check is a function of a value and of its place in the file. Each kind of file has one, beside its reader, which turns
Refused into an error of its own that names the file.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from .errors import UserError

Check = Callable[[Any, str], None]
DEEPEST, MOST = 40, 50_000_000  # how deep the content of a file may be nested, and how many entries it may have
LONGEST = 10_000  # characters of a text
EPS = 1e-5  # of a layer that does not say its own, as BatchNorm's
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


class Refused(UserError):
    """A value in a file that is not allowed; the message names its place."""


def refuse(at: str, value: object, allowed: str) -> Refused:
    """Return the error that says what the value at this place is, and what it may be."""
    return Refused(f"{at or 'the content'} is {shown(value)}, not {allowed}")


def shown(value: object) -> str:
    """Return a value in at most 60 characters, whatever it is."""
    if isinstance(value, torch.Tensor):
        return f"a tensor {tuple(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        return f"a {type(value).__name__} of {len(value)} entries"
    return brief(value)


def brief(value: object) -> str:
    """Return a value as Python writes it, cut after 60 characters."""
    if isinstance(value, int) and value.bit_length() > 200:
        return f"a number of {value.bit_length()} bits"
    words = " ".join(repr(value).split())
    return words if len(words) <= 60 else words[:57] + "..."


# --- single values --------------------------------------------------------------------------------


def number(low: float = -math.inf, high: float = math.inf, or_none: bool = False, finite: bool = True) -> Check:
    """Return the check of a number in [low, high]; `finite`: neither NaN nor infinite."""
    return _number((int, float), "a number", low, high, or_none, finite)


def whole(low: int, high: int = 2**53, or_none: bool = False) -> Check:
    """Return the check of a whole number in [low, high]."""
    return _number((int,), "a whole number", low, high, or_none, True)


def _number(kinds: Any, what: str, low: float, high: float, or_none: bool, finite: bool) -> Check:
    bounds = " and ".join(
        f"{words} {limit:g}" for words, limit in (("at least", low), ("at most", high)) if math.isfinite(limit)
    )
    allowed = what + (f" of {bounds}" if bounds else "") + (" or None" if or_none else "")

    def check(value: Any, at: str) -> None:
        if value is None and or_none:
            return
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise refuse(at, value, allowed)
        if isinstance(value, float) and not math.isfinite(value):
            if finite:
                raise refuse(at, value, f"{allowed}, finite")
            return
        if value < low or value > high:
            raise refuse(at, value, allowed)

    return check


def text(most: int = LONGEST, or_none: bool = False) -> Check:
    """Return the check of a text of at most so many characters."""

    def check(value: Any, at: str) -> None:
        if not (isinstance(value, str) and len(value) <= most) and not (value is None and or_none):
            raise refuse(at, value, f"a text of at most {most:,} characters" + (" or None" if or_none else ""))

    return check


def one_of(*values: Any) -> Check:
    """Return the check of a value that is one of these, in its type too."""

    def check(value: Any, at: str) -> None:
        if not any(type(value) is type(allowed) and value == allowed for allowed in values):
            raise refuse(at, value, f"one of {', '.join(map(repr, values))}")

    return check


def negative_variances(network: nn.Module, state: Mapping[str, Any]) -> list[str]:
    """Return the names of the running variances in a state with which a layer of this network gives no finite numbers.

    A variance cannot be below 0, but rounding on a device can leave one slightly below. The layer divides by
    sqrt(variance + eps), so a value is allowed if it is above -eps.
    """
    found = []
    for layer, module in network.named_modules(remove_duplicate=False):
        name = f"{layer}.running_var" if layer else "running_var"
        value, eps = state.get(name), getattr(module, "eps", EPS)
        if isinstance(value, torch.Tensor) and value.is_floating_point() and isinstance(eps, (int, float)):
            found += [name] if (value + eps <= 0).any() else []
    return found


def tensor(
    dtypes: Sequence[torch.dtype] | None = None, shape: Sequence[int | None] | None = None, finite: bool = True
) -> Check:
    """Return the check of a plain tensor on the CPU of one of these dtypes, by default any, and of this shape.

    None in a shape is any size.
    """

    def check(value: Any, at: str) -> None:
        names = ", ".join(str(d).removeprefix("torch.") for d in dtypes or ()) or "any dtype"
        allowed = f"a tensor {'' if shape is None else tuple('any' if n is None else n for n in shape)} of {names}"
        plain = isinstance(value, torch.Tensor) and value.layout is torch.strided and value.device.type == "cpu"
        if not plain or value.is_quantized or (dtypes is not None and value.dtype not in dtypes):
            raise refuse(at, value, allowed)
        if shape is not None and (
            value.dim() != len(shape) or any(n not in (None, m) for n, m in zip(shape, value.shape, strict=True))
        ):
            raise refuse(at, value, allowed)
        if finite and value.is_floating_point() and not value.isfinite().all():
            raise Refused(f"{at} has values that are not finite")

    return check


# --- collections ----------------------------------------------------------------------------------


def list_of(check: Check, least: int = 0, most: int = MOST) -> Check:
    """Return the check of a list or tuple of `least` to `most` entries that all pass `check`."""

    def whole_list(value: Any, at: str) -> None:
        if not isinstance(value, (list, tuple)) or not least <= len(value) <= most:
            many = f"{least}" if least == most else f"{least} to {most:,}"
            raise refuse(at, value, f"a list of {many} entries")
        for k, each in enumerate(value):
            check(each, f"{at}[{k}]")

    return whole_list


def tuple_of(*checks: Check) -> Check:
    """Return the check of a list or tuple with one entry for each of these checks."""

    def check(value: Any, at: str) -> None:
        if not isinstance(value, (list, tuple)) or len(value) != len(checks):
            raise refuse(at, value, f"a list of {len(checks)} entries")
        for k, (one, each) in enumerate(zip(checks, value, strict=True)):
            one(each, f"{at}[{k}]")

    return check


def range_of(*more: Check) -> Check:
    """Return the check of a list of two finite numbers, the first below the second, and an entry for each of `more`."""
    whole_tuple = tuple_of(number(), number(), *more)

    def check(value: Any, at: str) -> None:
        whole_tuple(value, at)
        if not value[0] < value[1]:
            raise Refused(f"{at} is {shown(value[0])} to {shown(value[1])}: the first must be below the second")

    return check


def or_none(one: Check) -> Check:
    """Return the check of None, or of what passes another check."""

    def check(value: Any, at: str) -> None:
        if value is not None:
            one(value, at)

    return check


def mapping_of(check: Check, keys: type = str) -> Check:
    """Return the check of a dictionary with keys of this type, whose values all pass `check`."""

    def whole_mapping(value: Any, at: str) -> None:
        if not isinstance(value, Mapping):
            raise refuse(at, value, "a dictionary")
        for name, each in value.items():
            if type(name) is not keys:
                raise refuse(f"a key of {at or 'the content'}", name, f"a {keys.__name__}")
            check(each, f"{at}[{name!r}]" if at else str(name))

    return whole_mapping


def fields(needed: Mapping[str, Check], optional: Mapping[str, Check] | None = None, others: bool = True) -> Check:
    """Return the check of a dictionary with these entries; `others`: it may have more of any kind."""
    optional = optional or {}

    def check(value: Any, at: str) -> None:
        if not isinstance(value, dict):
            raise refuse(at, value, "a dictionary")
        for name in needed:
            if name not in value:
                raise Refused(f"{f'{at}.' if at else ''}{name} is missing")
        for name, each in value.items():
            if (one := needed.get(name) or optional.get(name)) is not None:
                one(each, f"{at}.{name}" if at else str(name))
            elif not others:
                raise Refused(f"{at or 'the content'} has an entry {shown(name)}, which is unknown")

    return check


def anything(value: Any, at: str) -> None:
    """Allow every value."""


# --- the whole content of a file ------------------------------------------------------------------


def bounded(content: Any, deepest: int = DEEPEST, most: int = MOST) -> None:
    """Refuse what contains itself, is nested deeper than `deepest`, or has more than `most` entries."""
    left = most

    def visit(value: Any, above: tuple[int, ...]) -> None:
        nonlocal left
        if not isinstance(value, (Mapping, list, tuple, set, frozenset)):
            return
        if id(value) in above:
            raise Refused(f"{shown(value)} contains itself")
        if len(above) >= deepest:
            raise Refused(f"the content is nested more than {deepest} deep")
        left -= len(value)
        if left < 0:
            raise Refused(f"the content has more than {most:,} entries")
        inside = [*value.keys(), *value.values()] if isinstance(value, Mapping) else value
        above = (*above, id(value))
        for each in inside:
            if isinstance(each, (Mapping, list, tuple, set, frozenset)):
                visit(each, above)

    visit(content, ())


def parse_json(content: str | bytes) -> Any:
    """Return the content of a JSON text, in UTF-8, whose numbers are all finite, and which is not too deep.

    Raises:
        Refused: it is damaged, or not allowed.
    """

    def no_number(name: str) -> float:
        raise Refused(f"{name} is no number of JSON")

    try:
        found = json.loads(content if isinstance(content, str) else content.decode(), parse_constant=no_number)
        bounded(found)
    except Refused:
        raise
    except RecursionError as error:
        raise Refused(f"the content is nested more than {DEEPEST} deep") from error
    except ValueError as error:  # damaged JSON, bytes that are not UTF-8, numbers of thousands of digits
        raise Refused(" ".join(str(error).split())[:200]) from error
    return found
