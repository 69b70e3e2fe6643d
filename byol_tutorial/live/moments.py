"""The moments of a run that are kept in memory, so that it can be branched from any of its steps.

A step that was not kept is made again from the last kept one before it. The run then repeats itself, on a CPU bit for bit,
because a step depends on the seed and its number alone.
"""

from dataclasses import dataclass

from ..config.errors import SessionError
from ..runtime.files import in_words
from ..train.moment import Moment, bytes_of
from ..train.trainer import Trainer
from .snapshot import Snapshot

MOST = 64 * 2**20  # bytes of all kept moments together; those of the lessons' recipe take 1.6 MB each
OFTEN = 32  # steps between two moments at first; whenever the memory is used up, twice as many


class Moments:
    """Moments of one run, evenly spaced, as many as `most` bytes hold; none if a single one takes more."""

    def __init__(self, most: int = MOST) -> None:
        self.most, self.every = most, OFTEN
        self.kept: list[Moment] = []
        self.too_large = 0  # the bytes of one moment, if not even one fits

    @property
    def bytes(self) -> int:
        """The memory that all of them take."""
        return sum(moment.bytes for moment in self.kept)

    def add(self, trainer: Trainer, due: bool = False) -> None:
        """Keep this moment of the run if it is due."""
        if not due and trainer.steps_done % self.every:
            return
        if (size := bytes_of(trainer)) > self.most:
            self.kept, self.too_large = [], size
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
        if self.too_large:
            raise SessionError(
                f"this run cannot be branched: one moment of it takes {in_words(self.too_large)}, and {in_words(self.most)} "
                "are kept at most; take a smaller encoder, or begin a new run with the change"
            )
        earlier = [moment for moment in self.kept if moment.step <= step]
        if not earlier:
            first = f"from step {self.kept[0].step} on" if self.kept else "from its next step on"
            raise SessionError(f"step {step}: this run can be branched {first}; reset it to have all of its steps")
        return earlier[-1]

    def forget_after(self, step: int) -> None:
        """Drop the moments after this step."""
        self.kept = [moment for moment in self.kept if moment.step <= step]


def repeat(trainer: Trainer, moment: Moment, step: int) -> None:
    """Go back to the moment, and make the steps from there to `step` again, with the changes that were made then."""
    history = trainer.history
    changes = [c for c in history.changes[moment.changes :] if c[0] < step]
    trainer.go_back(moment)
    while trainer.steps_done < step:
        while changes and changes[0][0] <= trainer.steps_done:
            trainer.change(**changes.pop(0)[1])
        trainer.step()
    for name in ("knn", "knn_balanced"):
        setattr(trainer.history, name, [check for check in getattr(history, name) if check[0] <= step])


@dataclass(frozen=True)
class Kept:
    """A run that is kept beside the one that trains: its last moment, and its snapshot, which has its history."""

    moment: Moment
    snapshot: Snapshot
