"""The factors decide the picture, and can be found in it again."""

import math

import matplotlib.path
import numpy as np
import pytest
import torch
from scipy.ndimage import binary_fill_holes

from byol_tutorial.augment.operations import LUMA
from byol_tutorial.data import shapes

FACTORS = shapes.sample_factors(200, seed=3)


def ink(pictures):
    """Coverage by the line, from luma alone: float (N, H, W), about 0 on the ground and 1 on the line."""
    grey = (pictures.float() / 255 * torch.tensor(LUMA)[:, None, None]).sum(1)
    return (grey - shapes.GROUND) / (shapes.INK - shapes.GROUND)


def test_same_factors_same_picture_and_every_factor_matters():
    pictures = shapes.draw(FACTORS)
    assert pictures.dtype == torch.uint8
    assert pictures.shape == (200, 3, 32, 32)
    assert torch.equal(pictures, shapes.draw(FACTORS))
    changes = {"shape": (FACTORS.shape + 1) % 10, "hue": (FACTORS.hue + 0.3) % 1, "x": -FACTORS.x - 0.1}
    changes |= {"y": -FACTORS.y - 0.1, "scale": 1.36 - FACTORS.scale + 0.05, "rotation": FACTORS.rotation + 0.4}
    for name, value in changes.items():
        other = shapes.draw(shapes.Factors(**(vars(FACTORS) | {name: value})))
        differs = (other != pictures).flatten(1).any(1)
        if name == "rotation":
            differs |= FACTORS.shape == shapes.CLASSES.index("circle")
        assert differs.float().mean() > 0.95, name


def test_a_picture_does_not_depend_on_its_neighbours():
    some = torch.tensor([5, 17, 3])
    assert torch.equal(shapes.draw(FACTORS[some]), shapes.draw(FACTORS)[some])


def test_position_is_the_centre_of_the_ink():
    """For curves that are symmetric about their centre, drawn large enough to measure."""
    for name in ("circle", "square", "star", "cross", "eight", "triangle", "clover"):
        f = FACTORS[FACTORS.shape == shapes.CLASSES.index(name)]
        weight = ink(shapes.draw(f, 64)).clamp(min=0)
        axis = (torch.arange(64) + 0.5) / 32 - 1
        # only those that lie wholly inside, where nothing is cut off
        inside = (f.x.abs() + f.scale < 0.95) & (f.y.abs() + f.scale < 0.95)
        x = (weight.sum(1) * axis).sum(1) / weight.sum((1, 2))
        y = (weight.sum(2) * axis).sum(1) / weight.sum((1, 2))
        assert inside.sum() >= 3
        torch.testing.assert_close(x[inside], f.x[inside], rtol=0, atol=0.03)
        torch.testing.assert_close(y[inside], f.y[inside], rtol=0, atol=0.03)


def test_scale_is_the_radius_of_the_circle():
    f = FACTORS[FACTORS.shape == shapes.CLASSES.index("circle")]
    weight = ink(shapes.draw(f, 64)).clamp(min=0)
    v, u = torch.meshgrid((torch.arange(64) + 0.5) / 32 - 1, (torch.arange(64) + 0.5) / 32 - 1, indexing="ij")
    radius = ((u - f.x[:, None, None]) ** 2 + (v - f.y[:, None, None]) ** 2).sqrt()
    torch.testing.assert_close((weight * radius).sum((1, 2)) / weight.sum((1, 2)), f.scale, rtol=0, atol=0.02)


def test_rotation_turns_the_picture():
    """A quarter turn of a centred curve is the picture turned by 90 degrees."""
    f = shapes.sample_factors(40, seed=1)
    centred = vars(f) | {"x": torch.zeros(40), "y": torch.zeros(40)}
    upright = shapes.draw(shapes.Factors(**centred))
    turned = shapes.draw(shapes.Factors(**(centred | {"rotation": f.rotation + math.pi / 2})))
    difference = (torch.rot90(upright, -1, dims=(2, 3)).float() - turned.float()).abs()
    assert difference.mean() < 1.0
    assert (upright.float() - turned.float()).abs().mean() > 3.0  # and it is no test of round things only


