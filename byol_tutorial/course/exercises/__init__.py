"""Exercises that check themselves, as `bt.exercises`.

    bt.exercises.check("03-loss", my_loss)          says what is right, or which mistake it recognises
    bt.exercises.hint("03-loss")                    gives a nudge; called again, the method, then the core's code
    loss = bt.exercises.use("03-loss", my_loss)     my_loss where it passes, else the reference, so that a lesson goes on
    bt.exercises.predict("04-no-predictor", loss="lower", probe="near random")     records a guess before the run
    bt.exercises.outcome("04-no-predictor", loss="lower", probe="near random")     shows the measurement beside it
    bt.exercises.overview("03")                     lists the lesson's exercises, core and optional, easy ones first

An exercise stands in a notebook as three cells: a stub, which runs unfilled; a check; and the solution, folded away with
what it prints (tags solution and hide-cell; jupyter.source_hidden and jupyter.outputs_hidden true). JupyterLab shows the
first line of a folded cell, so a solution begins with `# Solution of ID`; it ends with `check(..., strict=True)`.

For authors: each exercise is an `Exercise` record in a file of its own, such as lesson03/loss.py; lesson03.EXERCISES is
the tuple of those of lesson 03. tests/course/test_exercises.py checks for every record that a stub is "not attempted
yet", that each declared mistake is recognised by its own name, and that the reference passes. tests/course/answers/lesson03.py holds answers as people write them, at least three
right ones and four wrong ones for each exercise.
"""

import importlib
import pkgutil
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from ...config.errors import UserError
from ...runtime.markup import escaped, html_table
from .judge import remark, verdict_on
from .questions import allowed, guesses
from .record import LEVELS, Exercise, Mistake, Verdict, in_order

__all__ = [
    "Exercise",
    "Mistake",
    "Verdict",
    "check",
    "find",
    "hint",
    "lessons",
    "outcome",
    "overview",
    "predict",
    "use",
]

_guesses: dict[str, dict] = {}  # the predictions that were made in this kernel
_hinted: dict[str, int] = {}  # the level of the last hint that was given for an exercise


class ExerciseError(UserError):
    """The error for an unknown exercise, a prediction that is not possible, or a solution that does not pass."""


def lessons() -> dict[str, dict[str, Exercise]]:
    """Return lesson number -> its exercises by id, in order."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name.startswith("lesson"))
    modules = {name.removeprefix("lesson"): importlib.import_module(f".{name}", __name__) for name in names}
    return {number: in_order(module.EXERCISES) for number, module in modules.items()}


def find(id: str) -> Exercise:
    """Return the exercise with this id.

    Raises:
        ExerciseError: no exercise has this id.
    """
    known = {k: e for exercises in lessons().values() for k, e in exercises.items()}
    if id not in known:
        near = get_close_matches(str(id), known, n=3) or [k for k in known if k[:2] == str(id)[:2]] or known
        raise ExerciseError(f"exercise {id!r} does not exist: choose one of {', '.join(near)}")
    return known[id]


def check(id: str, answer: Any, strict: bool = False) -> Verdict:
    """Check an answer, and say in words what is right or wrong with it.

    Args:
        answer: what the exercise asks for: often a function, or a value. Numbers may be Python's, NumPy's or torch's,
            in lists, tuples, arrays or tensors. A value None, NotImplemented or `...`, or a function whose code only
            returns one of these or raises NotImplementedError, counts as not attempted.
        strict: raise unless the answer passes. Solutions are checked in this way, and the verdict looks like nobody's
            result.

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


@dataclass(frozen=True)
class Note:
    """A title and a text to show under a cell."""

    title: str
    text: str
    code: bool = False  # shown with its line breaks, in a fixed width

    def __repr__(self) -> str:
        return f"{self.title}:\n{self.text}" if self.code else f"{self.title}: {self.text}"

    def _repr_html_(self) -> str:
        return (
            '<div style="border-left:4px solid #56B4E9;padding:0.3em 0.8em;margin:0.3em 0">'
            f"<b>{escaped(self.title)}</b><br>{self._body}</div>"
        )

    @property
    def _body(self) -> str:
        text = escaped(self.text)
        return f'<code style="white-space:pre-wrap">{text}</code>' if self.code else text.replace("\n", "<br>")


def hint(id: str, level: int | None = None) -> Note:
    """Return a hint: a nudge first, with each further call the method and then code that solves the core.

    Args:
        level: 1, 2 or 3 for the nudge, the method or the code; None for the one after the last that was given.

    Raises:
        ExerciseError: the exercise does not exist, or has no such level.
    """
    exercise = find(id)
    if level is None:
        level = min(_hinted.get(id, 0) + 1, len(LEVELS))
    elif isinstance(level, bool) or level not in range(1, len(LEVELS) + 1):
        raise ExerciseError(f"level={level!r}: choose 1 (a nudge), 2 (the method) or 3 (code), or leave it out")
    _hinted[id] = level
    more = "" if level == len(LEVELS) else f'\nCall it again for the {LEVELS[level]}: bt.exercises.hint("{id}")'
    title = f"Hint {level} of {len(LEVELS)} for “{exercise.title}”"
    return Note(title, exercise.hints[level - 1] + more, code=level == len(LEVELS))


