"""The dense probe against scikit-learn, and with encoders whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import jaccard_score
from torch import nn

import byol_tutorial as bt
from byol_tutorial.data.shapes import masks
from byol_tutorial.evaluate import dense, map_probes
from byol_tutorial.evaluate.features import centre


@pytest.fixture(scope="module")
def sets():
    return bt.load("shapes", limit=300), bt.load("shapes", "test", limit=100)


@pytest.fixture(scope="module")
def few(sets):
    return sets[0][:100], sets[1][:60]


def planted(images: bt.ImageSet, size: int = 32) -> torch.Tensor:
    """What is true of every pixel of the middle: one-hot classes, float32 (N, 11, size, size)."""
    labels = masks(images.factors)[:, None].long() * (images.factors.shape + 1)[:, None, None, None]
    return nn.functional.one_hot(centre(labels, size)[:, 0], 11).permute(0, 3, 1, 2).float()


class Oracle(nn.Module):
    """An encoder that returns for some pictures what was planted for them; y is the mean of the map."""

    def __init__(self, sets, maps, size: int = 32) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.view_size = size
        self.known = {
            centre(image[None], size).numpy().tobytes(): found
            for images, found_maps in zip(sets, maps, strict=True)
            for image, found in zip(images.images, found_maps, strict=True)
        }
        self.last = nn.Identity()

    def forward(self, x):
        pictures = ((x * 0.25 + 0.5) * 255).round().to(torch.uint8).contiguous()
        return self.last(torch.stack([self.known[picture.numpy().tobytes()] for picture in pictures])).mean((2, 3))


def shuffled(maps: torch.Tensor) -> torch.Tensor:
    """The same maps with their places in another order in every picture, so that every mean stays."""
    generator = torch.Generator().manual_seed(0)
    flat = maps.flatten(2)
    return torch.stack([m[:, torch.randperm(m.shape[1], generator=generator)] for m in flat]).view_as(maps)


# --- planted answers ----------------------------------------------------------------------------


@pytest.fixture
def one_strength(monkeypatch):
    """Maps with a place for every pixel have many places, and one strength suffices for them."""
    monkeypatch.setattr(map_probes, "STRENGTHS", (1.0,))


@pytest.mark.usefixtures("one_strength")
def test_an_encoder_that_knows_the_masks_is_right_at_every_pixel(few):
    found = bt.dense_probe(Oracle(few, [planted(s) for s in few]), *few)
    assert found.miou == found.figure_miou == 1
    assert list(found.ious) == ["ground", *few[0].classes]
    assert found.grid == (32, 32)
    assert found.centre_error < found.floor[2] / 2


@pytest.mark.slow
def test_pooled_accuracy_does_not_see_that_places_are_shuffled_and_the_dense_probe_does(sets):
    maps = [nn.functional.avg_pool2d(planted(s), 4) for s in sets]
    whole, mixed = Oracle(sets, maps), Oracle(sets, [shuffled(m) for m in maps])
    for one, other in zip(*([bt.features(f, s) for s in sets] for f in (whole, mixed)), strict=True):
        torch.testing.assert_close(one, other)
    assert bt.accuracies(whole, *sets).linear == pytest.approx(bt.accuracies(mixed, *sets).linear, abs=0.011)
    good, bad = bt.dense_probe(whole, *sets), bt.dense_probe(mixed, *sets)
    assert good.miou > 0.8
    assert good.centre_error < 1.5
    assert bad.figure_miou < good.figure_miou - 0.2
    assert bad.miou < good.miou - 0.2
    assert bad.centre_error > 0.9 * bad.floor[2]


@pytest.mark.usefixtures("one_strength")
def test_an_encoder_that_sees_the_middle_is_judged_on_the_middle(few):
    """Views of 28 px have stored images of 32 px, of which features see the middle 28."""
    found = bt.dense_probe(Oracle(few, [planted(s, 28) for s in few], 28), *few)
    assert found.grid == (28, 28)
    assert found.miou == 1


def test_an_encoder_that_sees_nothing_has_the_floor(sets):
    constant = Oracle(sets, [torch.ones(len(s), 3, 4, 4) for s in sets])
    found = bt.dense_probe(constant, *sets)
    assert (found.miou, found.figure_miou, found.centre_error) == pytest.approx(found.floor)
    ground = (~masks(sets[1].factors)).float().mean().item()
    where = torch.stack((sets[1].factors.x, sets[1].factors.y), 1) * 16
    mean = torch.stack((sets[0].factors.x, sets[0].factors.y), 1).mean(0) * 16
    expected = (ground / 11, ground / 2, (where - mean).square().sum(1).sqrt().mean().item())
    assert found.floor == pytest.approx(expected, abs=1e-5)


def test_test_pictures_choose_nothing_and_the_order_of_batches_is_kept(few):
    train, test = few
    torch.manual_seed(0)
    net = bt.networks.build_encoder(bt.Config(width=4), 32)
    whole, part = bt.dense_probe(net, train, test), bt.dense_probe(net, train, test[:40])
    assert whole.chosen == part.chosen
    many = test[torch.arange(600) % 60]  # more than a batch
    again = bt.dense_probe(net, train, many)
    assert again.ious == pytest.approx(whole.ious, abs=1e-6)
    assert again.centre_error == pytest.approx(whole.centre_error, abs=1e-4)
    assert "4 × 4 map: mIoU" in repr(whole)


# --- the parts, against scikit-learn ------------------------------------------------------------


@pytest.mark.parametrize("absent", [(), (3,), (0, 4)])
def test_iou_is_scikit_learns_jaccard_score(absent):
    rng = np.random.default_rng(len(absent))
    present = [k for k in range(6) if k not in absent]
    true, found = (torch.from_numpy(rng.choice(present, (7, 8, 9))) for _ in range(2))
    counts = map_probes.confusion(found, true, 6)
    ious = map_probes.ious(counts, tuple("abcdef"))
    flat = true.flatten(), found.flatten()
    assert list(ious) == ["abcdef"[k] for k in present]
    np.testing.assert_allclose(list(ious.values()), jaccard_score(*flat, average=None), rtol=1e-12)
    assert map_probes.mean(ious) == pytest.approx(jaccard_score(*flat, average="macro"), rel=1e-12)


@pytest.mark.parametrize("strength", [1e-3, 1.0])
def test_classes_are_those_of_multinomial_logistic_regression_on_pixels(monkeypatch, strength):
    monkeypatch.setattr(map_probes, "STRENGTHS", (strength,))
    monkeypatch.setattr(map_probes, "ITERATIONS", 1000)
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(6, 4, 8, 8, generator=generator)
    labels = (maps[:, :3] + torch.randn(6, 3, 8, 8, generator=generator)).argmax(1)
    probe = map_probes.fit_classes(maps, labels, 3, (torch.arange(2), torch.arange(2, 6)))
    x, y = maps.movedim(1, -1).reshape(-1, 4).double(), labels.flatten()
    theirs = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000).fit(x, y)
    ours = nn.functional.linear(x.float(), probe.weight, probe.bias).softmax(1)
    np.testing.assert_allclose(ours, theirs.predict_proba(x), atol=2e-3)
    assert (probe.classes(maps, (8, 8)).flatten().numpy() == theirs.predict(x)).mean() > 0.99


def test_a_place_that_is_half_figure_counts_half(monkeypatch):
    """With a constant map, the most likely share is the mean one: softmax(b) = shares of the classes."""
    labels = torch.zeros(4, 6, 6, dtype=torch.int64)
    labels[:, :2, :3] = 1
    probe = map_probes.fit_classes(torch.zeros(4, 2, 2, 2), labels, 2, (torch.arange(2), torch.arange(2, 4)))
    torch.testing.assert_close(probe.bias.softmax(0), torch.tensor([5 / 6, 1 / 6]), rtol=0, atol=1e-3)


@pytest.mark.parametrize("share", [0.01, 1.0])
def test_the_position_is_scikit_learns_ridge_regression(monkeypatch, share):
    monkeypatch.setattr(map_probes, "RIDGES", (share,))
    rng = torch.Generator().manual_seed(0)
    maps, new = torch.randn(20, 3, 4, 4, generator=rng), torch.randn(5, 3, 4, 4, generator=rng)
    positions = torch.randn(20, 2, generator=rng)
    x = maps.flatten(1).double().numpy()
    centred = x - x.mean(0)
    unit = np.trace(centred @ centred.T) / 20
    theirs = Ridge(alpha=share * unit).fit(x, positions.double().numpy())
    ours = map_probes.fit_position(maps, positions, (torch.arange(4), torch.arange(4, 20))).positions(new)
    np.testing.assert_allclose(ours, theirs.predict(new.flatten(1).double().numpy()), atol=1e-4)


def test_the_held_out_pictures_choose_the_strengths():
    """Features without meaning, more than pictures: the strongest penalties are best; true ones: the weakest."""
    rng = torch.Generator().manual_seed(1)
    parts = torch.arange(20), torch.arange(20, 80)
    maps, positions = torch.randn(80, 40, 2, 2, generator=rng), torch.randn(80, 2, generator=rng)
    assert map_probes.fit_position(maps, positions, parts).strength == max(map_probes.RIDGES)
    true = positions[:, :, None, None].expand(80, 2, 2, 2)
    assert map_probes.fit_position(true, positions, parts).strength == min(map_probes.RIDGES)


# --- what is refused ----------------------------------------------------------------------------


def tiny():
    return nn.Sequential(nn.Conv2d(3, 4, 8, stride=8), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.parametrize("which", [0, 1])
def test_images_without_masks_are_refused(sets, which):
    digits = list(sets)
    digits[which] = bt.load("digits", limit=20)
    with pytest.raises(bt.DataError, match=r"^dense: 'digits' \(train\) has no masks.*only 'shapes'.*choose linear"):
        bt.dense_probe(tiny(), *digits)


@pytest.mark.parametrize(
    "change",
    [
        lambda images: images.roll(1, 3),
        lambda images: images.flip(2),
        lambda images: images[:, :, 4:, 4:],
        lambda images: images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))],
        lambda images: images.to(torch.uint16),
    ],
)
def test_pictures_that_their_factors_do_not_draw_are_refused(sets, change):
    train, test = sets
    with pytest.raises(bt.DataError, match="not those that their factors draw, so no masks fit"):
        bt.dense_probe(tiny(), train, replace(test, images=change(test.images)))


def test_a_single_image_and_a_diverged_encoder_are_refused(sets):
    train, test = sets
    with pytest.raises(bt.DataError, match=r"dense: .* has a single image; give at least two"):
        bt.dense_probe(tiny(), train[:1], test)
    broken = tiny()
    nn.init.constant_(broken[0].weight, torch.nan)
    with pytest.raises(bt.DataError, match=r"not finite: the encoder has diverged"):
        bt.dense_probe(broken, train, test)


def test_no_more_than_so_many_train_images_are_used(sets, monkeypatch):
    train, test = sets
    monkeypatch.setattr(dense, "IMAGES", 50)
    torch.manual_seed(0)
    net = tiny()
    found = bt.dense_probe(net, train, test, seed=2)
    assert found.train_size == 50
    assert found.ious == bt.dense_probe(net, train.sample(50, 2), test, seed=2).ious