def test_hue_is_the_angle_of_the_colour_and_leaves_luma_alone():
    pictures = shapes.draw(FACTORS).float() / 255
    ground = pictures.amin((2, 3))  # the darkest value of each channel is the ground's, in every hue or the line's
    line = (pictures - 0).flatten(2)
    weight = ink(shapes.draw(FACTORS)).flatten(1).clamp(0, 1)
    colour = (line * (weight > 0.9)[:, None]).sum(2) / (weight > 0.9).sum(1, keepdim=True)
    grey = (colour * torch.tensor(LUMA)).sum(1)
    cr, cb = (colour[:, 0] - grey) / (1 - LUMA[0]), (colour[:, 2] - grey) / (1 - LUMA[2])
    angle = torch.atan2(cr, cb) / (2 * math.pi) % 1
    wrong = (angle - FACTORS.hue + 0.5) % 1 - 0.5
    assert wrong.abs().max() < 0.02
    assert ground.shape == (200, 3)
    one = shapes.Factors(**{k: v[:1].repeat(64) for k, v in vars(FACTORS).items()} | {"hue": torch.linspace(0, 1, 64)})
    grey = (shapes.draw(one).float() * torch.tensor(LUMA)[:, None, None]).sum(1)
    assert (grey.amax(0) - grey.amin(0)).max() < 1.5  # of 255: rounding


@pytest.mark.parametrize("luma", [shapes.INK, shapes.GROUND])
def test_tint_needs_no_clamping(luma):
    colours = shapes.tint(torch.linspace(0, 1, 1000), luma)
    assert colours.min() >= 0
    assert colours.max() <= 1
    torch.testing.assert_close((colours * torch.tensor(LUMA)).sum(1), torch.full((1000,), luma), rtol=0, atol=1e-3)


def test_factors_are_balanced_in_range_and_reproducible():
    f = shapes.sample_factors(5000, seed=7)
    assert torch.bincount(f.shape).tolist() == [500] * 10
    for name, (low, high) in {
        "hue": (0, 1), "x": (-0.25, 0.25), "y": (-0.25, 0.25), "scale": (0.58, 0.78), "rotation": (0, 2 * math.pi),
    }.items():  # fmt: skip
        values = getattr(f, name)
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high >= values.max() > high - 0.01 * (high - low)
    again, other = shapes.sample_factors(5000, seed=7), shapes.sample_factors(5000, seed=8)
    assert torch.equal(f.hue, again.hue)
    assert not torch.equal(f.hue, other.hue)


def test_pictures_of_other_sizes_show_the_same():
    small, large = shapes.draw(FACTORS[:20], 32).float(), shapes.draw(FACTORS[:20], 64).float()
    reduced = torch.nn.functional.avg_pool2d(large, 2)
    assert (reduced - small).abs().mean() < 3


def test_the_ten_shapes_are_ten_different_curves():
    one = {k: v[:1].repeat(10) for k, v in vars(FACTORS).items()} | {"shape": torch.arange(10)}
    pictures = shapes.draw(shapes.Factors(**one)).flatten(1).float()
    assert (torch.cdist(pictures, pictures) + 1e9 * torch.eye(10)).min() > 500


# --- masks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [32, 64])
def test_a_mask_is_the_ink_of_the_picture_and_all_that_it_encloses(size):
    """The ink is the difference of the picture from its ground; rounding decides pixels that are half covered."""
    coverage = ink(shapes.draw(FACTORS, size))
    found, enclosed = shapes.masks(FACTORS, size), []
    for picture in coverage.numpy():
        enclosed.append(torch.from_numpy(binary_fill_holes(picture >= 0.5)))
    assert found.dtype == torch.bool
    differs = found != torch.stack(enclosed)
    assert (differs & ((coverage - 0.5).abs() > 0.02)).sum() == 0
    assert differs.float().mean() < 1e-3
    assert 0.2 < found.float().mean() < 0.5


def test_what_a_mask_has_beside_the_ink_are_the_points_within_the_curve():
    coverage, found = ink(shapes.draw(FACTORS, 48)), shapes.masks(FACTORS, 48)
    axis = (torch.arange(48) + 0.5) / 24 - 1
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    points = torch.stack((u, v), dim=-1).reshape(-1, 2).numpy()
    for i in range(40):
        f = {name: value[i].item() for name, value in vars(FACTORS).items()}
        x, y = (shapes._curve(shapes.CLASSES[int(f["shape"])]) * f["scale"]).T
        cos, sin = math.cos(f["rotation"]), math.sin(f["rotation"])
        curve = matplotlib.path.Path(np.stack((cos * x - sin * y + f["x"], sin * x + cos * y + f["y"]), axis=-1))
        within = torch.from_numpy(curve.contains_points(points)).view(48, 48)
        apart = coverage[i] < 0.02
        assert torch.equal(found[i][apart], within[apart]), shapes.CLASSES[int(f["shape"])]


def test_masks_are_those_of_the_pictures_of_both_splits_and_of_any_part():
    import byol_tutorial as bt

    for split in ("train", "test"):
        images = bt.load("shapes", split, limit=60, seed=4)
        whole = shapes.masks(images.factors)
        part = images[torch.tensor([3, 50, 7])]
        assert torch.equal(shapes.masks(part.factors), whole[[3, 50, 7]])
        assert torch.equal(whole, shapes.masks(bt.load("shapes", split, limit=60, seed=4).factors))
