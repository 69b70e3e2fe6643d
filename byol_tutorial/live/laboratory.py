"""Laboratory: runs that advance together in separate processes, and what each has reported.

    lab = Laboratory(tables("5a", "5b"), preset("shapes"), load("shapes"), load("shapes", "test"))
    lab.run()                        # train to the end; return Findings, the paper's numbers beside ours
    lab.start(), lab.pause()         # or steer it from any thread; both return at once
    lab.session("no predictor")      # this run as a Session that goes on from its present step

As in a Session, every method puts a command into a queue (command_queue.py). The reports of the processes come through
the same queue, so that only the queue's thread changes the runs (laboratory_runs.py). Nothing in here depends on
Jupyter.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from pathlib import Path

import torch

from ..config.config import OWN, Config
from ..config.errors import LaboratoryError
from ..config.paper_tables import Row
from ..data.fingerprint import fingerprint
from ..data.image_set import ImageSet
from ..data.names import short_name
from ..runtime.device import cores
from ..runtime.progress import hidden, saying_stopped
from ..runtime.seeding import random_states
from ..runtime.threads import chosen
from ..train import checkpoint
from ..train.state import restore
from ..train.trainer import Trainer
from .cell import OVER, Cell
from .command_queue import CommandQueue
from .experiment import Experiment
from .findings import Finding, Findings
from .laboratory_runs import LaboratoryRuns, Phase
from .session import Session

MOST = 8  # the largest number of processes by default


class Laboratory:
    """A set of runs on the same images that advance together: a few steps of each in turn, on all cores.

    The runs are dealt to the processes; each process computes with one thread. On a CPU a run gives the same numbers as
    a Trainer that computes with one thread, bit for bit.

    Args:
        rows: the Row of each run by name; see paper_tables.py.
        base: the Config that the rows change.
        train, test: images in memory. Without labels, or without test images, no accuracies are measured.
        workers: the number of processes. Default: one for each core, at most 8 and at most one for each run; on a GPU a
            single one, because processes that share a GPU wait for each other.

    Raises:
        ConfigError: a row that base does not allow, or a batch larger than the set.
        LaboratoryError: no rows, a streamed set, or no positive number of workers.
    """

    def __init__(
        self,
        rows: Mapping[str, Row],
        base: Config,
        train: ImageSet,
        test: ImageSet | None = None,
        workers: int | None = None,
    ):
        if not rows:
            raise LaboratoryError("no runs: give rows of a table, or configs of your own")
        for images in (train, test):
            if not isinstance(images, ImageSet | None):
                raise LaboratoryError(f"{images!r} is not in memory: load it with stream=False, or fewer with limit=")
        if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
            raise LaboratoryError(f"workers={workers!r}: give a whole number, at least 1")
        if base.encoder == OWN:
            raise LaboratoryError(
                "encoder='own': the processes of a laboratory cannot get a module of yours; give an encoder that a name "
                "builds, or train each run by Trainer(config, images, encoder=...)"
            )
        self.rows, self.base, self.train, self.test = dict(rows), base, train, test
        usual = 1 if torch.cuda.is_available() else max(1, min(cores() // (chosen() or 1), MOST))
        self.workers = min(workers or usual, len(rows))
        self._data = fingerprint(train)
        self._runs = LaboratoryRuns(
            self.rows, base, train, test, self.workers, lambda command: self._queue.post(command)
        )
        self._queue = CommandQueue("byol laboratory", self._runs.work, self._runs.fail)

    # --- commands, from any thread --------------------------------------------------------------

    def start(self, only_if: Callable[[], bool] = lambda: True) -> Future:
        """Train the chosen runs on, to their ends. If there are no processes, they are started; this takes seconds.

        only_if: a function that is asked on the laboratory's thread, after all earlier commands, whether to do it.
        """
        return self._queue.submit(self._runs.start, only_if)

    def pause(self, only_if: Callable[[], bool] = lambda: True) -> Future:
        """Pause all runs; the processes wait. The Future is done when the last step has been made. only_if: as for start."""
        return self._queue.submit(self._runs.pause, only_if)

    def suspend(self, only_if: Callable[[], bool] = lambda: True) -> Future:
        """Pause all runs, save them and end the processes; start() goes on from there. only_if: as for start."""
        return self._queue.submit(self._runs.suspend, only_if)

    def reset(self) -> Future:
        """Put all runs back to step 0, and end the processes."""
        return self._queue.submit(self._runs.reset)

    def choose(self, names: Iterable[str]) -> Future:
        """Let only these runs take part from now on; the others pause."""
        names = {self._known(name) for name in names}
        if not names:
            raise LaboratoryError(f"no runs chosen: choose some of {', '.join(self.rows)}")
        return self._queue.submit(lambda: self._runs.choose([name for name in self.rows if name in names]))

    def limit(self, rate: float | None) -> Future:
        """Limit the steps a second of each run; None removes the limit."""
        if rate is not None and not 0 < rate < float("inf"):
            raise LaboratoryError(f"rate={rate!r}: give steps a second, above 0, or None")
        return self._queue.submit(lambda: self._runs.limit(rate))

    def run(self, progress: bool = False) -> Findings:
        """Train synchronously until the chosen runs are over, or are paused; return their findings.

        Ctrl-C saves the runs and ends the processes; run() then goes on from there.

        Args:
            progress: show a bar.

        Raises:
            LaboratoryError: every run has failed.
        """
        from tqdm.auto import tqdm

        def steps() -> int:
            return sum(self.cells[name].snapshot.step for name in self.chosen)

        stopped: Future = Future()
        total = sum(self.cells[name].snapshot.total_steps for name in self.chosen)
        bar = tqdm(total=total, unit="step", disable=hidden(progress), mininterval=0.3)
        with bar, saying_stopped(bar, "the runs are saved, run() goes on from here"):
            try:
                self._queue.submit(lambda: self._runs.start(stopped)).result()
                while not wait([stopped], timeout=0.5).done:
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
        """End the processes and remove the subscribers. The cells can still be read, but the runs cannot go on."""
        if not sys.is_finalizing():  # at Python's end no thread runs any more, and the processes end by themselves
            self._queue.finish(self._runs.close)

    def __enter__(self) -> "Laboratory":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the runs as they are now, from any thread ------------------------------------------------

    @property
    def cells(self) -> dict[str, Cell]:
        """The cells of all runs by name, at this moment."""
        return dict(self._runs.cells)

    @property
    def chosen(self) -> list[str]:
        """The names of the runs that take part."""
        return list(self._runs.chosen)

    @property
    def rate(self) -> float | None:
        """The limit on the steps a second of each run, or None for no limit."""
        return self._runs.rate

    @property
    def state(self) -> str:
        """The state of the chosen runs together, one of "idle", "starting", "running", "paused" and "done"."""
        states = {self.cells[name].state for name in self.chosen}
        if states <= OVER:
            return "done"
        if self._runs.phase is Phase.GOING:
            return "running" if states & {"running", "evaluating"} else "starting"
        return "idle" if states == {"idle"} else "paused"

    @property
    def awaited(self) -> bool:
        """Whether a call of run() waits for the runs."""
        return self._runs.awaited

    @property
    def seconds(self) -> float:
        """The seconds during which the runs have advanced."""
        return self._runs.clock.seconds

    @property
    def processes(self) -> list[int]:
        """The process ids of the workers."""
        return [worker.process.pid for worker in list(self._runs.pool.workers)]

    @property
    def findings(self) -> Findings:
        """The findings of the chosen runs. A run that is not over has a Finding without accuracies."""
        found = Findings()
        for name in self.chosen:
            cell = self.cells[name]
            found[name] = cell.finding or Finding(cell.row, cell.snapshot.verdict, steps=cell.snapshot.step)
        images, c = f"{len(self.train):,} images of {short_name(self.train.name)!r}", self.base
        found.caption = (
            "Linear probe here, linear evaluation on ImageNet in the paper; "
            f"{images}, {c.epochs} epochs, seed {c.seed}"
        )  # fmt: skip
        return found

    def subscribe(self, callback: Callable[["Laboratory"], None]) -> Callable[[], None]:
        """Call the callback when a cell has changed, at most four times a second, and once after the last change.

        The callback runs on the laboratory's thread: it should be quick, and must not wait for any command.
        Returns the function that ends the calls.
        """
        return self._runs.subscribers.add(lambda: callback(self))

    @property
    def subscriber_errors(self) -> list[Exception]:
        """The exceptions that callbacks raised. A callback that raised is not called again."""
        return self._runs.subscribers.errors

    def experiment(self, name: str) -> Experiment:
        """Return the run as it is now as an Experiment, which can be written as one line of text."""
        s = self.cells[self._known(name)].snapshot
        return Experiment(self._data, s.first_config, s.changes, s.step)

    def session(self, name: str, device: str | torch.device = "auto") -> Session:
        """Return a copy of a run as a Session, paused at the run's present step. The laboratory's run is not changed.

        The process writes a checkpoint, and the Session reads it: weights, target, momentum and history are those of
        the run, and nothing is trained again. The Session is at step 0 if the run has not begun, or if its process
        ended before it wrote a checkpoint.
        """
        self._known(name)
        self._queue.submit(lambda: self._runs.save(name)).result()
        config, file = self.cells[name].snapshot.config, self._runs.file(name)
        if file is None or not Path(file).exists():
            return Session(config, self.train, self.test, device)
        trainer = Trainer(config, self.train, self.test, device)
        state = checkpoint.load(file) | {"random": random_states()}  # keeps the caller's random state
        restore(file, trainer, state)
        return Session.of(trainer, start_knn=self.cells[name].snapshot.start_knn)

    def _known(self, name: str) -> str:
        if name not in self.rows:
            raise LaboratoryError(f"{name!r} is not a run of this laboratory: choose one of {', '.join(self.rows)}")
        return name

    def __repr__(self) -> str:
        steps = sum(self.cells[n].snapshot.step for n in self.chosen)
        return f"Laboratory({self.state}, {len(self.chosen)} runs, {steps:,} steps)"
