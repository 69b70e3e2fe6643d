"""What came of a change: one sentence on the steps before and after it."""

from collections.abc import Sequence

from ..evaluate.diagnose import THRESHOLDS, collapse_verdict
from ..methods.registry import OBJECTIVES
from .snapshot import Snapshot

AFTER = 30  # steps after a change until its effect is described
BEFORE = 10  # steps before it that are averaged
LITTLE = 0.05  # a relative change of the loss, and a change of √d·std, that counts as none


def effect(s: Snapshot, index: int) -> str | None:
    """Describe what the change of this index in `s.changes` did to spread and loss, AFTER steps later.

    Returns None where it cannot be said yet, and where too few steps came before or before the next change. Means over the
    BEFORE steps before the change are compared with those over the last THRESHOLDS.recent of the AFTER steps. The loss is
    left out where the change itself gives it another scale. A missing stop-gradient changes what the loss compares, not how.
    """
    step, fields = s.changes[index]
    following = s.changes[index + 1][0] if index + 1 < len(s.changes) else s.step
    end = step + AFTER
    if step < BEFORE or min(following, s.step) < end:
        return None
    std = s.series("std")
    before, after = mean(std[step - BEFORE : step]), mean(std[end - THRESHOLDS.recent : end])
    words = f"spread {before:.2f} → {after:.2f}"
    if not (OBJECTIVES[s.config.method].scales - {"stop_gradient"}).intersection(fields):
        loss = s.series("loss")
        words += f" while the loss {moved(mean(loss[step - BEFORE : step]), mean(loss[end - BEFORE : end]))}"
    return f"{words}: {outcome(before, after)}"


def mean(values: Sequence[float]) -> float:
    """Return the mean of values, of which there is at least one."""
    return sum(values) / len(values)


def moved(before: float, after: float) -> str:
    """Return how a loss has moved, in words. It may be negative."""
    change = (after - before) / max(abs(before), 1e-12)
    return "hardly moved" if abs(change) < LITTLE else "fell" if change < 0 else "rose"


def outcome(before: float, after: float) -> str:
    """Return what the spread before and after a change means."""
    then, now = collapse_verdict(before), collapse_verdict(after)
    if now != then:
        return "recovered" if now == "healthy" else now if before > after else "recovering"
    if now != "healthy":
        return f"still {now}"
    if after < THRESHOLDS.fall * before:
        return "the spread is falling"
    return "spread kept"
