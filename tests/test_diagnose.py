"""The measures tell apart what they are for."""

import math

import pytest
import torch

import byol_tutorial as bt
from byol_tutorial.diagnose import effective_rank, spread

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
