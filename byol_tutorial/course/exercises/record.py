"""What an exercise is, and how an answer to it is checked. The exercises themselves are in lesson01.py and so on.

An answer can be a function, a number, a word, a Config or a dict. A check makes an *observation* of the answer (what the
function returns in each case) and compares it with the observation of the reference. If they differ, it compares it with
those of the mistakes that people usually make, and names the one that fits.
"""

import copy
import math
import re
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...runtime.markup import escaped

KINDS = ("implement", "predict", "find the bug", "extend")
UNFILLED = (None, NotImplemented, ...)


@dataclass(frozen=True)
class Mistake:
    """A usual wrong answer, and the message that it gets.

    name      in a few words: "mean instead of sum"
    example   an answer that makes the mistake; tests check that it is recognised
    message   what is wrong and where to look; not the solution
    when      predicate(observation, reference's observation) that recognises the mistake, instead of equality with the
              example's observation; an observation is a list with one entry for each case
    """

    name: str
    example: Any
    message: str
    when: Callable[[list, list], bool] | None = None


@dataclass(frozen=True)
class Exercise:
    """An exercise of a lesson.

    id          "03-loss": the lesson's number, then a word
    kind        implement, predict, find the bug or extend
    difficulty  1 (a few minutes' thought), 2 (some thought) or 3 (hard)
    minutes     the time that most people need
    hint        one step further, not the solution
    reference   a right answer
    mistakes    usual wrong answers, the most particular first; the first that fits is named
    cases       function that makes a new list of argument tuples, for an answer that is a function
    observe     function of the answer and one case's arguments that returns what is compared: numbers, tensors, words, or
                lists, tuples, dicts of them. Default: the answer called with the arguments, or the answer itself if it
                is not a function
    accept      for an answer that need not equal the reference (extend): accept(answer) returns None, or what is wrong
    questions   for a prediction: name -> allowed words, or (low, high) for a number
    praise      the message for a right answer: what it means, and what to think of next
    tolerance   the relative tolerance of numbers. The absolute one is 1/100 of it, times the largest number in the same
                tensor where that is above 1
    """

    id: str
    title: str
    kind: str
    difficulty: int
    minutes: int
    hint: str
    reference: Any
    mistakes: tuple[Mistake, ...] = ()
    cases: Callable[[], list[tuple]] = lambda: [()]
    observe: Callable | None = None
    accept: Callable[[Any], str | None] | None = None
    questions: dict[str, tuple] = field(default_factory=dict)
    praise: str = ""
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        wrong = None
        if self.kind not in KINDS:
            wrong = f"kind={self.kind!r}: choose one of {', '.join(KINDS)}"
        elif self.difficulty not in (1, 2, 3):
            wrong = f"difficulty={self.difficulty!r}: give 1, 2 or 3"
        elif self.kind == "predict" and not self.questions:
            wrong = "a prediction needs its questions"
        if wrong:
            raise ValueError(f"exercise {self.id!r}: {wrong}")


@dataclass(frozen=True)
class Verdict:
    """The result of a check. `bool(verdict)` says whether the answer passed; `mistake` names the mistake it recognised."""

    exercise: Exercise
    passed: bool
    message: str
    attempted: bool = True
    mistake: str | None = None

    def __bool__(self) -> bool:
        return self.passed

    @property
    def _mark(self) -> str:
        return "✓" if self.passed else ("✗" if self.attempted else "…")

    def __repr__(self) -> str:
        return f"{self._mark} {self.exercise.id}, {self.exercise.title}: {self.message}"

    def _repr_html_(self) -> str:
        colour = "#009E73" if self.passed else ("#D55E00" if self.attempted else "#888888")
        text = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped(self.message)).replace("\n", "<br>")
        return (
            f'<div style="border-left:4px solid {colour};padding:0.3em 0.8em;margin:0.3em 0">'
            f"<b>{self._mark} {escaped(self.exercise.title)}</b> <code>{escaped(self.exercise.id)}</code><br>{text}</div>"
        )


