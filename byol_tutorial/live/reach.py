"""How much of a run's movement is still to come, and so whether a change can still show.

The weights of step k move by the learning rate η_k, and the target network follows them by 1 − τ_k. Both fall along a
cosine to 0, so what a change can do in the rest of a run of K steps is measured by

    r(k) = Σ_{j≥k} η_j (1 − τ_j) / Σ_{j≥0} η_j (1 − τ_j),

the share of all movement that is left. Without a target network that follows slowly, 1 − τ_j is left out.

Measured on the drawn shapes, where the predictor is removed at step k of two recipes (τ_base 0.95, 12 epochs; 0.9, 15
epochs; one seed each). √d·std was 0.66 to 0.87 before.

    r(k)           what became of √d·std
    0.91 to 0.64   below 0.1 within 43 steps; at 0.64 of the second recipe below 0.32 after 200
    0.43, 0.40     halved after 28 and 229 steps
    0.24, 0.22     0.41 after 200 steps; 0.46 at the end, which is 0.55 of what it was
    0.16           0.48 at the end, 0.60 of what it was
    0.10, 0.04     0.58 and 0.67 at the end
"""

from functools import lru_cache

from ..config.config import Config
from ..evaluate.diagnose import THRESHOLDS
from ..methods.byol import scheduled_tau
from ..train.optim import lr_factor_at
from .snapshot import Snapshot

LATE = 0.25  # share of the movement; with less, removing the predictor no longer halves the spread
EARLY = 0.75  # with so much, the spread collapses within some tens of steps


def movement_left(config: Config, step: int, steps_per_epoch: int) -> float:
    """Return r(step), the share in [0, 1] of a run's movement that is still to come, by the schedules of this config."""
    moves = _moves(config, steps_per_epoch)
    return sum(moves[step:]) / max(sum(moves), 1e-300)


def early_epoch(config: Config, steps_per_epoch: int) -> int:
    """Return the last whole epoch, at least 1, after which at least EARLY of the movement is left."""
    moves, epoch = _moves(config, steps_per_epoch), 1
    while sum(moves[(epoch + 1) * steps_per_epoch :]) >= EARLY * sum(moves) > 0:
        epoch += 1
    return epoch


def late_change(s: Snapshot) -> dict | None:
    """Return the epoch to go back to and a sentence, if the last change was made late and has not shown; else None."""
    if not s.changes or s.step >= s.total_steps:
        return None
    step, config, n = s.changes[-1][0], s.config, s.steps_per_epoch
    left = movement_left(config, step, n)
    recent = s.series("std")[-THRESHOLDS.recent :]
    if left >= LATE or sum(recent) < THRESHOLDS.collapsed * len(recent):
        return None
    epoch = early_epoch(config, n)
    words = f"late in the schedule: {left:.0%} of the run's movement was left at step {step}, so little can change now"
    return {"epoch": epoch, "step": epoch * n, "words": f"{words}; go back to epoch {epoch}"}


@lru_cache(16)
def _moves(config: Config, steps_per_epoch: int) -> list[float]:
    """Return η_k (1 − τ_k) of every step, in units of the base learning rate."""
    total, warmup = config.epochs * steps_per_epoch, round(config.warmup_epochs * steps_per_epoch)
    moves = [lr_factor_at(k, total, warmup) for k in range(total)]
    if follows_slowly(config):
        moves = [move * (1 - scheduled_tau(config, k, total)) for k, move in enumerate(moves)]
    return moves


def follows_slowly(config: Config) -> bool:
    """Return whether a target network follows the online one by the schedule of τ. At τ = 1 it does not move at all."""
    own = config.method == "dino" or (config.method == "byol" and config.target == "ema" and config.stop_gradient)
    return own and config.tau_base < 1
