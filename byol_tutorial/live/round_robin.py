"""A worker that trains several runs in turns, a few steps of each at a time, so that all advance together.

A Laboratory starts it; see worker_process.py. The worker receives commands, each with a number n, and sends
{"answer": n} when it has carried one out:

    {"do": "begin", "runs": [{"run": NAME, "config": {...}, "file": PATH, "resume": bool}, ...]}
    {"do": "go", "runs": [NAME, ...], "rate": steps a second for each run, or null}     the other runs pause
    {"do": "save", "run": NAME}         write the run's checkpoint into its file
    {"do": "quit"}                      save all runs that have been built, and end

It sends these reports of a run:

    {"run": NAME, "built": {"step": k, "start_knn": accuracy of the untrained encoder, or null}}
    {"run": NAME, "step": k, "loss": [...], "std": [...], "knn": [...], "knn_balanced": [...]}     the values since the last
                                        report; of the balanced accuracies all
    {"run": NAME, "evaluating": true}
    {"run": NAME, "result": {...}}      fields of a Finding
    {"run": NAME, "failed": REASON}
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from ..config.config import RESIDUAL, Config
from ..config.errors import UserError
from ..data.image_set import ImageSet
from ..evaluate.balance import floor_if_uneven
from ..evaluate.comparison import Accuracies, accuracies
from ..train.trainer import Trainer
from .worker_process import read_images, serve

STEPS, SECONDS = 4, 0.15  # a turn has at most STEPS steps, and as many as the slowest run makes in SECONDS
# fields that decide the untrained encoder
ENCODER = ("seed", "encoder", "width", "patch_size", "norm", "view_size", *RESIDUAL)


def main(folder: str) -> None:
    """Train the runs that are sent to this process, until it is asked to quit."""
    commands, send = serve(Path(folder))
    try:
        images = read_images(Path(folder) / "images.pt")
    except FileNotFoundError:
        return  # the process that started this one has ended and removed the folder
    train = images["train"]
    assert train is not None  # only the test images may be missing
    RoundRobin(commands, send, train, images["test"]).work()


class RoundRobin:
    """The runs of one worker, which take turns. `over` holds the runs that have been evaluated or have failed."""

    def __init__(self, commands: queue.SimpleQueue, send: Callable[..., None], train: ImageSet, test: ImageSet | None):
        self.commands, self.send, self.train, self.test = commands, send, train, test
        self.jobs: dict[str, dict] = {}
        self.trainers: dict[str, Trainer] = {}
        self.over: set[str] = set()
        self.going: list[str] = []
        self.rate: float | None = None
        self.quitting = False
        self.baselines: dict[tuple, Accuracies] = {}

    def work(self) -> None:
        """Give each advancing run a turn, round after round, and carry out commands between turns, until "quit"."""
        steps = 1  # steps of a turn, the same for all runs in a round, so that none falls behind
        while not self.quitting:
            start, slowest = time.perf_counter(), 0.0
            for name in sorted(self.advancing(), key=self.steps_done):
                self.take_commands()
                if name in self.advancing():
                    slowest = max(slowest, self.turn(name, steps))
            due = start + steps / self.rate if self.rate else 0.0  # when the next round may begin
            steps = 1 if self.rate or not slowest else max(1, min(STEPS, int(SECONDS / slowest)))
            self.take_commands(due if self.advancing() else None)

    def advancing(self) -> list[str]:
        """Return the names of the runs that take turns."""
        return [] if self.quitting else [name for name in self.going if name not in self.over]

    def steps_done(self, name: str) -> int:
        """Return how many steps this run has made."""
        return self.trainers[name].steps_done if name in self.trainers else 0

    def take_commands(self, until: float | None = 0.0) -> None:
        """Carry out the waiting commands. Then wait for more: until this time, or, with None, for at least one."""
        while not self.quitting:
            left = None if until is None else min(until - time.perf_counter(), threading.TIMEOUT_MAX)
            try:
                command = self.commands.get(left is None or left > 0, left)
            except queue.Empty:
                return
            until = 0.0
            answer = {"answer": command["n"]}
            try:
                getattr(self, command["do"])(**{k: v for k, v in command.items() if k not in ("do", "n")})
            except UserError as error:
                answer["error"] = str(error)
            self.send(**answer)

    # --- commands ---------------------------------------------------------------------------------

    def begin(self, runs: list[dict]) -> None:
        """Take these jobs; their runs are built in their first turns."""
        self.jobs = {job["run"]: job for job in runs}

    def go(self, runs: list[str], rate: float | None) -> None:
        """Let these runs advance, each at no more than this many steps a second."""
        self.going, self.rate = runs, rate

    def save(self, run: str) -> None:
        """Write the checkpoint of a run, if the run has been built."""
        if run in self.trainers:
            self.trainers[run].save(self.jobs[run]["file"])

    def quit(self) -> None:
        """Save all runs that have been built, and end."""
        self.quitting = True
        for name in self.trainers:
            with contextlib.suppress(UserError):  # the run then begins again from its last checkpoint
                self.save(name)

    # --- a turn ---------------------------------------------------------------------------------

    def turn(self, name: str, steps: int) -> float:
        """Make this many steps of a run, evaluate it after its last step, and return the seconds that one step took."""
        try:
            if name not in self.trainers:
                self.build(name)
            trainer = self.trainers[name]
            seconds = self.advance(name, trainer, steps)
            if trainer.steps_done >= trainer.total_steps:
                self.send(run=name, evaluating=True)
                result = self.evaluate(trainer)
                trainer.save(self.jobs[name]["file"])
                self.send(run=name, result=result)
                self.finish(name)
            return seconds
        except Exception as error:
            with contextlib.suppress(Exception):  # a saved run can still be opened and looked at
                self.save(name)
            self.send(run=name, failed=f"{error}" or type(error).__name__)
            self.finish(name)
            return 0.0

    def build(self, name: str) -> None:
        """Make the run's trainer, or read it from its checkpoint, and report the step it is at."""
        job = self.jobs[name]
        config = Config.from_dict(job["config"])
        if job["resume"]:
            trainer = Trainer.resume(job["file"], self.train, self.test, config=config)
        else:
            trainer = Trainer(config, self.train, self.test)
        start = trainer.check_knn() if trainer.has_labels and trainer.steps_done == 0 else None
        self.send(run=name, built={"step": trainer.steps_done, "start_knn": start})
        self.trainers[name] = trainer

    def advance(self, name: str, trainer: Trainer, steps: int) -> float:
        """Make this many steps, or fewer at the schedule's end; report them, and return the seconds of one."""
        h, first, checks, start = trainer.history, trainer.steps_done, len(trainer.history.knn), time.perf_counter()
        for _ in range(min(steps, trainer.total_steps - first)):
            trainer.step()
            if trainer.knn_due():
                trainer.check_knn()
        new = {"loss": h.loss[first:], "std": h.std[first:], "knn": h.knn[checks:], "knn_balanced": h.knn_balanced}
        self.send(run=name, step=trainer.steps_done, **new)
        return (time.perf_counter() - start) / max(1, trainer.steps_done - first)

    def finish(self, name: str) -> None:
        """Take no more turns of this run, and free its trainer."""
        self.over.add(name)
        self.trainers.pop(name, None)  # the checkpoint holds the whole run

    def evaluate(self, trainer: Trainer) -> dict:
        """Return fields of a Finding: spread, rank, seconds, and accuracies of the encoder and the untrained encoder."""
        report = trainer.report()
        result: dict[str, Any] = {"std": report.std, "rank": report.rank, "seconds": trainer.history.seconds}
        labels = self.train.labels
        if trainer.has_labels and labels is not None and len(labels.unique()) > 1:
            found = self.accuracies(trainer.model.encoder)
            result["knn"], result["linear"] = found.knn, found.linear
            kind = tuple(getattr(trainer.config, field) for field in ENCODER)
            if kind not in self.baselines:
                self.baselines[kind] = self.accuracies(trainer.initial_encoder())
            untrained = self.baselines[kind]
            result["random_knn"], result["random_linear"] = untrained.knn, untrained.linear
            if floor_if_uneven(found.test_labels):
                result["balanced"] = {
                    "knn": found.knn_balanced,
                    "linear": found.linear_balanced,
                    "random_linear": untrained.linear_balanced,
                }
        return result

    def accuracies(self, encoder: nn.Module) -> Accuracies:
        """Return the accuracies on all test images."""
        assert self.test is not None  # `evaluate` has checked it
        return accuracies(encoder, self.train, self.test)