def verdict_on(exercise: Exercise, answer: Any) -> Verdict:
    """Check an answer. Torch's random state stays as it was, whatever the answer does."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _verdict_on(exercise, answer)


def _verdict_on(exercise: Exercise, answer: Any) -> Verdict:
    seen = Observed(exercise, answer)
    if seen.unfilled:
        hint = f'There is a hint: bt.exercises.hint("{exercise.id}")'
        return Verdict(exercise, False, f"not attempted yet. {hint}", attempted=False)
    if exercise.accept is not None and seen.error is None:
        try:
            problem = exercise.accept(answer)
        except Exception as error:  # the answer is of another kind than the exercise asks for
            problem = f"your answer, {answer!r}, is not of the kind that is asked for ({type(error).__name__}: {error})"
        if problem is None:
            return Verdict(exercise, True, exercise.praise or "right.")
    else:
        wanted = Observed(exercise, exercise.reference)
        assert wanted.error is None, f"the reference of {exercise.id!r} fails: {wanted.error}"
        if seen.error is None and same(seen.values, wanted.values, exercise.tolerance):
            return Verdict(exercise, True, exercise.praise or "right.")
        problem = seen.error or difference(seen.values, wanted.values)
    for mistake in exercise.mistakes:
        if _makes(exercise, mistake, seen):
            return Verdict(exercise, False, mistake.message, mistake=mistake.name)
    return Verdict(exercise, False, problem)


def _makes(exercise: Exercise, mistake: Mistake, seen: "Observed") -> bool:
    if mistake.when is not None:
        wanted = Observed(exercise, exercise.reference)
        try:
            return seen.error is None and bool(mistake.when(seen.values, wanted.values))
        except Exception:  # the answer's values are of another kind than the predicate expects
            return False
    example = Observed(exercise, mistake.example)
    if example.error or seen.error:
        return bool(example.error and seen.error) and example.error_type is seen.error_type
    return same(seen.values, example.values, exercise.tolerance)


class Observed:
    """The observations of an answer, or its error in words, and whether it is an unfilled stub."""

    def __init__(self, exercise: Exercise, answer: Any) -> None:
        self.values: list = []
        self.error: str | None = None
        self.error_type: type[Exception] | None = None
        self.unfilled = _empty(answer)
        if self.unfilled:
            return
        given: list = []

        def recorded(*args: Any, **kwargs: Any) -> Any:
            given.append(answer(*args, **kwargs))
            return given[-1]

        try:
            self.values = _observe(exercise, recorded if _is_function(answer) else answer)
        except NotImplementedError:
            self.unfilled = True
            return
        except Exception as error:  # a learner's code may raise anything; the message shows it
            self.error, self.error_type = _in_words(error, answer), type(error)
        if given and all(_empty(value) for value in given):
            # It returned nothing, so it is an unfilled stub unless it did its work in place.
            self.unfilled = self.error is not None or _does_nothing(exercise, self.values)
            if not self.unfilled and all(value is NotImplemented or value is ... for value in given):
                self.unfilled = True


def _is_function(answer: Any) -> bool:
    return callable(answer) and not isinstance(answer, type)


def _empty(answer: Any) -> bool:
    if isinstance(answer, dict):
        return any(_empty(value) for value in answer.values())
    return any(answer is nothing for nothing in UNFILLED)


def _observe(exercise: Exercise, answer: Any) -> list:
    def default(answer: Any, *args: Any) -> Any:
        return answer(*args) if _is_function(answer) else answer

    observe = exercise.observe or default
    return [copy.deepcopy(_plain(observe(answer, *case))) for case in exercise.cases()]


def _does_nothing(exercise: Exercise, values: list) -> bool:
    try:
        return same(values, _observe(exercise, lambda *args, **kwargs: None), exercise.tolerance)
    except Exception:  # a function that does nothing cannot be observed here, so the answer did something
        return False


# --- comparing ----------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """Detach the tensors in a value, so that they can be copied and compared."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value


