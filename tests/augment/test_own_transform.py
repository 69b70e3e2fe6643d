"""Augmentations of the user's own: what they get, where they act, that they can be repeated, and what is refused."""

import functools
import random
import threading

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

import byol_tutorial as bt
from byol_tutorial.augment.own_transform import OwnTransform, described
from byol_tutorial.config.errors import CheckpointError, ExperimentError, TrainingError

TINY = {"batch_size": 8, "epochs": 2, "width": 4, "hidden_dim": 16, "projection_dim": 8}


@pytest.fixture(scope="module")
def images():
    return bt.load("shapes", limit=40)


def trainer(images, transform=None, **changes):
    return bt.Trainer(bt.Config(**TINY | changes), images, device="cpu", transform=transform)


def losses(t, n):
    return [t.step() for _ in range(n)]


def noise(x):
    """A transform that draws from all three global generators."""
    return (x + 0.1 * torch.randn_like(x) + 0.01 * random.random() + 0.01 * np.random.rand()).clamp(0, 1)  # noqa: NPY002


def halved(x):
    return x / 2


def strong(x, s=1.0):
    return x * s


class Plain:
    """A callable without a repr of its own, so that Python shows its address."""

    def __call__(self, x):
        return x


# --- what it gets, and what becomes of its result -----------------------------------------------


def test_it_gets_our_views_in_pixel_values_before_they_are_normalised(images):
    seen = []
    ours, own = trainer(images), trainer(images, lambda x: seen.append(x.clone()) or x)
    plain, same = ours.computation.views_of(3)[0], own.computation.views_of(3)[0]
    mean, std = (torch.tensor(s).view(-1, 1, 1) for s in images.statistics())
    for v, x, w in zip(plain, seen, same, strict=True):
        assert (x.dtype, x.shape, x.min() >= 0, x.max() <= 1) == (torch.float32, v.shape, True, True)
        torch.testing.assert_close(x, v * std + mean, rtol=0, atol=1e-6)
        torch.testing.assert_close(w, v, rtol=0, atol=1e-5)  # an identity changes nothing but the last digits


def test_its_result_is_normalised_and_trained_on(images):
    own = trainer(images, halved)
    plain = trainer(images).computation.views_of(0)[0]
    mean, std = (torch.tensor(s).view(-1, 1, 1) for s in images.statistics())
    for v, w in zip(plain, own.computation.views_of(0)[0], strict=True):
        torch.testing.assert_close(w, ((v * std + mean) / 2 - mean) / std, rtol=0, atol=1e-5)
    assert losses(own, 2) != losses(trainer(images), 2)


def test_a_pair_is_for_t_and_t_prime_and_local_crops_take_them_in_turn(images):
    dark, light = torch.zeros_like, torch.ones_like
    changes = {"method": "dino", "prototypes": 12, "local_crops": 3}
    views = trainer(images, (dark, light), **changes).computation.views_of(0)[0]
    mean, std = (torch.tensor(s).view(-1, 1, 1) for s in images.statistics())
    means = [float((v * std + mean).mean()) for v in views]
    assert means == pytest.approx([0, 1, 0, 1, 0], abs=1e-5)
    one_sided = trainer(images, (None, light)).computation.views_of(0)[0]
    torch.testing.assert_close(one_sided[0], trainer(images).computation.views_of(0)[0][0])


def test_a_transform_of_torchvision_is_taken_as_it_is(images):
    t = trainer(images, v2.RandomErasing(p=1.0))
    mean, std = (torch.tensor(s).view(-1, 1, 1) for s in images.statistics())
    erased = [((v * std + mean).abs() < 1e-5).all(1).float().mean() for v in t.computation.views_of(0)[0]]
    assert all(0.01 < share < 0.5 for share in erased)
    assert all(np.isfinite(losses(t, 3)))


# --- it can be repeated -------------------------------------------------------------------------


def test_the_same_seed_and_step_draw_the_same_and_others_do_not(images):
    a, b = trainer(images, noise), trainer(images, noise)
    torch.manual_seed(99), random.seed(5)  # the surroundings do not matter
    one, two = a.computation.views_of(4)[0], b.computation.views_of(4)[0]
    assert all(torch.equal(v, w) for v, w in zip(one, two, strict=True))
    rest = [(x - y).std() for x, y in zip(one, trainer(images).computation.views_of(4)[0], strict=True)]
    assert min(rest) > 0.1
    drawn = []
    for k, seed in ((0, 0), (1, 0), (0, 1)):
        t = trainer(images, lambda x: drawn.append(torch.rand(3)) or x, seed=seed)
        t.computation.views_of(k)
    # two views of a call share the call's generator one after the other, and no step or seed repeats numbers
    assert len({tuple(d.tolist()) for d in drawn}) == 6


def test_global_random_numbers_stay_as_they_were(images):
    t = trainer(images, noise)
    torch.manual_seed(3), random.seed(4), np.random.seed(5)  # noqa: NPY002
    wanted = torch.rand(2), random.random(), np.random.rand()  # noqa: NPY002
    torch.manual_seed(3), random.seed(4), np.random.seed(5)  # noqa: NPY002
    t.step()
    assert torch.equal(torch.rand(2), wanted[0])
    assert (random.random(), np.random.rand()) == wanted[1:]  # noqa: NPY002


