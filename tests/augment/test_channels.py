"""Views of images with other channels than red, green and blue, and with more than 256 levels."""

import numpy as np
import pytest
import torch

import byol_tutorial as bt
from byol_tutorial import augment as A

N, SIZE = 12, 20
ALL = {
    "view_size": SIZE, "crop_area": (0.08, 1.0), "jitter_p": 0.8, "brightness": 0.4, "contrast": 0.4, "blur_p": 0.5,
    "solarize_p": 0.3, "vertical_flip_p": 0.5, "quarter_turn_p": 0.5,
}  # fmt: skip
FORMS = pytest.mark.parametrize("form", ["torchvision", "authors"])
CHANNELS = pytest.mark.parametrize("channels", [1, 2, 4, 5, 12])


def pictures(channels: int, deep: bool = False, seed: int = 0) -> torch.Tensor:
    generator = np.random.default_rng(seed)
    kind, levels = (np.uint16, 65536) if deep else (np.uint8, 256)
    return torch.from_numpy(generator.integers(0, levels, (N, channels, 24, 24)).astype(kind))


def views_of(images: torch.Tensor, **changes) -> torch.Tensor:
    config = bt.Config(**ALL | changes).for_channels(images.shape[1])
    return torch.cat(A.Views(config, (0.0,), (1.0,), torch.Generator().manual_seed(3))(images))


@FORMS
@CHANNELS
@pytest.mark.parametrize("deep", [False, True])
def test_views_by_picture_are_those_by_operation(channels, form, deep, monkeypatch):
    images = pictures(channels, deep)
    by_picture = views_of(images, colour_form=form)
    monkeypatch.setattr(A.Views, "compiled", False)
    assert by_picture.shape == (2 * N, channels, SIZE, SIZE)
    torch.testing.assert_close(by_picture, views_of(images, colour_form=form), rtol=0, atol=1.5e-4)


@CHANNELS
@pytest.mark.parametrize("changes", [{"contrast": 0.0}, {"colour_form": "authors"}], ids=["torchvision", "authors"])
def test_every_channel_becomes_what_it_becomes_alone(channels, changes):
    """All operations but torchvision's contrast, whose mean is that of all channels, treat channels one by one."""
    images = pictures(channels)
    together = views_of(images, **changes)
    for c in range(channels):
        torch.testing.assert_close(together[:, c : c + 1], views_of(images[:, c : c + 1], **changes), rtol=0, atol=1e-5)


def test_contrast_pivots_on_the_mean_of_all_channels():
    images = pictures(5)
    off = {"crop_area": 1.0, "crop_ratio": 1.0, "flip_p": 0.0, "blur_p": 0.0, "solarize_p": 0.0, "brightness": 0.0}
    config = bt.Config(**off, jitter_p=1.0, contrast=0.4).for_channels(5)
    views = A.Views(config, (0.0,), (1.0,), torch.Generator().manual_seed(0))
    drawn = views.draw(N, 24, 24)
    x, factor = images.numpy() / 255, drawn.factors[:N, A.CONTRAST].numpy()[:, None, None, None]
    expected = np.clip(x * factor + (1 - factor) * x.mean((1, 2, 3), keepdims=True), 0, 1)
    np.testing.assert_allclose(views.carry_out(images, drawn)[0].numpy(), expected, atol=1e-5)


@FORMS
def test_a_grey_image_has_the_views_of_a_colour_image_that_is_grey(form):
    grey = pictures(1)
    one, three = views_of(grey, colour_form=form), A.Views(
        bt.Config(**ALL, colour_form=form, saturation=0.4, hue=0.5, grayscale_p=0.5),
        (0.0,), (1.0,), torch.Generator().manual_seed(3),
    )(grey.expand(-1, 3, -1, -1))  # fmt: skip
    # the weights of luma sum to 0.9999, which grayscale and contrast multiply by
    torch.testing.assert_close(one.expand(-1, 3, -1, -1), torch.cat(three), rtol=0, atol=1e-3)


def test_what_differs_by_less_than_a_level_of_256_differs_in_the_views():
    whole = pictures(3, deep=True).int() // 300 * 257  # far from white
    deep, other = whole.to(torch.uint16), whole + 40  # a sixth of 257, the step from one level of 256 to the next
    assert torch.equal(whole // 257, other // 257)
    v, w = views_of(deep), views_of(other.to(torch.uint16))
    assert not torch.equal(v, w)
    inside = (v > 0.01) & (v < 0.45)
    assert inside.any()
    assert 0.3 * 40 / 65535 < (v - w).abs()[inside].mean() < 1.5 * 40 / 65535


@pytest.mark.parametrize("channels", [1, 2, 4, 12])
@pytest.mark.parametrize("field", ["saturation", "hue", "grayscale_p"])
def test_operations_on_colours_are_refused_by_name_where_there_are_none(channels, field):
    config = bt.Config().for_channels(channels)
    assert (config.saturation, config.hue, config.grayscale_p) == ((0, 0),) * 3
    views = A.Views(config.replace(**{field: (0.0, 0.2)}))
    with pytest.raises(bt.ConfigError, match=rf"{field}=.*the images have {channels}; give {field}=0"):
        views(pictures(channels))


def test_colours_that_are_never_changed_need_no_colours():
    config = bt.Config(jitter_p=(0.0, 0.5), hue=(0.5, 0.0), saturation=(0.4, 0.0), grayscale_p=0.0)
    assert config.rgb_operations == ()
    assert A.Views(config)(pictures(2))[0].shape == (N, 2, 24, 24)
    assert bt.Config().for_channels(3) == bt.Config()


def test_images_of_integers_that_have_no_range_are_refused():
    with pytest.raises(ValueError, match="int32"):
        A.Views(bt.Config().for_channels(1))(pictures(1).int())
