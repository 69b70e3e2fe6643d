"""The answers to a prediction's questions: brought into one form, and refused in words where they do not fit."""

import math
from collections.abc import Mapping
from typing import Any

from .record import Exercise
from .stubs import unfilled
from .values import kind, plain


def allowed(answers: tuple) -> str:
    """Return in words what a question allows."""
    if _numeric(answers):
        return f"a number from {answers[0]:g} to {answers[1]:g}"
    return "one of " + ", ".join(repr(word) for word in answers)


def fits(answers: tuple, guess: Any) -> bool:
    """Return whether a guess is one of the allowed words, or lies between the two allowed numbers."""
    if _numeric(answers):
        is_number = isinstance(guess, (int, float)) and not isinstance(guess, bool)
        return is_number and math.isfinite(guess) and answers[0] <= guess <= answers[1]
    return guess in answers


def converted(answers: tuple, guess: Any) -> Any:
    """Return a guess in the form of its question: tensors and NumPy's numbers as numbers, words in their own spelling."""
    guess = plain(guess)
    if getattr(guess, "numel", lambda: 0)() == 1:
        guess = guess.item()
    if isinstance(guess, (list, tuple)) and len(guess) == 1:
        guess = guess[0]
    if isinstance(guess, str) and _numeric(answers):
        try:
            return float(guess)
        except ValueError:
            return guess
    if isinstance(guess, str):
        return next((word for word in answers if word.casefold() == " ".join(guess.split()).casefold()), guess)
    return guess


def guesses(exercise: Exercise, answer: Any) -> tuple[dict[str, Any], str | None]:
    """Return an answer to a prediction as question -> guess, and in words what is wrong with its form, or None.

    A list or a tuple answers the questions in their order; open questions (`...`) are left out.
    """
    questions = exercise.questions
    answer = plain(answer)
    if not isinstance(answer, Mapping):
        values = answer.tolist() if hasattr(answer, "tolist") and getattr(answer, "ndim", 0) == 1 else answer
        if len(questions) == 1 and not isinstance(values, (list, tuple)):
            values = [values]
        if not isinstance(values, (list, tuple)) or len(values) != len(questions):
            return {}, f"your answer is {kind(answer)}: give a guess for each of {_names(questions)}, as a dict."
        answer = dict(zip(questions, values, strict=True))
    for name in answer:
        if name not in questions:
            return {}, f"there is no question {name!r}: the questions are {_names(questions)}."
    made = {name: converted(questions[name], guess) for name, guess in answer.items() if not unfilled(guess)}
    for name, guess in made.items():
        if not fits(questions[name], guess):
            return made, f"{name}={guess!r}: give {allowed(questions[name])}."
    return made, None


def _names(questions: Mapping[str, tuple]) -> str:
    return ", ".join(questions)


def _numeric(answers: tuple) -> bool:
    return all(isinstance(x, (int, float)) for x in answers)
