"""What passed in a step is what the step itself computed, and looking at it changes nothing in the run."""

import numpy as np
import pytest
import torch
from PIL import Image

import byol_tutorial as bt
from byol_tutorial.live import passed as passed_module
from byol_tutorial.live import snapshot
from byol_tutorial.live.passed import what_passed
from byol_tutorial.live.snapshot import measure_run
from byol_tutorial.train.monitor import looked_at

TINY = {"width": 4, "hidden_dim": 16, "projection_dim": 8, "batch_size": 8, "epochs": 6}


@pytest.fixture(scope="module")
def images():
    return bt.load("shapes", limit=44)


def spied(trainer) -> list:
    """Note the views and the result of each forward pass from now on."""
    seen: list = []
    trainer.model.register_forward_hook(lambda _, views, output: seen.append((views, output)))
    return seen


@pytest.mark.parametrize("method", ["byol", "simsiam", "simclr", "dino"])
def test_pictures_and_lengths_are_those_of_the_step(images, method):
    config = bt.Config(**TINY) if method == "byol" else bt.preset(method, **TINY)
    trainer = bt.Trainer(config, images, device="cpu")
    seen = spied(trainer)
    for _ in range(7):  # the second epoch, whose order of images is another
        trainer.step()
    y = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    passed = what_passed(trainer, torch.from_numpy(y))
    (v1, v2, *_), output = seen[-1]
    assert passed.step == 7
    mean, std = (np.reshape(x, (3, 1, 1)) for x in (trainer.mean, trainer.std))
    for picture, view in zip(passed.pictures[1:], (v1, v2), strict=True):
        expected = (view[0].numpy() * std + mean).clip(0, 1) * 255
        assert np.abs(picture.numpy() - expected).max() <= 0.51
    x = trainer.feed.batch(6)[0]
    assert torch.equal(passed.pictures[0], x)
    assert any(torch.equal(x, one) for one in images.images)
    assert passed.lengths["y"] == pytest.approx(np.sqrt((y**2).sum(1)).mean(), rel=1e-5)
    for name, vectors in (("z", output.z), ("p", output.p), ("target", output.target)):
        rows = vectors.numpy().astype(np.float64)
        lengths = np.sqrt((rows**2).sum(1))
        assert passed.lengths[name] == pytest.approx(lengths.mean(), rel=1e-5)
        directions = rows / lengths[:, None]
        assert passed.spreads[name] == pytest.approx(directions.std(0, ddof=1).mean() * rows.shape[1] ** 0.5, rel=1e-4)


def test_looking_does_not_change_the_run(images):
    looked, alone = (bt.Trainer(bt.Config(**TINY), images, device="cpu") for _ in range(2))
    for _ in range(9):  # over the end of an epoch
        what_passed(looked, torch.ones(2, 2))
        looked.step()
        alone.step()
    assert looked.history.loss == alone.history.loss


def test_before_a_step_and_after_going_back_there_are_pictures_alone(images):
    trainer = bt.Trainer(bt.Config(**TINY), images, device="cpu")
    seen = spied(trainer)
    moment = trainer.moment()
    passed = what_passed(trainer, torch.ones(2, 2))
    assert (passed.step, set(passed.lengths), passed.spreads) == (1, {"y"}, {})
    trainer.step()
    first = (
        seen[0][0][0][0] * torch.tensor(trainer.std).view(3, 1, 1) + torch.tensor(trainer.mean).view(3, 1, 1)
    ) * 255
    assert (passed.pictures[1] - first.clamp(0, 255)).abs().max() <= 0.51  # the view that this step then used
    trainer.go_back(moment)
    assert set(what_passed(trainer, torch.ones(2, 2)).lengths) == {"y"}


def picture_of(trainer, view):
    mean, std = (np.reshape(x, (3, 1, 1)) for x in (trainer.mean, trainer.std))
    return (view.numpy() * std + mean).clip(0, 1) * 255


def test_pictures_and_vectors_are_those_of_the_last_pass(images):
    trainer = bt.Trainer(bt.Config(**TINY, accumulation_steps=3), images, device="cpu")
    seen = spied(trainer)
    trainer.step()
    trainer.step()
    passed, (views, output) = what_passed(trainer, torch.ones(2, 2)), seen[-1]
    assert len(seen) == 6
    for picture, view in zip(passed.pictures[1:], views, strict=True):
        assert np.abs(picture.numpy() - picture_of(trainer, view[0])).max() <= 0.51
    assert torch.equal(passed.pictures[0], trainer.feed.batch(1, 2)[0])
    assert passed.lengths["z"] == pytest.approx(float(output.z.norm(dim=1).mean()), rel=1e-5)


