"""Thirty steps of BYOL against a loop of its own in float64, with the schedules of the authors' published code.

Their code computes learning rate and τ from the global step, which is 0 at the first update.
"""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

import byol_tutorial as bt

STEPS, WARM = 30, 5
CONFIG = bt.Config(
    width=4, hidden_dim=16, projection_dim=8, batch_size=8, epochs=6, warmup_epochs=1.0, tau_base=0.9, lr=3.0,
    weight_decay=1e-3, trust_coefficient=0.02,
)  # fmt: skip


def authors_cosine(step: int, steps: int, start: float) -> float:
    return start * 0.5 * (1 + math.cos(math.pi * min(step, steps) / steps))


def authors_rate(step: int, lr: float) -> float:
    return step / WARM * lr if step < WARM else authors_cosine(step - WARM, STEPS - WARM, lr)


def authors_tau(step: int, base: float) -> float:
    return 1 - (1 - base) * authors_cosine(step, STEPS, 1.0)


def trainer_in_float64(images: bt.ImageSet, monkeypatch: pytest.MonkeyPatch, **changes: object) -> bt.Trainer:
    run = bt.Trainer(CONFIG.replace(**changes), images, device="cpu")
    run.model.double()
    made = run.computation.make_views

    def in_float64(*arguments):
        views, more = made(*arguments)
        return [v.double() for v in views], more

    monkeypatch.setattr(run.computation, "make_views", in_float64)
    return run


def squared_distance(p: Tensor, t: Tensor) -> Tensor:
    p, t = (x / x.norm(dim=1, keepdim=True) for x in (p, t))
    return (p - t).square().sum(1).mean()


class Loop:
    """θ, ξ and the momentum, moved by formulas alone."""

    def __init__(self, run: bt.Trainer) -> None:
        self.online, self.target = copy.deepcopy(run.model.online), copy.deepcopy(run.model.target)
        self.predictor, self.config = copy.deepcopy(run.model.predictor), run.config
        self.momentum = [torch.zeros_like(w) for w in self.weights]

    @property
    def weights(self) -> list[nn.Parameter]:
        return [*self.online.parameters(), *self.predictor.parameters()]

    def step(self, k: int, v1: Tensor, v2: Tensor) -> None:
        c = self.config
        with torch.no_grad():
            t1, t2 = self.target(v1), self.target(v2)
        loss = squared_distance(self.predictor(self.online(v1)), t2)
        loss = loss + squared_distance(self.predictor(self.online(v2)), t1)
        gradients = torch.autograd.grad(loss, self.weights)
        lr, tau = authors_rate(k, c.lr * c.batch_size / 256), authors_tau(k, c.tau_base)
        with torch.no_grad():
            for w, g, m in zip(self.weights, gradients, self.momentum, strict=True):
                u = g + c.weight_decay * w if w.ndim > 1 else g
                if w.ndim > 1 and c.optimizer == "lars":
                    u = u * c.trust_coefficient * w.norm() / u.norm()
                m.copy_(0.9 * m + u)
                w -= lr * m
            for xi, theta in zip(self.target.parameters(), self.online.parameters(), strict=True):
                xi.copy_(tau * xi + (1 - tau) * theta)


def assert_equal(run: bt.Trainer, loop: Loop, start: list[Tensor]) -> None:
    pairs = ((run.model.online, loop.online), (run.model.predictor, loop.predictor), (run.model.target, loop.target))
    for ours, theirs in pairs:
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert a.dtype == torch.float64
            assert (a - b).abs().max() <= 1e-12 * max(1.0, b.abs().max().item())
    moved = [(a - b).norm().item() for a, b in zip(start, run.model.target.parameters(), strict=True) if a.ndim > 1]
    assert min(moved) > 1e-4


@pytest.mark.parametrize("optimizer", ["lars", "sgd"])
def test_thirty_steps_are_those_of_a_loop_with_the_authors_indices(optimizer, monkeypatch):
    run = trainer_in_float64(
        bt.load("shapes", limit=40), monkeypatch, optimizer=optimizer, lr=3.0 if optimizer == "lars" else 0.4
    )
    loop, start = Loop(run), [p.detach().clone() for p in run.model.target.parameters()]
    for k in range(STEPS):
        views, _ = run.computation.views_of(k)
        run.step()
        loop.step(k, *views)
    assert_equal(run, loop, start)
    c = run.config
    assert run.history.tau == pytest.approx([authors_tau(k, c.tau_base) for k in range(STEPS)], abs=1e-15)
    assert run.history.lr == pytest.approx([authors_rate(k, c.step_lr) for k in range(STEPS)], abs=1e-15)


@pytest.mark.parametrize("tau_base", [0.0, 0.1, 0.3, 0.7, 0.95, 0.996, 1.0])
@pytest.mark.parametrize("method", ["byol", "dino"])
def test_the_first_update_has_exactly_tau_base(method, tau_base, tmp_path):
    images = bt.load("shapes", limit=16)
    config = CONFIG.replace(method=method, tau_base=tau_base, prototypes=12, epochs=10)
    new, kept = (bt.Trainer(config, images, device="cpu") for _ in range(2))
    kept.save(tmp_path / "checkpoint.pt")
    again = bt.Trainer.resume(tmp_path / "checkpoint.pt", images, device="cpu")
    passes = bt.Trainer(config.replace(batch_size=4, accumulation_steps=2), images, device="cpu")
    for run in (new, again, passes):
        run.step()
        assert run.history.tau == [tau_base]
    assert bt.tau_at(0, 20, tau_base) == tau_base
    assert bt.tau_at(20, 20, tau_base) == 1


def test_the_first_step_of_a_warm_up_moves_no_weight_and_fills_the_momentum():
    images = bt.load("shapes", limit=16)
    for changes in ({}, {"optimizer": "lars"}, {"optimizer": "lars", "trust_clip": True}, {"optimizer": "adamw"}):
        run = bt.Trainer(CONFIG.replace(lr=0.1, **changes), images, device="cpu")
        before = [p.detach().clone() for p in run.model.parameters()]
        run.step()
        assert all(torch.equal(a, b) for a, b in zip(before, run.model.parameters(), strict=True))
        kept = [value for state in run.optimizer.state.values() for name, value in state.items() if name != "step"]
        assert max(value.abs().max().item() for value in kept) > 0
        assert all(torch.isfinite(value).all() for value in kept)
        run.step()
        assert all(torch.isfinite(p).all() for p in run.model.parameters())
        assert not torch.equal(before[0], next(iter(run.model.parameters())))
