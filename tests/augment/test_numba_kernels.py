"""Views picture by picture: the same as by operation, which is tested against torchvision; and however they are shared out."""

import os
import subprocess
import sys
from dataclasses import fields

import numba
import pytest
import torch

import byol_tutorial as bt
from byol_tutorial import augment as A
from byol_tutorial.augment import numba_kernels

N = 40
MEAN, STD = (0.1, 0.5, 0.7), (0.3, 0.2, 0.6)
# A crop's place is a float32 number of pixels, so rounding grows with the picture: 2.5e-5 was measured at 32 px and
# 4e-4 at 224 px, by picture and by operation alike, from the same in float64. One grey level is 1.3e-2 here.
PER_PIXEL = 4e-6
CLOSE = {"rtol": 0, "atol": 32 * PER_PIXEL}
NOTHING = {
    "crop_area": 1.0, "crop_ratio": 1.0, "flip_p": 0.0, "jitter_p": 0.0, "grayscale_p": 0.0, "blur_p": 0.0,
    "solarize_p": 0.0,
}  # fmt: skip
COLOUR = {"jitter_p": 1.0, "brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
ALONE = {
    "nothing": {},
    "crop": {"crop_area": (0.08, 1.0), "crop_ratio": (3 / 4, 4 / 3)},
    "flip": {"flip_p": 1.0},
    "vertical flip": {"vertical_flip_p": 1.0},
    "quarter turn": {"quarter_turn_p": 1.0},
    "brightness": COLOUR | {"brightness": 0.8},
    "contrast": COLOUR | {"contrast": 0.8},
    "saturation": COLOUR | {"saturation": 0.8},
    "hue": COLOUR | {"hue": 0.5},
    "all four": COLOUR | {"brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.5},
    "grayscale": {"grayscale_p": 1.0},
    "blur": {"blur_p": 1.0, "blur_sigma": (0.1, 2.0)},
}
ALL = {
    "crop_area": (0.08, 1.0), "jitter_p": 0.8, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.2,
    "grayscale_p": 0.3, "blur_p": 0.5, "solarize_p": 0.3, "vertical_flip_p": 0.5, "quarter_turn_p": 0.75,
}  # fmt: skip


def pictures(n=N, height=32, width=32, seed=0) -> torch.Tensor:
    return torch.randint(
        0, 256, (n, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )


def by_operation(views: A.Views, images, drawn, size) -> torch.Tensor:
    """In float64."""
    numbers = {f.name: getattr(drawn, f.name) for f in fields(drawn)}
    drawn = A.Draw(**{name: t.double() if t.is_floating_point() else t for name, t in numbers.items()})
    both = (images.double() / 255).repeat(views.per_image, 1, 1, 1)
    torch.set_default_dtype(torch.float64)
    try:
        return A.normalise(A.apply(both, drawn, size, views.config.colour_form), MEAN, STD).float()
    finally:
        torch.set_default_dtype(torch.float32)


def both_ways(images, size, **changes) -> tuple[torch.Tensor, torch.Tensor, A.Draw]:
    views = A.Views(bt.Config(view_size=size, **changes), MEAN, STD, torch.Generator().manual_seed(3))
    drawn = views.draw(len(images), *images.shape[2:])
    return torch.cat(views.carry_out(images, drawn)), by_operation(views, images, drawn, size), drawn


@pytest.mark.parametrize("form", ["torchvision", "authors"])
@pytest.mark.parametrize("name", ALONE)
def test_each_operation_alone_is_the_same(name, form):
    ours, expected, _ = both_ways(pictures(), 32, **NOTHING | ALONE[name], colour_form=form)
    torch.testing.assert_close(ours, expected, **CLOSE)
    plain = A.normalise(A.as_float(pictures()).repeat(2, 1, 1, 1), MEAN, STD)
    assert ((ours - plain).abs().max() > 0.1) == (name != "nothing")  # and it does something


@pytest.mark.parametrize("form", ["torchvision", "authors"])
@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(32, 32, 32), (32, 32, 24), (32, 32, 48), (17, 40, 20), (96, 64, 64), (150, 224, 100), (5, 4, 9), (3, 2, 4), (9, 9, 1)],
)  # fmt: skip
def test_the_whole_chain_is_the_same_at_any_size(height, width, size, form):
    images = pictures(12, height, width)
    ours, expected, _ = both_ways(images, size, **ALL, colour_form=form)
    assert (ours.shape, ours.dtype) == ((24, 3, size, size), torch.float32)
    torch.testing.assert_close(ours, expected, rtol=0, atol=PER_PIXEL * max(32, height, width, size))


def test_solarize_inverts_what_is_bright():
    ours, expected, drawn = both_ways(pictures(), 32, **ALL)
    back = ours * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
    torch.testing.assert_close(ours, expected, **CLOSE)
    assert drawn.solarize.any()
    assert back[drawn.solarize].max() <= 0.5 + 1e-5 < back[~drawn.solarize].max()


def test_pictures_as_floats_are_the_same():
    images = pictures()
    views = A.Views(bt.Config(**ALL), MEAN, STD, torch.Generator().manual_seed(0))
    drawn = views.draw(N, 32, 32)
    bytes_, floats = torch.cat(views.carry_out(images, drawn)), torch.cat(views.carry_out(images / 255, drawn))
    torch.testing.assert_close(floats, bytes_, **CLOSE)
    doubles = torch.cat(views.carry_out(images.double() / 255, drawn))
    assert torch.equal(doubles, floats)


@pytest.mark.parametrize(
    ("images", "rows", "words"),
    [
        (torch.zeros(4, 0, 8, 8, dtype=torch.uint8), 4, r"\(4, 0, 8, 8\)"),
        (torch.zeros(3, 3, 8, 8, dtype=torch.uint8), 4, "for 8 draws"),
        (torch.zeros(4, 3, 8, 8, dtype=torch.int64), 4, "int64"),
        (torch.zeros(0, 3, 8, 8, dtype=torch.uint8), 4, "for 8 draws"),
    ],
)
def test_images_that_are_none_are_refused_before_they_are_read(images, rows, words):
    views = A.Views(bt.Config(view_size=8).for_channels(0))
    with pytest.raises(ValueError, match=words):
        views.carry_out(images, views.draw(rows, 8, 8))


def test_a_part_of_a_larger_tensor_is_read_rightly():
    """Every second picture, turned on its side: neither lies in one piece."""
    images = pictures(2 * N)[::2].transpose(2, 3)
    views = A.Views(bt.Config(**ALL), MEAN, STD, torch.Generator().manual_seed(0))
    drawn = views.draw(N, 32, 32)
    torch.testing.assert_close(
        torch.cat(views.carry_out(images, drawn)),
        torch.cat(views.carry_out(images.contiguous(), drawn)),
        rtol=0,
        atol=0,
    )


def test_local_crops_take_their_images_in_turn():
    config = bt.preset("shapes", method="dino", local_crops=3)
    crops = A.LocalCrops(config, 32, MEAN, STD, torch.Generator().manual_seed(0))
    drawn = crops.draw(N, 32, 32)
    ours = torch.cat(crops.carry_out(pictures(), drawn))
    assert len(ours) == 3 * N
    torch.testing.assert_close(ours, by_operation(crops, pictures(), drawn, ours.shape[2]), **CLOSE)


def test_views_do_not_depend_on_how_a_batch_is_shared_out():
    views = A.Views(bt.Config(**ALL), MEAN, STD, torch.Generator().manual_seed(0))
    images, drawn = pictures(), views.draw(N, 32, 32)
    whole = torch.cat(views.carry_out(images, drawn))
    for i in (0, 7, N - 1):
        rows = torch.tensor([i, N + i])
        alone = torch.cat(views.carry_out(images[i : i + 1], drawn[rows]))
        assert torch.equal(alone, whole[rows])


def test_views_are_channels_last():
    """As the networks want them, without another pass over the batch."""
    for v in A.Views(bt.Config())(pictures()):
        assert v.is_contiguous(memory_format=torch.channels_last)


def test_gradients_still_pass_to_the_images():
    images = (pictures(4) / 255).requires_grad_()
    v1, _ = A.Views(bt.Config(), generator=torch.Generator().manual_seed(0))(images)
    v1.sum().backward()
    assert images.grad.abs().sum() > 0


def some_views() -> torch.Tensor:
    return torch.cat(A.Views(bt.Config(**ALL), MEAN, STD, torch.Generator().manual_seed(0))(pictures()))


def elsewhere(tmp_path, before: str = "", after: str = "") -> tuple[torch.Tensor, int]:
    """The same made twice in a process of its own, and how often it was said there that numba cannot be used."""
    code = f"""
{before}
import torch
from byol_tutorial.augment import Views
images, config = torch.load("in.pt", weights_only=False)
for _ in range(2):
    views = torch.cat(Views(config, {MEAN}, {STD}, torch.Generator().manual_seed(0))(images))
{after}
torch.save(views, "out.pt")"""
    torch.save((pictures(), bt.Config(**ALL)), tmp_path / "in.pt")
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": os.getcwd()}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return torch.load(tmp_path / "out.pt"), done.stderr.count("numba cannot be used")


NO_BYTE_MAY_BE_WRITTEN = (
    "import resource; limit = lambda n: resource.setrlimit(resource.RLIMIT_FSIZE, (n, -1)); limit(0)"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("import sys; sys.modules['numba'] = None", "", id="numba is missing"),
        pytest.param("import sys; sys.modules['llvmlite'] = None", "", id="numba does not load"),
        pytest.param(NO_BYTE_MAY_BE_WRITTEN, "limit(-1)", id="the disk is full"),
    ],
)
def test_where_numba_cannot_be_used_the_pictures_are_the_same_and_it_is_said_once(before, after, tmp_path):
    views, warnings = elsewhere(tmp_path, before, after)
    torch.testing.assert_close(views, some_views(), **CLOSE)
    assert warnings == 1


@pytest.mark.slow
def test_a_cache_that_was_cut_short_is_said_too(tmp_path):
    expected = some_views()
    here = numba_kernels._rows.stats.cache_path  # None where nothing can be kept; copied, since compiling takes long
    copy = f"""
import shutil
from byol_tutorial.augment import numba_kernels
shutil.copytree({here!r}, numba_kernels._rows.stats.cache_path, dirs_exist_ok=True)"""
    views, warnings = elsewhere(tmp_path, copy if here else "")
    assert torch.equal(views, expected)
    assert warnings == 0
    kept = list((tmp_path / "cache").rglob("*.nb[ic]"))
    for file in kept:
        file.write_bytes(file.read_bytes()[:20])
    views, warnings = elsewhere(tmp_path)
    torch.testing.assert_close(views, expected, **CLOSE)
    assert kept
    assert warnings == 1


def test_where_nothing_can_be_kept_it_is_compiled_all_the_same(monkeypatch):
    real = numba.njit

    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(numba, "njit", njit)
    assert numba_kernels.compiled(lambda x: x + 1)(2) == 3
