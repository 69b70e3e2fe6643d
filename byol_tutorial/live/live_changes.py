"""The live changes of a run: how they are recorded, and how they are undone."""

import time
from typing import Any

from ..config.config import Config
from ..config.errors import SessionError
from ..train.trainer import Trainer

ONE_GESTURE = 1.0  # seconds; changes of the same fields within this time are undone together: a slider was dragged


class LiveChanges:
    """The live changes that are made to a trainer from now on, and the values that undo them."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self._last: tuple[int, int, Config] | None = None  # where the last ones were made: step, entries, config before
        self._undoable: list[tuple[float, dict[str, Any]]] = []  # when a change was made, and the values before it

    def make(self, fields: dict[str, Any], gesture: bool = True) -> None:
        """Change live fields. gesture: whether changes of the same fields that follow at once are undone with this one."""
        before = {name: getattr(self.trainer.config, name) for name in fields}
        self._record(fields)
        now = time.monotonic()
        if self._undoable and self._undoable[-1][1].keys() == before.keys():
            at, first = self._undoable[-1]
            if now - at < ONE_GESTURE:
                before = first
                self._undoable.pop()
        self._undoable.append((now if gesture else -ONE_GESTURE, before))

    def undo(self) -> None:
        """Undo the last change.

        Raises:
            SessionError: there is no change to undo.
        """
        if not self._undoable:
            raise SessionError("there is no change to undo")
        _, before = self._undoable.pop()
        self._record(before)

    def begin_entry(self) -> None:
        """Record what is changed from now on as a change of its own, even if the last one was made at the same step."""
        self._last = None

    def _record(self, fields: dict[str, Any]) -> None:
        """Change live fields, and record as one change all that is changed between the same two steps.

        A field that has the value again that the last step was made with is not recorded as changed.
        """
        changes, step = self.trainer.history.changes, self.trainer.steps_done
        if self._last is None or self._last[0] != step:
            self._last = (step, len(changes), self.trainer.config)
        _, recorded, before = self._last
        self.trainer.change(**fields)
        together = {name: value for _, values in changes[recorded:] for name, value in values.items()}
        del changes[recorded:]
        if differing := {name: value for name, value in together.items() if value != getattr(before, name)}:
            changes.append((step, differing))
