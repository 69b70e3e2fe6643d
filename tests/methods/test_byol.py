"""The algorithm against formulas worked out separately."""

import copy
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import byol_tutorial as bt
from byol_tutorial.config.paper_tables import tables
from byol_tutorial.methods.byol import BYOL
from byol_tutorial.methods.registry import build_model

TINY = {"width": 4, "hidden_dim": 16, "projection_dim": 8, "batch_size": 8}


def tiny(**changes) -> BYOL:
    torch.manual_seed(0)
    return BYOL(bt.Config(**(TINY | changes)), view_size=16)


def views(n=8, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, n, 3, 16, 16, generator=generator)


def test_loss_is_the_squared_distance_of_unit_vectors_in_float64():
    rng = np.random.default_rng(0)
    p, z = rng.normal(size=(50, 7)), rng.normal(size=(50, 7)) * 100
    unit_p = p / np.linalg.norm(p, axis=1, keepdims=True)
    unit_z = z / np.linalg.norm(z, axis=1, keepdims=True)
    expected = np.mean(np.sum((unit_p - unit_z) ** 2, axis=1))
    ours = bt.byol_loss(torch.from_numpy(p), torch.from_numpy(z))
    assert ours.item() == pytest.approx(expected, rel=1e-12)


def test_loss_at_its_ends():
    z = torch.randn(5, 4)
    assert bt.byol_loss(3 * z, z).item() == pytest.approx(0, abs=1e-6)
    assert bt.byol_loss(-z, z).item() == pytest.approx(4, abs=1e-6)
    assert bt.byol_loss(torch.eye(4)[:2], torch.eye(4)[2:]).item() == pytest.approx(2)


@given(st.integers(0, 2**31), st.integers(1, 20), st.integers(1, 10), st.floats(1e-3, 1e3))
def test_loss_stays_in_its_range_and_ignores_lengths(seed, n, d, length):
    p, z = torch.randn(2, n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    loss = bt.byol_loss(p, z).item()
    assert -1e-9 <= loss <= 4 + 1e-9
    assert bt.byol_loss(length * p, z).item() == pytest.approx(loss, abs=1e-9)


def test_both_directions_are_added():
    model = tiny()
    v1, v2 = views()
    both = model(v1, v2).loss
    model.config = model.config.replace(symmetric=False)
    assert both.item() == pytest.approx(model(v1, v2).loss.item() + model(v2, v1).loss.item(), rel=1e-6)
    assert 0 <= both.item() <= 8


def test_forward_is_the_composition_written_out():
    model = tiny(symmetric=False)
    v1, v2 = views()
    p = model.predictor(model.projector(model.encoder(v1)))
    z = model.target.projector(model.target.encoder(v2))
    expected = (2 - 2 * torch.cosine_similarity(p, z, dim=1)).mean()
    assert model(v1, v2).loss.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("target", ["ema", "random"])
def test_no_gradient_reaches_the_target(target):
    model = tiny(target=target)
    model(*views()).loss.backward()
    assert all(p.grad is None for p in model.target.parameters())
    for module in (model.encoder, model.projector, model.predictor):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters() if p.ndim > 1)


def test_without_stop_gradient_the_online_network_is_trained_through_both_branches():
    """Against the loss written out with one network; the target, which is out of play, gets no gradient."""
    model = tiny(stop_gradient=False)
    v1, v2 = views()
    model(v1, v2).loss.backward()
    ours = model.encoder[0].weight.grad
    assert all(p.grad is None for p in model.target.parameters())
    reference = tiny()
    z1, z2 = reference.online(v1), reference.online(v2)
    p1, p2 = reference.predictor(z1), reference.predictor(z2)
    (bt.byol_loss(p1, z2) + bt.byol_loss(p2, z1)).backward()
    torch.testing.assert_close(ours, reference.encoder[0].weight.grad)


