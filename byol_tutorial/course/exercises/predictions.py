"""Predictions: a guess before a run, and its measurement beside it."""

from dataclasses import dataclass
from typing import Any

from ...runtime.markup import escaped, html_table
from .catalogue import ExerciseError, find
from .hints import Note
from .judge import remark
from .questions import allowed, guesses
from .record import Exercise

_guesses: dict[str, dict] = {}  # the predictions that were made in this kernel


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