# --- predictions --------------------------------------------------------------------------------


def predict(id: str, **made: Any) -> Note:
    """Record a guess before the run, for this kernel; `...` leaves a question open.

    Raises:
        ExerciseError: no prediction has this id, it does not ask this question, or it does not allow this answer.
    """
    exercise = _prediction(id, made)
    known, problem = guesses(exercise, made)
    if problem:
        raise ExerciseError(problem.rstrip("."))
    _guesses[id] = known
    left: dict[tuple, list[str]] = {}  # questions that allow the same answers are named together
    for name, answers in exercise.questions.items():
        if name not in known:
            left.setdefault(answers, []).append(name)
    if left:
        asked = [f"{', '.join(names)}: {'each ' * (len(names) > 1)}{allowed(a)}" for a, names in left.items()]
        return Note(
            f"Your guess: {exercise.title}", f'not made yet. {"; ".join(asked)}.\nHint: bt.exercises.hint("{id}")'
        )
    noted = ", ".join(f"{name} {guess}" for name, guess in known.items())
    return Note(f"Your guess: {exercise.title}", f"noted: {noted}. Now run the next cells.")


@dataclass(frozen=True)
class PredictionOutcome:
    """A prediction beside its measurement, question by question."""

    title: str
    rows: tuple[tuple[str, str, str, str], ...]  # question, guess, measured, mark
    remarks: tuple[str, ...]

    HEAD = ("", "your guess", "measured", "")

    def __repr__(self) -> str:
        lines = [f"{q}: guessed {g}, measured {m} {mark}".rstrip() for q, g, m, mark in self.rows]
        return "\n".join([self.title, *lines, *self.remarks])

    def _repr_html_(self) -> str:
        remarks = "".join(f"<p>{escaped(remark)}</p>" for remark in self.remarks)
        return f"<p><b>{escaped(self.title)}</b></p>{html_table(self.HEAD, self.rows)}{remarks}"


def outcome(id: str, **measured: Any) -> PredictionOutcome:
    """Return the measured values beside the guess, with a remark where the guess is a usual mistake.

    Raises:
        ExerciseError: no prediction has this id, or it does not ask this question.
    """
    exercise = _prediction(id, measured)
    made, rows = _guesses.get(id, {}), []
    for name, value in measured.items():
        value = value.item() if hasattr(value, "item") else value
        guess = made.get(name)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        shown = f"{value:.3g}" if is_number else str(value)
        if guess is None:
            rows.append((name, "–", shown, ""))
        elif is_number:
            rows.append((name, f"{guess:.3g}", shown, f"off by {abs(guess - value):.2g}"))
        else:
            rows.append((name, str(guess), shown, "✓" if guess == value else "✗"))
    mistake = remark(exercise, made)
    return PredictionOutcome(exercise.title, tuple(rows), (mistake.message,) if mistake else ())


def _prediction(id: str, answers: dict) -> Exercise:
    exercise = find(id)
    if not exercise.questions:
        raise ExerciseError(f"{id!r} is not a prediction but of kind {exercise.kind!r}: use bt.exercises.check")
    for name in answers:
        if name not in exercise.questions:
            raise ExerciseError(f"{id!r} does not ask for {name!r}: it asks for {', '.join(exercise.questions)}")
    return exercise


# --- overview -----------------------------------------------------------------------------------


class Overview(list[Exercise]):
    """The exercises of a lesson as a table: those that the lesson builds on, then the optional ones; easy ones first."""

    HEAD = ("exercise", "", "kind", "difficulty", "minutes", "")

    def rows(self) -> list[tuple[str, ...]]:
        """Return the table's rows, as texts."""
        return [
            (e.id, e.title, e.kind, "●" * e.difficulty + "○" * (3 - e.difficulty), str(e.minutes), self._need(e))
            for e in self
        ]

    @staticmethod
    def _need(exercise: Exercise) -> str:
        return "core" if exercise.core else "optional"

    @property
    def _minutes(self) -> str:
        core, optional = (sum(e.minutes for e in self if e.core is needed) for needed in (True, False))
        return f"core: {core} minutes; optional: {optional}"

    def __repr__(self) -> str:
        lines = [f"{r[0]:<24}{r[1]:<48}{r[2]:<14}{r[3]:<12}{r[4]:>7}  {r[5]}" for r in (self.HEAD, *self.rows())]
        return "\n".join([*lines, self._minutes])

    def _repr_html_(self) -> str:
        return html_table(self.HEAD, self.rows(), foot=self._minutes)


def overview(lesson: str) -> Overview:
    """Return the exercises of a lesson, "03", with kind, difficulty, minutes and whether the lesson builds on them.

    Raises:
        ExerciseError: the lesson has no exercises.
    """
    known = lessons()
    if lesson not in known:
        raise ExerciseError(f"lesson {lesson!r} has no exercises: choose one of {', '.join(known)}")
    return Overview(sorted(known[lesson].values(), key=lambda e: (not e.core, e.difficulty, e.minutes)))
