"""The runs of a Laboratory: which of them advance, in which processes, and what the processes have reported of each.

All of this happens on one thread, that of the laboratory's command queue, and therefore needs no lock. Other threads
read the cells: a cell never changes, and a new one replaces it (cell.py).
"""

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from enum import Enum
from pathlib import Path
from typing import Any

from ..config.config import Config
from ..config.errors import LaboratoryError
from ..config.paper_tables import Row
from ..data.image_set import ImageSet
from .cell import Cell
from .subscribers import Subscribers
from .worker_pool import WorkerPool
from .worker_process import Worker

FRAME = 0.25  # seconds between two calls of the subscribers, at least


class Phase(Enum):
    """What the laboratory as a whole is doing."""

    STANDING = "no run advances"
    GOING = "the chosen runs advance"
    RESTARTING = "the processes save their runs and end; then others start, and the runs go on"
    CLOSED = "nothing can go on"


class Stopwatch:
    """A clock that counts seconds only while it runs."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._since: float | None = None  # the start by time.monotonic while it runs

    @property
    def seconds(self) -> float:
        """The seconds so far."""
        return self._seconds + (time.monotonic() - self._since if self._since is not None else 0.0)

    def run(self, running: bool) -> None:
        """Start the clock, or stop it."""
        self._seconds, self._since = self.seconds, time.monotonic() if running else None


class LaboratoryRuns:
    """The cells, the phase, and the pool of processes that train the runs.

    post: puts a command into the laboratory's queue, from the threads that read the messages of the processes.
    most: the largest number of processes.
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
        self._notified_at = 0.0  # when the subscribers were last called
        self._changed = False  # whether anything has changed since then
        self._stopping: list[Future] = []  # these are done when no run advances any more
        self._begin()

    def _begin(self) -> None:
        """Put all runs at step 0."""
        self.phase, self.clock = Phase.STANDING, Stopwatch()
        self._built: set[str] = set()  # runs that a worker has built
        self.cells = {name: Cell.at_start(row, self.base, self.train) for name, row in self.rows.items()}
        self._changed = True

    # --- commands -------------------------------------------------------------------------------

    def start(self, stopped: Future | None = None) -> None:
        """Let the chosen runs advance; `stopped` is done when they are over or paused.

        Raises:
            LaboratoryError: the laboratory is closed, or every chosen run is over and `stopped` is not given.
        """
        self._refuse_if_closed()
        if self._all_over():
            if stopped is None:
                raise LaboratoryError("every run is over: reset to train again")
            stopped.set_result(None)
            return
        if stopped is not None:
            self._stopping.append(stopped)
        if self.pool.quitting:
            self.phase = Phase.RESTARTING
            return
        if not self.pool.workers:
            self._start_workers()
        self._go(True)

    def pause(self) -> Future:
        """Let no run advance; return a Future that is done when the last step has been made."""
        self._report_stopped()
        return self._go(False)

    def suspend(self) -> Future:
        """Let no run advance; return a Future that is done when the processes have saved their runs and ended."""
        self.pause()
        return self.pool.quit(self._built)

    def reset(self) -> None:
        """End the processes, and put all runs back to step 0."""
        self._refuse_if_closed()
        self.pool.dismiss()
        self._report_stopped()
        self._begin()

    def close(self) -> None:
        """End the processes. Nothing can be started after that."""
        self.pause()
        self.pool.dismiss()
        self.phase = Phase.CLOSED
        self.subscribers.clear()

    def choose(self, names: list[str]) -> None:
        """Let these runs take part, and no others."""
        self.chosen = names
        self._changed = True
        if self.phase is Phase.GOING:
            self._go(True)
            self._stop_if_over()

    def limit(self, rate: float | None) -> None:
        """Limit the steps a second of each run."""
        self.rate = rate
        self._changed = True
        if self.phase is Phase.GOING:
            self._go(True)

    def save(self, name: str) -> Future | None:
        """Write the run's checkpoint, unless the one in its file is up to date or the run has not begun."""
        return self.pool.save(name) if name in self._built and not self.cells[name].over else None

    def file(self, name: str) -> Path | None:
        """Return the file of the run's checkpoint, or None while there is no folder. The file may not exist yet."""
        folder = self.pool.folder
        return None if folder is None else folder / self._file_name(name)

    def _file_name(self, name: str) -> str:
        return f"{list(self.rows).index(name)}.pt"

    def fail(self, error: Exception) -> None:
        """Mark the runs that are not over as failed: a command has raised this error, or no process can be started."""
        self.pool.dismiss()
        for name, cell in self.cells.items():
            if not cell.over:
                self._end_run(name, "failed", error=f"{error}" or type(error).__name__)
        self._report_stopped()

    # --- work, between commands -------------------------------------------------------------------

    @property
    def awaited(self) -> bool:
        """Whether a call waits until the runs are over or paused."""
        return bool(self._stopping)

    def work(self) -> float | None:
        """Call the subscribers if a cell has changed, at most four times a second. Go on while there are processes."""
        if self._changed:
            wait = self._notified_at + FRAME - time.monotonic()
            if wait > 0:
                return wait
            self._notified_at, self._changed = time.monotonic(), False
            self.subscribers.notify()
        return math.inf if self.pool.workers else None

    def _start_workers(self) -> None:
        folder = self.pool.open(self.train, self.test)
        jobs = []
        for name, cell in self.cells.items():
            if not cell.over:
                file, config = folder / self._file_name(name), cell.snapshot.config.to_dict()
                jobs.append({"run": name, "config": config, "file": str(file), "resume": file.exists()})
        self.pool.start(folder, jobs, min(self.most, len(jobs)))

    def _go(self, going: bool) -> Future:
        """Let the chosen runs advance, or pause them; return a Future that is done when all workers do so."""
        if self.phase is not Phase.CLOSED:
            self.phase = Phase.GOING if going else Phase.STANDING
        self.clock.run(going)
        self._changed = True
        for name, cell in self.cells.items():
            if cell.over or cell.state == "evaluating":
                continue
            if going and name in self.chosen:
                self._replace(name, cell.but(state="running" if name in self._built else "starting"))
            else:
                self._replace(name, cell.but(state="paused" if cell.snapshot.step else "idle"))
        return self.pool.go(set(self.chosen) if going else set(), self.rate)

    def _all_over(self) -> bool:
        return all(self.cells[name].over for name in self.chosen)

    def _stop_if_over(self) -> None:
        if self.phase is Phase.GOING and self._all_over():
            self._go(False)
            self.pool.quit(self._built)
            self._report_stopped()

    def _report_stopped(self) -> None:
        stopping, self._stopping = self._stopping, []
        for stopped in stopping:
            stopped.set_result(None)

    def _refuse_if_closed(self) -> None:
        if self.phase is Phase.CLOSED:
            raise LaboratoryError("this laboratory is closed: make another")

    # --- reports of the processes -----------------------------------------------------------------

    def receive(self, worker: Worker, message: dict | None) -> None:
        """Update the cells from a worker's report; None means that the worker has ended."""
        if worker not in self.pool.workers:
            return  # the worker was killed, and its earlier reports no longer count
        match message:
            case None:
                self._worker_ended(worker)
            case {"answer": number}:
                self.pool.answered(worker, number, message.get("error"))
            case {"run": name, "built": {"step": step, "start_knn": knn}}:
                self._built.add(name)
                running = self.phase is Phase.GOING and name in self.chosen
                self._replace(name, self.cells[name].built(step, knn, running))
            case {"run": name, "step": step}:
                self._replace(name, self.cells[name].advanced(step, message))
            case {"run": name, "evaluating": True}:
                self._replace(name, self.cells[name].but(state="evaluating"))
            case {"run": name, "result": result}:
                self._end_run(name, "done", **result)
            case {"run": name, "failed": reason}:
                self._end_run(name, "failed", error=reason)

    def _replace(self, name: str, cell: Cell) -> None:
        self.cells = self.cells | {name: cell}
        self._changed = True

    def _end_run(self, name: str, state: str, error: str = "", **result: Any) -> None:
        self._replace(name, self.cells[name].ended(state, error, **result))
        self._stop_if_over()

    def _worker_ended(self, worker: Worker) -> None:
        names, reason = self.pool.ended(worker)
        self._built -= set(names)
        for name in names if reason else ():
            if not self.cells[name].over:
                self._end_run(name, "failed", error=reason)
        if self.phase is Phase.RESTARTING and not self.pool.workers:
            if self._all_over():
                self.phase = Phase.STANDING
                self._report_stopped()
            else:
                self.start()
