"""Recognise a stub by its code: a function that is not filled in yet computes nothing.

What a function returns does not tell it: a function that works and lacks its `return` gives None as well, and one that
should change a network in place, but builds a new tensor instead, leaves no trace.
"""

import dis
import functools
import inspect
from collections.abc import Callable
from types import CodeType
from typing import Any

UNFILLED = (None, NotImplemented, ...)

# The names of instructions that compute nothing: constants, the exception NotImplementedError, and the way out.
IDLE = (
    "RESUME", "NOP", "CACHE", "PRECALL", "PUSH_NULL", "POP_TOP", "EXTENDED_ARG", "COPY_FREE_VARS", "MAKE_CELL", "NOT_TAKEN",
    "LOAD_CONST", "LOAD_SMALL_INT", "LOAD_COMMON_CONSTANT", "LOAD_GLOBAL", "CALL", "RAISE_VARARGS", "RETURN_CONST", "RETURN_VALUE",
)  # fmt: skip
GLOBALS = ("NotImplemented", "NotImplementedError", "Ellipsis")


def unfilled(value: Any) -> bool:
    """Return whether a value is one that a stub gives: None, `...` or NotImplemented."""
    return any(value is nothing for nothing in UNFILLED)


def is_stub(function: Callable) -> bool:
    """Return whether a function's code is a stub: `...`, `pass`, `return None` or `raise NotImplementedError`."""
    code = code_of(function)
    if code is None:
        return False  # it is built in, or an object that can be called, which is no stub
    steps = [s for s in dis.get_instructions(code) if s.opname not in ("CACHE", "EXTENDED_ARG")]
    if any(not s.opname.startswith(IDLE) or (s.opname == "LOAD_GLOBAL" and s.argval not in GLOBALS) for s in steps):
        return False
    constants = [s for s, after in zip(steps, [*steps[1:], None], strict=True) if _gives_a_constant(s, after)]
    return all(unfilled(s.argval) for s in constants)


def _gives_a_constant(step: dis.Instruction, after: dis.Instruction | None) -> bool:
    if step.opname == "RETURN_CONST":
        return True
    return (
        step.opname.startswith(("LOAD_CONST", "LOAD_SMALL_INT"))
        and after is not None
        and after.opname == "RETURN_VALUE"
    )


def last_name(function: Callable) -> str | None:
    """Return the last local name to which a function assigns a value, or None: what it probably meant to return.

    The variables of its loops do not count.
    """
    code = code_of(function)
    if code is None:
        return None
    stored: list[str] = []
    loops: set[str] = set()
    in_loop = False
    for step in dis.get_instructions(code):
        if step.opname == "FOR_ITER":
            in_loop = True
        elif step.opname.startswith("STORE_FAST"):
            names = step.argval if isinstance(step.argval, tuple) else (step.argval,)
            names = names[:1] if step.opname == "STORE_FAST_LOAD_FAST" else names
            stored += names
            loops.update(names if in_loop else ())
        elif not step.opname.startswith(("UNPACK", "CACHE", "EXTENDED")):
            in_loop = False
    return next((name for name in reversed(stored) if name not in loops), None)


def code_of(function: Callable) -> CodeType | None:
    """Return the code of a function, also through decorators such as torch.no_grad() and through functools.partial."""
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(inspect.unwrap(function), "__code__", None)


def misfit(function: Callable, arguments: tuple) -> str | None:
    """Return in words why a function cannot be called with these arguments, or None if it can be."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # built-in functions have none
        return None
    try:
        signature.bind(*arguments)
    except TypeError:
        return (
            f"your function takes {signature}, but it is called with {len(arguments)} "
            f"argument{'s' * (len(arguments) != 1)}: keep the parameters of the cell as it was given, in their order."
        )
    return None
