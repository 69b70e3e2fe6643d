"""WorkerPool: the processes of a laboratory, which runs each of them has, and what they have been asked.

It does not look at what the runs report. All of it is called on the laboratory's thread; `on_message` is called on the
threads that listen to the processes.
"""

import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from ..config.errors import LaboratoryError
from ..data.image_set import ImageSet
from . import round_robin
from .command_queue import all_of
from .worker_process import Worker, write_images


class WorkerPool:
    """Processes that train runs in turns, see round_robin.py.

    Args:
        on_message: called with (worker, message) for what a worker reports; with None when it has ended.
    """

    def __init__(self, on_message: Callable[[Worker, dict | None], None]):
        self.on_message = on_message
        self.workers: dict[Worker, list[str]] = {}  # and the names of the runs of each
        self.leaving = False  # whether the workers have been asked to keep their runs and end
        self._replies: dict[tuple[Worker, int], Future] = {}
        self._asked = 0
        self._folder: tempfile.TemporaryDirectory | None = None

    @property
    def folder(self) -> Path | None:
        """The folder of images and checkpoints, as long as there are any."""
        return None if self._folder is None else Path(self._folder.name)

    def open(self, train: ImageSet, test: ImageSet | None) -> None:
        """Write the images into the folder, once."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="byol_tutorial-", ignore_cleanup_errors=True)
            write_images(Path(self._folder.name) / "images.pt", train=train, test=test)

    def start(self, jobs: list[dict], number: int) -> None:
        """Start so many processes and deal the jobs, in the form of round_robin.py, to them in turn."""
        folder = self.folder
        assert folder is not None  # `open` comes first
        try:
            for k in range(number):
                worker = Worker(round_robin.__name__, folder, self.on_message)
                self.workers[worker] = [job["run"] for job in jobs[k::number]]
                self.ask(worker, do="begin", runs=jobs[k::number])
        except OSError:
            self.dismiss()
            raise

    def ask(self, worker: Worker, **command: object) -> Future:
        """Send a worker a command; the Future is done when the worker has carried it out, or has ended."""
        self._asked += 1
        reply = self._replies[worker, self._asked] = Future()
        worker.send(n=self._asked, **command)
        return reply

    def answered(self, worker: Worker, number: int, error: str | None) -> None:
        """Settle a command that a worker has carried out. While it leaves, only its end counts."""
        if error is not None:
            self._replies.pop((worker, number)).set_exception(LaboratoryError(error))
        elif not self.leaving:
            self._replies.pop((worker, number)).set_result(None)

    def go(self, names: set[str], rate: float | None) -> Future:
        """Let these runs advance and the others stand still; done when all workers do so."""
        asked = [
            self.ask(worker, do="go", runs=[name for name in own if name in names], rate=rate)
            for worker, own in self.workers.items()
        ]
        return all_of(asked)

    def keep(self, name: str) -> Future | None:
        """Have a run's checkpoint written; None if no worker has this run."""
        for worker, names in self.workers.items():
            if name in names:
                return self.ask(worker, do="keep", run=name)
        return None

    def leave(self, built: set[str]) -> Future:
        """Let all workers keep their runs and end; done when they have. One that has built no run is ended at once."""
        self.leaving = bool(self.workers)
        replies = [self.ask(worker, do="leave") for worker in self.workers]
        for worker, names in self.workers.items():
            if not built.intersection(names):
                self.workers[worker] = []
                worker.process.kill()
        return all_of(replies)

    def ended(self, worker: Worker) -> tuple[list[str], str]:
        """Take a worker off that has ended; return the names of its runs, and the reason if it should not have ended."""
        names, reason = self.workers.pop(worker), worker.exit_reason
        if not reason and not self.leaving:
            reason = "its process ended"
        self._settle(worker)
        self.leaving = self.leaving and bool(self.workers)
        return names, reason

    def dismiss(self) -> None:
        """Kill all workers, and remove the folder."""
        workers, self.workers, self.leaving = list(self.workers), {}, False
        for worker in workers:
            self._settle(worker)
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _settle(self, worker: Worker) -> None:
        worker.kill()
        for key in [key for key in self._replies if key[0] is worker]:
            self._replies.pop(key).set_result(None)
