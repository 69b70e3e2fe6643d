"""Each operation against torchvision's own, and the draws against their probabilities."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torchvision.transforms import RandomResizedCrop, v2
from torchvision.transforms.v2 import functional as TF

import byol_tutorial as bt
from byol_tutorial import augment as A

N = 12
OFF = {
    "crop_area": 1.0, "crop_ratio": 1.0, "flip_p": 0.0, "jitter_p": 0.0, "grayscale_p": 0.0, "blur_p": 0.0,
    "solarize_p": 0.0,
}  # fmt: skip


@pytest.fixture
def images():
    """Smooth random pictures: noise would hide errors of half a pixel under errors of interpolation."""
    noise = torch.rand(N, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(noise, (32, 32), mode="bicubic").clamp(0, 1)


def drawn(n=N, **changes) -> A.Draw:
    """A Draw that does nothing but what is named."""
    no = torch.zeros(n, dtype=torch.bool)
    full = {
        "top": torch.zeros(n), "left": torch.zeros(n), "height": torch.full((n,), 32.0), "width": torch.full((n,), 32.0),
        "flip": no, "vertical_flip": no, "quarter_turns": torch.zeros(n, dtype=torch.long), "jitter": no, "factors": torch.tensor([1.0, 1.0, 1.0, 0.0]).repeat(n, 1),
        "order": torch.arange(4).repeat(n, 1), "grayscale": no, "blur": no, "sigma": torch.ones(n), "solarize": no,
    }  # fmt: skip
    return A.Draw(**(full | changes))


YES = torch.ones(N, dtype=torch.bool)


def test_nothing_drawn_nothing_changed(images):
    torch.testing.assert_close(A.apply(images.clone(), drawn(), 32), images, rtol=0, atol=2e-6)


@pytest.mark.parametrize("size", [32, 24, 48, 17])
def test_crop_is_torchvisions_antialiased_bicubic(images, size):
    generator = torch.Generator().manual_seed(1)
    h, w = torch.randint(6, 33, (2, N), generator=generator)
    top = (torch.rand(N, generator=generator) * (33 - h)).long()
    left = (torch.rand(N, generator=generator) * (33 - w)).long()
    ours = A.crop(images, drawn(top=top.float(), left=left.float(), height=h.float(), width=w.float()), size)
    for i in range(N):
        theirs = TF.resized_crop(
            images[i], int(top[i]), int(left[i]), int(h[i]), int(w[i]), [size, size],
            v2.InterpolationMode.BICUBIC, antialias=True,
        )  # fmt: skip
        torch.testing.assert_close(ours[i], theirs.clamp(0, 1), rtol=0, atol=1e-5)


def test_flip_is_torchvisions(images):
    flip = torch.arange(N) % 2 == 0
    ours = A.crop(images, drawn(flip=flip), 32)
    for i in range(N):
        expected = TF.horizontal_flip(images[i]) if flip[i] else images[i]
        torch.testing.assert_close(ours[i], expected, rtol=0, atol=2e-6)


def turned(x: torch.Tensor, flip: bool, vertical: bool, turns: int) -> torch.Tensor:
    """What torch makes of one picture (3, s, s): flips, then quarter turns counter-clockwise."""
    x = x.flip(2) if flip else x
    return torch.rot90(x.flip(1) if vertical else x, turns, (1, 2))


@pytest.mark.parametrize("size", [32, 17])
def test_flips_and_turns_together_are_torchs(images, size):
    """All sixteen combinations, on a crop that is not square."""
    flip, vertical, turns = torch.cartesian_prod(torch.arange(2), torch.arange(2), torch.arange(4)).T
    pictures = images[:1].expand(16, -1, -1, -1)
    place = {"top": torch.full((16,), 3.0), "height": torch.full((16,), 20.5), "width": torch.full((16,), 30.0)}
    plain = A.apply(pictures, drawn(16, **place), size)
    ours = A.apply(pictures, drawn(16, **place, flip=flip > 0, vertical_flip=vertical > 0, quarter_turns=turns), size)
    for i in range(16):
        expected = turned(plain[i], bool(flip[i]), bool(vertical[i]), int(turns[i]))
        torch.testing.assert_close(ours[i], expected, rtol=0, atol=1e-6)
    assert len({tuple(x.flatten().tolist()) for x in ours.mul(1e4).round()}) == 8  # the symmetries of a square


def test_a_whole_view_that_is_turned_is_the_view_turned(images):
    """Colours, blur and solarize treat all directions in the same way."""
    turns = torch.arange(N) % 4
    full = {
        "jitter": YES, "factors": torch.tensor([1.2, 0.7, 1.4, 0.2]).repeat(N, 1), "grayscale": turns == 1, "blur": YES,
        "sigma": torch.full((N,), 0.8), "width": torch.full((N,), 22.0),
    }  # fmt: skip
    plain = A.apply(images, drawn(**full), 32)
    ours = A.apply(images, drawn(**full, quarter_turns=turns, vertical_flip=YES), 32)
    for i in range(N):
        torch.testing.assert_close(ours[i], turned(plain[i], False, True, int(turns[i])), rtol=0, atol=1e-5)


THEIRS = [TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue]


@pytest.mark.parametrize("operation", range(4))
def test_one_colour_operation_is_torchvisions(images, operation):
    factors = torch.tensor([1.0, 1.0, 1.0, 0.0]).repeat(N, 1)
    factors[:, operation] = torch.linspace(-0.5, 0.5, N) if operation == A.HUE else torch.linspace(0, 2, N)
    ours = A.colour_jitter(images.clone(), drawn(jitter=YES, factors=factors))
    for i in range(N):
        expected = THEIRS[operation](images[i], factors[i, operation].item())
        torch.testing.assert_close(ours[i], expected, rtol=0, atol=3e-5)


def test_all_orders_of_the_four_are_torchvisions(images):
    """Every one of the 24 orders, with clamping between the steps as torchvision has it."""
    generator = torch.Generator().manual_seed(2)
    factors = torch.cat(
        (torch.rand(24, 3, generator=generator) * 1.6 + 0.2, torch.rand(24, 1, generator=generator) - 0.5), 1
    )
    x = images.repeat(2, 1, 1, 1)
    ours = A.colour_jitter(
        x.clone(), drawn(24, jitter=torch.ones(24, dtype=torch.bool), factors=factors, order=torch.tensor(A.ORDERS))
    )
    for i in range(24):
        expected = x[i]
        for operation in A.ORDERS[i]:
            expected = THEIRS[operation](expected, factors[i, operation].item())
        torch.testing.assert_close(ours[i], expected, rtol=0, atol=2e-4)


def test_jitter_leaves_alone_what_was_not_chosen(images):
    factors = torch.tensor([1.5, 0.5, 0.2, 0.3]).repeat(N, 1)
    jitter = torch.arange(N) % 3 == 0
    ours = A.colour_jitter(images.clone(), drawn(jitter=jitter, factors=factors))
    torch.testing.assert_close(ours[~jitter], images[~jitter], rtol=0, atol=1e-6)
    assert ((ours - images).abs().amax((1, 2, 3))[jitter] > 0.05).all()


def test_grayscale_is_torchvisions(images):
    ours = A.apply(images.clone(), drawn(grayscale=YES), 32)
    torch.testing.assert_close(ours, TF.rgb_to_grayscale(images, num_output_channels=3), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("size", "taps"), [(32, 3), (64, 7), (224, 23)])
def test_blur_is_torchvisions(size, taps):
    x = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor([0.1, 0.9, 2.0])
    ours = A.gaussian_blur(x, sigma)
    for i in range(3):
        expected = TF.gaussian_blur(x[i], [taps, taps], [sigma[i].item()] * 2)
        torch.testing.assert_close(ours[i], expected, rtol=0, atol=1e-5)


def authors_blur(picture: np.ndarray, sigma: float) -> np.ndarray:
    """Blur one channel as the authors' augmentations.py: kernel from H / 10, along rows, then along columns, SAME padding."""
    radius = int(len(picture) / 10.0 / 2)
    x = np.arange(-radius, radius + 1)
    kernel = np.exp(-(x**2) / (2.0 * sigma**2))
    kernel = kernel / kernel.sum()
    for axis in (1, 0):
        picture = np.apply_along_axis(np.convolve, axis, picture, kernel, mode="same")
    return picture


