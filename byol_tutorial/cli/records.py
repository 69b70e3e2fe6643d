"""What a run keeps besides its state, after each epoch: metrics.csv, copies of checkpoints, TensorBoard's event files.

checkpoint-0010.pt                                the state after epoch 10, with --keep-every
checkpoint-best.pt, encoder-best.safetensors      the state with the best kNN accuracy so far, with --keep-best
metrics.csv                                       a row for each step
tensorboard/                                      the same for TensorBoard, with --tensorboard
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..config.errors import CheckpointError, UserError
from ..train import checkpoint
from ..train.trainer import Trainer
from . import run_folder
from .console import console
from .metrics import NO_TENSORBOARD, EventFiles, has_tensorboard, write_csv

BEST, BEST_ENCODER = "checkpoint-best.pt", "encoder-best.safetensors"


@dataclass(frozen=True)
class Records:
    """What a run keeps. It is written to settings.json, so that a resumed run keeps the same.

    keep_every    epochs between checkpoints that are kept; 0 keeps none
    keep_best     whether the state with the best kNN accuracy is kept
    tensorboard   whether event files are written
    """

    keep_every: int = 0
    keep_best: bool = False
    tensorboard: bool = False

    @classmethod
    def of(cls, run: Path, typed: dict[str, Any]) -> "Records":
        """Return what an earlier run keeps, with what was typed now."""
        known = {name: value for name, value in run_folder.remembered(run).items() if name in asdict(cls())}
        return replace(cls(), **known | typed)

    def check(self, trainer: Trainer) -> None:
        """Raise UserError if the run makes no kNN check that --keep-best could use."""
        c = trainer.config
        if self.keep_best and c.knn_every > c.epochs:
            raise UserError(
                f"--keep-best: the best state is found by the kNN check, which a run of epochs={c.epochs} with "
                f"knn_every={c.knn_every} never makes; lower --knn-every, or give --no-keep-best"
            )
        if self.keep_best and not (trainer.has_labels and c.knn_every):
            lacks = "labels and test images" if c.knn_every else "knn_every above 0"
            raise UserError(f"--keep-best: the best state is found by the kNN check, which needs {lacks}; leave it out")

    def remember(self, run: Path) -> None:
        """Write to settings.json what the run keeps."""
        run_folder.remember(run, asdict(self))


class Recorder:
    """The writer of a run's Records. In processes other than the main one it writes nothing."""

    def __init__(self, records: Records, out: Path, trainer: Trainer) -> None:
        self.records, self.out = records, out
        self.events: EventFiles | None = None
        if records.tensorboard and trainer.process.is_main:
            if has_tensorboard():
                self.events = EventFiles(out / "tensorboard")
            else:  # a run that was begun on another machine goes on without
                console.print(f"no event files: {NO_TENSORBOARD}")
        self.best = _accuracy(out / BEST) if records.keep_best else -1.0

    def keep(self, trainer: Trainer) -> None:
        """Keep the state after this epoch as a checkpoint of its own, if it is time for one or it is the best so far."""
        if not trainer.process.is_main:
            return
        epoch, every = trainer.steps_done // trainer.steps_per_epoch, self.records.keep_every
        if every and epoch % every == 0:
            trainer.save(self.out / f"checkpoint-{epoch:04d}.pt")
        knn = trainer.history.knn_balanced or trainer.history.knn
        if self.records.keep_best and knn and knn[-1][0] == trainer.steps_done and knn[-1][1] > self.best:
            trainer.save_encoder(self.out / BEST_ENCODER)
            trainer.save(self.out / BEST)
            self.best = knn[-1][1]

    def write(self, trainer: Trainer) -> None:
        """Write the measures of the steps so far."""
        if not trainer.process.is_main:
            return
        write_csv(self.out / "metrics.csv", trainer)
        if self.events is not None:
            self.events.write(trainer)


def _accuracy(file: Path) -> float:
    """Return the kNN accuracy of a state that was kept as the best, balanced where classes are uneven.

    It is −1 where there is none, or it is damaged.

    Raises:
        UnreadableError: the system does not let us read it. It may be whole, so it must not be replaced.
    """
    try:
        history = checkpoint.load(file)["history"]
        return float((history.get("knn_balanced") or history["knn"])[-1][1])
    except checkpoint.UnreadableError:
        raise
    except (CheckpointError, LookupError, TypeError):
        return -1.0
