"""WorkerPool: the processes of a laboratory, the runs of each, and the commands that they have not yet carried out.

It does not read the reports of the runs. All methods are called on the laboratory's thread; `on_message` is called on
the threads that read the messages of the processes.
"""

import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from ..config.errors import LaboratoryError
from ..data.image_set import ImageSet
from ..runtime.threads import chosen
from . import round_robin
from .command_queue import all_of
from .worker_process import Worker, write_images


class WorkerPool:
    """A group of processes, each of which trains several runs in turns; see round_robin.py.

    Args:
        on_message: called with (worker, message) for each report of a worker, and with (worker, None) at its end.
    """

    def __init__(self, on_message: Callable[[Worker, dict | None], None]):
        self.on_message = on_message
        self.workers: dict[Worker, list[str]] = {}  # worker: the names of its runs
        self.quitting = False  # whether the workers have been asked to save their runs and end
        self._replies: dict[tuple[Worker, int], Future] = {}
        self._commands = 0  # how many were sent so far
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def folder(self) -> Path | None:
        """The folder of images and checkpoints, or None while there is none."""
        return None if self._folder is None else Path(self._folder.name)

    def open(self, train: ImageSet, test: ImageSet | None) -> Path:
        """Return the folder. The first call makes it and writes the images into it."""
        if self._folder is not None:
            return Path(self._folder.name)
        self._folder = tempfile.TemporaryDirectory(prefix="byol_tutorial-", ignore_cleanup_errors=True)
        folder = Path(self._folder.name)
        write_images(folder / "images.pt", train=train, test=test)
        return folder

    def start(self, folder: Path, jobs: list[dict], number: int) -> None:
        """Start this many processes and deal the jobs to them in turn; round_robin.py describes a job."""
        try:
            for k in range(number):
                worker = Worker(round_robin.__name__, folder, self.on_message, chosen() or 1)
                self.workers[worker] = [job["run"] for job in jobs[k::number]]
                self.send(worker, do="begin", runs=jobs[k::number])
        except OSError:
            self.dismiss()
            raise

    def send(self, worker: Worker, **command: object) -> Future:
        """Send a worker a command; return a Future that is done when the worker has carried it out, or has ended."""
        self._commands += 1
        reply: Future = Future()
        self._replies[worker, self._commands] = reply
        worker.send(n=self._commands, **command)
        return reply

    def answered(self, worker: Worker, number: int, error: str | None) -> None:
        """Complete the Future of a command that a worker has carried out; "quit" is complete at the worker's end."""
        if error is not None:
            self._replies.pop((worker, number)).set_exception(LaboratoryError(error))
        elif not self.quitting:
            self._replies.pop((worker, number)).set_result(None)

    def go(self, names: set[str], rate: float | None) -> Future:
        """Let these runs advance and the others pause; return a Future that is done when all workers do so."""
        asked = [
            self.send(worker, do="go", runs=[name for name in own if name in names], rate=rate)
            for worker, own in self.workers.items()
        ]
        return all_of(asked)

    def save(self, name: str) -> Future | None:
        """Make the worker that has this run write its checkpoint; return None if no worker has it."""
        for worker, names in self.workers.items():
            if name in names:
                return self.send(worker, do="save", run=name)
        return None

    def quit(self, built: set[str]) -> Future:
        """Make all workers save their runs and end; return a Future that is done when they have ended.

        built: the runs that a worker has built. A worker that has built none of its runs is killed at once.
        """
        self.quitting = bool(self.workers)
        replies = [self.send(worker, do="quit") for worker in self.workers]
        for worker, names in self.workers.items():
            if not built.intersection(names):
                self.workers[worker] = []
                worker.process.kill()
        return all_of(replies)

    def ended(self, worker: Worker) -> tuple[list[str], str]:
        """Remove a worker that has ended; return the names of its runs, and the reason if its end was not asked for."""
        names, reason = self.workers.pop(worker), worker.exit_reason
        if not reason and not self.quitting:
            reason = "its process ended"
        self._settle(worker)
        self.quitting = self.quitting and bool(self.workers)
        return names, reason

    def dismiss(self) -> None:
        """Kill all workers, and remove the folder."""
        workers, self.workers, self.quitting = list(self.workers), {}, False
        for worker in workers:
            self._settle(worker)
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _settle(self, worker: Worker) -> None:
        worker.kill()
        for key in [key for key in self._replies if key[0] is worker]:
            self._replies.pop(key).set_result(None)
