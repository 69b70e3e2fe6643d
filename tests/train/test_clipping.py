"""Clipping the gradient's norm: as torch's clip_grad_norm_ by hand, whatever makes the gradient and whatever uses it."""

import math

import pytest
import torch

import byol_tutorial as bt

TINY = {
    "epochs": 4, "warmup_epochs": 0.0, "batch_size": 8, "width": 4, "hidden_dim": 16, "projection_dim": 8, "momentum": 0.0,
    "weight_decay": 0.0, "lr": 0.3,
}  # fmt: skip
SHORT = 0.05  # shorter than every gradient here
LARS = {"optimizer": "lars", "trust_coefficient": 0.02, "weight_decay": 1e-3}
CASES = [{}, {"accumulation_steps": 2}, LARS, {"optimizer": "adamw"}, {"method": "dino", "prototypes": 12}]


@pytest.fixture(scope="module")
def train() -> bt.ImageSet:
    return bt.load("shapes", limit=32)


def tiny(train, **changes) -> bt.Trainer:
    return bt.Trainer(bt.Config(**(TINY | changes)), train, device="cpu")


def learned(trainer) -> list[torch.Tensor]:
    return [p for group in trainer.optimizer.param_groups for p in group["params"]]


def moved(trainer, before) -> float:
    return torch.cat([(p.detach() - q).flatten() for p, q in zip(learned(trainer), before, strict=True)]).norm().item()


def same(a, b) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.model.parameters(), b.model.parameters(), strict=True))


@pytest.mark.parametrize("changes", CASES, ids=str)
def test_a_clipped_step_is_one_whose_gradient_torch_has_clipped(train, changes):
    ours, by_hand = tiny(train, **changes, clip_grad_norm=SHORT), tiny(train, **changes)
    whole = by_hand.computation.passes

    def clipped(images):
        numbers = whole(images)
        norm = torch.nn.utils.clip_grad_norm_(learned(by_hand), SHORT)
        assert norm > SHORT  # so that there is something to clip
        torch.testing.assert_close(norm, numbers[4])
        return numbers

    by_hand.computation.passes = clipped
    for _ in range(3):
        ours.step(), by_hand.step()
    for p, q in zip(ours.model.parameters(), by_hand.model.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-7)
    assert ours.history.gradient_norm == pytest.approx(by_hand.history.gradient_norm, rel=1e-4)
    assert min(ours.history.gradient_norm) > SHORT  # it is the norm before clipping


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_step_of_plain_sgd_is_as_long_as_the_rate_times_the_limit(train, monkeypatch, precision):
    """The scale of float16's loss is taken out before the norm is measured; weights are float32 in all three."""
    kind = getattr(torch, precision)
    monkeypatch.setattr("byol_tutorial.train.trainer.resolve_precision", lambda name, device: kind)
    trainer = tiny(train, encoder="vit_nano", patch_size=8, norm="none", clip_grad_norm=SHORT)
    for _ in range(20):  # float16 leaves out the first steps, until its scale is low enough
        before = [p.detach().clone() for p in learned(trainer)]
        trainer.step()
        if (length := moved(trainer, before)) > 0:
            break
    assert length == pytest.approx(trainer.history.lr[-1] * SHORT, rel=1e-3)
    assert trainer.history.gradient_norm[-1] > SHORT


def test_a_gradient_that_is_short_enough_stays_bit_for_bit(train):
    plain, clipped = tiny(train), tiny(train, clip_grad_norm=1e6)
    for _ in range(3):
        plain.step(), clipped.step()
    assert same(plain, clipped)


def test_an_infinite_gradient_is_still_a_divergence_and_not_clipped_to_nothing(train):
    trainer = tiny(train, clip_grad_norm=1.0)
    before = [p.detach().clone() for p in learned(trainer)]
    hook = trainer.model.predictor[0].weight.register_hook(lambda g: g * math.inf)
    with pytest.raises(bt.train.DivergedError, match="gradient's norm is"):
        trainer.step()
    hook.remove()
    assert moved(trainer, before) == 0


def test_it_can_change_while_training_and_is_resumed(train, tmp_path):
    trainer = tiny(train)
    trainer.step()
    trainer.change(clip_grad_norm=SHORT)
    trainer.save(tmp_path / "c.pt")
    before = [p.detach().clone() for p in learned(trainer)]
    trainer.step()
    assert moved(trainer, before) == pytest.approx(trainer.history.lr[-1] * SHORT, rel=1e-4)
    resumed = bt.Trainer.resume(tmp_path / "c.pt", train, device="cpu")
    resumed.step()
    assert same(trainer, resumed)


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, "1", True, None])
def test_other_values_are_refused(value):
    with pytest.raises(bt.ConfigError, match=r"clip_grad_norm=.*: give a number at least 0"):
        bt.Config(clip_grad_norm=value)
