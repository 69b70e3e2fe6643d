"""Laboratory: runs that advance together in processes of their own, and what has been seen of each.

    lab = Laboratory(tables("5a", "5b"), preset("shapes"), load("shapes"), load("shapes", "test"))
    lab.run()                        # to the end: Findings, the paper's numbers beside ours
    lab.start(), lab.pause()         # or at once, from any thread
    lab.session("no predictor")      # that run from where it stands, as a Session

As in a Session, every method puts an order into a queue, and one thread carries orders out; what the processes say
comes the same way. So that thread alone changes anything. There is no Jupyter in here.
"""

import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace

import torch

from ..config.config import Config
from ..config.errors import LaboratoryError
from ..config.paper_tables import Row
from ..data.fingerprint import fingerprint
from ..data.image_set import ImageSet
from ..runtime.device import cores
from ..runtime.distributed import process
from ..runtime.progress import hidden
from ..runtime.seeding import random_states
from ..train import checkpoint
from ..train.batches import Feed
from ..train.history import History
from ..train.state import restore
from ..train.trainer import Trainer
from .command_queue import Orders
from .experiment import Experiment
from .findings import Finding, Findings
from .session import Session
from .snapshot import Snapshot
from .worker_pool import Crew
from .worker_process import Worker

FRAME = 0.25  # seconds between two calls of a subscriber, at least
MOST = 8  # processes, unless more are asked for
OVER = {"done", "failed"}


@dataclass(frozen=True)
class Cell:
    """A run at one moment: its row, its Snapshot, and after its end what it found.

    Of the snapshot: state is "idle", "starting", "running", "paused", "judging", "done" or "failed"; a run whose process
    has died is failed, and `error` says so. It has no measure and no changes.
    """

    row: Row
    snapshot: Snapshot
    finding: Finding | None = None

    @property
    def state(self) -> str:
        return self.snapshot.state


