"""The moments of a run that are kept in memory, so that it can be branched from any of its steps.

A step that was not kept is made again from the last kept one before it. The run then repeats itself, on a CPU bit for bit,
because a step depends on the seed and its number alone.
"""

from dataclasses import dataclass

from ..config.errors import SessionError
from ..train.moment import Moment
from ..train.trainer import Trainer
from .snapshot import Snapshot

MOST = 64 * 2**20  # bytes of all kept moments together; those of the lessons' recipe take 1.4 MB each
OFTEN = 8  # steps between two moments at first; whenever the memory is used up, twice as many


class Moments:
    """Moments of one run, evenly spaced, as many as `most` bytes hold."""

    def __init__(self, most: int = MOST) -> None:
        self.most, self.every = most, OFTEN
        self.kept: list[Moment] = []

    @property
    def bytes(self) -> int:
        """The memory that all of them take."""
        return sum(moment.bytes for moment in self.kept)

    def add(self, trainer: Trainer, due: bool = False) -> None:
        """Keep this moment of the run if it is due."""
        if not due and trainer.steps_done % self.every:
            return
        self.kept.append(trainer.moment())
        while self.bytes > self.most and len(self.kept) > 1:
            self.every *= 2
            self.kept = [self.kept[0], *(m for m in self.kept[1:] if m.step % self.every == 0)]

    def before(self, step: int) -> Moment:
        """Return the last moment that is not after this step.

        Raises:
            SessionError: none was kept.
        """
        earlier = [moment for moment in self.kept if moment.step <= step]
        if not earlier:
            first = f"from step {self.kept[0].step} on" if self.kept else "from its next step on"
            raise SessionError(f"step {step}: this run can be branched {first}; reset it to have all of its steps")
        return earlier[-1]

    def forget_after(self, step: int) -> None:
        """Drop the moments after this step."""
        self.kept = [moment for moment in self.kept if moment.step <= step]


@dataclass(frozen=True)
class Kept:
    """A run that is kept beside the one that trains: its last moment, and its snapshot, which has its history."""

    moment: Moment
    snapshot: Snapshot
