"""Hints: a nudge first, then the method, then code that solves the core."""

from dataclasses import dataclass

from ...runtime.markup import escaped
from .catalogue import ExerciseError, find
from .record import LEVELS

_hinted: dict[str, int] = {}  # the level of the last hint that was given for an exercise


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