@pytest.mark.parametrize("compiled", [True, False], ids=["by picture", "by operation"])
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("size", [19, 24, 47, 80])
def test_the_authors_blur_pads_with_zeros(size, channels, compiled, monkeypatch):
    monkeypatch.setattr(A.Views, "compiled", compiled)
    x = torch.rand(N, channels, size, size, generator=torch.Generator().manual_seed(0))
    views = A.Views(bt.Config(**OFF | {"blur_p": 1.0, "colour_form": "authors", "view_size": size}), (0.0,), (1.0,))
    sigma = torch.linspace(0.1, 2.0, 2 * N)
    made = views.carry_out(x, replace(views.draw(N, size, size), sigma=sigma))
    for row, ours in enumerate(torch.cat(made).numpy()):
        expected = [authors_blur(channel, float(sigma[row])) for channel in x[row % N].double().numpy()]
        np.testing.assert_allclose(ours, np.stack(expected), atol=2e-6 * size)


def test_padding_with_zeros_darkens_the_border_alone():
    """Of white, an edge loses what the kernel has beyond it: with three taps and weight w outside, (1 − w) at an edge."""
    white, sigma = torch.ones(1, 3, 32, 32), torch.tensor([1.0])
    w = math.exp(-0.5) / (1 + 2 * math.exp(-0.5))
    ours = A.authors_gaussian_blur(white, sigma)
    torch.testing.assert_close(ours[..., 1:-1, 1:-1], white[..., 1:-1, 1:-1], rtol=0, atol=1e-6)
    torch.testing.assert_close(ours[..., 0, 5], (1 - w) * torch.ones(1, 3), rtol=0, atol=1e-6)
    torch.testing.assert_close(ours[..., -1, -1], (1 - w) ** 2 * torch.ones(1, 3), rtol=0, atol=1e-6)
    torch.testing.assert_close(A.gaussian_blur(white, sigma), white, rtol=0, atol=1e-6)  # the default reflects