def test_online_target_is_the_online_network_with_and_without_its_gradient():
    """The gradient through the target branch is what stop_gradient takes away, and nothing else."""
    gradients = {}
    for stop in (True, False):
        model = tiny(target="online", stop_gradient=stop)
        assert model.project_target(views()[0], None).requires_grad is not stop
        model(*views()).loss.backward()
        gradients[stop] = model.encoder[0].weight.grad
    model = tiny(target="online")
    v1, v2 = views()
    z1, z2 = model.online(v1), model.online(v2)
    p1, p2 = model.predictor(z1), model.predictor(z2)
    (bt.byol_loss(p1, z2.detach()) + bt.byol_loss(p2, z1.detach())).backward()
    torch.testing.assert_close(gradients[True], model.encoder[0].weight.grad)
    assert (gradients[True] - gradients[False]).norm() > 0.1 * gradients[True].norm()


def test_moving_average_by_hand():
    model = tiny()
    for p in model.online.parameters():
        torch.nn.init.normal_(p)
    before = [p.double().clone() for p in model.target.parameters()]
    online = [p.double().clone() for p in model.online.parameters()]
    for tau in (0.9, 0.5):
        model.update_target(tau)
        before = [tau * b + (1 - tau) * o for b, o in zip(before, online, strict=True)]
    for ours, expected in zip(model.target.parameters(), before, strict=True):
        torch.testing.assert_close(ours.double(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close([p.double() for p in model.online.parameters()], online)  # θ is only read


@pytest.mark.parametrize(("tau", "kept"), [(1.0, "target"), (0.0, "online")])
def test_moving_average_at_its_ends(tau, kept):
    model = tiny()
    for p in model.online.parameters():
        torch.nn.init.normal_(p)
    expected = copy.deepcopy(getattr(model, kept)).state_dict()
    model.update_target(tau)
    for name, value in model.target.named_parameters():
        assert torch.equal(value, expected[name])


def test_random_target_is_another_network():
    model = tiny(target="random")
    assert not torch.equal(model.target.encoder[0].weight, model.encoder[0].weight)


def test_target_starts_as_a_copy_that_shares_nothing():
    model = tiny()
    assert torch.equal(model.target.encoder[0].weight, model.encoder[0].weight)
    with torch.no_grad():
        model.encoder[0].weight.add_(1)
    assert not torch.equal(model.target.encoder[0].weight, model.encoder[0].weight)


def test_target_normalises_with_its_own_batch():
    """In training mode the target's output for an image depends on the others in its batch."""
    model = tiny().train()
    v = views(n=8)[0]
    alone, together = model.project_target(v[:4], None), model.project_target(v, None)[:4]
    assert (alone - together).abs().max() > 1e-3


def test_identity_predictor_is_none():
    model = tiny(predictor="identity")
    z = torch.randn(3, 8)
    assert torch.equal(model.predictor(z), z)
    assert list(model.predictor.parameters()) == []


def test_heads_have_the_papers_layers():
    for head in (tiny().projector, tiny().predictor):
        kinds = [type(layer).__name__ for layer in head]
        assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
        assert head[0].bias is not None
        assert head[3].bias is None


@pytest.mark.parametrize(("encoder", "dim", "stem"), [("small", 16, 3), ("resnet18", 512, 3), ("resnet50", 2048, 3)])
def test_encoders_map_images_to_features(encoder, dim, stem):
    model = tiny(encoder=encoder)
    assert model.encoder(views(2)[0]).shape == (2, dim)
    assert model.encoder.feature_dim == dim
    first = next(m for m in model.encoder.modules() if isinstance(m, torch.nn.Conv2d))
    assert first.kernel_size == (stem, stem)


def test_resnet_keeps_its_large_stem_for_large_views():
    encoder = BYOL(bt.Config(**(TINY | {"encoder": "resnet18"})), view_size=96).encoder
    assert encoder.conv1.kernel_size == (7, 7)
    assert isinstance(encoder.maxpool, torch.nn.MaxPool2d)


@pytest.mark.parametrize("base", [0.0, 0.9, 0.996, 1.0])
def test_tau_schedule(base):
    values = [bt.tau_at(k, 100, base) for k in range(101)]
    expected = [1 - (1 - base) * (np.cos(np.float64(math.pi) * k / 100) + 1) / 2 for k in range(101)]
    np.testing.assert_allclose(values, expected, rtol=1e-12)
    assert values[0] == pytest.approx(base)
    assert values[50] == pytest.approx((1 + base) / 2)
    assert values[100] == pytest.approx(1)
    assert all(a <= b for a, b in pairwise(values))


# --- other normalisations, negatives, predictors ------------------------------------------------


def by_hand(x, kind):
    """The rows of x as the ablation's normalisations define them, in NumPy."""
    d = x.shape[1]
    if kind == "l2":
        return x / np.sqrt((x**2).sum(1, keepdims=True))
    if kind == "layernorm":
        return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5) / np.sqrt(d)
    if kind == "batchnorm":
        return (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5) / np.sqrt(d)
    return x


@pytest.mark.parametrize("kind", ["l2", "layernorm", "batchnorm", "none"])
def test_loss_under_every_normalisation_in_float64(kind):
    rng = np.random.default_rng(1)
    p, z = rng.normal(size=(20, 6)) * 3 + 1, rng.normal(size=(20, 6)) - 2
    expected = np.mean(np.sum((by_hand(p, kind) - by_hand(z, kind)) ** 2, axis=1))
    ours = bt.byol_loss(torch.from_numpy(p), torch.from_numpy(z), kind)
    assert ours.item() == pytest.approx(expected, rel=1e-12)


def test_an_unknown_normalisation_is_refused():
    with pytest.raises(ValueError, match="normalization='l1': choose l2, layernorm, batchnorm or none"):
        bt.byol_loss(torch.ones(2, 2), torch.ones(2, 2), "l1")


def nt_xent(z1, z2, temperature):
    """SimCLR's loss by cross entropy over the 2N × 2N matrix (Chen et al. 2020, algorithm 1)."""
    z = torch.nn.functional.normalize(torch.cat((z1, z2)), dim=1)
    scores = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
    n = len(z1)
    return torch.nn.functional.cross_entropy(scores, torch.arange(2 * n).roll(n))


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_beta_one_without_predictor_and_target_is_simclr(temperature):
    """Each direction is 2 + 2α · (its half of NT-Xent), so the sum of both is 4 + 4α · NT-Xent; gradients too."""
    config = tables("SimCLR")["SimCLR"].config(bt.Config(temperature=temperature, **TINY))
    model = bt.BYOL(config, view_size=16)
    v1, v2 = views()
    loss = model(v1, v2).loss
    loss.backward()
    ours = model.encoder[0].weight.grad.clone()
    model.zero_grad()
    expected = 4 + 4 * temperature * nt_xent(model.online(v1), model.online(v2), temperature)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(ours, model.encoder[0].weight.grad, rtol=1e-4, atol=1e-6)


def test_negatives_are_lightlys_nt_xent():
    loss = pytest.importorskip("lightly.loss", reason="lightly is not installed; it is in the dev extra")
    z1, z2 = torch.randn(2, 12, 5, generator=torch.Generator().manual_seed(0))
    term = bt.methods.byol.negatives_term
    ours = bt.byol_loss(z1, z2) + term(z1, z1, z2, 0.2) + bt.byol_loss(z2, z1) + term(z2, z2, z1, 0.2)
    theirs = loss.NTXentLoss(temperature=0.2)(z1, z2)
    assert ours.item() == pytest.approx(4 + 4 * 0.2 * theirs.item(), rel=1e-5)


def test_beta_interpolates_linearly():
    v1, v2 = views()
    losses = [tiny(negatives_weight=beta)(v1, v2).loss.item() for beta in (0.0, 0.25, 1.0)]
    assert losses[1] == pytest.approx(0.75 * losses[0] + 0.25 * losses[2], rel=1e-5)
    assert losses[2] != pytest.approx(losses[0], rel=1e-2)


def test_negatives_come_from_the_target_without_gradient():
    model = tiny(negatives_weight=1.0)
    model(*views()).loss.backward()
    assert all(p.grad is None for p in model.target.parameters())


def test_not_symmetric_negatives_are_one_direction():
    v1, v2 = views()
    both = tiny(negatives_weight=1.0)(v1, v2).loss.item()
    one = tiny(negatives_weight=1.0, symmetric=False)
    assert both == pytest.approx(one(v1, v2).loss.item() + one(v2, v1).loss.item(), rel=1e-5)


def test_linear_predictor_is_one_matrix():
    model = tiny(predictor="linear")
    z = torch.randn(5, 8)
    torch.testing.assert_close(model.predictor(z), z @ model.predictor.weight.T)
    assert model.predictor.bias is None


def test_fixed_predictor_is_random_and_never_trained():
    model = tiny(predictor="fixed")
    model(*views()).loss.backward()
    assert all(p.grad is None for p in model.predictor.parameters())
    assert model.encoder[0].weight.grad.abs().sum() > 0
    assert [type(m).__name__ for m in model.predictor] == ["Linear", "BatchNorm1d", "ReLU", "Linear"]


@pytest.mark.parametrize("method", ["byol", "simsiam"])
def test_optimal_predictor_is_directpred_of_the_steps_before(method):
    """Against NumPy: moving correlation of both views' projections, its eigenvectors, eigenvalues √(s/max s) + ε.

    In the authors' code the projections of a step go into the correlation, and W is set after the step.
    """
    model = build_model(bt.Config(**TINY, method=method, predictor="optimal"), view_size=16).train()
    reference, f, w = copy.deepcopy(model), None, np.eye(8)
    for seed in (1, 2, 3, 4):
        v1, v2 = views(seed=seed)
        output = model(v1, v2)
        with torch.no_grad():
            z1, z2 = (reference.online(v).double().numpy() for v in (v1, v2))
        np.testing.assert_allclose(output.p.numpy(), z1 @ w.T, atol=5e-3)
        np.testing.assert_allclose(model.predictor.weight.numpy(), w, atol=2e-3)  # not yet
        model.update_target(0.9)
        z = np.concatenate((z1, z2))
        now = z.T @ z / len(z)
        f = now if f is None else 0.3 * f + 0.7 * now
        s, u = np.linalg.eigh(f)
        w = u @ np.diag(np.sqrt(np.maximum(s, 0) / s.max()) + 0.1) @ u.T
        np.testing.assert_allclose(model.predictor.weight.numpy(), w, atol=2e-3)
    assert list(model.predictor.parameters()) == []


def test_optimal_predictor_stays_in_evaluation_mode():
    model = tiny(predictor="optimal").train()
    model(*views())
    model.update_target(0.9)
    before = copy.deepcopy(model.predictor.state_dict())
    model.eval()(*views(seed=1))
    assert all(torch.equal(value, before[name]) for name, value in model.predictor.state_dict().items())


def test_optimal_predictor_ignores_projections_that_are_not_finite():
    q = bt.networks.OptimalPredictor(3)
    q.observe(torch.diag(torch.tensor([4.0, 1.0, 0.0])))
    before = q.correlation.clone()
    q.observe(torch.full((3, 3), torch.nan))
    q.set_weight()
    assert torch.equal(q.correlation, before)
    torch.testing.assert_close(q.weight, torch.diag(torch.tensor([1.1, 0.6, 0.1])))


@pytest.mark.parametrize(
    ("changes", "dims"),
    [
        ({"projector_depth": 1}, ([(8, 16)], [(16, 8), (8, 16)])),
        ({"projector_depth": 3}, ([(16, 16), (16, 16), (8, 16)], [(16, 8), (8, 16)])),
        ({"predictor_depth": 1}, ([(16, 16), (8, 16)], [(8, 8)])),
        ({"predictor_hidden_dim": 4}, ([(16, 16), (8, 16)], [(4, 8), (8, 4)])),
    ],
)
def test_depth_and_width_of_the_heads(changes, dims):
    model = tiny(**changes)
    for head, expected in zip((model.projector, model.predictor), dims, strict=True):
        assert [tuple(m.weight.shape) for m in head if isinstance(m, torch.nn.Linear)] == expected


def test_simsiams_projector_normalises_its_output():
    model = build_model(bt.preset("simsiam", **TINY), view_size=16).train()
    z = model.online(views()[0])
    torch.testing.assert_close(z.mean(0), torch.zeros(8), atol=1e-5, rtol=0)