class Laboratory:
    """Runs of several configs on the same images, a few steps of each in turn, on all cores.

    The runs are dealt to the processes, which compute with one thread each. On a CPU a run gives the same numbers as
    a Trainer that computes with one thread, bit for bit.

    Args:
        rows: name: Row; see paper_tables.py.
        base: the Config that the rows change.
        train, test: images in memory. Without labels, or without test images, there are no accuracies.
        workers: processes. Default: one a core, at most 8, at most one a run; where the runs train on a GPU a single one,
            because processes that share a GPU wait for each other.

    Raises:
        ConfigError: a row that base does not allow, or a batch larger than the set.
        LaboratoryError: no rows, a streamed set, or no positive number of workers.
    """

    def __init__(self, rows: Mapping[str, Row], base: Config, train, test=None, workers: int | None = None):
        if not rows:
            raise LaboratoryError("no runs: give rows of a table, or configs of your own")
        for images in (train, test):
            if not isinstance(images, ImageSet | None):
                raise LaboratoryError(f"{images!r} is not in memory: load it with stream=False, or fewer with limit=")
        if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
            raise LaboratoryError(f"workers={workers!r}: give a whole number, at least 1")
        self.rows, self.base, self.train, self.test = dict(rows), base, train, test
        usual = 1 if torch.cuda.is_available() else min(cores(), MOST)
        self.workers = min(workers or usual, len(rows))
        self.rate: float | None = None
        self._data = fingerprint(train)
        self._chosen, self._closed = list(self.rows), False
        self._crew = Crew(lambda worker, message: self._orders.post(lambda: self._hear(worker, message)))
        self._orders = Orders("byol laboratory", lambda: bool(self._crew.workers), FRAME, self._broken)
        self._arrivals: list[Future] = []  # of those who wait until nothing is going on
        self._fresh()

    def _fresh(self) -> None:
        """All runs at step 0."""
        self._going, self._again, self._seconds, self._since = False, False, 0.0, None
        self._begun: set[str] = set()  # runs that a worker has at hand
        self._cells = {}
        for name, row in self.rows.items():
            config = row.config(self.base)
            per_epoch = Feed(self.train, config, torch.device("cpu"), process()).steps_per_epoch
            snapshot = Snapshot(
                state="idle", step=0, total_steps=per_epoch * config.epochs, steps_per_epoch=per_epoch,
                config=config, first_config=config, knn=(), changes=(), start_knn=None, measure=None, error="",
                resets=0, _history=History(),
            )  # fmt: skip
            self._cells[name] = Cell(row, snapshot)

    # --- orders, from any thread ----------------------------------------------------------------

    def start(self) -> Future:
        """Train the chosen runs on, to their ends. Starts the processes, which takes them some seconds."""
        return self._orders.order(self._start)

    def pause(self) -> Future:
        """Stand still; the processes wait. The Future's result() comes when the last step has been made."""
        return self._orders.order(self._pause)

    def suspend(self) -> Future:
        """Stand still and end the processes; each run is kept, and start() goes on from there."""
        return self._orders.order(self._suspend)

    def reset(self) -> Future:
        """All runs back to step 0; their processes end."""
        return self._orders.order(self._reset)

    def choose(self, names: Iterable[str]) -> Future:
        """These runs take part from now on; the others stand still."""
        names = {self._known(name) for name in names}
        if not names:
            raise LaboratoryError(f"no runs chosen: choose some of {', '.join(self.rows)}")
        return self._orders.order(lambda: self._choose([name for name in self.rows if name in names]))

    def limit(self, rate: float | None) -> Future:
        """At most so many steps a second of each run; None: as fast as it goes."""
        if rate is not None and not 0 < rate < float("inf"):
            raise LaboratoryError(f"rate={rate!r}: give steps a second, above 0, or None")
        return self._orders.order(lambda: self._limit(rate))

    def run(self, progress: bool = False) -> Findings:
        """Train synchronously until the chosen runs are over, or are paused; what they found.

        Ctrl-C ends the processes and keeps the runs; run() then goes on from there.

        Args:
            progress: show a bar.

        Raises:
            LaboratoryError: every run has failed.
        """
        from tqdm.auto import tqdm

        def steps() -> int:
            return sum(self._cells[name].snapshot.step for name in self._chosen)

        arrived: Future = Future()
        total = sum(self._cells[name].snapshot.total_steps for name in self._chosen)
        with tqdm(total=total, unit="step", disable=hidden(progress), mininterval=0.3) as bar:
            try:
                self._orders.order(lambda: self._start(arrived)).result()
                while not wait([arrived], timeout=0.5).done:
                    bar.update(steps() - bar.n)
            except KeyboardInterrupt:
                self.suspend()
                raise
            bar.update(steps() - bar.n)
        found = self.findings
        if all(f.error for f in found.values()):
            raise LaboratoryError(f"every run has failed: {next(iter(found.values())).error}")
        return found

    def close(self) -> None:
        """End the processes and forget the subscribers. What was seen stays; the runs cannot go on."""
        if not sys.is_finalizing():  # threads run no more then, and workers see that we are gone
            self._orders.finish(self._close)

    def __enter__(self) -> "Laboratory":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    # --- what is to be seen, from any thread ----------------------------------------------------

    @property
    def cells(self) -> dict[str, Cell]:
        """All runs as they are at this moment."""
        return dict(self._cells)

    @property
    def chosen(self) -> list[str]:
        return list(self._chosen)

    @property
    def state(self) -> str:
        """Of the chosen runs together: "idle", "starting", "running", "paused" or "done"."""
        states = {self._cells[name].state for name in self._chosen}
        if states <= OVER:
            return "done"
        if self._going:
            return "running" if states & {"running", "judging"} else "starting"
        return "idle" if states == {"idle"} else "paused"

    @property
    def seconds(self) -> float:
        """How long the runs have been going."""
        return self._seconds + (time.monotonic() - self._since if self._since is not None else 0.0)

    @property
    def processes(self) -> list[int]:
        """The process ids of the workers."""
        return [worker.process.pid for worker in list(self._crew.workers)]

    @property
    def findings(self) -> Findings:
        """What the chosen runs have found so far; of those that are not over, their places in the table."""
        found = Findings()
        for name in self._chosen:
            cell = self._cells[name]
            found[name] = cell.finding or Finding(cell.row, cell.snapshot.verdict, steps=cell.snapshot.step)
        images, c = f"{len(self.train):,} images of {self.train.name!r}", self.base
        found.caption = (
            "Linear probe here, linear evaluation on ImageNet in the paper; "
            f"{images}, {c.epochs} epochs, seed {c.seed}"
        )  # fmt: skip
        return found

    def subscribe(self, callback: Callable[["Laboratory"], None]) -> Callable[[], None]:
        """Call back when something has changed, at most four times a second, the last time after the last change.

        On the laboratory's thread: be quick, and wait for none of its orders. Returns what ends it.
        """
        return self._orders.subscribe(lambda: callback(self))

    def experiment(self, name: str) -> Experiment:
        """The run as it stands, as one line of text."""
        s = self._cells[self._known(name)].snapshot
        return Experiment(self._data, s.first_config, s.changes, s.step)

    def session(self, name: str, device="auto") -> Session:
        """A run as a Session of its own, paused where the run stands; the laboratory's own run is not touched.

        The process writes a checkpoint, which the Session takes over: weights, target, momentum and history are the
        run's own, nothing is trained again. A run that has not begun is at step 0, and so is one whose process died.
        """
        self._known(name)
        self._orders.order(lambda: self._keep(name)).result()
        config, file = self._cells[name].snapshot.config, self._file(name)
        if file is None or not file.exists():
            return Session(config, self.train, self.test, device)
        trainer = Trainer(config, self.train, self.test, device)
        restore(file, trainer, checkpoint.load(file) | {"random": random_states()})  # the caller's own are left alone
        return Session.of(trainer)

    def __repr__(self) -> str:
        steps = sum(self._cells[n].snapshot.step for n in self._chosen)
        return f"Laboratory({self.state}, {len(self._chosen)} runs, {steps:,} steps)"

    # --- orders carried out ---------------------------------------------------------------------

    def _start(self, arrived: Future | None = None) -> None:
        self._refuse_if_closed()
        if self.state == "done" and arrived is None:
            raise LaboratoryError("every run is over: reset to train again")
        self._arrivals += [arrived] if arrived else []
        if self.state == "done":
            self._arrive()
        elif self._crew.leaving:  # others follow them
            self._again = True
        else:
            if not self._crew.workers:
                self._hire()
            self._go(True)

    def _hire(self) -> None:
        self._crew.open(self.train, self.test)
        jobs = [
            {"run": name, "config": cell.snapshot.config.to_dict(), "file": str(self._file(name)),
             "resume": self._file(name).exists()}
            for name, cell in self._cells.items() if cell.state not in OVER
        ]  # fmt: skip
        self._crew.hire(jobs, min(self.workers, len(jobs)))

    def _file(self, name: str):
        """Where a run's checkpoint is, if there is one."""
        return self._crew.folder and self._crew.folder / f"{list(self.rows).index(name)}.pt"

    def _go(self, going: bool) -> Future:
        """Let the chosen runs go, or stand still; done when all workers do so."""
        self._seconds, self._since = self.seconds, time.monotonic() if going else None
        self._going = going
        for name, cell in self._cells.items():
            if cell.state in OVER | {"judging"}:
                continue
            if going and name in self._chosen:
                self._see(name, state="running" if name in self._begun else "starting")
            else:
                self._see(name, state="paused" if cell.snapshot.step else "idle")
        return self._crew.go(set(self._chosen) if going else set(), self.rate)

    def _pause(self) -> Future:
        self._again = False
        self._arrive()
        return self._go(False)

    def _suspend(self) -> Future:
        self._pause()
        return self._crew.leave(self._begun)

    def _reset(self) -> None:
        self._refuse_if_closed()
        self._crew.dismiss()
        self._arrive()
        self._fresh()

    def _close(self) -> None:
        self._closed = True
        self._pause()
        self._crew.dismiss()
        self._orders.forget_subscribers()

    def _choose(self, names: list[str]) -> None:
        self._chosen = names
        if self._going:
            self._go(True)
            self._rest_if_over()

    def _limit(self, rate: float | None) -> None:
        self.rate = rate
        if self._going:
            self._go(True)

    def _keep(self, name: str) -> Future | None:
        """Have the run's checkpoint written, unless there is nothing newer than the one that is there."""
        return self._crew.keep(name) if name in self._begun and self._cells[name].state not in OVER else None

    def _arrive(self) -> None:
        arrivals, self._arrivals = self._arrivals, []
        for arrived in arrivals:
            arrived.set_result(None)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise LaboratoryError("this laboratory is closed: make another")

    def _known(self, name: str) -> str:
        if name not in self.rows:
            raise LaboratoryError(f"{name!r} is not a run of this laboratory: choose one of {', '.join(self.rows)}")
        return name

    # --- what the processes say -----------------------------------------------------------------

    def _hear(self, worker: Worker, message: dict | None) -> None:
        if worker not in self._crew.workers:
            return  # it was killed, and what it said before no longer counts
        match message:
            case None:
                self._ended(worker)
            case {"heard": number}:
                self._crew.answered(worker, number, message.get("error"))
            case {"run": name, "begun": {"step": step, "start_knn": knn}}:
                self._begin(name, step, knn)
            case {"run": name, "step": step}:
                h = self._cells[name].snapshot._history
                h.loss += message["loss"]
                h.std += message["std"]
                h.knn += [tuple(check) for check in message["knn"]]
                self._see(name, step=step, knn=tuple(h.knn))
            case {"run": name, "judging": True}:
                self._see(name, state="judging")
            case {"run": name, "outcome": outcome}:
                self._over(name, "done", **outcome)
            case {"run": name, "failed": words}:
                self._over(name, "failed", error=words)

    def _see(self, name: str, finding: Finding | None = None, **fields) -> None:
        cell = self._cells[name]
        cell = replace(cell, snapshot=replace(cell.snapshot, **fields), finding=finding)
        self._cells = self._cells | {name: cell}

    def _begin(self, name: str, step: int, start_knn: float | None) -> None:
        """The run has been built, or taken up again at this step."""
        self._begun.add(name)
        s = self._cells[name].snapshot
        h = History(loss=s.series("loss")[:step], std=s.series("std")[:step], knn=[k for k in s.knn if k[0] <= step])
        state = "running" if self._going and name in self._chosen else "paused" if step else "idle"
        knn = s.start_knn if step else start_knn
        self._see(name, state=state, step=step, knn=tuple(h.knn), start_knn=knn, _history=h)

    def _over(self, name: str, state: str, error: str = "", **outcome) -> None:
        self._see(name, state=state, error=error)
        s = self._cells[name].snapshot
        self._see(name, finding=Finding(self.rows[name], s.verdict, steps=s.step, error=error, **outcome))
        self._rest_if_over()

    def _rest_if_over(self) -> None:
        if self.state == "done" and self._going:
            self._go(False)
            self._crew.leave(self._begun)
            self._arrive()

    def _ended(self, worker: Worker) -> None:
        names, words = self._crew.ended(worker)
        self._begun -= set(names)
        for name in names if words else ():
            if self._cells[name].state not in OVER:
                self._over(name, "failed", error=words)
        if self._again and not self._crew.workers:
            self._again = False
            if self.state == "done":
                self._arrive()
            else:
                self._start()

    def _broken(self, error: Exception) -> None:
        """Something is wrong in here, or no process can be started: the runs that are not over have failed."""
        self._crew.dismiss()
        for name, cell in self._cells.items():
            if cell.state not in OVER:
                self._over(name, "failed", error=f"{error}" or type(error).__name__)
        self._arrive()
