"""The chain of a view: each step against torchvision's, the last against the view itself; and what was drawn, in words."""

from itertools import pairwise

import pytest
import torch
from torchvision.transforms.v2 import functional as TF

import byol_tutorial as bt
from byol_tutorial import augment as A
from byol_tutorial.augment.explain import chain, in_words

ALL = {"jitter_p": 0.8, "grayscale_p": 0.3, "blur_p": 0.5, "solarize_p": 0.5, "crop_area": (0.2, 1.0), "flip_p": 0.5}
N = 16


@pytest.fixture(scope="module")
def images():
    """Smooth random pictures, which no operation leaves as they are."""
    noise = torch.rand(N, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    return (torch.nn.functional.interpolate(noise, (32, 32), mode="bicubic").clamp(0, 1) * 255).to(torch.uint8)


def drawn(config, seed=0):
    views = A.Views(config, (0.0,) * 3, (1.0,) * 3, torch.Generator().manual_seed(seed))
    return views, views.draw(N, 32, 32)


@pytest.mark.parametrize("form", ["torchvision", "authors"])
@pytest.mark.parametrize("size", [0, 20])
def test_the_last_picture_is_the_view(images, form, size):
    config = bt.Config(colour_form=form, view_size=size, **ALL)
    views, d = drawn(config)
    for side, view in enumerate(views.carry_out(images, d)):
        for i in range(N):
            row = i + side * N
            way = chain(images[i], d[row : row + 1], config, side)
            # the chain is computed by operation, the view by picture: rounding differs
            torch.testing.assert_close(way[-1].picture, view[i], rtol=0, atol=1e-5)
            torch.testing.assert_close(way[0].picture, images[i].float() / 255, rtol=0, atol=1e-6)


def test_names_come_in_the_drawn_order(images):
    config = bt.Config(**ALL)
    _, d = drawn(config)
    orders = set()
    for i in range(N):
        names = [stage.name for stage in chain(images[i], d[i : i + 1], config)]
        assert names[:3] == ["image", "crop", "flip"]
        assert names[7:] == ["grayscale", "blur", "solarize"]
        assert names[3:7] == [("brightness", "contrast", "saturation", "hue")[k] for k in d.order[i]]
        orders.add(tuple(names[3:7]))
    assert len(orders) > 4


def test_each_step_is_torchvisions_operation_on_the_picture_before(images):
    theirs = {
        "brightness": TF.adjust_brightness,
        "contrast": TF.adjust_contrast,
        "saturation": TF.adjust_saturation,
        "hue": TF.adjust_hue,
    }
    config = bt.Config(**ALL | {"jitter_p": 1.0, "grayscale_p": 0.5})
    _, d = drawn(config, seed=1)
    seen = set()
    for i in range(N):
        row = d[i : i + 1]
        way = chain(images[i], row, config)
        for before, stage in pairwise(way[1:]):  # the crop itself: test_augment
            x, name = before.picture, stage.name
            if name in theirs:
                expected = theirs[name](x, row.factors[0, A.COLOUR_OPERATIONS.index(name)].item())
            elif not getattr(row, name):
                expected = x
            elif name == "flip":
                expected = x.flip(2)
            elif name == "grayscale":
                expected = TF.rgb_to_grayscale(x, 3)
            elif name == "blur":
                expected = TF.gaussian_blur(x, [3, 3], [row.sigma.item()] * 2)
            else:
                expected = torch.where(x >= 0.5, 1 - x, x)
            away = (x - 0.5).abs() > 1e-3 if name == "solarize" else torch.ones_like(x, dtype=torch.bool)
            torch.testing.assert_close(stage.picture[away], expected[away], rtol=0, atol=2e-4)
            seen |= {name} if stage.done else set()
    assert seen == {"flip", *theirs, "grayscale", "blur", "solarize"}


def test_what_was_not_done_changes_nothing(images):
    config = bt.Config(jitter_p=0.4, grayscale_p=0.4, blur_p=0.4, blur_sigma=(0.5, 2.0), solarize_p=0.4, flip_p=0.4)
    _, d = drawn(config)
    skipped = 0
    for i in range(N):
        way = chain(images[i], d[i : i + 1], config)
        for before, stage in pairwise(way[1:]):
            if stage.done:
                assert (stage.picture - before.picture).abs().max() > 1e-4
            else:
                torch.testing.assert_close(stage.picture, before.picture, rtol=0, atol=1e-6)
                skipped += 1
    assert skipped > N


def test_stages_leave_image_and_draw_as_they_were(images):
    config = bt.Config(**ALL)
    _, d = drawn(config)
    image, row = images[0].float() / 255, d[:1]
    before = image.clone(), {k: v.clone() for k, v in vars(row).items()}
    A.stages(image, row, 32)
    assert torch.equal(image, before[0])
    assert all(torch.equal(v, before[1][k]) for k, v in vars(row).items())


# --- words --------------------------------------------------------------------------------------


def one(**changes) -> A.Draw:
    no, yes = torch.tensor([False]), torch.tensor([True])
    full = {
        "top": torch.tensor([8.0]), "left": torch.tensor([3.0]), "height": torch.tensor([16.0]), "width": torch.tensor([24.0]),
        "flip": no, "vertical_flip": no, "quarter_turns": torch.tensor([0]), "jitter": yes, "factors": torch.tensor([[1.1, 0.87, 1.5, 0.31]]), "order": torch.arange(4)[None],
        "grayscale": no, "blur": no, "sigma": torch.tensor([1.234]), "solarize": no,
    }  # fmt: skip
    return A.Draw(**full | {name: torch.tensor([value]) for name, value in changes.items()})


@pytest.mark.parametrize(
    ("name", "changes", "config", "words", "done"),
    [
        ("crop", {}, {}, "38 % of the area, at (3, 8)", True),
        ("crop", {"top": 0.0, "left": 0.0, "height": 32.0, "width": 32.0}, {}, "100 % of the area, at (0, 0)", False),
        ("flip", {"flip": True}, {}, "flipped", True),
        ("flip", {}, {"flip_p": 0.5}, "not flipped (p = 0.5)", False),
        ("flip", {}, {"flip_p": 0.0}, "off (p = 0)", False),
        (
            "flip",
            {},
            {"flip_p": 0.5, "vertical_flip_p": 0.5, "quarter_turn_p": 0.75},
            "not flipped (p = 0.5, vertical = 0.5, turn = 0.75)",
            False,
        ),
        ("flip", {}, {"flip_p": 0.0, "vertical_flip_p": (0.0, 0.5)}, "off (p = 0)", False),
        ("flip", {"vertical_flip": True}, {"flip_p": 0.0}, "flipped vertically", True),
        ("flip", {"flip": True, "quarter_turns": 3}, {}, "flipped, turned by 270°", True),
        (
            "flip",
            {"flip": True, "vertical_flip": True, "quarter_turns": 2},
            {},
            "flipped, flipped vertically, turned by 180°",
            False,
        ),
        ("brightness", {}, {}, "× 1.10", True),
        ("brightness", {}, {"colour_form": "authors"}, "+0.10", True),
        ("contrast", {}, {}, "× 0.87", True),
        ("saturation", {}, {"saturation": 0.0}, "no change (strength 0)", False),
        ("hue", {}, {}, "+0.31 of a circle", True),
        ("hue", {"factors": [1.0, 1.0, 1.0, -0.049]}, {}, "−0.05 of a circle", True),
        ("hue", {"jitter": False}, {"jitter_p": 0.8}, "skipped (jitter p = 0.8)", False),
        ("grayscale", {}, {}, "skipped (p = 0.3)", False),
        ("grayscale", {"grayscale": True}, {}, "grey", True),
        ("blur", {"blur": True}, {"blur_p": 1.0}, "σ = 1.23 px", True),
        ("solarize", {"solarize": True}, {"solarize_p": 0.2}, "1 − x where x ≥ 0.5", True),
    ],
)
def test_words(name, changes, config, words, done):
    assert in_words(name, one(**changes), bt.Config(**config), 0, (32, 32)) == (words, done)


def test_words_are_of_the_views_own_probability():
    config = bt.Config(blur_p=(0.7, 0.1))
    assert in_words("blur", one(), config, 0, (32, 32))[0] == "skipped (p = 0.7)"
    assert in_words("blur", one(), config, 1, (32, 32))[0] == "skipped (p = 0.1)"
