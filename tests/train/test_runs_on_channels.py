"""Runs on images with other channels than red, green and blue, and deeper than 8 bits."""

import numpy as np
import pytest
import torch

import byol_tutorial as bt
from byol_tutorial.config.errors import CheckpointError
from byol_tutorial.train.batches import rows

SMALL = {"batch_size": 8, "epochs": 1, "warmup_epochs": 0.0, "width": 4, "hidden_dim": 8, "projection_dim": 8,
         "blur_p": 0.5}  # fmt: skip


def pictures(channels: int, bits: int = 16, n: int = 24, side: int = 16, seed: int = 0) -> bt.ImageSet:
    generator = np.random.default_rng(seed)
    values = generator.integers(0, 2**bits, (n, channels, side, side)).astype(f"uint{bits}")
    return bt.ImageSet("noise", "train", torch.from_numpy(values), torch.arange(n) % 3, ("a", "b", "c"))


def config(channels: int, **changes) -> bt.Config:
    return bt.Config(**SMALL | changes).for_channels(channels)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 5, 12])
def test_a_run_learns_from_any_number_of_channels(channels, bits):
    train = pictures(channels, bits)
    trainer = bt.Trainer(config(channels), train, train, "cpu").run(progress=False)
    assert all(np.isfinite(trainer.history.loss))
    assert len(trainer.history.knn) == 1
    x = train.images.numpy() / (2**bits - 1)
    np.testing.assert_allclose(trainer.mean, x.mean((0, 2, 3)), rtol=1e-9)
    np.testing.assert_allclose(trainer.std, x.std((0, 2, 3), ddof=1), rtol=1e-6)
    assert trainer.report().verdict
    assert trainer.diagnosis().verdict


@pytest.mark.parametrize("encoder", ["small", "resnet18", "vit_nano", "vit_tiny"])
@pytest.mark.parametrize("channels", [1, 5])
@pytest.mark.parametrize("view_size", [16, 80])
def test_every_encoder_looks_at_every_channel(encoder, channels, view_size):
    f = bt.networks.build_encoder(bt.Config(encoder=encoder), view_size, [0.5] * channels, [0.2] * channels).eval()
    x = torch.rand(2, channels, view_size, view_size, requires_grad=True)
    f(x).square().sum().backward()
    assert (x.grad.abs().sum((0, 2, 3)) > 0).all()


def test_an_encoder_file_keeps_the_channels(tmp_path):
    train = pictures(5)
    trainer = bt.Trainer(config(5), train, device="cpu").run(progress=False)
    trainer.save_encoder(tmp_path / "f.safetensors")
    loaded = bt.load_encoder(tmp_path / "f.safetensors")
    assert torch.equal(bt.features(loaded, train), bt.features(trainer.model.encoder, train))
    assert len(loaded.pixel_mean) == 5


@pytest.mark.parametrize(("made", "given"), [(5, 3), (3, 5), (5, 1), (1, 3), (2, 4)])
def test_features_of_images_with_other_channels_are_refused(made, given):
    f = bt.networks.build_encoder(bt.Config(width=4), 16, [0.5] * made, [0.2] * made)
    with pytest.raises(bt.DataError, match=rf"have {given} channels?, and the encoder is made for {made}: read"):
        bt.features(f, pictures(given))


def test_a_grey_image_has_the_features_of_a_colour_image_that_is_grey():
    f = bt.networks.build_encoder(bt.Config(width=4), 16, [0.4, 0.5, 0.6], [0.2] * 3)
    grey = pictures(1).images
    torch.testing.assert_close(bt.features(f, grey), bt.features(f, grey.expand(-1, 3, -1, -1)))


def test_a_run_goes_on_with_its_own_channels_alone(tmp_path):
    train = pictures(5)
    whole = bt.Trainer(config(5, epochs=2), train, device="cpu").run(progress=False)
    trainer = bt.Trainer(config(5, epochs=2), train, device="cpu").run(1, progress=False)
    trainer.save(tmp_path / "run.pt")
    resumed = bt.Trainer.resume(tmp_path / "run.pt", train, device="cpu").run(progress=False)
    assert resumed.history.loss == whole.history.loss
    for channels, same in ((3, True), (3, False), (4, False)):
        words = f"images of 5 channels, and these have {channels}: read them with channels=5"
        with pytest.raises(bt.DataError, match=words):
            bt.Trainer.resume(tmp_path / "run.pt", pictures(channels), device="cpu", same_images=same)
    with pytest.raises(CheckpointError, match="made for images of 5 channels, and these have 2"):
        bt.Trainer(config(2), pictures(2), device="cpu", init=tmp_path / "run.pt")


def test_sixteen_bits_reach_the_features():
    """Images that differ by less than a level of 256 have different features, and the same ones if cut to 8 bits."""
    deep = pictures(2).images.int() // 257 * 257
    other = (deep + 60).clamp(max=65535)
    trainer = bt.Trainer(config(2), pictures(2), device="cpu").run(progress=False)
    both = [bt.features(trainer.model.encoder, x.to(torch.uint16)) for x in (deep, other)]
    cut = [bt.features(trainer.model.encoder, (x // 257).to(torch.uint8)) for x in (deep, other)]
    assert torch.equal(*cut)
    assert not torch.equal(*both)
    torch.testing.assert_close(both[0], cut[0])


def test_operations_on_colours_are_refused_before_a_run_and_while_it_runs():
    with pytest.raises(bt.ConfigError, match=r"saturation=.*hue=.*grayscale_p=.*config\.for_channels\(5\)"):
        bt.Trainer(bt.Config(**SMALL), pictures(5), device="cpu")
    trainer = bt.Trainer(config(5), pictures(5), device="cpu")
    with pytest.raises(bt.ConfigError, match=r"hue=.*have 5; give hue=0"):
        trainer.change(hue=0.1)
    trainer.change(brightness=0.1)
    assert trainer.config.hue == (0, 0)
    assert [change for _, change in trainer.history.changes] == [{"brightness": (0.1, 0.1)}]


@pytest.mark.parametrize("kind", [torch.uint8, torch.uint16])
def test_rows_are_picked_in_their_order(kind):
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (9, 2, 3, 3))).to(kind)
    at = torch.tensor([4, 8, 0])
    assert torch.equal(rows(images, at), images[at])
    assert rows(images, at).dtype == kind


def test_images_without_content_are_found_at_any_depth():
    from byol_tutorial.evaluate.diagnose import hardly_differ

    assert not hardly_differ(pictures(2).images)
    assert hardly_differ(torch.full((5, 2, 8, 8), 40000, dtype=torch.uint16))
