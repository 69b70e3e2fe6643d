"""Snapshot, a session at one moment, and Measure, what its run has learned by then. Neither of them ever changes."""

import math
import time
from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor

from ..config.config import Config
from ..evaluate.diagnose import THRESHOLDS, VERDICTS, CollapseReport, collapse_report, collapse_verdict, judged_with
from ..evaluate.embed import pca_embedding
from ..train.history import History
from ..train.monitor import represent_or_refuse
from ..train.trainer import Trainer

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
    """

    step: int
    report: CollapseReport
    maps: dict[str, Tensor]
    seconds: float


@dataclass(frozen=True)
class Snapshot:
    """A session at one moment. It does not change, however the run goes on.

    state          one of STATES                    error     message of the error that ended the run, or ""
    step           steps made, of total_steps       measure   the last Measure, if any
    knn            ((step, accuracy), ...)          changes   ((step, {field: value}), ...)
    config         with the changes so far          resets    number of resets of the session
    first_config   as it was at step 0              start_knn kNN accuracy of the untrained encoder, if there are labels
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

    def series(self, name: str) -> list[float]:
        """Return one value per step made: "loss", "std", "lr", "tau", "gradient_norm", "positive" or "negative"."""
        return getattr(self._history, name)[: self.step]  # the lists only ever grow

    @property
    def verdict(self) -> str:
        """The verdict on the run so far, in one sentence.

        If the last measure was taken at this step, as after a pause, the verdict is that of Trainer.report. Between two
        measures it follows from the mean spread √d·std of the last steps, so that a collapse shows at once. The verdict
        "no content" depends on the images alone, so it always comes from the last measure.
        """
        if self.error:
            return f"stopped: {self.error}"
        if self.step == 0:
            return "not begun"
        measure = self.measure
        if measure is not None and (measure.step == self.step or measure.report.verdict == "no content"):
            std, verdict = measure.report.std, measure.report.verdict
        else:
            recent = self.series("std")[-THRESHOLDS.recent :]
            std = sum(recent) / len(recent)
            verdict = collapse_verdict(std, math.inf if measure is None else measure.report.rank)
        return f"{verdict}: {VERDICTS[verdict]} (√d·std {std:.{3 if verdict == 'collapse' else 2}f})"


def measure_run(trainer: Trainer, images: Tensor, before: Measure | None = None) -> Measure:
    """Measure the run as it is now, on images uint8 (M, 3, H, W). The maps are rotated towards those of `before`.

    Raises:
        DivergedError: the representations are not finite.
    """
    start = time.perf_counter()
    y, z = represent_or_refuse(trainer, images)
    maps = {
        name: pca_embedding(points, like=None if before is None else before.maps[name])
        for name, points in (("z", F.normalize(z, dim=1)), ("y", y))
    }
    return Measure(trainer.steps_done, judged_with(collapse_report(z), images), maps, time.perf_counter() - start)