def test_solarize_is_torchvisions(images):
    ours = A.apply(images.clone(), drawn(solarize=YES), 32)
    expected = TF.solarize(images, 0.5)
    away = (images - 0.5).abs() > 1e-5  # a pixel at the threshold may fall on either side of it
    torch.testing.assert_close(ours[away], expected[away], rtol=0, atol=1e-5)


def test_the_order_of_operations_is_the_papers(images):
    """All at once equals torchvision's functions one after the other, in the paper's order."""
    factors = torch.tensor([1.3, 0.7, 1.2, 0.1]).repeat(N, 1)
    everything = drawn(
        jitter=YES, factors=factors, grayscale=YES, blur=YES, solarize=YES, flip=YES, height=torch.full((N,), 20.0)
    )
    ours = A.apply(images.clone(), everything, 32)
    for i in range(N):
        x = TF.resized_crop(images[i], 0, 0, 20, 32, [32, 32], v2.InterpolationMode.BICUBIC, antialias=True).clamp(0, 1)
        x = TF.horizontal_flip(x)
        for operation in range(4):
            x = THEIRS[operation](x, factors[i, operation].item())
        x = TF.gaussian_blur(TF.rgb_to_grayscale(x, 3), [3, 3], [1.0, 1.0])
        away = (x - 0.5).abs() > 1e-3
        torch.testing.assert_close(ours[i][away], TF.solarize(x, 0.5)[away], rtol=0, atol=5e-4)


# --- the draws ----------------------------------------------------------------------------------

DRAWS = 20_000
# A count outside 4.5 standard errors: 7 in a million per comparison, fewer than 1 in 1,000 for all below
# together, if every fresh seed were tried; the seed is fixed, so the outcome is too.
Z = 4.5


def draw(**changes) -> A.Draw:
    config = bt.Config(**changes)
    return A.Views(config, generator=torch.Generator().manual_seed(0)).draw(DRAWS, 32, 32)


@pytest.mark.parametrize("name", ["flip", "vertical_flip", "jitter", "grayscale", "blur", "solarize"])
def test_frequencies_are_the_probabilities_of_each_view(name):
    d = draw(**{f"{name}_p": (0.7, 0.2)})
    for p, chosen in zip((0.7, 0.2), getattr(d, name).split(DRAWS), strict=True):
        assert abs(chosen.float().mean().item() - p) < Z * math.sqrt(p * (1 - p) / DRAWS)


@pytest.mark.parametrize("name", ["flip", "vertical_flip", "jitter", "grayscale", "blur", "solarize"])
@pytest.mark.parametrize("p", [0.0, 1.0])
def test_probabilities_zero_and_one_are_exact(name, p):
    assert (getattr(draw(**{f"{name}_p": p}), name) == bool(p)).all()


def test_turns_are_as_frequent_as_their_probability_and_each_as_likely():
    d = draw(quarter_turn_p=(0.6, 0.0))
    of_t, of_t_prime = d.quarter_turns.split(DRAWS)
    for turns, p in ((0, 0.4), (1, 0.2), (2, 0.2), (3, 0.2)):
        assert abs((of_t == turns).float().mean().item() - p) < Z * math.sqrt(p * (1 - p) / DRAWS)
    assert (of_t_prime == 0).all()
    always = draw(quarter_turn_p=1.0).quarter_turns
    assert always.unique().tolist() == [1, 2, 3]


