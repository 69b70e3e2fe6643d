"""The set "photographs": what it holds, that train and test share no pixel, and that its licences are named."""

import re
from importlib.resources import files

import numpy as np
import pytest
import torch
from PIL import Image

from byol_tutorial.data import loading, photographs
from byol_tutorial.data.loading import load


@pytest.fixture(scope="module")
def both():
    return {split: load("photographs", split) for split in ("train", "test")}


def test_it_has_the_documented_sizes_types_and_classes(both):
    for split, n in (("train", 4096), ("test", 2048)):
        images = both[split]
        assert images.images.shape == (n, 3, 32, 32)
        assert images.images.dtype == torch.uint8
        assert images.labels.dtype == torch.int64
        assert images.classes == photographs.CLASSES
        counts = images.labels.bincount()
        assert len(counts) == 10
        assert counts.max() - counts.min() <= 1
        assert images.name == "photographs"
        assert images.split == split


def test_the_same_seed_gives_the_same_squares_and_another_others(both):
    again, other = load("photographs", "test"), load("photographs", "test", seed=1)
    assert torch.equal(again.images, both["test"].images)
    assert torch.equal(again.labels, both["test"].labels)
    assert not torch.equal(other.images, both["test"].images)


def test_limit_and_size():
    few = load("photographs", limit=30, size=16)
    assert few.images.shape == (30, 3, 16, 16)
    assert torch.equal(few.images, load("photographs", limit=30, size=16).images)
    assert len(load("photographs", "test", limit=2100, size=8)) == 2100  # more are cut where more are asked for


def test_no_pixel_is_in_train_and_test(monkeypatch):
    """Every photograph becomes one that is white left of the cut and black right of it, so a shared pixel would show."""
    width, height = 300, 90
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[:, : round(0.65 * width)] = 255
    monkeypatch.setattr(photographs, "photograph", lambda name: Image.fromarray(pixels))
    for split, value in (("train", 255), ("test", 0)):
        images = load("photographs", split, limit=5000).images
        assert images.min() == images.max() == value


def test_squares_come_from_all_places_of_their_part(monkeypatch):
    """The mean of a square is that of its middle, of pixels whose red gives their place across, and whose green gives it down."""
    width, height = 256, 120
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[:, :, 0], pixels[:, :, 1] = np.arange(width), np.arange(height)[:, None]
    monkeypatch.setattr(photographs, "photograph", lambda name: Image.fromarray(pixels))
    cut = round(0.65 * width)
    for split, start, end in (("train", 0, cut), ("test", cut, width)):
        middle = load("photographs", split).images.float().mean((2, 3))
        for channel, a, b in ((0, start, end), (1, 0, height)):
            low, high = middle[:, channel].min(), middle[:, channel].max()
            assert a + 20 - 1.5 <= low <= a + 24  # half of the smallest side, 40, is 20
            assert b - 24 <= high <= b - 20 + 1.5


def test_each_file_has_a_licence_and_each_row_a_file():
    folder = files("byol_tutorial.data") / "photos"
    table = re.findall(
        r"^\| (\S+)\.jpg \|.*\| (CC0|public domain|CC BY 2\.0) \|", (folder / "README.md").read_text("utf-8"), re.M
    )
    names = sorted(p.name.removesuffix(".jpg") for p in folder.iterdir() if p.name.endswith(".jpg"))
    assert sorted(name for name, _ in table) == names == sorted(photographs.CLASSES)
    assert sum(p.stat().st_size for p in folder.iterdir()) < 1_200_000
    by = {name for name, licence in table if licence == "CC BY 2.0"}
    assert by == {"temple", "flower"}
    assert all(name in photographs.__doc__ for name in photographs.CLASSES)


def test_photographs_are_in_colour_or_grey_as_documented(both):
    train = both["train"]
    for c, name in enumerate(train.classes):
        pixels = train.images[train.labels == c].float()
        spread = (pixels.amax(1) - pixels.amin(1)).mean()
        assert (spread < 3) == (name in ("brick", "grass", "gravel")), (name, spread)


def test_it_is_named_wherever_sets_without_a_download_are():
    assert "photographs" in loading.__doc__
    with pytest.raises(loading.DataError, match="did you mean 'photographs'"):
        load("photograph")