def test_after_a_change_the_last_pictures_stay_until_a_step_has_used_the_new_settings(images):
    trainer = bt.Trainer(bt.Config(**TINY), images, device="cpu")
    y = torch.ones(2, 2)
    trainer.change(flip_p=(0.0, 0.0))  # before step 1, which then uses it
    assert what_passed(trainer, y).pictures is not None
    trainer.step()
    before = what_passed(trainer, y)
    trainer.change(crop_area=(0.05, 0.06))
    assert what_passed(trainer, y).pictures is None
    assert torch.equal(what_passed(trainer, y, before).pictures, before.pictures)
    seen = spied(trainer)
    trainer.step()
    now = what_passed(trainer, y, before)
    assert np.abs(now.pictures[1].numpy() - picture_of(trainer, seen[0][0][0][0])).max() <= 0.51


def test_a_branch_with_a_change_has_no_pictures_of_views_that_no_step_used(images):
    with bt.Session(bt.Config(**TINY), images, device="cpu") as session:
        session.branching = True
        session.run(steps=4)
        kept = session.snapshot().measure.passed
        session.fork(3, crop_area=(0.05, 0.06)).result(60)
        branch = session.snapshot().measure.passed
        assert (branch.step, kept.step) == (3, 4)
        assert torch.equal(branch.pictures, kept.pictures)


def test_a_view_that_cannot_be_made_again_ends_no_run_and_a_users_transform_is_not_called_again(images, monkeypatch):
    calls = []
    own = bt.Trainer(bt.Config(**TINY), images, device="cpu", transform=lambda v: calls.append(len(v)) or v)
    own.step()
    made = len(calls)
    assert what_passed(own, torch.ones(2, 2)).pictures is None
    assert len(calls) == made
    trainer = bt.Trainer(bt.preset("dino", **TINY), images, device="cpu")
    trainer.step()
    rows = []
    carry_out = passed_module.Views.carry_out
    monkeypatch.setattr(
        passed_module.Views, "carry_out", lambda self, x, *a: rows.append(len(x)) or carry_out(self, x, *a)
    )
    assert what_passed(trainer, torch.ones(2, 2)).pictures is not None
    assert rows == [1]  # one image, and none of DINO's local crops
    for error in (MemoryError(), torch.OutOfMemoryError("no memory"), RuntimeError("?")):
        monkeypatch.setattr(passed_module.Views, "carry_out", lambda *_, error=error: (_ for _ in ()).throw(error))
        passed = what_passed(trainer, torch.ones(2, 2))
        assert passed.pictures is None
        assert passed.lengths["z"] > 0


def test_grey_and_streamed_images_and_numbers_that_are_not_finite(images, tmp_path):
    grey = bt.ImageSet("grey", "train", images.images[:, :1], None, ())
    trainer = bt.Trainer(bt.Config(**TINY).for_channels(1), grey, device="cpu")
    trainer.step()
    trainer.computation.passed = tuple(torch.full((4, 8), torch.inf) for _ in range(3))
    passed = what_passed(trainer, torch.ones(2, 2))
    assert passed.pictures.shape == (3, 3, 32, 32)
    assert torch.equal(passed.pictures[0, 0], passed.pictures[0, 2])
    assert (set(passed.lengths), passed.spreads) == ({"y"}, {})
    for i in range(20):
        Image.fromarray(images.images[i].permute(1, 2, 0).numpy()).save(tmp_path / f"{i}.png")
    streamed = bt.Trainer(bt.Config(**TINY), bt.load(f"folder:{tmp_path}", stream=True), device="cpu")
    streamed.computation.passed = (torch.eye(8),) * 3
    passed = what_passed(streamed, torch.ones(2, 2))
    assert passed.pictures is None
    assert passed.lengths["z"] == 1


@pytest.mark.parametrize("turn", range(6))
def test_the_basis_of_the_map_does_not_flip(images, monkeypatch, turn):
    """Features that are only turned or mirrored, in all their dimensions, have the map that they had before."""
    trainer = bt.Trainer(bt.Config(**TINY), images, device="cpu")
    rng = np.random.default_rng(turn)
    y, z = (torch.from_numpy(rng.normal(size=(40, d)) * np.linspace(3, 1, d)).float() for d in (16, 8))
    monkeypatch.setattr(snapshot, "represent_or_refuse", lambda *_: (y, z))
    shown = looked_at(trainer).images
    before = measure_run(trainer, shown)
    turned = [torch.from_numpy(np.linalg.qr(rng.normal(size=(d, d)))[0]).float() for d in (16, 8)]
    turned[0][:, 0] *= -1
    monkeypatch.setattr(snapshot, "represent_or_refuse", lambda *_: (y @ turned[0], z @ turned[1]))
    for name, points in measure_run(trainer, shown, before).maps.items():
        torch.testing.assert_close(points, before.maps[name], atol=1e-4, rtol=1e-4)
