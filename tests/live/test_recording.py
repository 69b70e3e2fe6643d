"""Recordings leave the run as it was, and their file whole; neighbours and their vote are scikit-learn's."""

import math
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

import byol_tutorial as bt
from byol_tutorial.config.errors import CheckpointError, DivergedError, EmbedError
from byol_tutorial.evaluate.embed import size
from byol_tutorial.live.recorder import neighbours_and_vote, record
from byol_tutorial.live.recording import Recording

CONFIG = bt.Config(epochs=2, warmup_epochs=0.5, batch_size=32, width=4, hidden_dim=16, projection_dim=8)


def trainer(**changes):
    return bt.Trainer(CONFIG.replace(**changes), bt.load("shapes", limit=128), device="cpu")


@pytest.fixture(scope="module")
def images():
    return bt.load("shapes", "test", limit=60)


@pytest.fixture(scope="module")
def recorded(images):
    watched = trainer()
    return watched, record(watched, images, every=0.5, progress=False)


def test_recording_watches_and_does_not_touch(recorded, images):
    watched, recording = recorded
    alone = trainer().run(progress=False)
    assert watched.history.loss == alone.history.loss
    assert recording.epochs.tolist() == [0, 0.5, 1, 1.5, 2]
    assert recording.maps.shape == (5, 60, 2)
    y = torch.nn.functional.normalize(bt.features(alone.model.encoder, images.images), dim=1)
    theirs = PCA(2, svd_solver="full").fit_transform(y)
    np.testing.assert_allclose(pdist(recording.maps[-1]), pdist(theirs), atol=1e-5)  # the same but for how it is turned
    torch.testing.assert_close(recording.spread[-1], torch.tensor(alone.report().std), atol=0.2, rtol=0)
    assert recording.knn[-1] == pytest.approx(neighbours_and_vote(y, images.labels)[1])
    assert set(recording.factors) == {"hue", "x", "y", "scale", "rotation"}
    assert recording.classes == tuple(images.classes)


def test_recording_keeps_images_and_two_different_views(recorded, images):
    _, recording = recorded
    assert torch.equal(recording.images, images.images)
    assert recording.views.shape == (60, 2, 3, 32, 32)
    v1, v2 = recording.views.float().unbind(1)
    assert (v1 - v2).abs().mean() > 5
    assert v1.std() > 10


def test_a_run_that_overflows_is_recorded_up_to_there(images):
    run = trainer(lr=1e30, warmup_epochs=0.0, loss_normalization="none")
    recording = record(run, images, every=0.25, progress=False)
    assert "lower lr" in recording.note
    assert len(recording.epochs) == 1
    assert torch.isfinite(recording.maps).all()


def test_projections_can_be_mapped_and_their_collapse_is_seen(images):
    """Without a predictor the map of z shrinks to a tenth or less of BYOL's (seen: 0.004 to 0.02)."""
    runs = {}
    for predictor in ("mlp", "identity"):
        views = {"flip_p": 0.5, "crop_ratio": (3 / 4, 4 / 3)}
        run = trainer(predictor=predictor, epochs=12, lr=1.6, tau_base=0.95, **views)
        runs[predictor] = record(run, images, every=12, space="z", progress=False)
    healthy, collapsed = (size(r.maps[-1]) for r in runs.values())
    assert collapsed < 0.1 * healthy
    assert runs["identity"].spread[-1] < 0.1 < 0.4 < runs["mlp"].spread[-1]


def test_large_pictures_become_small_ones_and_labels_may_be_missing():
    images = bt.load("shapes", size=48, limit=64)
    bare = bt.ImageSet("photos", "train", images.images)
    run = bt.Trainer(CONFIG, bare, device="cpu")
    recording = record(run, bare, epochs=1, progress=False)
    assert recording.images.shape == (64, 3, 32, 32)
    assert recording.labels is None
    assert recording.factors == {}
    assert torch.isnan(recording.knn).all()
    assert recording.epochs.tolist() == [0, 1]


