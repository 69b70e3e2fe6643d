"""The catalogue of exercises: which there are, and a lesson's as a table."""

import functools
import importlib
import pkgutil
from difflib import get_close_matches
from pathlib import Path

from ...config.errors import UserError
from ...runtime.markup import html_table
from .record import Exercise, in_order


class ExerciseError(UserError):
    """The error for an unknown exercise, a prediction that is not possible, or a solution that does not pass."""


def lessons() -> dict[str, dict[str, Exercise]]:
    """Return lesson number -> its exercises by id, in order."""
    modules = {number: importlib.import_module(f".lesson{number}", __package__) for number in _numbers()}
    return {number: in_order(module.EXERCISES) for number, module in modules.items()}


@functools.cache
def _numbers() -> list[str]:
    """Return the numbers of the lessons that have exercises; each has a package here, which is looked for once."""
    names = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return sorted(name.removeprefix("lesson") for name in names if name.startswith("lesson"))


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
