"""LARS and the schedules against float64 references written apart, and against lightly's implementation."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import byol_tutorial as bt
from byol_tutorial.train.optim import build_optimizer, lr_factor_at

SHAPES = {"matrix": (5, 3), "filter": (4, 3, 2, 2), "bias": (5,), "zero": (2, 2)}


def problem(seed=0):
    """Parameters of several shapes, one of them all zero, and gradients for six steps."""
    rng = np.random.default_rng(seed)
    values = {n: rng.normal(size=s) * (n != "zero") for n, s in SHAPES.items()}
    gradients = [{n: rng.normal(size=s) * 10.0 ** rng.integers(-3, 3) for n, s in SHAPES.items()} for _ in range(6)]
    gradients[2]["matrix"] *= 0
    return values, gradients


def reference(values, gradients, lrs, momentum, weight_decay, eta, clip=False):
    """LARS one parameter at a time in NumPy, from PAPER's description: exclusions, decay in the ratio, lr last."""
    w = {n: v.copy() for n, v in values.items()}
    m = {n: np.zeros_like(v) for n, v in values.items()}
    for lr, step in zip(lrs, gradients, strict=True):
        for n, g in step.items():
            if w[n].ndim > 1:
                g = g + weight_decay * w[n]
                length, size = np.sqrt(np.sum(g**2)), np.sqrt(np.sum(w[n] ** 2))
                ratio = eta * size / length if size > 0 and length > 0 else 1.0
                g = g * (min(ratio, lr) / lr if clip and size > 0 and length > 0 else ratio)
            m[n] = momentum * m[n] + g
            w[n] = w[n] - lr * m[n]
    return w