def test_turns_and_vertical_flips_leave_all_other_numbers_as_they_are():
    plain, other = draw(quarter_turn_p=0.0), draw(quarter_turn_p=0.75, vertical_flip_p=0.5)
    for f in fields(plain):
        same = torch.equal(getattr(plain, f.name), getattr(other, f.name))
        assert same == (f.name not in ("vertical_flip", "quarter_turns")), f.name


def test_the_papers_defaults_differ_only_in_blur_and_solarize():
    config = bt.Config(**bt.config.presets.PAPER_VIEWS)
    pairs = {n: getattr(config, n) for n, f in bt.config.FIELDS.items() if f.type is bt.config.fields.Pair}
    assert {n for n, (a, b) in pairs.items() if a != b} - set(bt.config.RANGES) == {"blur_p", "solarize_p"}


def test_the_stream_of_random_numbers_stays():
    """Measured runs depend on it: twelve numbers a view, the last for vertical flips; the tries of the crop; its place."""
    config = bt.Config(flip_p=(0.7, 0.2), blur_sigma=(0.5, 1.5), brightness=(0.4, 0.1), hue=(0.5, 0.2), crop_ratio=1.0)
    d = A.Views(config, generator=torch.Generator().manual_seed(0)).draw(N, 32, 32)
    g = torch.Generator().manual_seed(0)
    u, tries, place = (torch.rand(*shape, generator=g) for shape in ((2 * N, 12), (2, 2 * N, 10), (2, 2 * N)))
    of_t = torch.arange(2 * N) < N
    assert torch.equal(d.flip, u[:, 0] < torch.where(of_t, 0.7, 0.2))
    torch.testing.assert_close(d.factors[:, 0], 1 + (2 * u[:, 5] - 1) * torch.where(of_t, 0.4, 0.1))
    torch.testing.assert_close(d.factors[:, 3], (2 * u[:, 8] - 1) * torch.where(of_t, 0.5, 0.2))
    assert torch.equal(d.order, torch.tensor(A.ORDERS)[(u[:, 9] * 24).long()])
    torch.testing.assert_close(d.sigma, 0.5 + u[:, 10])
    side = 32 * (0.5 + 0.5 * tries[0, :, 0]).sqrt()  # a square crop fits at the first try
    torch.testing.assert_close(torch.stack((d.height, d.width)), torch.stack((side, side)))
    torch.testing.assert_close(torch.stack((d.top, d.left)), (32 - side) * place)


def test_no_draw_is_shared_by_the_batch_or_by_the_two_views():
    """Every row differs from every other, in every real-valued parameter."""
    d = draw(crop_area=(0.2, 0.8))
    for name in ("top", "left", "height", "width", "sigma"):
        values = getattr(d, name)
        assert values.unique().numel() > 0.99 * values.numel(), name
    for column in d.factors.T:
        assert column.unique().numel() > 0.99 * len(column)


def test_draws_of_the_two_views_and_of_different_parameters_are_independent():
    """Correlations within 4.5 standard errors of 0."""
    d = draw(
        vertical_flip_p=0.5,
        quarter_turn_p=0.5,
        crop_area=(0.2, 0.8),
        jitter_p=0.5,
        flip_p=0.5,
        grayscale_p=0.5,
        blur_p=0.5,
        solarize_p=0.5,
    )
    columns = [*d.factors.T, d.sigma, d.top / (32 - d.height), d.left / (32 - d.width)]
    columns += [
        getattr(d, n).float()
        for n in ("flip", "vertical_flip", "quarter_turns", "jitter", "grayscale", "blur", "solarize")
    ]
    first, second = zip(*(c.split(DRAWS) for c in columns), strict=True)
    correlation = torch.corrcoef(torch.stack(first + second))
    correlation.fill_diagonal_(0)
    assert correlation.abs().max() < Z / math.sqrt(DRAWS)


def test_strengths_fill_their_ranges_evenly():
    d = draw(brightness=0.4, contrast=0.3, saturation=0.2, hue=0.1, blur_sigma=(0.5, 1.5))
    ranges = [(0.6, 1.4), (0.7, 1.3), (0.8, 1.2), (-0.1, 0.1), (0.5, 1.5)]
    for values, (low, high) in zip([*d.factors.T, d.sigma], ranges, strict=True):
        u = (values - low) / (high - low)
        assert u.min() >= -1e-5
        assert u.max() <= 1 + 1e-5
        counts = torch.histc(u, 10, 0, 1)
        n = len(u)
        assert (counts / n - 0.1).abs().max() < Z * math.sqrt(0.1 * 0.9 / n)


def test_each_view_has_its_own_strength():
    d = draw(brightness=(0.4, 0.0))
    first, second = d.factors[:, A.BRIGHTNESS].split(DRAWS)
    assert first.std() > 0.2
    assert (second == 1).all()


