"""What came of a change, in one sentence; and whether a change can still show."""

from types import SimpleNamespace

import pytest

import byol_tutorial as bt
from byol_tutorial.live.effects import effect
from byol_tutorial.live.reach import EARLY, LATE, early_epoch, late_change, movement_left


def run(std, loss, *changes, config=None, total=1000):
    series = {"std": std, "loss": loss}
    config = config or bt.Config()
    return SimpleNamespace(
        step=len(std), total_steps=total, changes=changes, config=config, series=series.__getitem__, steps_per_epoch=100
    )


FALLING, LEVEL = [0.75] * 50 + [0.09] * 30, [0.8] * 80
REMOVED = (50, {"predictor": "identity"})


@pytest.mark.parametrize(
    ("std", "loss", "fields", "words"),
    [
        (FALLING, [2.0] * 50 + [0.1] * 30, {"predictor": "identity"}, "spread 0.75 → 0.09 while the loss fell: collapse"),
        (FALLING, [2.0] * 80, {"stop_gradient": False}, "spread 0.75 → 0.09 while the loss hardly moved: collapse"),
        ([0.75] * 50 + [0.4] * 30, [2.0] * 50 + [3.0] * 30, {"lr": 9.0}, "spread 0.75 → 0.40 while the loss rose: partial collapse"),
        ([0.9] * 50 + [0.55] * 30, [-0.9] * 50 + [-0.5] * 30, {"lr": 9.0}, "spread 0.90 → 0.55 while the loss rose: the spread is falling"),
        (FALLING[::-1], [2.0] * 80, {"lr": 0.1}, "spread 0.75 → 0.75 while the loss hardly moved: spread kept"),
        ([0.05] * 50 + [0.7] * 30, [1.0] * 80, {"predictor": "mlp"}, "spread 0.05 → 0.70 while the loss hardly moved: recovered"),
        ([0.05] * 50 + [0.3] * 30, [1.0] * 80, {"predictor": "mlp"}, "spread 0.05 → 0.30 while the loss hardly moved: recovering"),
        ([0.05] * 80, [1.0] * 80, {"lr": 0.1}, "spread 0.05 → 0.05 while the loss hardly moved: still collapse"),
        (LEVEL, [4.0] * 50 + [2.0] * 30, {"symmetric": False}, "spread 0.80 → 0.80: spread kept"),  # half the loss, by definition
    ],
)  # fmt: skip
def test_the_sentence_on_a_change(std, loss, fields, words):
    assert effect(run(std, loss, (50, fields)), 0) == words


def test_it_is_said_after_thirty_steps_and_stays_as_it_is():
    loss = [1.0] * 200
    assert effect(run(FALLING[:79], loss[:79], REMOVED), 0) is None
    said = effect(run(FALLING, loss[:80], REMOVED), 0)
    assert said.endswith("collapse")
    assert effect(run(FALLING + [0.8] * 120, loss, REMOVED), 0) == said


def test_nothing_is_said_where_there_is_nothing_to_compare_with():
    assert effect(run(LEVEL, LEVEL, (3, {"lr": 0.1})), 0) is None  # too few steps before it
    twice = run(LEVEL, LEVEL, REMOVED, (60, {"lr": 0.1}))
    assert effect(twice, 0) is None  # changed again before its effect could show


# --- reach --------------------------------------------------------------------------------------


def test_the_movement_left_follows_the_schedules():
    """A cosine of the learning rate alone, without a warm-up: ∫ (1 + cos πu)/2 du from u to 1, in closed form."""
    from math import pi, sin

    config = bt.Config(epochs=10, warmup_epochs=0.0, target="online")
    for step in (0, 250, 500, 900):
        u = step / 1000
        assert movement_left(config, step, 100) == pytest.approx(1 - u - sin(pi * u) / pi, abs=2e-3)
    slow = config.replace(target="ema", tau_schedule="cosine", tau_base=0.9)
    # ∫ ((1 + cos πu)/2)² du from ½ to 1, divided by that from 0 to 1, which is 3/8
    assert movement_left(slow, 500, 100) == pytest.approx((3 / 16 - 1 / (2 * pi)) / (3 / 8), abs=2e-3)
    constant = config.replace(target="ema", tau_schedule="constant", tau_base=0.9)
    assert movement_left(constant, 500, 100) == pytest.approx(movement_left(config, 500, 100))
    assert movement_left(slow.replace(tau_base=1.0), 500, 100) == pytest.approx(movement_left(config, 500, 100))


@pytest.mark.parametrize("method", ["byol", "dino", "simsiam", "simclr"])
def test_the_epoch_to_go_back_to_has_most_of_the_movement_left(method):
    config = bt.preset(method if method != "byol" else "shapes")
    epoch = early_epoch(config, 100)
    assert 1 <= epoch < config.epochs / 2
    assert epoch == 1 or movement_left(config, epoch * 100, 100) >= EARLY
    assert movement_left(config, (epoch + 1) * 100, 100) < EARLY


@pytest.mark.parametrize("fields", [{"predictor": "identity"}, {"stop_gradient": False}, {"tau_base": 0.2}])
def test_a_late_change_is_said_at_once_and_an_early_one_is_not(fields):
    config = bt.Config(epochs=10, warmup_epochs=1.0).replace(**fields)
    late = late_change(run([0.8] * 801, [1.0] * 801, (800, fields), config=config))
    assert late["step"] == 100 * late["epoch"] < 500
    assert "little can change now; go back to epoch" in late["words"]
    assert movement_left(config, 800, 100) < LATE
    assert late_change(run([0.8] * 200, [1.0] * 200, (150, fields), config=config)) is None
    assert late_change(run([0.8] * 900 + [0.05] * 20, [1.0] * 920, (800, fields), config=config)) is None  # it did show
    assert late_change(run([0.8] * 1000, [1.0] * 1000, (800, fields), config=config)) is None  # the run is finished
    assert late_change(run([0.8] * 900, [1.0] * 900, config=config)) is None
