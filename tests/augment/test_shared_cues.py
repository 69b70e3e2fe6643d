"""What two views share: descriptions against the known factors of "shapes", shares against brute force and expectation."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

import byol_tutorial as bt
from byol_tutorial.augment.shared_cues import compare, describe, shares
from byol_tutorial.data import shapes

SEEDS = range(3)
COLOURS_OFF = {"jitter_p": 0.0, "grayscale_p": 0.0}


@pytest.fixture(scope="module")
def images():
    return bt.load("shapes")


@pytest.fixture(scope="module")
def factors():
    return shapes.sample_factors(300, seed=5)


def same(images, name, **changes) -> list[float]:
    """The share of this description, for each seed."""
    return [shares(images, bt.preset("shapes", **changes), seed=seed)[name].same for seed in SEEDS]


def drawn(factors, **fixed):
    """The pictures of these factors with some of them fixed, as float."""
    values = {k: torch.full_like(v, fixed[k]) if k in fixed else v for k, v in vars(factors).items()}
    return shapes.draw(shapes.Factors(**values)).float() / 255


# --- descriptions -------------------------------------------------------------------------------


def test_hue_is_the_factor(factors):
    hue = describe(drawn(factors))["hue"]
    angle = 2 * torch.pi * factors.hue
    torch.testing.assert_close(hue, torch.stack((angle.cos(), angle.sin()), 1), rtol=0, atol=0.03)


def test_grey_pictures_have_no_hue(factors):
    grey = drawn(factors).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    assert (describe(grey)["hue"] == 0).all()


def test_brightness_is_the_mean_luma(factors):
    x = drawn(factors)
    expected = (x * torch.tensor([0.2989, 0.5870, 0.1140])[:, None, None]).sum(1).mean((1, 2))
    torch.testing.assert_close(describe(x)["brightness"][:, 0], expected)


def test_position_and_scale_are_the_factors(factors):
    """Of a circle, which the picture does not cut."""
    found = describe(drawn(factors, shape=0, scale=0.6))["position"]
    torch.testing.assert_close(found, torch.stack((factors.x, factors.y), 1), rtol=0, atol=0.03)
    found = describe(drawn(factors, shape=0, x=0, y=0))["scale"][:, 0].exp()
    ratio = found / factors.scale
    assert (ratio / ratio.mean() - 1).abs().max() < 0.03


def test_shape_does_not_mind_position_scale_or_mirror(factors):
    """A picture moved, made smaller or mirrored is closer to itself than any other shape is."""
    few = factors[torch.arange(300)[factors.shape < 5]]
    plain = describe(drawn(few, x=0, y=0, scale=0.6))["shape"]
    moved = describe(drawn(few, x=0.1, y=-0.08, scale=0.55))["shape"]
    torch.testing.assert_close(describe(drawn(few).flip(3))["shape"], describe(drawn(few))["shape"], rtol=0, atol=1e-4)
    own = (plain - moved).norm(dim=1)
    others = torch.cdist(plain, moved)[few.shape[:, None] != few.shape]
    assert own.quantile(0.95) < others.quantile(0.05)


def test_a_picture_of_one_colour_is_described_too():
    found = describe(torch.full((2, 3, 16, 16), 0.4))
    assert all(torch.isfinite(value).all() for value in found.values())


# --- shares -------------------------------------------------------------------------------------


def test_share_is_the_area_under_the_roc_curve():
    """scikit-learn's AUC of each row's distances, averaged; three pictures have two views each on both sides."""
    g = torch.Generator().manual_seed(0)
    which = torch.tensor([0, 1, 2, 3, 4, 0, 1, 2])
    v1 = torch.rand(8, 3, 16, 16, generator=g)
    v2 = (v1 + 0.4 * torch.rand(8, 3, 16, 16, generator=g)).clamp(0, 1)
    found = compare(v1, v2, which)
    for (name, a), b in zip(describe(v1).items(), describe(v2).values(), strict=True):
        distance = np.linalg.norm((a - a.mean(0)).numpy()[:, None] - (b - b.mean(0)).numpy()[None], axis=2)
        correct = []
        for i in range(8):
            rivals = [j for j in range(8) if which[j] != which[i]]
            auc = roc_auc_score([1] + [0] * len(rivals), [-distance[i, i], *(-distance[i, rivals])])
            correct += [auc] * len(rivals)
        assert found[name].same == pytest.approx(2 * np.mean(correct) - 1, abs=1e-5)
        assert found[name].right == pytest.approx(np.mean(correct), abs=1e-5)


def test_views_without_augmentation_share_everything(images):
    nothing = {"crop_area": 1.0, "crop_ratio": 1.0, "flip_p": 0.0, **COLOURS_OFF}
    found = shares(images, bt.preset("shapes", **nothing))
    assert all(share.same > 0.999 for share in found.values())


def test_hue_is_shared_unless_colours_change(images):
    """Without colour augmentation fully, with the lesson's not at all, with a tenth of a circle in between."""
    assert min(same(images, "hue", **COLOURS_OFF)) > 0.99
    strengths = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "grayscale_p": 0.0}
    full, tenth = (same(images, "hue", hue=hue, **strengths) for hue in (0.5, 0.1))
    assert max(np.abs(full)) < 0.13  # 4 standard deviations of a share that is 0
    assert 0.6 < min(tenth) <= max(tenth) < 0.9
    assert max(np.abs(same(images, "hue", grayscale_p=(0.0, 1.0), jitter_p=0.0))) < 0.01  # v′ has none