def test_all_24_orders_are_equally_frequent():
    counts = torch.bincount((draw().order * torch.tensor([64, 16, 4, 1])).sum(1))
    counts = counts[counts > 0]
    n = 2 * DRAWS
    assert len(counts) == 24
    assert (counts / n - 1 / 24).abs().max() < Z * math.sqrt(23 / 24**2 / n)


def test_crops_have_torchvisions_distribution():
    """Area and log-ratio of our crops and of torchvision's, by quantiles."""
    d = draw(crop_area=(0.08, 1.0), crop_ratio=(3 / 4, 4 / 3))
    assert (d.top >= 0).all()
    assert (d.left >= 0).all()
    assert (d.top + d.height <= 32 + 1e-3).all()
    assert (d.left + d.width <= 32 + 1e-3).all()
    torch.manual_seed(0)
    canvas = torch.empty(3, 1000, 1000)  # large, so that rounding to whole pixels does not matter
    transform = v2.RandomResizedCrop(8)
    theirs = [transform.make_params([canvas]) for _ in range(2000)]
    height, width = torch.tensor([[t["height"], t["width"]] for t in theirs]).T / 1000
    q = torch.linspace(0.05, 0.95, 10)
    for ours, other in (
        (d.height * d.width / 32**2, height * width),
        ((d.width / d.height).log(), (width / height).log()),
    ):
        # share of ours below each of their quantiles; their sample, the smaller, sets the error
        below = torch.stack([(ours < edge).float().mean() for edge in torch.quantile(other, q)])
        assert ((below - q).abs() < Z * torch.sqrt(q * (1 - q) * (1 / 2000 + 1 / (2 * DRAWS)))).all()


def test_every_real_picture_gets_its_own_view(images):
    """The same picture many times over in one batch: no two views are equal."""
    v1, v2 = A.Views(bt.Config(), generator=torch.Generator().manual_seed(0))(images[:1].repeat(16, 1, 1, 1))
    everything = torch.cat((v1, v2)).flatten(1)
    distance = torch.cdist(everything, everything) + 1e9 * torch.eye(32)
    assert distance.min() > 0.1


@pytest.mark.parametrize("size", [(60, 500), (500, 60), (40, 44), (37, 37), (30, 40), (300, 101)])
@pytest.mark.parametrize("ratio", [(3 / 4, 4 / 3), (1.0, 1.0), (0.5, 0.9), (1.2, 3.0)])
def test_a_picture_too_long_for_any_try_gives_its_centre_as_torchvisions_does(size, ratio):
    """Crops of the whole area and more fit nowhere but in pictures of an allowed ratio, so what is left if none fits shows."""
    height, width = size
    config = bt.Config(crop_area=(1.0, 1.0), crop_ratio=ratio)
    drawn = A.Views(config, generator=torch.Generator().manual_seed(0)).draw(20, height, width)
    picture = torch.zeros(3, height, width)
    top, left, h, w = RandomResizedCrop.get_params(picture, scale=[1.0001, 1.0001], ratio=list(ratio))
    far = (drawn.height - h).abs() > 1
    assert not far.any() or (drawn.height * drawn.width)[far].allclose(torch.tensor(float(height * width)), rtol=1e-4)
    near = ~far
    assert near.any()
    for ours, theirs in ((drawn.height, h), (drawn.width, w), (drawn.top, top), (drawn.left, left)):
        assert (ours[near] - theirs).abs().max() <= 1  # torchvision rounds to whole pixels


def test_same_generator_same_views(images):
    one, two = (A.Views(bt.Config(), generator=torch.Generator().manual_seed(5))(images) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_views_leave_the_images_as_they_were(images):
    config = bt.Config(blur_p=1.0, solarize_p=1.0, grayscale_p=0.5)
    for x in (images.clone(), (images * 255).to(torch.uint8)):
        before = x.clone()
        A.Views(config)(x)
        assert torch.equal(x, before)


def test_views_are_normalised_and_of_the_asked_size(images):
    x = (images * 255).to(torch.uint8)
    plain = A.Views(bt.Config(**OFF), mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))(x)[0]
    expected = (x.double() / 255 - torch.tensor([0.1, 0.2, 0.3])[:, None, None]) / torch.tensor([0.5, 0.6, 0.7])[
        :, None, None
    ]
    torch.testing.assert_close(plain.double(), expected, rtol=0, atol=1e-4)
    v1, v2 = A.Views(bt.Config(view_size=20))(x)
    assert v1.shape == v2.shape == (N, 3, 20, 20)
    assert v1.dtype == torch.float32