def test_a_run_that_ends_early_is_recorded_up_to_there(images, monkeypatch):
    run = trainer()
    step = run.step

    def until_three():
        step()
        run.interrupted = run.steps_done == 3

    monkeypatch.setattr(run, "step", until_three)
    stopped = record(run, images, progress=False)
    assert stopped.epochs.tolist() == [0, 0.75]
    assert stopped.note == "stopped by hand at epoch 0.75"

    diverging = trainer()
    step = diverging.step

    def diverge():
        if diverging.steps_done == 5:
            raise DivergedError("the loss is nan at step 5")
        step()

    monkeypatch.setattr(diverging, "step", diverge)
    diverged = record(diverging, images, progress=False)
    assert diverged.epochs.tolist() == [0, 1, 1.25]
    assert "the loss is nan at step 5" in diverged.note


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kind": "tsne"}, "kind='tsne': choose one of pca, umap"),
        ({"space": "p"}, "space='p': choose one of y, z"),
        ({"every": 0}, "every=0"),
        ({"every": float("nan")}, "every=nan"),
        ({"epochs": 0}, "no steps to record"),
    ],
)
def test_what_cannot_be_recorded_is_said(images, arguments, words):
    with pytest.raises(EmbedError) as error:
        record(trainer(), images, **arguments)
    assert words in str(error.value)


def test_a_run_at_its_end_and_too_few_images_are_said(recorded, images):
    with pytest.raises(EmbedError, match="no steps to record"):
        record(recorded[0], images)
    with pytest.raises(EmbedError, match="20 images: give more than 20"):
        record(trainer(), images[:20])


def test_neighbours_and_vote_are_scikit_learns():
    rng = np.random.default_rng(0)
    labels = torch.arange(300) % 4
    x = torch.from_numpy(rng.normal(size=(4, 16))[labels] + 1.8 * rng.normal(size=(300, 16))).float()
    index, accuracy, _ = neighbours_and_vote(x, labels)
    near = NearestNeighbors(n_neighbors=6, metric="cosine", algorithm="brute").fit(x)
    np.testing.assert_array_equal(index, near.kneighbors(return_distance=False)[:, :5])  # without the point itself
    right = 0
    for i in range(300):
        others = torch.arange(300) != i
        weigh = lambda distance: np.exp((1 - distance) / 0.07)  # noqa: E731
        vote = KNeighborsClassifier(20, metric="cosine", algorithm="brute", weights=weigh)
        right += int(vote.fit(x[others].double(), labels[others]).predict(x[i : i + 1].double())[0] == labels[i])
    assert 0.3 < accuracy < 0.95  # the comparison means something
    assert accuracy == pytest.approx(right / 300, abs=1.01 / 300)  # one tie may fall either way
    assert index.dtype == torch.int16
    assert math.isnan(neighbours_and_vote(x)[1])


# --- its file -----------------------------------------------------------------------------------


def test_what_is_saved_is_loaded(recorded, tmp_path):
    _, recording = recorded
    recording.save(tmp_path / "run.recording")
    again = Recording.load(tmp_path / "run.recording")
    for name, value in vars(recording).items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, getattr(again, name)), name
            assert value.dtype == getattr(again, name).dtype
        elif name == "factors":
            assert all(torch.equal(v, again.factors[n]) for n, v in value.items())
            assert list(value) == list(again.factors)
        else:
            assert value == getattr(again, name)


def test_without_labels_too(recorded, tmp_path):
    bare = replace(recorded[1], labels=None, classes=(), factors={})
    bare.save(tmp_path / "bare")
    again = Recording.load(tmp_path / "bare")
    assert again.labels is None
    assert again.factors == {}


def test_a_write_that_fails_leaves_what_was_there(recorded, tmp_path, monkeypatch):
    path = tmp_path / "run"
    recorded[1].save(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        recorded[1].save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_files_that_are_no_recordings_are_refused(recorded, tmp_path):
    good = tmp_path / "good"
    recorded[1].save(good)
    content = good.read_bytes()
    (tmp_path / "cut").write_bytes(content[: len(content) // 2])
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").write_bytes(b"")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))

    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "sprung"),))

    np.savez(tmp_path / "pickled.npz", about=np.array([Trap()], dtype=object))
    for name in ("cut", "text", "empty", "other.npz", "pickled.npz"):
        with pytest.raises(CheckpointError, match="is not a recording"):
            Recording.load(tmp_path / name)
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(CheckpointError, match="does not exist"):
        Recording.load(tmp_path / "missing")
