"""Snapshot: a session at one moment, and Measure: a look at what its run has learned by then. Neither ever changes."""

import time
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from ..augment.operations import as_float
from ..config.config import Config
from ..evaluate.diagnose import ALARM_STEPS, COLLAPSED, PARTIAL, CollapseReport, collapse_report
from ..evaluate.embed import pca_embedding
from ..evaluate.features import centre, network_input, seen_size
from ..train.history import History
from ..train.trainer import Trainer

STATES = ("idle", "running", "paused", "done", "failed")


@dataclass(frozen=True)
class Measure:
    """A look at the whole run, taken between two steps.

    step     how many steps had been made
    report   spread and rank of the projections z of up to 256 test (else train) images, without augmentation
    maps     float32 (M, 2) each, the first two principal components of two things: "z", their projections' directions
             z/‖z‖, which lie in [−1, 1] and meet in one point in a collapse; "y", their representations. They are
             turned so that points move as little as possible from one measure to the next
    seconds  how long it took
    """

    step: int
    report: CollapseReport
    maps: dict[str, Tensor]
    seconds: float


@dataclass(frozen=True)
class Snapshot:
    """A session at one moment. It does not change, however the run goes on.

    state          one of STATES                    error     why it failed, in words; "" if it has not
    step           steps made, of total_steps       measure   the last Measure, if any
    knn            ((step, accuracy), ...)          changes   ((step, {field: value}), ...)
    config         with the changes so far          resets    how many times the session has begun anew
    first_config   as it was at step 0              start_knn accuracy of the untrained encoder, if labels are known
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
        """One value per step made: "loss", "std", "lr", "tau", "gradient_norm", "positive" or "negative"."""
        return getattr(self._history, name)[: self.step]  # the lists only ever grow

    @property
    def verdict(self) -> str:
        """In words, and at once: from the spread √d·std of the last steps."""
        if self.error:
            return f"stopped: {self.error}"
        if self.step == 0:
            return "not begun"
        recent = self.series("std")[-ALARM_STEPS:]
        std = sum(recent) / len(recent)
        if std < COLLAPSED:
            return f"collapse: every image gets nearly the same direction (√d·std {std:.3f}); the loss means nothing"
        if std < PARTIAL:
            return f"partial collapse: few directions are left (√d·std {std:.2f})"
        return f"healthy: the directions are spread out (√d·std {std:.2f})"


def measure_run(trainer: Trainer, images: Tensor, before: Measure | None = None) -> Measure:
    """Take a Measure of the run as it stands, on uint8 (M, 3, H, W), its maps turned towards those of the one before."""
    start = time.perf_counter()
    y, z = represent(trainer, images)
    maps = {
        name: pca_embedding(points, like=None if before is None else before.maps[name])
        for name, points in (("z", F.normalize(z, dim=1)), ("y", y))
    }
    return Measure(trainer.steps_done, collapse_report(z), maps, time.perf_counter() - start)


@torch.no_grad()
def represent(trainer: Trainer, images: Tensor) -> tuple[Tensor, Tensor]:
    """y and z of these images, float32 on the CPU, normalised as in training: with this batch's own statistics.

    Running statistics would need some steps before they mean anything. They are left alone: BatchNorm writes into
    copies.
    """
    online = trainer.model.online.train()
    x = centre(images.to(trainer.device), seen_size(online.encoder, min(images.shape[2:])))
    x = network_input(online.encoder, as_float(x))
    results = []
    for part in (online.encoder, online.projector):
        x = functional_call(part, {name: b.clone() for name, b in part.named_buffers()}, (x,))
        results.append(x.float().cpu())
    return results[0], results[1]