def run(optimizer, params, gradients, lrs):
    for lr, step in zip(lrs, gradients, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = lr
        for n, p in params.items():
            p.grad = torch.from_numpy(step[n]).to(p.dtype)
        optimizer.step()
    return {n: p.detach().double().numpy() for n, p in params.items()}


@pytest.mark.parametrize("weight_decay", [0.0, 1.5e-6, 0.1])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("clip", [False, True])
def test_lars_is_the_reference_in_float64(weight_decay, momentum, clip):
    values, gradients = problem()
    lrs = [0.1, 0.2, 0.4, 0.3, 0.2, 0.1]
    params = {n: nn.Parameter(torch.from_numpy(v.copy())) for n, v in values.items()}
    settings = {"momentum": momentum, "weight_decay": weight_decay, "trust_coefficient": 0.02, "clip": clip}
    ours = run(bt.LARS(params.values(), lr=1.0, **settings), params, gradients, lrs)
    expected = reference(values, gradients, lrs, momentum, weight_decay, 0.02, clip)
    for n in SHAPES:
        np.testing.assert_allclose(ours[n], expected[n], rtol=1e-12, err_msg=n)


def test_lars_is_lightlys_where_their_definitions_meet():
    """lightly divides by ‖∇L‖ + λ‖w‖ where we have ‖∇L + λw‖: equal as λ → 0. It excludes groups without decay."""
    peer = pytest.importorskip("lightly.utils.lars", reason="lightly is not installed; it is in the dev extra")
    values, gradients = problem(1)
    gradients = [{n: g for n, g in step.items() if n != "zero"} for step in gradients]
    gradients[2]["matrix"] += 1
    values = {n: v for n, v in values.items() if n != "zero"}
    lrs = [0.3] * 6

    def fresh():
        return {n: nn.Parameter(torch.from_numpy(v.copy())) for n, v in values.items()}

    a, b = fresh(), fresh()
    ours = run(bt.LARS(a.values(), lr=1.0, weight_decay=1e-12), a, gradients, lrs)
    groups = [
        {"params": [p for p in b.values() if p.ndim > 1], "weight_decay": 1e-12},
        {"params": [p for p in b.values() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    theirs = run(peer.LARS(groups, lr=1.0, momentum=0.9, trust_coefficient=1e-3), b, gradients, lrs)
    for n in values:
        np.testing.assert_allclose(ours[n], theirs[n], rtol=1e-6, err_msg=n)  # their norms have eps = 1e-8 added


def test_a_lars_step_of_a_layer_has_the_length_the_ratio_says():
    w = nn.Parameter(torch.randn(30, 20))
    before = w.detach().clone()
    w.grad = 1e4 * torch.randn(30, 20)
    bt.LARS([w], lr=2.0, trust_coefficient=1e-3).step()
    assert (w - before).norm().item() == pytest.approx(2.0 * 1e-3 * before.norm().item(), rel=1e-5)


@pytest.mark.parametrize(("size", "factor"), [(1e4, "ratio"), (1e-4, "lr"), (1e-4, "no rate")])
def test_a_clipped_lars_step_is_the_shorter_of_the_two(size, factor):
    w = nn.Parameter(torch.randn(30, 20))
    before = w.detach().clone()
    w.grad = size * torch.randn(30, 20)
    lr = 0.0 if factor == "no rate" else 0.5  # the last step of the schedule
    bt.LARS([w], lr=lr, trust_coefficient=1e-3, clip=True).step()
    expected = 1e-3 * before.norm() if factor == "ratio" else lr * w.grad.norm()
    assert (w - before).norm().item() == pytest.approx(expected.item(), rel=1e-4)


def test_cifar10_lars_has_the_clip_of_its_source():
    assert bt.preset("cifar10-lars").trust_clip
    for name in ("cifar10-lars", "byol-imagenet-300"):
        config = bt.preset(name, encoder="small", hidden_dim=8, projection_dim=4, batch_size=4)
        optimizer = build_optimizer(bt.BYOL(config, 32), config)
        assert {group["clip"] for group in optimizer.param_groups} == {config.trust_clip} == {name == "cifar10-lars"}


def test_cifar10_makes_the_steps_of_its_source():
    """lr · gradient and lr · decay, of half the sum of two negative cosines, at lr 0.06 and decay 5e-4."""
    config = bt.preset("cifar10")
    assert (config.batch_size, config.warmup_epochs, config.tau_schedule, config.tau_base) == (128, 0, "constant", 0.99)
    p = torch.randn(2, 16, 8, dtype=torch.float64, requires_grad=True)
    z = torch.randn(2, 16, 8, dtype=torch.float64)
    ours = torch.autograd.grad(bt.byol_loss(p[0], z[1]) + bt.byol_loss(p[1], z[0]), p)[0]
    cosine = nn.functional.cosine_similarity
    theirs = torch.autograd.grad(-0.5 * (cosine(p[0], z[1]).mean() + cosine(p[1], z[0]).mean()), p)[0]
    torch.testing.assert_close(config.step_lr * ours, 0.06 * theirs)
    assert config.step_lr * config.weight_decay == pytest.approx(0.06 * 5e-4)


def test_lars_skips_parameters_without_gradient_and_calls_a_closure():
    used, idle = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    optimizer = bt.LARS([used, idle], lr=1.0)

    def closure():
        loss = used.sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 4
    assert torch.equal(idle, torch.ones(2, 2))
    assert not torch.equal(used, torch.ones(2, 2))


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("lr", -1, "at least 0"),
        ("momentum", 1.0, r"in \[0, 1\)"),
        ("weight_decay", -0.1, "at least 0"),
        ("trust_coefficient", 0, "above 0"),
    ],
)
def test_lars_refuses_by_name(name, value, allowed):
    with pytest.raises(ValueError, match=f"{name}={value}: give a number {allowed}"):
        bt.LARS([nn.Parameter(torch.ones(1))], **({"lr": 0.1} | {name: value}))


def test_lars_state_survives_its_state_dict():
    values, gradients = problem(2)

    def fresh():
        params = {n: nn.Parameter(torch.from_numpy(v.copy())) for n, v in values.items()}
        return params, bt.LARS(params.values(), lr=1.0, weight_decay=0.01)

    whole, optimizer = fresh()
    expected = run(optimizer, whole, gradients, [0.1] * 6)
    first, optimizer = fresh()
    run(optimizer, first, gradients[:3], [0.1] * 3)
    second, resumed = fresh()
    for n, p in second.items():
        p.data.copy_(first[n].data)
    resumed.load_state_dict(optimizer.state_dict())
    ours = run(resumed, second, gradients[3:], [0.1] * 3)
    for n in SHAPES:
        assert np.array_equal(ours[n], expected[n])


def test_the_papers_exclusions_reach_every_bias_and_normalisation():
    """By the kind of module, not by dimension as build_optimizer does it."""
    model = bt.BYOL(bt.Config(encoder="resnet18", hidden_dim=8, projection_dim=4, optimizer="lars"), view_size=32)
    excluded = set()
    for module in (model.online, model.predictors):
        for m in module.modules():
            if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
                excluded |= {id(m.weight), id(m.bias)}
            elif isinstance(m, nn.Linear) and m.bias is not None:
                excluded.add(id(m.bias))
    optimizer = build_optimizer(model, model.config)
    assert isinstance(optimizer, bt.LARS)
    free = {id(p) for g in optimizer.param_groups if not g["decays"] for p in g["params"]}
    assert free == {i for i in excluded if i in {id(p) for p in model.parameters() if p.requires_grad}}


@pytest.mark.parametrize(("total", "warmup"), [(100, 10), (100, 0), (7, 7), (1, 0)])
def test_learning_rate_schedule_in_float64(total, warmup):
    for k in range(total + 1):
        cosine = (1 + np.cos(np.pi * (k - warmup) / max(total - warmup, 1))) / 2
        expected = k / warmup if k < warmup else cosine
        assert lr_factor_at(k, total, warmup) == pytest.approx(expected, abs=1e-15)


def test_tau_schedule_is_lightlys():
    """Theirs goes from start to end over max_steps − 1 steps, ours over K, as in the paper."""
    peer = pytest.importorskip("lightly.utils.scheduler", reason="lightly is not installed; it is in the dev extra")
    for k in range(50):
        assert bt.tau_at(k, 50, 0.99) == pytest.approx(peer.cosine_schedule(k, 51, 0.99, 1.0), abs=1e-12)
    assert math.isclose(bt.tau_at(50, 50, 0.99), 1.0)


def test_the_batch_of_a_whole_step_scales_the_rate():
    config = bt.Config(lr=0.2, batch_size=256, accumulation_steps=16)
    assert config.step_images == 4096
    assert config.step_lr == pytest.approx(0.2 * 4096 / 256)


@pytest.mark.parametrize("clip", [False, True])
def test_after_the_first_step_nothing_is_made_for_each_layer_alone(clip):
    """On a GPU each small operation costs more to start than to do."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Calls(TorchDispatchMode):
        names = ()

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.names += (function.overloadpacket.__name__,)
            return function(*args, **(kwargs or {}))

    def calls(layers):
        params = [torch.nn.Parameter(torch.ones(3, 3)) for _ in range(layers)]
        optimizer = bt.optim.LARS(params, lr=0.1, clip=clip)
        for p in params:
            p.grad = torch.ones_like(p)
        optimizer.step()
        with Calls() as seen:
            optimizer.step()
        return seen.names

    assert "zeros_like" not in calls(2)
    assert len(calls(50)) == len(calls(2))


def test_training_does_not_import_the_compiler():
    """In a process of its own, because another test may have imported it. All that a run asks of its optimiser is here."""
    code = """
import sys
import byol_tutorial as bt

train = bt.load("shapes", limit=64)
for optimizer in ("sgd", "lars", "adamw"):
    trainer = bt.Trainer(bt.preset("shapes", optimizer=optimizer, width=4, epochs=1, warmup_epochs=0), train)
    trainer.step()
    trainer.optimizer.load_state_dict(trainer.optimizer.state_dict())
print("torch._dynamo" in sys.modules, "sympy" in sys.modules)
"""
    end = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (end.stdout.split(), end.stderr) == (["False", "False"], "")
