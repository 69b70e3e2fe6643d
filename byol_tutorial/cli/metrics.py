"""The measures of a run for other programs: metrics.csv, a row for each step, and event files for TensorBoard.

Both are made from the history alone. So after a resume they hold each step once, and none of steps that were lost.
"""

import csv
import io
from pathlib import Path
from typing import Any

from ..config.errors import UserError
from ..config.installed import is_installed
from ..runtime.files import write_atomically
from ..train.history import History
from ..train.trainer import Trainer

MEASURES = ("loss", "std", "positive", "negative", "gradient_norm", "lr", "tau")
CHECKS = ("knn", "knn_balanced")
COLUMNS = ("step", "epoch", *MEASURES, *CHECKS)
NO_TENSORBOARD = "TensorBoard is not installed here: python -m pip install tensorboard"


def rows(history: History, steps_per_epoch: int, since: int = 0) -> list[dict[str, float | int | None]]:
    """Return the measures of each step after the first `since`, by the names of COLUMNS.

    step      steps done, from 1            epoch   step / steps of an epoch
    knn, knn_balanced  the accuracies measured after this step, None where there was no check; the others are those of History
    """
    checks = {name: dict(getattr(history, name)) for name in CHECKS}
    columns = zip(*(getattr(history, name)[since:] for name in MEASURES), strict=True)
    return [
        {
            "step": step,
            "epoch": step / steps_per_epoch,
            **dict(zip(MEASURES, values, strict=True)),
            **{name: checks[name].get(step) for name in CHECKS},
        }
        for step, values in enumerate(columns, since + 1)
    ]


def write_csv(path: Path, trainer: Trainer) -> None:
    """Write a row for each step of the run, whole or not at all. Where there was no kNN check, the field is empty."""
    write_rows(path, trainer.history, trainer.steps_per_epoch)


def write_rows(path: Path, history: History, steps_per_epoch: int) -> None:
    """Write the rows of a history, as `write_csv` does."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows(history, steps_per_epoch))
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))


def has_tensorboard() -> bool:
    """Return whether torch can write event files."""
    return is_installed("tensorboard")


class EventFiles:
    """The run's measures as TensorBoard's event files in a folder, without those that an earlier process wrote there.

    Raises:
        UserError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        if not has_tensorboard():
            raise UserError(f"--tensorboard: {NO_TENSORBOARD}")
        from torch.utils.tensorboard import SummaryWriter

        for earlier in folder.glob("events.out.tfevents.*"):
            earlier.unlink()
        writer: Any = SummaryWriter  # torch leaves it without types
        self.writer, self.written = writer(str(folder)), 0

    def write(self, trainer: Trainer) -> None:
        """Add the steps that are not there yet, under the names of COLUMNS."""
        for row in rows(trainer.history, trainer.steps_per_epoch, self.written):
            for name in (*MEASURES, *CHECKS):
                if row[name] is not None:
                    self.writer.add_scalar(name, row[name], row["step"])
        self.written = trainer.steps_done
        self.writer.flush()
