"""Pictures of any number of channels, and where it is said that their colours are not their own."""

import numpy as np
import pytest
import torch

import byol_tutorial as bt
from byol_tutorial import figures
from byol_tutorial.data.colours import in_colours


def pictures(channels: int, kind=np.uint16, n: int = 24) -> torch.Tensor:
    high = np.iinfo(kind).max
    return torch.from_numpy(np.random.default_rng(0).integers(0, high, (n, channels, 16, 16)).astype(kind))


def test_channels_become_red_green_and_blue():
    one, two, five = (in_colours(pictures(c, np.uint8)) for c in (1, 2, 5))
    assert torch.equal(one, pictures(1, np.uint8).expand(-1, 3, -1, -1))
    assert torch.equal(two[:, :2], pictures(2, np.uint8))
    assert (two[:, 2] == 0).all()
    assert torch.equal(five, pictures(5, np.uint8)[:, :3])
    assert torch.equal(in_colours(pictures(5, np.uint8), (4, 2, 0)), pictures(5, np.uint8)[:, [4, 2, 0]])
    deep = pictures(2)
    torch.testing.assert_close(in_colours(deep)[:, :2], torch.from_numpy(deep.numpy() / np.float32(65535)))
    whole = pictures(3, np.uint8)
    assert in_colours(whole) is whole


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_figures_say_that_colours_are_false(channels):
    x = pictures(channels)
    drawn = [
        figures.image_grid(x),
        figures.view_pairs(x[:3], x[:3], x[:3]),
        figures.neighbours(x[:2], {"f": x[:4].unflatten(0, (2, 2))}),
    ]
    for figure in drawn:
        assert figure.png()
        told = figure.get_supxlabel() == "false colour"
        assert told == ("false colour" in figure.alt) == (channels in (2, 5))


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_panels_show_them_and_say_it(channels):
    images = bt.ImageSet("noise", "train", pictures(channels), torch.arange(24) % 2, ("a", "b"))
    panel = bt.widgets.explorer(images)
    false = "" if channels == 1 else ", false colour"
    assert panel.scene.caption == f"picture 0: a{false}"
    assert all(stage.picture.shape[0] == channels for stage in panel.stages()["v"])
    assert "hue" not in panel.shared
    panel.end()
    strip = bt.widgets.strip(images, count=2)
    assert not {"hue", "grayscale"} & {operation["name"] for operation in strip.about["operations"]}
    assert strip.about["names"] == [f"a{false}", f"b{false}"]


def test_a_film_of_five_channels_has_pictures_in_three():
    images = bt.ImageSet("noise", "train", pictures(5), torch.arange(24) % 2, ("a", "b"))
    config = bt.Config(batch_size=8, epochs=1, warmup_epochs=0.0, width=4, hidden_dim=8, projection_dim=8).for_channels(
        5
    )
    recording = bt.record(bt.Trainer(config, images, device="cpu"), images, progress=False)
    assert recording.images.shape == (24, 3, 16, 16)
    assert recording.views.shape == (24, 2, 3, 16, 16)
    expected = in_colours(images.images).mul(255).round()
    torch.testing.assert_close(recording.images.float(), expected)
    assert recording.name == "noise, train, false colour"
    assert bt.widgets.film(recording).atlas
