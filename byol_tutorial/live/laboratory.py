"""Laboratory: runs that advance together in processes of their own, and what has been seen of each.

    lab = Laboratory(tables("5a", "5b"), preset("shapes"), load("shapes"), load("shapes", "test"))
    lab.run()                        # to the end: Findings, the paper's numbers beside ours
    lab.start(), lab.pause()         # or at once, from any thread
    lab.session("no predictor")      # that run from where it stands, as a Session

As in a Session, every method puts a command into a queue (command_queue.py); what the processes report comes the same
way. So only the queue's thread changes anything (laboratory_runs.py). Nothing in here depends on Jupyter.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from pathlib import Path

import torch

from ..config.config import Config
from ..config.errors import LaboratoryError
from ..config.paper_tables import Row
from ..data.fingerprint import fingerprint
from ..data.image_set import ImageSet
from ..runtime.device import cores
from ..runtime.progress import hidden
from ..runtime.seeding import random_states
from ..train import checkpoint
from ..train.state import restore
from ..train.trainer import Trainer
from .command_queue import CommandQueue
from .experiment import Experiment
from .findings import Finding, Findings
from .laboratory_runs import OVER, Cell, LaboratoryRuns, Phase
from .session import Session

MOST = 8  # processes, unless more are asked for


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
        self.rows, self.base, self.train, self.test = dict(rows), base, train, test
        usual = 1 if torch.cuda.is_available() else min(cores(), MOST)
        self.workers = min(workers or usual, len(rows))
        self._data = fingerprint(train)
        self._runs = LaboratoryRuns(
            self.rows, base, train, test, self.workers, lambda command: self._queue.post(command)
        )
        self._queue = CommandQueue("byol laboratory", self._runs.work, self._runs.fail)

    # --- commands, from any thread --------------------------------------------------------------

    def start(self) -> Future:
        """Train the chosen runs on, to their ends. Starts the processes, which takes them some seconds."""
        return self._queue.submit(self._runs.start)

    def pause(self) -> Future:
        """Stand still; the processes wait. The Future's result() comes when the last step has been made."""
        return self._queue.submit(self._runs.pause)

    def suspend(self) -> Future:
        """Stand still and end the processes; each run is kept, and start() goes on from there."""
        return self._queue.submit(self._runs.suspend)

    def reset(self) -> Future:
        """Bring all runs back to step 0; their processes end."""
        return self._queue.submit(self._runs.reset)

    def choose(self, names: Iterable[str]) -> Future:
        """Let these runs take part from now on; the others stand still."""
        names = {self._known(name) for name in names}
        if not names:
            raise LaboratoryError(f"no runs chosen: choose some of {', '.join(self.rows)}")
        return self._queue.submit(lambda: self._runs.choose([name for name in self.rows if name in names]))

    def limit(self, rate: float | None) -> Future:
        """Make at most so many steps a second of each run; None: as fast as it goes."""
        if rate is not None and not 0 < rate < float("inf"):
            raise LaboratoryError(f"rate={rate!r}: give steps a second, above 0, or None")
        return self._queue.submit(lambda: self._runs.limit(rate))

    def run(self, progress: bool = False) -> Findings:
        """Train synchronously until the chosen runs are over, or are paused; return what they found.

        Ctrl-C ends the processes and keeps the runs; run() then goes on from there.

        Args:
            progress: show a bar.

        Raises:
            LaboratoryError: every run has failed.
        """
        from tqdm.auto import tqdm

        def steps() -> int:
            return sum(self.cells[name].snapshot.step for name in self.chosen)

        arrived: Future = Future()
        total = sum(self.cells[name].snapshot.total_steps for name in self.chosen)
        with tqdm(total=total, unit="step", disable=hidden(progress), mininterval=0.3) as bar:
            try:
                self._queue.submit(lambda: self._runs.start(arrived)).result()
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
        """End the processes and drop the subscribers. What was seen stays; the runs cannot go on."""
        if not sys.is_finalizing():  # no thread runs then, and the processes end with this one
            self._queue.finish(self._runs.close)

    def __enter__(self) -> "Laboratory":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the runs as they stand, from any thread --------------------------------------------------

    @property
    def cells(self) -> dict[str, Cell]:
        """All runs as they are at this moment."""
        return dict(self._runs.cells)

    @property
    def chosen(self) -> list[str]:
        """The names of the runs that take part."""
        return list(self._runs.chosen)

    @property
    def rate(self) -> float | None:
        """The most steps a second of each run, or None for as fast as it goes."""
        return self._runs.rate

    @property
    def state(self) -> str:
        """The state of the chosen runs together: "idle", "starting", "running", "paused" or "done"."""
        states = {self.cells[name].state for name in self.chosen}
        if states <= OVER:
            return "done"
        if self._runs.phase is Phase.GOING:
            return "running" if states & {"running", "judging"} else "starting"
        return "idle" if states == {"idle"} else "paused"

    @property
    def seconds(self) -> float:
        """The seconds that the runs have been going."""
        return self._runs.clock.seconds

    @property
    def processes(self) -> list[int]:
        """The process ids of the workers."""
        return [worker.process.pid for worker in list(self._runs.pool.workers)]

    @property
    def findings(self) -> Findings:
        """The findings of the chosen runs; of those that are not over, their places in the table."""
        found = Findings()
        for name in self.chosen:
            cell = self.cells[name]
            found[name] = cell.finding or Finding(cell.row, cell.snapshot.verdict, steps=cell.snapshot.step)
        images, c = f"{len(self.train):,} images of {self.train.name!r}", self.base
        found.caption = (
            "Linear probe here, linear evaluation on ImageNet in the paper; "
            f"{images}, {c.epochs} epochs, seed {c.seed}"
        )  # fmt: skip
        return found

    def subscribe(self, callback: Callable[["Laboratory"], None]) -> Callable[[], None]:
        """Call back when something has changed, at most four times a second, and once after the last change.

        The callback runs on the laboratory's thread: it should be quick, and must not wait for any of its commands.
        Returns the function that ends the calls.
        """
        return self._runs.subscribers.add(lambda: callback(self))

    @property
    def subscriber_errors(self) -> list[Exception]:
        """The exceptions that callbacks raised; such a callback is not called again."""
        return self._runs.subscribers.errors

    def experiment(self, name: str) -> Experiment:
        """Return the run as it stands, as one line of text."""
        s = self.cells[self._known(name)].snapshot
        return Experiment(self._data, s.first_config, s.changes, s.step)

    def session(self, name: str, device: str | torch.device = "auto") -> Session:
        """Return a run as a Session of its own, paused where the run stands; the laboratory's own run is not touched.

        The process writes a checkpoint, which the Session takes over: weights, target, momentum and history are the
        run's own, nothing is trained again. A run that has not begun is at step 0, and so is one whose process died.
        """
        self._known(name)
        self._queue.submit(lambda: self._runs.keep(name)).result()
        config, file = self.cells[name].snapshot.config, self._runs.file(name)
        if file is None or not Path(file).exists():
            return Session(config, self.train, self.test, device)
        trainer = Trainer(config, self.train, self.test, device)
        restore(file, trainer, checkpoint.load(file) | {"random": random_states()})  # the caller's own are left alone
        return Session.of(trainer)

    def _known(self, name: str) -> str:
        if name not in self.rows:
            raise LaboratoryError(f"{name!r} is not a run of this laboratory: choose one of {', '.join(self.rows)}")
        return name

    def __repr__(self) -> str:
        steps = sum(self.cells[n].snapshot.step for n in self.chosen)
        return f"Laboratory({self.state}, {len(self.chosen)} runs, {steps:,} steps)"
