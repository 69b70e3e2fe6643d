"""The measures tell apart what they are for."""

import math

import numpy as np
import pytest
import torch

import byol_tutorial as bt
from byol_tutorial.evaluate.diagnose import alarm_step, cosines, diagnose, effective_rank, eigenspace_alignment, spread

D = 32


def normal(n, d=D, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_spread_of_directions_over_the_whole_sphere_is_one():
    assert spread(normal(4000)).item() == pytest.approx(1, abs=0.01)


def test_spread_in_a_subspace_is_known():
    """Directions over a sphere of r of the d dimensions: r of them have std 1/√r, so √d·std = √(r/d)."""
    z = torch.cat((normal(8000)[:, :8], torch.zeros(8000, D - 8)), 1)
    assert spread(z).item() == pytest.approx(math.sqrt(8 / D), abs=0.01)


def test_spread_ignores_lengths():
    z = normal(500)
    torch.testing.assert_close(spread(z), spread(z * torch.rand(500, 1)))


@pytest.mark.parametrize("length", [1e-38, 1e-20, 1e19, 1e30, 1e38])
def test_measures_do_not_depend_on_lengths_near_the_ends_of_float32(length):
    z = torch.randn(64, 16, generator=torch.Generator().manual_seed(0)).clamp(-3, 3) / 3
    p = z.roll(1, 0) + z
    scaled, scaled_p = z * length, p / p.abs().max() * length
    assert float(spread(scaled)) == pytest.approx(float(spread(z)), rel=1e-5)
    assert effective_rank(scaled) == pytest.approx(effective_rank(z), rel=1e-4)
    assert [float(c) for c in cosines(scaled_p, scaled)] == pytest.approx([float(c) for c in cosines(p, z)], abs=1e-5)
    assert bt.diagnose.collapse_report(scaled).verdict == bt.diagnose.collapse_report(z).verdict == "healthy"


def test_collapsed_projections_have_no_spread_and_no_rank():
    """The noise around one direction is full rank by its entropy: the measure must not fall for that."""
    z = torch.ones(500, D) + 1e-4 * normal(500)
    assert spread(z).item() < 0.01
    assert effective_rank(z) < 0.01
    assert bt.collapse_report(z).verdict == "collapse"


def test_rank_counts_directions():
    for r in (2, 8, D):
        z = torch.cat((normal(20_000)[:, :r], torch.zeros(20_000, D - r)), 1)
        assert effective_rank(z) == pytest.approx(r, rel=0.03)


@pytest.mark.parametrize("size", [1e-3, 1e-2, 0.05, 0.1, 0.3, 1.0])
def test_spread_falls_with_the_distance_from_one_direction(size):
    direction = torch.nn.functional.normalize(torch.ones(D), dim=0)
    z = direction + size * normal(2000) / math.sqrt(D)
    nearer = direction + 0.5 * size * normal(2000) / math.sqrt(D)
    assert spread(nearer) < spread(z)
    assert effective_rank(nearer) < effective_rank(z)


def test_verdicts():
    assert bt.collapse_report(normal(500)).verdict == "healthy"
    assert bt.collapse_report(torch.ones(500, D) + 0.3 * normal(500)).verdict == "partial collapse"
    one_axis = normal(500, 1) * torch.ones(1, D) + 0.02 * normal(500)
    assert bt.collapse_report(one_axis).verdict == "partial collapse"  # spread out, but in one dimension
    assert bt.collapse_report(torch.ones(10, D)).verdict == "collapse"
    broken = normal(10)
    broken[3, 4] = float("nan")
    assert bt.collapse_report(broken).verdict == "not finite"


def test_report_is_readable():
    text = str(bt.collapse_report(normal(500)))
    assert text.startswith("healthy: ")
    assert "√d·std 0.99" in text or "√d·std 1.0" in text


@pytest.mark.parametrize("shape", [(5,), (1, 4), (2, 3, 4)])
def test_report_refuses_what_is_no_batch(shape):
    with pytest.raises(ValueError, match="give at least two rows"):
        bt.collapse_report(torch.ones(shape))


# --- a whole run --------------------------------------------------------------------------------


def test_cosines_of_pairs_by_hand():
    rng = np.random.default_rng(0)
    p, z = rng.normal(size=(9, 5)), rng.normal(size=(9, 5))
    p, z = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (p, z))
    others = [z[i] @ z[j] for i in range(9) for j in range(9) if i != j]
    positive, negative = cosines(torch.from_numpy(3 * p), torch.from_numpy(2 * z))
    assert positive.item() == pytest.approx(np.mean([p[i] @ z[i] for i in range(9)]), abs=1e-6)
    assert negative.item() == pytest.approx(np.mean(others), abs=1e-6)