def test_each_pass_of_a_step_draws_its_own_numbers(images):
    drawn = []
    t = trainer(images, lambda x: drawn.append(torch.rand(3)) or x, accumulation_steps=3)
    t.step()
    assert len({tuple(d.tolist()) for d in drawn}) == len(drawn) == 6


def test_a_resumed_run_is_the_uninterrupted_one(images, tmp_path):
    whole = trainer(images, noise)
    expected = losses(whole, 8)
    first = trainer(images, noise)
    losses(first, 3)
    first.save(tmp_path / "run.pt")
    second = bt.Trainer.resume(tmp_path / "run.pt", images, device="cpu", transform=noise)
    assert losses(second, 5) == expected[3:]


def test_a_run_is_not_resumed_without_its_transform_or_with_another(images, tmp_path):
    t = trainer(images, noise)
    t.save(tmp_path / "own.pt")
    trainer(images).save(tmp_path / "plain.pt")
    for file, given, words in (
        ("own.pt", None, r"with the transform test_own_transform.noise, and here is no transform of its own"),
        ("own.pt", halved, r"test_own_transform.noise, and here is the transform test_own_transform.halved"),
        ("plain.pt", noise, "with no transform of its own, and here is the transform"),
    ):
        with pytest.raises(CheckpointError, match=words):
            bt.Trainer.resume(tmp_path / file, images, device="cpu", transform=given)
    elsewhere = bt.Trainer.resume(tmp_path / "own.pt", images, device="cpu", same_images=False)  # to evaluate it
    assert elsewhere.transform is None


def test_names_are_the_same_in_another_process():
    assert described(halved) == "test_own_transform.halved"
    assert described(v2.RandomErasing(p=0.5)) == described(v2.RandomErasing(p=0.5))
    assert described(v2.RandomErasing(p=0.5)) != described(v2.RandomErasing(p=0.25))
    composed = [v2.Compose([v2.GaussianBlur(3), v2.Lambda(halved), f]) for f in (Plain(), Plain())]
    assert described(composed[0]) == described(composed[1])
    assert "test_own_transform.Plain object" in described(composed[0])
    assert described(functools.partial(strong, s=0.1)) == "test_own_transform.strong(s=0.1)"
    assert described(functools.partial(strong, s=0.1)) != described(functools.partial(strong, s=0.9))
    assert described(functools.partial(strong, Plain())) == described(functools.partial(strong, Plain()))
    assert " at 0x" not in described(halved) + described(OwnTransform(halved, (0,), (1,)))


# --- with the rest of the library ---------------------------------------------------------------


def test_a_session_has_it_also_after_a_reset_and_cannot_be_put_in_a_line(images):
    made, first = [], threading.Semaphore(0)

    def look(snapshot):
        if snapshot.step == 1 and snapshot.state == "paused":
            first.release()

    with bt.Session(bt.Config(**TINY), images, device="cpu", transform=halved) as session:
        session.subscribe(look)
        for _ in range(2):
            session.step().result()
            assert first.acquire(timeout=60)
            made.append(session.trainer.history.loss[0])
            session.reset().result()
        assert made == [trainer(images, halved).step()] * 2
        with pytest.raises(ExperimentError, match=r"transform of your own \(test_own_transform.halved\)"):
            str(bt.Experiment.of(session))


def test_the_diagnosis_looks_at_transformed_views(images):
    seen = []
    t = trainer(images, lambda x: seen.append(len(x)) or x)
    t.step()
    seen.clear()
    t.diagnosis()
    assert seen == [40, 40]


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [5, "flip", (), (halved,), (halved, halved, halved), (None, None), (halved, 3)])
def test_what_is_no_transform_is_refused_at_once(images, wrong):
    with pytest.raises(TrainingError, match="give a callable that maps views"):
        trainer(images, wrong)


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (lambda x: None, "returned a NoneType"),
        (lambda x: x.numpy(), "returned a ndarray"),
        (lambda x: x[:, :1], r"returned torch.float32 \(8, 1, 32, 32\)"),
        (lambda x: x[..., :16], r"returned torch.float32 \(8, 3, 32, 16\)"),
        (lambda x: x[:4], r"\(4, 3, 32, 32\)"),
        (lambda x: (x * 255).byte(), "returned torch.uint8"),
        (lambda x: x / 0, "not finite"),
    ],
)
def test_a_result_that_is_no_view_is_named_and_the_step_undone(images, transform, words):
    t = trainer(images, transform)
    before = {name: value.clone() for name, value in t.model.state_dict().items()}
    with pytest.raises(TrainingError, match=words):
        t.step()
    assert t.steps_done == 0
    assert all(torch.equal(value, before[name]) for name, value in t.model.state_dict().items())


def test_an_error_of_the_transform_is_shown_as_it_is(images):
    with pytest.raises(ZeroDivisionError):
        trainer(images, lambda x: 1 / 0).step()


def test_it_cannot_be_exchanged_by_assignment(images):
    with pytest.raises(TrainingError, match=r"Trainer\(config, images, transform=...\)"):
        trainer(images).transform = halved
