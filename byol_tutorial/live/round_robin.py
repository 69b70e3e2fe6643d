"""A worker that trains several runs in turns, a few steps of each at a time, so that all advance together.

It is started by laboratory.py, see worker_process.py. It hears, each with a number n that it answers {"heard": n} to when
it has done it:

    {"do": "begin", "runs": [{"run": NAME, "config": {...}, "file": PATH, "resume": bool}, ...]}
    {"do": "go", "runs": [NAME, ...], "rate": steps a second for each run, or null}     the others stand still
    {"do": "keep", "run": NAME}         write the run's checkpoint into its file
    {"do": "leave"}                     keep all runs that have begun, and end

and says of a run: {"run": NAME, "begun": {...}}, {"run": NAME, "step": k, "loss": [...], "std": [...], "knn": [...]},
{"run": NAME, "judging": true}, {"run": NAME, "outcome": {...}}, {"run": NAME, "failed": words}.
"""

import contextlib
import queue
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ..config.config import Config
from ..config.errors import UserError
from ..evaluate.features import features
from ..evaluate.knn import knn_accuracy
from ..evaluate.linear import linear_probe
from ..train.trainer import Trainer
from .worker_process import read_images, serve

STEPS, SECONDS = 4, 0.15  # a turn has so many steps at most, and as many as the slowest run makes in so long
ENCODER = ("seed", "encoder", "width", "patch_size", "norm", "view_size")  # what decides the untrained encoder


def main(folder: str) -> None:
    orders, say = serve(Path(folder))
    torch.set_num_threads(1)
    try:
        images = read_images(Path(folder) / "images.pt")
    except FileNotFoundError:
        return  # the starter went away meanwhile
    Turns(orders, say, images["train"], images["test"]).work()


class Turns:
    """The runs of one worker. `over` are those that are judged, or have failed."""

    def __init__(self, orders: queue.SimpleQueue, say: Callable, train, test):
        self.orders, self.say, self.train, self.test = orders, say, train, test
        self.jobs: dict[str, dict] = {}
        self.trainers: dict[str, Trainer] = {}
        self.over: set[str] = set()
        self.going: list[str] = []
        self.rate: float | None = None
        self.leaving = False
        self.baselines: dict[tuple, tuple[float, float]] = {}

    def work(self) -> None:
        steps = 1  # of a turn; the same for all runs in a round of turns, so that none falls behind
        while not self.leaving:
            start, slowest = time.perf_counter(), 0.0
            for name in sorted(self.awake(), key=self.steps_done):
                self.hear()
                if name in self.awake():
                    slowest = max(slowest, self.turn(name, steps))
            due = start + steps / self.rate if self.rate else 0.0  # when the next round may begin
            steps = 1 if self.rate or not slowest else max(1, min(STEPS, int(SECONDS / slowest)))
            self.hear(due if self.awake() else None)

    def awake(self) -> list[str]:
        return [] if self.leaving else [name for name in self.going if name not in self.over]

    def steps_done(self, name: str) -> int:
        return self.trainers[name].steps_done if name in self.trainers else 0

    def hear(self, until: float | None = 0.0) -> None:
        """Carry out what has been ordered. Then wait for more: until that time, or, with None, for at least one."""
        while not self.leaving:
            left = None if until is None else until - time.perf_counter()
            try:
                order = self.orders.get(timeout=left) if left is None or left > 0 else self.orders.get_nowait()
            except queue.Empty:
                return
            until = 0.0
            answer = {"heard": order["n"]}
            try:
                getattr(self, order["do"])(**{k: v for k, v in order.items() if k not in ("do", "n")})
            except UserError as error:
                answer["error"] = str(error)
            self.say(**answer)

    # --- orders ---------------------------------------------------------------------------------

    def begin(self, runs: list[dict]) -> None:
        self.jobs = {job["run"]: job for job in runs}

    def go(self, runs: list[str], rate: float | None) -> None:
        self.going, self.rate = runs, rate

    def keep(self, run: str) -> None:
        if run in self.trainers:
            self.trainers[run].save(self.jobs[run]["file"])

    def leave(self) -> None:
        self.leaving = True
        for name in self.trainers:
            with contextlib.suppress(UserError):  # then it begins anew
                self.keep(name)

    # --- a turn ---------------------------------------------------------------------------------

    def turn(self, name: str, steps: int) -> float:
        """So many steps of this run, the last of the run with its judgement; the seconds that one step took."""
        try:
            if name not in self.trainers:
                self.build(name)
            trainer = self.trainers[name]
            seconds = self.advance(name, trainer, steps)
            if trainer.steps_done >= trainer.total_steps:
                self.say(run=name, judging=True)
                outcome = self.judge(trainer)
                trainer.save(self.jobs[name]["file"])
                self.say(run=name, outcome=outcome)
                self.finish(name)
            return seconds
        except Exception as error:
            with contextlib.suppress(Exception):  # so that what there is can be looked at
                self.keep(name)
            self.say(run=name, failed=f"{error}" or type(error).__name__)
            self.finish(name)
            return 0.0

    def build(self, name: str) -> None:
        job = self.jobs[name]
        config = Config.from_dict(job["config"])
        if job["resume"]:
            trainer = Trainer.resume(job["file"], self.train, self.test, config=config)
        else:
            trainer = Trainer(config, self.train, self.test)
        start = trainer.knn() if trainer.has_labels and trainer.steps_done == 0 else None
        self.say(run=name, begun={"step": trainer.steps_done, "start_knn": start})
        self.trainers[name] = trainer

    def advance(self, name: str, trainer: Trainer, steps: int) -> float:
        h, first, checks, start = trainer.history, trainer.steps_done, len(trainer.history.knn), time.perf_counter()
        for _ in range(min(steps, trainer.total_steps - first)):
            trainer.step()
            if trainer.knn_due():
                h.knn.append((trainer.steps_done, trainer.knn()))
        news = {"loss": h.loss[first:], "std": h.std[first:], "knn": h.knn[checks:]}
        self.say(run=name, step=trainer.steps_done, **news)
        return (time.perf_counter() - start) / max(1, trainer.steps_done - first)

    def finish(self, name: str) -> None:
        self.over.add(name)
        self.trainers.pop(name, None)  # its checkpoint has all of it

    def judge(self, trainer: Trainer) -> dict:
        """Spread and rank of the projections; kNN and linear probe on all test images, ours and the untrained encoder's."""
        report = trainer.report()
        outcome = {"std": report.std, "rank": report.rank, "seconds": trainer.history.seconds}
        if trainer.has_labels and len(self.train.labels.unique()) > 1:
            outcome["knn"], outcome["linear"] = self.accuracies(trainer.model.encoder)
            kind = tuple(getattr(trainer.config, field) for field in ENCODER)
            if kind not in self.baselines:
                self.baselines[kind] = self.accuracies(trainer.initial_encoder())
            outcome["random_knn"], outcome["random_linear"] = self.baselines[kind]
        return outcome

    def accuracies(self, encoder) -> tuple[float, float]:
        known = features(encoder, self.train), self.train.labels, features(encoder, self.test), self.test.labels
        return knn_accuracy(*known), linear_probe(*known).accuracy
