"""What an exercise is, a usual mistake, and a verdict on an answer. The exercises themselves are in lesson01/ and so on."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ...runtime.markup import escaped

KINDS = ("implement", "predict", "find the bug", "extend")
LEVELS = ("nudge", "method", "code")


@dataclass(frozen=True)
class Mistake:
    """A usual wrong answer, and the message that it gets.

    name      in a few words: "mean instead of sum"
    example   an answer that makes the mistake; tests check that it is recognised. For a prediction, the guesses that
                make it: the other questions may be answered in any way
    message   what is wrong and where to look; not the solution
    when      predicate(observation, reference's observation) that recognises the mistake, instead of equality with the
              example's observation; an observation is a list with one entry for each case
    """

    name: str
    example: Any
    message: str
    when: Callable[[list, list], bool] | None = None


def cloned(output: Tensor) -> Tensor:
    """Return a copy of the output of a network, which may be changed in place."""
    return output.clone()


@dataclass(frozen=True)
class Exercise:
    """An exercise of a lesson.

    id          "03-loss": the lesson's number, then a word
    kind        implement, predict, find the bug or extend
    difficulty  1 (a few minutes' thought), 2 (some thought) or 3 (hard)
    minutes     to read the text, write an answer and correct it once or twice
    hints       three, each one step further: a nudge, the method, and code that solves the core
    reference   a right answer
    mistakes    usual wrong answers, the most particular first; the first that fits is named
    core        whether the lesson builds on it; the others are optional
    cases       function that makes a new list of argument tuples, for an answer that is a function
    observe     function of the answer and one case's arguments that returns what is compared: numbers, tensors, words, or
                lists, tuples, dicts of them. Default: the answer called with the arguments, or the answer itself if it
                is not a function
    trains      for a loss: name of an argument -> its position, for each that gets a gradient from it; the gradients are
                then compared like the values
    as_trained  how a network makes such an argument from its output; log probabilities are a log_softmax of scores
    in_place    the answer is a function that changes its arguments and returns nothing
    accept      for an answer that need not equal the reference: accept(answer) returns None, or what is wrong
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
    hints: tuple[str, ...]
    reference: Any
    mistakes: tuple[Mistake, ...] = ()
    core: bool = True
    cases: Callable[[], list[tuple]] = lambda: [()]
    observe: Callable | None = None
    trains: dict[str, int] = field(default_factory=dict)
    as_trained: Callable[[Tensor], Tensor] = cloned
    in_place: bool = False
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
        elif isinstance(self.hints, str) or len(self.hints) != len(LEVELS):
            wrong = f"hints={self.hints!r}: give three, {', '.join(LEVELS)}"
        if wrong:
            raise ValueError(f"exercise {self.id!r}: {wrong}")


class UnusableError(Exception):
    """What an observer raises about an answer of the wrong form; the message says in words what form is asked for."""


@dataclass(frozen=True)
class Verdict:
    """The result of a check. `bool(verdict)` says whether the answer passed; `mistake` names the mistake it recognised.

    solution: whether the course's own solution was checked. This is shown in grey and without a mark, so that no reader, and
        no program that collects marks, takes it for the result of an attempt.
    """

    exercise: Exercise
    passed: bool
    message: str
    attempted: bool = True
    mistake: str | None = None
    solution: bool = False

    def __bool__(self) -> bool:
        return self.passed

    @property
    def _mark(self) -> str:
        return "✓" if self.passed else ("✗" if self.attempted else "…")

    @property
    def _help(self) -> str:
        return "" if self.passed else f'Hint: bt.exercises.hint("{self.exercise.id}")'

    @property
    def _about_solution(self) -> str:
        return f"solution of {self.exercise.id}: it passes the check. This says nothing about your own answer."

    def __repr__(self) -> str:
        if self.solution:
            return self._about_solution
        text = f"{self._mark} {self.exercise.id}, {self.exercise.title}: {self.message}"
        return f"{text}\n{self._help}" if self._help else text

    def _repr_html_(self) -> str:
        if self.solution:
            return f'<div style="padding:0.3em 0;opacity:0.75"><i>{escaped(self._about_solution)}</i></div>'
        colour = "#009E73" if self.passed else ("#D55E00" if self.attempted else "#888888")
        text = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped(self.message)).replace("\n", "<br>")
        help_line = f"<br>{escaped(self._help)}" if self._help else ""
        return (
            f'<div style="border-left:4px solid {colour};padding:0.3em 0.8em;margin:0.3em 0">'
            f"<b>{self._mark} {escaped(self.exercise.title)}</b> <code>{escaped(self.exercise.id)}</code><br>{text}"
            f"{help_line}</div>"
        )


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
