"""Cell: one run of a laboratory at one moment, and what each report of its process makes of it.

A cell never changes; every method returns a new one. Only the history behind its snapshot grows.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch

from ..config.config import Config
from ..config.paper_tables import Row
from ..data.image_set import ImageSet
from ..runtime.distributed import process
from ..train.batches import Feed
from ..train.history import History
from .findings import Finding
from .snapshot import Snapshot

OVER = {"done", "failed"}  # states from which a run goes on only by a reset


@dataclass(frozen=True)
class Cell:
    """A run at one moment: its row, its Snapshot, and after its end its Finding.

    The snapshot's state is "idle", "starting", "running", "paused", "evaluating", "done" or "failed". A run whose
    process has ended without being asked to is "failed", and `error` gives the reason. The snapshot has no measure and
    no changes.
    """

    row: Row
    snapshot: Snapshot
    finding: Finding | None = None

    @classmethod
    def at_start(cls, row: Row, base: Config, train: ImageSet) -> "Cell":
        """Return the row's run before its first step."""
        config = row.config(base)
        per_epoch = Feed(train, config, torch.device("cpu"), process()).steps_per_epoch
        snapshot = Snapshot(
            state="idle", step=0, total_steps=per_epoch * config.epochs, steps_per_epoch=per_epoch,
            config=config, first_config=config, knn=(), changes=(), start_knn=None, measure=None, error="",
            resets=0, _history=History(),
        )  # fmt: skip
        return cls(row, snapshot)

    @property
    def state(self) -> str:
        """The state of the snapshot."""
        return self.snapshot.state

    @property
    def over(self) -> bool:
        """Whether the run has ended."""
        return self.state in OVER

    def but(self, **fields: Any) -> "Cell":
        """Return the cell with these fields of its snapshot, and without a finding."""
        return Cell(self.row, replace(self.snapshot, **fields))

    def advanced(self, step: int, report: dict) -> "Cell":
        """Return the cell at this step, with the losses, spreads and kNN checks that the report adds."""
        h = self.snapshot._history
        h.loss += report["loss"]
        h.std += report["std"]
        h.knn += [tuple(check) for check in report["knn"]]
        h.knn_balanced = [tuple(check) for check in report["knn_balanced"]]
        return self.but(step=step, knn=tuple(h.knn), knn_balanced=tuple(h.knn_balanced))

    def built(self, step: int, start_knn: float | None, running: bool) -> "Cell":
        """Return the cell of a run that its process has built, or read from a checkpoint of this step."""
        s = self.snapshot
        knn, balanced = ([k for k in checks if k[0] <= step] for checks in (s.knn, s.knn_balanced))
        h = History(loss=s.series("loss")[:step], std=s.series("std")[:step], knn=knn, knn_balanced=balanced)
        return self.but(
            state="running" if running else "paused" if step else "idle",
            step=step,
            start_knn=s.start_knn if step else start_knn,
            _history=h,
            knn=tuple(knn),
            knn_balanced=tuple(balanced),
        )

    def ended(self, state: str, error: str = "", **result: Any) -> "Cell":
        """Return the cell of a run that is over, with its Finding. result: what its evaluation gave, see Finding."""
        last = self.but(state=state, error=error)
        s = last.snapshot
        return replace(last, finding=Finding(self.row, s.verdict, steps=s.step, error=error, **result))
