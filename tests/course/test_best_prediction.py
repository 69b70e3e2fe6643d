"""The world in a plane: its conditional variance against integrals, against regression, and against the gradient."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from byol_tutorial.config.errors import UserError
from byol_tutorial.course import best_prediction as B


def test_views_lie_around_their_picture_and_pictures_fill_the_square():
    v, target = B.views(50_000, noise=0.1, seed=3)
    assert v.shape == target.shape == (50_000, 2)
    assert v.dtype == torch.float32
    difference = v - target  # of two uniform numbers: a triangle over [-0.2, 0.2], with variance 2 · 0.1² / 3
    assert float(difference.abs().max()) <= 0.2
    assert float(difference.var(0).mean()) == pytest.approx(2 * 0.1**2 / 3, rel=0.03)
    assert float(v.var(0).mean()) == pytest.approx(1 / 3 + 0.1**2 / 3, rel=0.02)
    assert torch.equal(v, B.views(50_000, noise=0.1, seed=3)[0])
    assert not torch.equal(v, B.views(50_000, noise=0.1, seed=4)[0])


@pytest.mark.parametrize("collapse", [0.0, 0.3, 0.5, 0.8, 1.0])
def test_without_noise_the_variance_is_the_integral_over_the_cells(collapse):
    """A uniform point in an interval of width w varies by w²/12 along its axis; each interval has the share w/2."""
    v, target = B.views(200_000, noise=0.0)
    inside = np.clip(B.lines(collapse).numpy(), -1, 1)
    widths = np.diff(np.concatenate(([-1.0], inside, [1.0])))
    expected = 2 * (widths**3 / 24).sum()
    assert B.conditional_variance(B.answers(v, B.lines(collapse)), target) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("collapse", [0.0, 0.4, 0.7])
def test_with_noise_the_variance_is_that_of_a_grid_of_points(collapse):
    """Along one axis: sum over a fine grid of pictures, views v and targets z′, without any random number."""
    at, fine = B.lines(collapse).numpy(), (np.arange(200) + 0.5) / 100 - 1
    picture, e = np.meshgrid(fine, B.NOISE * fine, indexing="ij")
    cell = np.searchsorted(at, picture + e)
    floor = B.NOISE**2 / 3  # z′ given the picture; its mean is the picture
    variance = sum((cell == k).mean() * (picture[cell == k].var() + floor) for k in np.unique(cell))
    v, target = B.views(200_000)
    assert B.conditional_variance(B.answers(v, B.lines(collapse)), target) == pytest.approx(2 * variance, rel=0.01)


def test_the_variance_grows_with_the_collapse_up_to_the_variance_of_the_target():
    v, target = B.views(4096)
    found = [B.conditional_variance(B.answers(v, B.lines(c / 20)), target) for c in range(21)]
    assert all(a <= b + 0.01 for a, b in pairwise(found))
    assert found[0] < 0.1 < 0.6 < found[-1]
    assert found[-1] == pytest.approx(float(target.var(0, correction=0).sum()), rel=1e-5)
    assert B.answers(v, B.lines(1)).unique().tolist() == [0]
    assert len(B.answers(v, B.lines(0)).unique()) == 16


def test_answers_number_the_cells():
    v = torch.tensor([[-0.9, -0.9], [0.6, -0.9], [-0.9, 0.6], [0.6, 0.6], [0.1, -0.1]])
    assert B.answers(v, B.lines(0)).tolist() == [0, 3, 12, 15, 6]
    assert B.answers(v, torch.tensor([0.0])).tolist() == [0, 1, 2, 3, 1]


def test_the_best_predictor_is_the_least_squares_table():
    g = torch.Generator().manual_seed(0)
    z, target = torch.randint(5, (300,), generator=g), torch.randn(300, 3, generator=g)
    member = np.eye(5)[z.numpy()]
    table, residual, *_ = np.linalg.lstsq(member, target.double().numpy(), rcond=None)
    assert np.allclose(B.best_predictor(z, target), table, atol=1e-5)
    assert B.conditional_variance(z, target) == pytest.approx(residual.sum() / 300, rel=1e-5)


def test_an_answer_that_never_came_is_predicted_by_the_mean_of_all():
    z, target = torch.tensor([0, 2, 2]), torch.tensor([[0.0, 3.0], [1.0, 1.0], [2.0, -1.0]])
    assert B.best_predictor(z, target).tolist() == [[0.0, 3.0], [1.0, 1.0], [1.5, 0.0]]


def test_names_and_scale_do_not_count_and_merging_does():
    v, target = B.views(2000)
    z = B.answers(v, B.lines(0))
    variance = B.conditional_variance(z, target)
    assert B.conditional_variance((z + 5) % 16, target) == pytest.approx(variance, rel=1e-6)
    assert B.conditional_variance(1000 * z, target) == pytest.approx(variance, rel=1e-6)
    assert B.conditional_variance(z // 2, target) > 1.5 * variance


@pytest.mark.parametrize("at", [-0.8, -0.3, 0.4, 0.8])
def test_with_the_best_predictor_held_still_the_loss_changes_as_the_variance_does(at):
    """The envelope theorem: to first order in the step, the gradient is that of the conditional variance."""
    v, target = B.views(400_000, noise=0.0)
    v, target = v.double(), target.double()
    step = 0.01
    z, moved = (B.answers(v, torch.tensor([x], dtype=torch.float64)) for x in (at, at + step))
    held = float((B.best_predictor(z, target)[moved] - target).square().sum(1).mean())
    now, after = B.conditional_variance(z, target), B.conditional_variance(moved, target)
    assert after <= held  # the best predictor of the new answers is at least as good
    # one line at b on each axis: the variance is 2 ((1 + b)³ + (1 − b)³) / 24 = (1 + 3 b²) / 6, and its derivative b
    assert now == pytest.approx((1 + 3 * at**2) / 6, abs=0.005)
    assert (after - now) / step == pytest.approx(at, abs=0.05)
    assert (held - now) / step == pytest.approx(at, abs=0.05)


def test_a_wrong_value_is_told():
    with pytest.raises(UserError, match=r"collapse=1.5: give a number from 0"):
        B.lines(1.5)
    with pytest.raises(UserError, match=r"collapse=-0.1"):
        B.lines(-0.1)
    with pytest.raises(UserError, match=r"noise=-1\): give at least one picture"):
        B.views(noise=-1)
    with pytest.raises(UserError, match=r"n=0"):
        B.views(0)
