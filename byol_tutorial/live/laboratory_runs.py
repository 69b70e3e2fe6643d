"""The runs of a Laboratory: which of them advance, in which processes, and what the processes have reported of each.

All of it happens on one thread, that of the laboratory's command queue, and so needs no lock. Other threads see the
cells, which never change: a new one replaces the old.
"""

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import torch

from ..config.config import Config
from ..config.errors import LaboratoryError
from ..config.paper_tables import Row
from ..data.image_set import ImageSet
from ..runtime.distributed import process
from ..train.batches import Feed
from ..train.history import History
from .findings import Finding
from .snapshot import Snapshot
from .subscribers import Subscribers
from .worker_pool import WorkerPool
from .worker_process import Worker

FRAME = 0.25  # seconds between two calls of the subscribers, at least
OVER = {"done", "failed"}


class Phase(Enum):
    """What the laboratory as a whole is doing."""

    STANDING = "no run advances"
    GOING = "the chosen runs advance"
    RETURNING = "the processes keep their runs and end; then others start, and the runs go on"
    CLOSED = "nothing can go on"


class Stopwatch:
    """The seconds that have passed while it was running."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        """The seconds so far."""
        return self._seconds + (time.monotonic() - self._since if self._since is not None else 0.0)

    def run(self, running: bool) -> None:
        """Let it run from now on, or stop it."""
        self._seconds, self._since = self.seconds, time.monotonic() if running else None


@dataclass(frozen=True)
class Cell:
    """A run at one moment: its row, its Snapshot, and after its end what it found.

    The snapshot's state is "idle", "starting", "running", "paused", "judging", "done" or "failed"; a run whose process
    has died is failed, and `error` says so. The snapshot has no measure and no changes.
    """

    row: Row
    snapshot: Snapshot
    finding: Finding | None = None

    @property
    def state(self) -> str:
        """The state of the snapshot."""
        return self.snapshot.state


class LaboratoryRuns:
    """The cells, the phase, and the pool of processes that train the runs.

    post: puts a command into the laboratory's queue, from the threads that listen to the processes.
    """

    def __init__(
        self,
        rows: Mapping[str, Row],
        base: Config,
        train: ImageSet,
        test: ImageSet | None,
        most: int,
        post: Callable[[Callable[[], None]], None],
    ):
        self.rows, self.base, self.train, self.test, self.most = rows, base, train, test, most
        self.chosen = list(rows)
        self.rate: float | None = None
        self.pool = WorkerPool(lambda worker, message: post(lambda: self.receive(worker, message)))
        self.subscribers = Subscribers()
        self._told_at, self._news = 0.0, False  # when the subscribers were called last, and whether there is news since
        self._arrivals: list[Future] = []  # done when no run advances
        self._begin()

    def _begin(self) -> None:
        """Put all runs at step 0."""
        self.phase, self.clock = Phase.STANDING, Stopwatch()
        self._built: set[str] = set()  # runs that a worker has built
        self.cells: dict[str, Cell] = {}
        for name, row in self.rows.items():
            config = row.config(self.base)
            per_epoch = Feed(self.train, config, torch.device("cpu"), process()).steps_per_epoch
            snapshot = Snapshot(
                state="idle", step=0, total_steps=per_epoch * config.epochs, steps_per_epoch=per_epoch,
                config=config, first_config=config, knn=(), changes=(), start_knn=None, measure=None, error="",
                resets=0, _history=History(),
            )  # fmt: skip
            self.cells[name] = Cell(row, snapshot)
        self._news = True

    # --- commands -------------------------------------------------------------------------------

    def start(self, arrived: Future | None = None) -> None:
        """Let the chosen runs advance; `arrived` is done when they are over or stand still."""
        self._refuse_if_closed()
        if self._all_over():
            if arrived is None:
                raise LaboratoryError("every run is over: reset to train again")
            arrived.set_result(None)
            return
        if arrived is not None:
            self._arrivals.append(arrived)
        if self.pool.leaving:
            self.phase = Phase.RETURNING
            return
        if not self.pool.workers:
            self._start_workers()
        self._go(True)

    def pause(self) -> Future:
        """Let no run advance; done when the last step has been made."""
        self._arrive()
        return self._go(False)

    def suspend(self) -> Future:
        """Let no run advance, and end the processes when they have kept their runs."""
        self.pause()
        return self.pool.leave(self._built)

    def reset(self) -> None:
        """Begin anew."""
        self._refuse_if_closed()
        self.pool.dismiss()
        self._arrive()
        self._begin()

    def close(self) -> None:
        """End the processes for good."""
        self.pause()
        self.pool.dismiss()
        self.phase = Phase.CLOSED
        self.subscribers.clear()

    def choose(self, names: list[str]) -> None:
        """Let these runs take part."""
        self.chosen = names
        self._news = True
        if self.phase is Phase.GOING:
            self._go(True)
            self._rest_if_over()

    def limit(self, rate: float | None) -> None:
        """Limit the steps a second of each run."""
        self.rate = rate
        self._news = True
        if self.phase is Phase.GOING:
            self._go(True)

    def keep(self, name: str) -> Future | None:
        """Have the run's checkpoint written, unless there is nothing newer than the one that is there."""
        return self.pool.keep(name) if name in self._built and self.cells[name].state not in OVER else None

    def file(self, name: str) -> Path | None:
        """Return where the run's checkpoint is, if there is one."""
        return self.pool.folder and self.pool.folder / f"{list(self.rows).index(name)}.pt"

    def fail(self, error: Exception) -> None:
        """Fail the runs that are not over: a command has gone wrong, or no process can be started."""
        self.pool.dismiss()
        for name, cell in self.cells.items():
            if cell.state not in OVER:
                self._end_run(name, "failed", error=f"{error}" or type(error).__name__)
        self._arrive()

    # --- work, between commands -------------------------------------------------------------------

    def work(self) -> float | None:
        """Tell the subscribers of news, at most four times a second; then wait as long as there are processes."""
        if self._news:
            wait = self._told_at + FRAME - time.monotonic()
            if wait > 0:
                return wait
            self._told_at, self._news = time.monotonic(), False
            self.subscribers.notify()
        return math.inf if self.pool.workers else None

    def _start_workers(self) -> None:
        self.pool.open(self.train, self.test)
        jobs = [
            {"run": name, "config": cell.snapshot.config.to_dict(), "file": str(self.file(name)),
             "resume": (file := self.file(name)) is not None and file.exists()}
            for name, cell in self.cells.items() if cell.state not in OVER
        ]  # fmt: skip
        self.pool.start(jobs, min(self.most, len(jobs)))

    def _go(self, going: bool) -> Future:
        """Let the chosen runs advance, or stand still; done when all workers do so."""
        if self.phase is not Phase.CLOSED:
            self.phase = Phase.GOING if going else Phase.STANDING
        self.clock.run(going)
        self._news = True
        for name, cell in self.cells.items():
            if cell.state in OVER | {"judging"}:
                continue
            if going and name in self.chosen:
                self._update(name, state="running" if name in self._built else "starting")
            else:
                self._update(name, state="paused" if cell.snapshot.step else "idle")
        return self.pool.go(set(self.chosen) if going else set(), self.rate)

    def _all_over(self) -> bool:
        return all(self.cells[name].state in OVER for name in self.chosen)

    def _rest_if_over(self) -> None:
        if self.phase is Phase.GOING and self._all_over():
            self._go(False)
            self.pool.leave(self._built)
            self._arrive()

    def _arrive(self) -> None:
        arrivals, self._arrivals = self._arrivals, []
        for arrived in arrivals:
            arrived.set_result(None)

    def _refuse_if_closed(self) -> None:
        if self.phase is Phase.CLOSED:
            raise LaboratoryError("this laboratory is closed: make another")

    # --- reports of the processes -----------------------------------------------------------------

    def receive(self, worker: Worker, message: dict | None) -> None:
        """Take in what a worker reports; None means that it has ended."""
        if worker not in self.pool.workers:
            return  # it was killed, and its earlier reports no longer count
        match message:
            case None:
                self._worker_ended(worker)
            case {"answer": number}:
                self.pool.answered(worker, number, message.get("error"))
            case {"run": name, "built": {"step": step, "start_knn": knn}}:
                self._run_built(name, step, knn)
            case {"run": name, "step": step}:
                h = self.cells[name].snapshot._history
                h.loss += message["loss"]
                h.std += message["std"]
                h.knn += [tuple(check) for check in message["knn"]]
                self._update(name, step=step, knn=tuple(h.knn))
            case {"run": name, "judging": True}:
                self._update(name, state="judging")
            case {"run": name, "result": result}:
                self._end_run(name, "done", **result)
            case {"run": name, "failed": reason}:
                self._end_run(name, "failed", error=reason)

    def _update(self, name: str, finding: Finding | None = None, **fields: Any) -> None:
        """Replace a run's cell."""
        cell = self.cells[name]
        cell = replace(cell, snapshot=replace(cell.snapshot, **fields), finding=finding)
        self.cells = self.cells | {name: cell}
        self._news = True

    def _run_built(self, name: str, step: int, start_knn: float | None) -> None:
        """Note that a worker has built the run, or taken it up again at this step."""
        self._built.add(name)
        s = self.cells[name].snapshot
        h = History(loss=s.series("loss")[:step], std=s.series("std")[:step], knn=[k for k in s.knn if k[0] <= step])
        running = self.phase is Phase.GOING and name in self.chosen
        state = "running" if running else "paused" if step else "idle"
        knn = s.start_knn if step else start_knn
        self._update(name, state=state, step=step, knn=tuple(h.knn), start_knn=knn, _history=h)

    def _end_run(self, name: str, state: str, error: str = "", **result: float) -> None:
        self._update(name, state=state, error=error)
        s = self.cells[name].snapshot
        self._update(name, finding=Finding(self.rows[name], s.verdict, steps=s.step, error=error, **result))
        self._rest_if_over()

    def _worker_ended(self, worker: Worker) -> None:
        names, reason = self.pool.ended(worker)
        self._built -= set(names)
        for name in names if reason else ():
            if self.cells[name].state not in OVER:
                self._end_run(name, "failed", error=reason)
        if self.phase is Phase.RETURNING and not self.pool.workers:
            if self._all_over():
                self.phase = Phase.STANDING
                self._arrive()
            else:
                self.start()
