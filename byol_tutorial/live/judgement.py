"""What the measures of a run in progress say, and whether they allow a verdict yet.

A verdict names what was measured: the spread √d·std, the rank, and the kNN accuracy beside that of the untrained encoder.
Spread alone does not make a run healthy: at too high a learning rate the directions stay spread out while the encoder
loses the information of its random features.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..evaluate.diagnose import THRESHOLDS, VERDICTS, collapse_verdict

NEAR = 0.05  # kNN accuracies that differ by less count as equal: two standard errors of the check's 512 images
KINDS = (
    "not begun", "too early", "healthy", "spread kept", "nothing learned", "worse than untrained", "partial collapse",
    "collapse", "no content", "not finite", "stopped",
)  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """What is known of a run at one step.

    step, total     steps made, of the schedule
    warmup          steps of the learning rate's warm-up
    std             √d·std of each step's batch
    rank            effective rank of the projections at the last measure, infinite without one; of so many `dimensions`
    reported        (√d·std, verdict) of a measure of this very step, as Trainer.report gives them, or None
    knn             the last kNN accuracy, or None           start_knn   that of the untrained encoder, or None
    balanced        whether both are balanced accuracies, because classes are not equally frequent
    """

    step: int
    total: int
    warmup: int
    std: Sequence[float]
    rank: float
    dimensions: int
    reported: tuple[float, str] | None
    knn: float | None
    start_knn: float | None
    balanced: bool = False


@dataclass(frozen=True)
class Judgement:
    """A kind, one of KINDS, and a sentence that says what was measured."""

    kind: str
    words: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.words}"


def judge(m: Measured) -> Judgement:
    """Judge a run by its measures.

    A run is judged when its warm-up is over, and not within the first THRESHOLDS.window steps: before, weights have
    hardly moved, and a random encoder has a small spread of its own in some methods. A spread that has fallen is
    reported at any step. A low rank with a kept spread is judged later, from THRESHOLDS.rank_from of the schedule on: two
    of ten healthy runs pass through one direction in the first sixth (bench/shapes.py, seeds 7 and 8). A run is healthy if its spread is kept, its rank is that of more than one direction, and its
    kNN accuracy lies above the untrained encoder's by more than NEAR; without labels only the spread can be judged.
    """
    recent = m.std[-THRESHOLDS.recent :]
    std, verdict = m.reported or (sum(recent) / len(recent), "")
    verdict = verdict or collapse_verdict(std, m.rank)
    settled = min(max(m.warmup, THRESHOLDS.window), m.total)
    numbers = [f"√d·std {std:.{3 if verdict == 'collapse' else 2}f}"]
    if math.isfinite(m.rank):
        numbers.append(f"rank {m.rank:.1f} of {m.dimensions}")
    measures = ", ".join(numbers)
    if verdict in ("not finite", "no content"):
        return Judgement(verdict, f"{VERDICTS[verdict]} ({measures})")
    if m.step < settled and not (verdict in ("collapse", "partial collapse") and has_fallen(m.std)):
        return Judgement("too early", f"judged from step {settled} on ({measures})")
    learned = learned_words(m.knn, m.start_knn, "balanced kNN" if m.balanced else "kNN")
    if verdict == "partial collapse" and std >= THRESHOLDS.partial:
        rank_settled = min(max(settled, math.ceil(THRESHOLDS.rank_from * m.total)), m.total)
        if m.step < rank_settled:
            return Judgement(
                "too early", f"spread kept; the rank is judged from step {rank_settled} on ({measures}){learned}"
            )
        return Judgement(verdict, f"spread kept, but at most one direction is left ({measures}){learned}")
    if verdict != "healthy":
        return Judgement(verdict, f"{VERDICTS[verdict]} ({measures}){learned}")
    if m.knn is None or m.start_knn is None:
        return Judgement("spread kept", f"{VERDICTS['healthy']} ({measures}); what was learned is not measured")
    gain = m.knn - m.start_knn
    kind = "healthy" if gain > NEAR else "worse than untrained" if gain < -NEAR else "nothing learned"
    return Judgement(kind, f"spread kept ({measures}){learned}")


def learned_words(knn: float | None, start_knn: float | None, name: str = "kNN") -> str:
    """Return what the kNN accuracies say, as the end of a sentence; empty if one of them is not known."""
    if knn is None or start_knn is None:
        return ""
    place = "above" if knn - start_knn > NEAR else "below" if knn - start_knn < -NEAR else "near"
    return f"; {name} {knn:.2f}, {place} the untrained encoder's {start_knn:.2f}"


def has_fallen(std: Sequence[float]) -> bool:
    """Return whether √d·std, as a mean of THRESHOLDS.recent steps, lies below THRESHOLDS.fall times its highest such mean."""
    n = THRESHOLDS.recent
    if len(std) < 2 * n:
        return False
    means = [sum(std[i : i + n]) / n for i in range(0, len(std) - n + 1, n)]
    return sum(std[-n:]) / n < THRESHOLDS.fall * max(means)
