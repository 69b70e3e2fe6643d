"""The work of one run: training and evaluation, in the notebook's process or in another."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..config.config import Config
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..evaluate.comparison import accuracies
from ..methods.base import Objective
from ..runtime.threads import computing
from ..train.trainer import Trainer
from .measures import measure


@dataclass
class Job:
    """One run to be done: its key in the cache, its Config, and the options of `run_all`."""

    key: str
    config: Config
    options: dict

    def steps(self, n_images: int) -> int:
        """Return the number of steps that the run makes on so many train images."""
        c, per_epoch = self.config, n_images // self.config.step_images
        epochs = c.epochs if self.options["epochs"] is None else self.options["epochs"]
        return min(per_epoch * c.epochs, round(epochs * per_epoch))


@computing()  # one thread even for large networks, so that runs side by side and one by one give the same numbers
def train_and_judge(
    job: Job,
    train: ImageSet | StreamedSet,
    test: ImageSet | StreamedSet | None,
    target: Objective | None,
    on_step: Callable[[Trainer], None],
) -> dict:
    """Train a run, evaluate it, and return the state that the cache keeps.

    Args:
        target: the network whose online part is the run's fixed target; None for a target of its own.
        on_step: called with the trainer after each step.
    """
    o = job.options
    trainer = Trainer(job.config, train, test)
    if target is not None:
        trainer.model.target.load_state_dict(target.online.state_dict())
    tracked: dict[str, list[torch.Tensor]] = {name: [] for name in ("epoch", *o["track"])}
    pending, due = dict(o["changes"]), 0.0

    def between_steps(trainer: Trainer) -> None:
        nonlocal due
        while pending and trainer.epoch >= min(pending):
            trainer.change(**pending.pop(min(pending)))
        if o["track"] and trainer.epoch >= due - 1e-9:
            tracked["epoch"].append(torch.tensor(trainer.epoch))
            for name, value in measure(trainer, tuple(o["track"])).items():
                tracked[name].append(value)
            due += o["track_every"]
        if trainer.steps_done:
            on_step(trainer)

    between_steps(trainer)
    trainer.run(o["epochs"], progress=False, on_step=between_steps)
    if trainer.interrupted:
        raise KeyboardInterrupt
    knn = linear = None
    if test is not None and test.labels is not None and train.labels is not None:
        found = accuracies(trainer.model.encoder, train, test)
        knn, linear = found.knn, found.linear if o["probe"] else None
    report = trainer.report()
    model = trainer.model.to("cpu")
    return {
        "config": trainer.config.to_dict(),
        "view_size": trainer.view_size,
        "steps_per_epoch": trainer.steps_per_epoch,
        "history": trainer.history.to_dict(),
        "knn": knn,
        "linear": linear,
        "std": report.std,
        "rank": report.rank,
        "verdict": report.verdict,
        "tracked": {name: torch.stack(rows) for name, rows in tracked.items() if rows},
        "model": copy.deepcopy(model.state_dict()),
    }
