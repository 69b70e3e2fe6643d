"""What a check finds out about an answer: what a function returns in each case, or its error in words."""

import copy
import traceback
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .record import Exercise, UnusableError
from .stubs import last_name, misfit, unfilled
from .values import ASKS_FOR, kind, plain, sort, tensor


def is_function(answer: Any) -> bool:
    """Return whether an answer is a function, or an object that can be called like one, and not a class."""
    return callable(answer) and not isinstance(answer, type)


def one_number(value: Any) -> float:
    """Return what an answer gave as one number; raise UnusableError in words if it is not one."""
    number = tensor(value)
    if number is None or number.numel() != 1:
        raise UnusableError(f"your function returns {kind(value)}{ASKS_FOR}one number.")
    return float(number)


class Observed:
    """The observations of an answer, or its error in words.

    answer      the answer; a function is wrapped so that NumPy's arrays and numbers come out as torch's and Python's
    values      the observation of each case
    given       what the function returned, call by call
    error       what went wrong, in words, or None; `fault` names its kind
    unreadable  the function returned something that cannot be observed
    """

    def __init__(self, exercise: Exercise, answer: Any) -> None:
        torch.default_generator.manual_seed(0)  # the answer and the reference draw the same numbers
        self.values: list = []
        self.given: list = []
        self.error: str | None = None
        self.fault: str | None = None
        self.unreadable = False
        self._own_errors: list[Exception] = []
        self.answer = self._recorded(answer) if is_function(answer) else plain(answer)
        try:
            self.values = [copy.deepcopy(plain(_observe(exercise, self.answer, case))) for case in exercise.cases()]
        except UnusableError as error:
            self.error, self.fault = str(error), "form"
        except Exception as error:  # a learner's code may raise anything; the message shows it
            self.error, self.fault = in_words(error, answer), "error"
            self.unreadable = bool(self.given) and not self._own_errors
        nothing = None if self._own_errors else self._returns_nothing(exercise, answer)
        if nothing:
            self.error, self.fault, self.unreadable = nothing, "no return", False

    def error_beside(self, wanted: "Observed") -> str | None:
        """Return the error in words; where the value could not be observed, by comparing it with the reference's value."""
        if not self.unreadable or len(wanted.given) < len(self.given):
            return self.error
        found, right = self.given[-1], wanted.given[len(self.given) - 1]
        return (
            self.error if sort(found) == sort(right) else f"your function returns {kind(found)}{ASKS_FOR}{sort(right)}."
        )

    def _recorded(self, answer: Callable) -> Callable:
        def recorded(*args: Any, **kwargs: Any) -> Any:
            refused = None if kwargs else misfit(answer, args)
            if refused:
                raise UnusableError(refused)
            try:
                value = answer(*args, **kwargs)
            except Exception as error:
                self._own_errors.append(error)
                raise
            self.given.append(value)
            return value if isinstance(value, Tensor) else _numbers(value)

        return recorded

    def _returns_nothing(self, exercise: Exercise, answer: Any) -> str | None:
        open_values = [v for v in self.given if unfilled(v)]
        if exercise.in_place:
            open_values = [v for v in open_values if v is not None]
        if open_values and open_values[0] is None:
            name = last_name(answer)
            end = f", perhaps `return {name}`" if name else ""
            if len(open_values) < len(self.given):
                return f"your function does not always return something: one of its ways ends without a `return`{end}."
            return f"your function computes, but returns nothing: its last line must be a `return`{end}."
        parts = [part for v in self.given if isinstance(v, (list, tuple)) for part in v if unfilled(part)]
        if open_values or (parts and not exercise.in_place):
            return f"a part of what your function returns is still `{(open_values or parts)[0]!r}`."
        return None


def _observe(exercise: Exercise, answer: Any, case: tuple) -> Any:
    if exercise.observe is not None:
        return exercise.observe(answer, *case)
    return answer(*case) if is_function(answer) else answer


def _numbers(value: Any) -> Any:
    """Convert NumPy's arrays and numbers, also within lists and tuples; leave tensors with their gradients."""
    if type(value) in (list, tuple):
        return type(value)(v if isinstance(v, Tensor) else _numbers(v) for v in value)
    return plain(value) if type(value).__module__ == "numpy" else value


def in_words(error: Exception, answer: Any) -> str:
    """Describe an error, with the line of the learner's own code that failed where there is one."""
    code = getattr(answer, "__code__", None)
    lines = [f for f in traceback.extract_tb(error.__traceback__) if code and f.filename == code.co_filename]
    where = f" in line {lines[-1].lineno}: {lines[-1].line}" if lines and lines[-1].line else ""
    return f"it fails{where}\n{type(error).__name__}: {error}"