def test_alignment_is_one_where_the_predictor_shares_the_eigenspace():
    scale = torch.linspace(3, 0.5, D).double()
    z = normal(4000).double() * scale
    s, u = torch.linalg.eigh(z.T @ z / len(z))
    shared = (u * s.sqrt()) @ u.T
    assert eigenspace_alignment(z, z @ shared.T) == pytest.approx(1, abs=1e-6)
    assert eigenspace_alignment(z, z) == pytest.approx(1, abs=1e-6)
    rotation = torch.linalg.qr(normal(D, seed=3).double())[0]
    assert eigenspace_alignment(z, z @ rotation.T) < 0.5


@pytest.mark.parametrize(
    ("std", "step"),
    [
        ([0.8] * 100, None),
        ([], None),
        ([0.1] * 4, None),
        ([0.1] * 10, 4),
        ([0.8] * 50 + [0.1] * 10, 51),  # means 0.66 and 0.52; three tenths below 0.8 is 0.56
        ([0.8] * 50 + [0.7] * 50, None),  # an eighth lost
        ([0.8] * 50 + [0.54] * 50, 54),  # more than three tenths lost once all five steps are there
        ([0.8] * 50 + [0.7] * 15 + [0.6] * 15 + [0.5] * 15, None),  # in 25 steps a quarter is lost, and again
        ([0.6] * 50 + [0.8] * 50 + [0.7] * 50, None),  # on the way up, and a little down
        (np.linspace(0.9, 0.5, 400).tolist(), None),  # slowly: 0.05 in fifty steps
        (np.linspace(0.9, 0.1, 1000).tolist(), 752),  # as slowly, but at last it is as good as gone: below 0.3
        ([0.8] * 50 + [0.3] + [0.8] * 50, None),  # a single low step is no collapse
        ([0.8] * 50 + [math.nan], None),
    ],
)
def test_alarm(std, step):
    assert alarm_step(std) == step


SHRUNK = 1e-3  # of the spread that is left in a collapsed batch


def run(loss, gradient=1.0, z=None):
    z = normal(256) if z is None else z
    n = len(loss)
    return diagnose(loss, [gradient] * n, [0.8] * n, z, z, z)


def falling(start, end, n=300, noise=0.02, seed=0):
    rng = np.random.default_rng(seed)
    return (np.linspace(start, end, n) + noise * rng.normal(size=n)).tolist()


def test_verdicts_of_runs_are_told_apart():
    one = torch.ones(D) + SHRUNK * normal(256)
    few = torch.zeros(256, D)
    few[:, 0] = normal(256)[:, 0]  # one direction, and its opposite
    assert run(falling(8, 2)).verdict == "healthy"
    assert run([]).verdict == "healthy"
    assert run(falling(8, 0.01), z=one).verdict == "collapse"
    assert run(falling(8, 2), z=few).verdict == "partial collapse"
    assert run(falling(2, 6)).verdict == "divergence"
    assert run([4.0, math.nan]).verdict == "divergence"
    assert run(falling(8, 2), z=normal(256) * math.nan).verdict == "divergence"
    assert run(falling(4, 4)).verdict == "frozen loss"
    assert run(falling(8, 2), gradient=0.0).verdict == "frozen loss"


@pytest.mark.parametrize("seed", range(5))
def test_a_loss_that_falls_at_once_and_then_stands_is_not_frozen(seed):
    """The fall is in the first fifty steps, so it makes their spread large; the steps' own noise is small."""
    rng = np.random.default_rng(seed)
    steps = np.arange(200)
    loss = 1.6 + 2.4 * np.exp(-steps / 6) + 0.03 * rng.normal(size=200)
    assert run(loss.tolist()).verdict == "healthy"
    frozen = 3.9 + 0.1 * rng.normal(size=200)
    assert run(frozen.tolist()).verdict == "frozen loss"


@pytest.mark.parametrize("depth", [0.3, 1.0])
def test_a_loss_that_falls_and_rises_to_where_it_began_is_not_frozen(depth):
    rng = np.random.default_rng(0)
    loss = 4 - depth * np.sin(np.linspace(0, np.pi, 600)) + 0.1 * rng.normal(size=600)
    loss[-50:] += loss[:50].mean() - loss[-50:].mean()  # as a comparison of beginning and end alone would be misled
    assert run(loss.tolist()).verdict == "healthy"


@pytest.mark.parametrize("steps", [100, 1000, 20_000])
def test_a_long_loss_that_only_varies_by_chance_is_still_frozen(steps):
    """The largest of many window means is further from the first by chance; measured: 0 of 300 such runs are not frozen."""
    for seed in range(20):
        loss = 3.9 + 0.4 * np.random.default_rng(seed).normal(size=steps)
        assert run(loss.tolist()).verdict == "frozen loss"


def test_a_diagnosis_is_readable():
    text = str(run(falling(8, 2)))
    assert text.startswith("healthy: the directions are spread out (√d·std ")
    assert "cosine of positive pairs 1.00" in text
    assert "eigenspace alignment 1.00" in text
    assert "\n" not in text