def same(a: Any, b: Any, tolerance: float) -> bool:
    """Return whether two observations are equal, numbers up to a relative tolerance. A tensor of one number is that number.

    The larger the largest number of a tensor, the further from 0 rounding may leave its small ones.
    """
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k], tolerance) for k in a)
    x, y = _number(a), _number(b)
    if x is not None and y is not None:
        if x.shape != y.shape:
            return False
        largest = max([1.0, *y[y.isfinite()].abs().flatten().tolist()])
        return torch.allclose(x, y, rtol=tolerance, atol=tolerance / 100 * largest, equal_nan=True)
    if x is not None or y is not None:
        return False
    return type(a) is type(b) and bool(a == b)


def _number(value: Any) -> Tensor | None:
    if isinstance(value, (bool, int, float)):
        return torch.tensor(value, dtype=torch.float64)
    if isinstance(value, Tensor):
        return value.detach().double().cpu()
    return None


def difference(seen: list, wanted: list) -> str:
    """Describe the first difference between two observations."""
    for i, (a, b) in enumerate(zip(seen, wanted, strict=True)):
        if not same(a, b, 1e-4):
            where = f"in test {i + 1} of {len(wanted)} " if len(wanted) > 1 else ""
            return f"not yet: {where}{_differs(a, b)}"
    return "not yet: close, but not within the tolerance; is something computed in a lower precision?"


def _differs(a: Any, b: Any) -> str:
    if type(a) is type(b) and isinstance(a, dict) and a.keys() == b.keys():
        name = next(k for k in a if not same(a[k], b[k], 1e-4))
        return f"“{name}”: {_differs(a[name], b[name])}"
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        i = next(i for i in range(len(a)) if not same(a[i], b[i], 1e-4))
        return f"at position {i} {_differs(a[i], b[i])}"
    x, y = _number(a), _number(b)
    if y is None and b is not None and not isinstance(b, (list, tuple, dict)):
        return f"{a!r} is not the answer"
    if x is None or y is None:
        return f"your answer is of type {type(a).__name__}; the exercise asks for {_kind(b)}"
    if x.shape != y.shape:
        return f"your answer is {_kind(a)}; the exercise asks for {_kind(b)}"
    if not x.isfinite().all():
        return "your answer is not finite (NaN or infinite)"
    at = (x - y).abs().argmax()
    return f"you have {float(x.flatten()[at]):.6g} where {float(y.flatten()[at]):.6g} is right"


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}" if value.ndim else "one number (a tensor without dimensions)"
    if isinstance(value, (int, float)):
        return "one number"
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, (list, tuple)) else "")


def _in_words(error: Exception, answer: Any) -> str:
    """Describe an error, with the line of the learner's own code that failed where there is one."""
    code = getattr(answer, "__code__", None)
    lines = [f for f in traceback.extract_tb(error.__traceback__) if code and f.filename == code.co_filename]
    where = f" in line {lines[-1].lineno}: {lines[-1].line}" if lines and lines[-1].line else ""
    return f"it fails{where}\n{type(error).__name__}: {error}"


def fits(allowed: tuple, guess: Any) -> bool:
    """Return whether a guess is one of the allowed words, or lies between the two allowed numbers."""
    if all(isinstance(x, (int, float)) for x in allowed):
        low, high = allowed
        is_number = isinstance(guess, (int, float)) and not isinstance(guess, bool)
        return is_number and math.isfinite(guess) and low <= guess <= high
    return guess in allowed


def in_order(exercises: Iterable[Exercise]) -> dict[str, Exercise]:
    """Return id -> exercise, in the given order.

    Raises:
        ValueError: two exercises have the same id.
    """
    found: dict[str, Exercise] = {}
    for exercise in exercises:
        if exercise.id in found:
            raise ValueError(f"two exercises are called {exercise.id!r}")
        found[exercise.id] = exercise
    return found