def test_position_scale_and_shape_are_lost_as_the_crop_widens(images):
    for name in ("position", "scale", "shape"):
        views = {"flip_p": 0.0, "crop_ratio": (3 / 4, 4 / 3), **COLOURS_OFF}
        runs = [same(images, name, crop_area=(low, 1.0), **views) for low in (1.0, 0.8, 0.5, 0.08)]
        for more, less in pairwise(runs):
            assert min(more) > max(less) + 0.02, name
        assert min(runs[0]) > 0.99
        assert max(runs[-1]) < 0.6


def test_flips_hide_the_position_across(images):
    crop = {"crop_area": (0.8, 1.0), **COLOURS_OFF}
    assert max(same(images, "position", flip_p=0.5, **crop)) < min(same(images, "position", flip_p=0.0, **crop)) - 0.2


def test_brightness_is_shared_less_the_more_it_changes(images):
    still = {"crop_area": 1.0, "crop_ratio": 1.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "grayscale_p": 0.0}
    runs = [same(images, "brightness", brightness=b, **still) for b in (0.0, 0.1, 0.8)]
    assert min(runs[0]) > 0.99
    assert min(runs[0]) > max(runs[1]) > min(runs[1]) > max(runs[2]) + 0.1


def test_of_the_lessons_views_shape_is_what_is_left(images):
    for seed in SEEDS:
        found = shares(images, bt.preset("shapes"), seed=seed)
        assert max(found, key=lambda name: found[name].same) == "shape"
        assert found["shape"].same > 0.75
        assert abs(found["hue"].same) < 0.13


def test_views_of_different_pictures_share_nothing(images):
    for seed in SEEDS:
        for share in shares(images, bt.preset("shapes", **COLOURS_OFF), seed=seed).values():
            assert abs(share.different) < 0.13, share.name


@pytest.mark.slow
def test_large_pictures_give_what_small_ones_give():
    small, large = (bt.load("shapes", limit=256, size=size) for size in (32, 128))
    config = bt.preset("shapes", blur_p=0.5)
    a, b = shares(small, config), shares(large, config)
    for name in a:
        assert abs(a[name].same - b[name].same) < 0.1, name


def test_few_pictures_take_turns(images):
    for n in (2, 3, 5):
        found = shares(images[:n], bt.preset("shapes", crop_area=1.0, crop_ratio=1.0, flip_p=0.0, **COLOURS_OFF))
        assert all(share.same > 0.999 for share in found.values())


@pytest.mark.parametrize(("n", "pairs"), [(1, 256), (8, 1)])
def test_too_few_to_compare(images, n, pairs):
    with pytest.raises(bt.DataError, match="at least 2"):
        shares(images[:n], bt.preset("shapes"), pairs=pairs)


def test_the_same_seed_gives_the_same_and_the_global_generator_is_left_alone(images):
    config, state = bt.preset("shapes"), torch.get_rng_state()
    assert shares(images, config, seed=3) == shares(images, config, seed=3) != shares(images, config, seed=4)
    assert torch.equal(torch.get_rng_state(), state)


def test_in_words(images):
    words = str(shares(images, bt.preset("shapes", **COLOURS_OFF))["hue"])
    assert words.startswith("The hue of one view tells you 100\u00a0% about the other's")
    assert "100 times in 100 (guessing: 50)" in words
