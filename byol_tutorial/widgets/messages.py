"""Messages from the browser: which method of a panel one means, and whether its arguments have the right types.

A page can send anything: an old page of another version, an extension, a reader who tries things in the console. So
nothing is passed on before it is known to be a command, and what is refused changes nothing.
"""

import inspect
import reprlib
import sys
import types
import typing
from collections.abc import Callable
from typing import Any

from ..config.errors import UserError

LONGEST = 300  # characters of a problem that a panel shows
TEXT = 1000  # characters of a text in a message, at most
WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: f"a text of at most {TEXT} characters",
         types.NoneType: "nothing"}  # fmt: skip


def command_of(panel: object, content: object) -> tuple[Callable[..., object], dict[str, Any]]:
    """Return the method do_NAME of a panel that the message {"do": NAME, ...} means, and its arguments.

    Raises:
        UserError: the message is not a dict, names no command, or has arguments that the annotations of the method do
            not allow.
    """
    if not isinstance(content, dict):
        raise UserError(f"{reprlib.repr(content)} is not a message: send {{'do': a command, and its arguments}}")
    name = content.get("do")
    method = getattr(panel, f"do_{name}", None) if isinstance(name, str) and name.isidentifier() else None
    if method is None:
        raise UserError(f"{reprlib.repr(name)} is not a command of this panel")
    arguments = {key: value for key, value in content.items() if key != "do"}
    hints, parameters = typing.get_type_hints(method), inspect.signature(method).parameters
    rest = any(p.kind is p.VAR_KEYWORD for p in parameters.values())  # these the method checks itself
    named = {key: p for key, p in parameters.items() if p.kind is not p.VAR_KEYWORD}
    for key, value in arguments.items():
        if key in named and not fits(value, hints[key]):
            raise UserError(f"{name}: {key}={reprlib.repr(value)}; give {words(hints[key])}")
        if key not in named and not (rest and isinstance(key, str)):
            raise UserError(
                f"{name}: {reprlib.repr(key)} is not one of its arguments ({', '.join(named) or 'it has none'})"
            )
    missing = [key for key, p in named.items() if p.default is p.empty and key not in arguments]
    if missing:
        raise UserError(f"{name}: {missing[0]} is missing; give {words(hints[missing[0]])}")
    return method, arguments


def fits(value: object, hint: Any) -> bool:
    """Return whether a value of JSON has the type of an annotation; float means a finite number, whole or not."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    if origin is list:
        return isinstance(value, list) and len(value) <= TEXT and all(fits(item, inner[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(fits(k, inner[0]) and fits(v, inner[1]) for k, v in value.items())
    if hint is float:  # a comparison, because math.isfinite fails for large whole numbers
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    if hint is str:
        return isinstance(value, str) and len(value) <= TEXT
    return isinstance(value, hint)


def words(hint: Any) -> str:
    """Return an annotation in words, such as "a whole number or nothing"."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(words(one) for one in inner)
    if origin is list:
        return f"a list, each item {words(inner[0])}"
    return "texts by name" if origin is dict else WORDS[hint]


def shown_problem(error: BaseException) -> str:
    """Return the text of an error as a panel shows it: one that has no text by its type, a long one cut."""
    text = f"{error}" or type(error).__name__
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
