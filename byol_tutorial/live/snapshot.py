"""Snapshot, a session at one moment, and Measure, what its run has learned by then. Neither of them ever changes."""

import math
import time
from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor

from ..config.config import Config
from ..evaluate.diagnose import CollapseReport, collapse_report, judged_with
from ..evaluate.embed import pca_embedding
from ..train.history import History
from ..train.monitor import represent_or_refuse
from ..train.trainer import Trainer
from .judgement import Measured, judge
from .passed import Passed, what_passed

STATES = ("idle", "running", "paused", "done", "failed")


@dataclass(frozen=True)
class Measure:
    """A measurement of the whole run, taken between two steps.

    step     number of steps made
    report   spread and rank of the projections z of up to 512 test (else train) images, as Trainer.report gives them
    maps     float32 (M, 2) each, the first two principal components of two things: "z", their projections' directions
             z/‖z‖, which lie in [−1, 1] and meet in one point in a collapse; "y", their representations. They are
             turned so that points move as little as possible from one measure to the next
    seconds  duration of the measurement
    passed   what went through the networks in the last step, see passed.py; None if it was not asked for
    """

    step: int
    report: CollapseReport
    maps: dict[str, Tensor]
    seconds: float
    passed: Passed | None = None


@dataclass(frozen=True)
class Snapshot:
    """A session at one moment. It does not change, however the run goes on.

    state          one of STATES                    error     message of the error that ended the run, or ""
    step           steps made, of total_steps       measure   the last Measure, if any
    knn            ((step, accuracy), ...)          changes   ((step, {field: value}), ...)
    config         with the changes so far          resets    number of resets of the session
    first_config   as it was at step 0              start_knn kNN accuracy of the untrained encoder, if there are labels
    beside         the run kept beside this one     branched_at  the step until which both are the same run
    knn_balanced   ((step, balanced accuracy), ...) of the same checks where classes are not equally frequent, else empty;
                   that of the untrained encoder is of step 0
    """

    state: str
    step: int
    total_steps: int
    steps_per_epoch: int
    config: Config
    first_config: Config
    knn: tuple[tuple[int, float], ...]
    changes: tuple[tuple[int, dict], ...]
    start_knn: float | None
    measure: Measure | None
    error: str
    resets: int
    _history: History = field(repr=False, compare=False)
    beside: "Snapshot | None" = field(default=None, repr=False)
    branched_at: int | None = None
    knn_balanced: tuple[tuple[int, float], ...] = ()

    def series(self, name: str) -> list[float]:
        """Return one value per step made: "loss", "std", "lr", "tau", "gradient_norm", "positive" or "negative"."""
        return getattr(self._history, name)[: self.step]  # the lists only ever grow

    def is_run_of(self, other: "Snapshot") -> bool:
        """Return whether both snapshots are of one run, and not of a run and a branch of it."""
        return self._history is other._history

    @property
    def verdict(self) -> str:
        """The verdict on the run so far, in one sentence.

        If the last measure was taken at this step, as after a pause, the spread is that of Trainer.report. Between two
        measures it is the mean √d·std of the last steps, so that a collapse shows at once. The verdict "no content"
        depends on the images alone, so it always comes from the last measure. See judgement.py.
        """
        if self.error:
            return f"stopped: {self.error}"
        if self.step == 0:
            return "not begun"
        return str(judge(self.measured()))

    def measured(self) -> Measured:
        """Return what `judge` needs. A kNN accuracy from before the last change says nothing about the run as it is now.

        Where classes are not equally frequent, the balanced accuracies are those that count.
        """
        measure = self.measure
        report: tuple[float, str] | None = None
        if measure is not None and (measure.step == self.step or measure.report.verdict == "no content"):
            report = (measure.report.std, measure.report.verdict)
        since = self.changes[-1][0] if self.changes else 0
        checks, start = self.knn, self.start_knn
        if balanced := self.knn_balanced and self.knn_balanced[0][0] == 0:
            checks, start = self.knn_balanced[1:], self.knn_balanced[0][1]
        knn = checks[-1][1] if checks and checks[-1][0] > since else None
        return Measured(
            self.step,
            self.total_steps,
            round(self.config.warmup_epochs * self.steps_per_epoch),
            self.series("std"),
            math.inf if measure is None else measure.report.rank,
            self.config.projection_dim if measure is None else measure.report.dimensions,
            report,
            knn,
            start,
            bool(balanced),
        )


def measure_run(trainer: Trainer, images: Tensor, before: Measure | None = None, inside: bool = False) -> Measure:
    """Measure the run as it is now, on images uint8 (M, 3, H, W). The maps are rotated towards those of `before`.

    inside: whether to also return what went through the networks in the last step.

    Raises:
        DivergedError: the representations are not finite.
    """
    start = time.perf_counter()
    y, z = represent_or_refuse(trainer, images)
    maps = {
        name: pca_embedding(points, like=None if before is None else before.maps[name])
        for name, points in (("z", F.normalize(z, dim=1)), ("y", y))
    }
    report = judged_with(collapse_report(z), images)
    last = None if before is None else before.passed
    passed = what_passed(trainer, y, last) if inside else None
    return Measure(trainer.steps_done, report, maps, time.perf_counter() - start, passed)
