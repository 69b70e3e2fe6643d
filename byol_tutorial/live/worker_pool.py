"""Crew: the workers of a laboratory, which runs each of them has, and what they have been asked.

It knows nothing of what the runs have seen. All of it is called on the laboratory's thread; `post` brings there what
the workers say, on threads of their own.
"""

import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from ..config.errors import LaboratoryError
from . import round_robin
from .command_queue import all_of
from .worker_process import Worker, write_images


class Crew:
    """Processes that train runs in turns, see round_robin.py.

    Args:
        heard: called with (worker, message) for what a worker says of a run; with None when it has ended.
    """

    def __init__(self, heard: Callable[[Worker, dict | None], None]):
        self.heard = heard
        self.workers: dict[Worker, list[str]] = {}  # and the names of the runs of each
        self.leaving = False
        self._replies: dict[tuple[Worker, int], Future] = {}
        self._asked = 0
        self._folder: tempfile.TemporaryDirectory | None = None

    @property
    def folder(self) -> Path | None:
        """Where images and checkpoints are, as long as there are any."""
        return self._folder and Path(self._folder.name)

    def open(self, train, test) -> None:
        """Lay the images out, once."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="byol_tutorial-", ignore_cleanup_errors=True)
            write_images(self.folder / "images.pt", train=train, test=test)

    def hire(self, jobs: list[dict], number: int) -> None:
        """Start so many processes and deal the jobs, as round_robin.py wants them, to them in turn."""
        try:
            for k in range(number):
                worker = Worker(round_robin.__name__, self.folder, self.heard)
                self.workers[worker] = [job["run"] for job in jobs[k::number]]
                self.ask(worker, do="begin", runs=jobs[k::number])
        except OSError:
            self.dismiss()
            raise

    def ask(self, worker: Worker, **order) -> Future:
        """Give a worker an order; the Future is done when it has carried it out, or has ended."""
        self._asked += 1
        reply = self._replies[worker, self._asked] = Future()
        worker.say(n=self._asked, **order)
        return reply

    def answered(self, worker: Worker, number: int, error: str | None) -> None:
        """A worker has carried out an order. While it leaves that counts only when it is gone."""
        if error is not None:
            self._replies.pop((worker, number)).set_exception(LaboratoryError(error))
        elif not self.leaving:
            self._replies.pop((worker, number)).set_result(None)

    def go(self, names: set[str], rate: float | None) -> Future:
        """Let these runs go and the others stand still; done when all workers do so."""
        asked = [
            self.ask(worker, do="go", runs=[name for name in own if name in names], rate=rate)
            for worker, own in self.workers.items()
        ]
        return all_of(asked)

    def keep(self, name: str) -> Future | None:
        """Have a run's checkpoint written; None if nobody has this run."""
        for worker, names in self.workers.items():
            if name in names:
                return self.ask(worker, do="keep", run=name)
        return None

    def leave(self, begun: set[str]) -> Future:
        """Let all workers keep their runs and end; done when they have. Who has not begun any run is ended at once."""
        self.leaving = bool(self.workers)
        replies = [self.ask(worker, do="leave") for worker in self.workers]
        for worker, names in self.workers.items():
            if not begun.intersection(names):
                self.workers[worker] = []
                worker.process.kill()
        return all_of(replies)

    def ended(self, worker: Worker) -> tuple[list[str], str]:
        """A worker has ended: the names of its runs, and why in words, if it should not have."""
        names, words = self.workers.pop(worker), worker.words
        if not words and not self.leaving:
            words = "its process ended"
        self._settle(worker)
        self.leaving = self.leaving and bool(self.workers)
        return names, words

    def dismiss(self) -> None:
        """Kill all, and remove what they have kept."""
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
