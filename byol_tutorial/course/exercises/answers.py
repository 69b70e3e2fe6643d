"""Answers to exercises: check one, or use the reference in place of one that does not pass."""

from dataclasses import replace
from typing import Any

from .catalogue import ExerciseError, find
from .judge import verdict_on
from .record import Verdict


def check(id: str, answer: Any, strict: bool = False) -> Verdict:
    """Check an answer, and say in words what is right or wrong with it.

    Args:
        answer: what the exercise asks for: often a function, or a value. Numbers may be Python's, NumPy's or torch's,
            in lists, tuples, arrays or tensors. A value None, NotImplemented or `...`, or a function whose code only
            returns one of these or raises NotImplementedError, counts as not attempted.
        strict: raise unless the answer passes. Solutions are checked in this way, and the verdict does not look like an
            attempt's result.

    Raises:
        ExerciseError: the exercise does not exist, or the answer does not pass although `strict` asks for it.
    """
    verdict = verdict_on(find(id), answer)
    if strict and not verdict:
        raise ExerciseError(f"{id}: {verdict.message}")
    return replace(verdict, solution=True) if strict else verdict


def use(id: str, answer: Any) -> Any:
    """Return the answer where it passes, else the reference, and print which of them it is.

    So the cells that follow also run when an exercise is left open.
    """
    exercise = find(id)
    passed = bool(verdict_on(exercise, answer))
    print(
        f"{exercise.title}: "
        + (
            "your answer is used from here on."
            if passed
            else "the library's answer is used until yours passes its check."
        )
    )
    return answer if passed else exercise.reference
