"""Maps against scikit-learn and brute force; recordings that leave the run as it was and the file whole."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

import byol_tutorial as bt
from byol_tutorial.config.errors import CheckpointError, EmbedError
from byol_tutorial.evaluate.embed import (
    _neighbours,
    align,
    pca_embedding,
    place_on,
    size,
    successive_maps,
    umap_embedding,
)
from byol_tutorial.live.recorder import neighbours_and_vote, record
from byol_tutorial.live.recording import Recording

RNG = np.random.default_rng(0)


def blobs(n=240, d=16, classes=4, noise=0.15, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    x = rng.normal(size=(classes, d))[labels] + noise * rng.normal(size=(n, d))
    return torch.from_numpy(x).float(), torch.from_numpy(labels)


# --- PCA ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(200, 12), (12, 200), (40, 40)])
def test_pca_is_scikit_learns(shape):
    x = RNG.normal(size=shape) * np.linspace(3, 0.1, shape[1]) + 5
    theirs = PCA(3, svd_solver="full").fit_transform(x)
    ours = pca_embedding(torch.from_numpy(x), components=3)
    assert ours.dtype == torch.float32
    for k in range(3):  # the sign of a component is arbitrary
        sign = np.sign(theirs[:, k] @ ours[:, k].numpy())
        np.testing.assert_allclose(ours[:, k], sign * theirs[:, k], atol=1e-4)


def test_pca_like_an_earlier_map_is_that_map_when_nothing_has_changed():
    x = torch.from_numpy(RNG.normal(size=(50, 6)))
    first = pca_embedding(x)
    for angle, mirror in ((0.7, 1.0), (2.5, -1.0)):
        turn = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        earlier = first @ turn * torch.tensor([1.0, mirror])
        torch.testing.assert_close(pca_embedding(x, like=earlier), earlier, atol=1e-5, rtol=1e-5)


def test_align_is_the_best_of_all_turns_and_mirrorings_and_keeps_lengths():
    points, like = (torch.from_numpy(RNG.normal(size=(30, 2))) for _ in range(2))
    aligned = align(points, like).double()
    centred, target = points - points.mean(0), like - like.mean(0)
    distance = lambda p: float((p - target).square().sum())  # noqa: E731
    best = math.inf
    for angle in np.linspace(0, 2 * np.pi, 2000):
        c, s = math.cos(angle), math.sin(angle)
        for mirror in (1, -1):
            best = min(best, distance(centred @ torch.tensor([[c, s * mirror], [-s, c * mirror]], dtype=torch.float64)))
    assert distance(aligned) <= best + 1e-6
    assert distance(aligned) == pytest.approx(best, rel=1e-4)
    torch.testing.assert_close(torch.cdist(aligned, aligned), torch.cdist(points, points), atol=1e-5, rtol=1e-5)


def test_maps_of_directions_shrink_with_a_collapse():
    """The PCA map has the unit of the features brought to length 1: a tenth of the spread, a tenth of the map."""
    x, _ = blobs()
    shift = 30 * torch.eye(x.shape[1])[0]
    wide, narrow = successive_maps([x + shift, x / 10 + shift])
    assert size(narrow) == pytest.approx(size(wide) / 10, rel=0.1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: pca_embedding(torch.zeros(5)), "shape (5,)"),
        (lambda: pca_embedding(torch.zeros(1, 4)), "at least 2 rows"),
        (lambda: pca_embedding(torch.zeros(9, 4), components=5), "components=5"),
        (lambda: pca_embedding(torch.full((9, 4), torch.nan)), "not finite"),
        (lambda: align(torch.zeros(9, 2), torch.zeros(8, 2)), "(8, 2)"),
        (lambda: umap_embedding(torch.rand(9, 4)), "neighbours=15"),
        (lambda: umap_embedding(torch.rand(30, 4), neighbours=5.5), "neighbours=5.5"),
        (lambda: umap_embedding(torch.rand(30, 4), min_dist=2), "min_dist=2"),
        (lambda: umap_embedding(torch.rand(30, 4), init=torch.rand(29, 2)), "init has shape (29, 2)"),
        (lambda: umap_embedding(torch.rand(30, 4), init=torch.ones(30, 2)), "not all in one place"),
        (lambda: umap_embedding(torch.rand(30, 4), init=torch.full((30, 2), torch.nan)), "init has shape (30, 2)"),
        (lambda: successive_maps([torch.rand(9, 4)], kind="tsne"), "kind='tsne'"),
    ],
)
def test_what_cannot_be_mapped_is_said(call, words):
    with pytest.raises(EmbedError) as error:
        call()
    assert words in str(error.value)


# --- UMAP ---------------------------------------------------------------------------------------


def test_umap_that_is_missing_is_an_error_in_words(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(EmbedError, match="pip install"):
        umap_embedding(torch.rand(30, 4))


def test_umap_is_the_same_for_a_seed_and_keeps_classes_together():
    x, labels = blobs()
    first = umap_embedding(x, seed=1)
    assert first.shape == (240, 2)
    assert first.dtype == torch.float32
    torch.testing.assert_close(first, umap_embedding(x, seed=1), atol=0, rtol=0)
    assert not torch.equal(first, umap_embedding(x, seed=2))
    _, near = NearestNeighbors(n_neighbors=6).fit(first).kneighbors(first)
    assert (labels[near[:, 1:]] == labels[:, None]).float().mean() > 0.97


@pytest.mark.parametrize("scale", [1.0, 2.0**100, 2.0**-100])
def test_umap_of_a_point_opposite_to_all_others_and_of_any_length(scale):
    """UMAP itself binds no points at a distance of 2, and makes no map where a point is left with none."""
    x = torch.ones(60, 16) + 0.05 * torch.from_numpy(np.random.default_rng(0).normal(size=(60, 16))).float()
    x[0] = -x[1:].mean(0)
    points = umap_embedding((scale * x).requires_grad_())
    assert torch.isfinite(points).all()
    assert np.array_equal(_neighbours(scale * x, 15)[0], _neighbours(x, 15)[0])
    assert not points.requires_grad
    assert size(points) > 0.1


@pytest.mark.slow
def test_umap_leaves_torchs_threads_as_they_were():
    code = (
        "import torch; from byol_tutorial.evaluate.embed import umap_embedding; before = torch.get_num_threads();"
        "umap_embedding(torch.randn(60, 8), init=None); print(before, torch.get_num_threads())"
    )
    # numba takes two threads on one core too; its optimiser costs time and changes nothing here
    env = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "2", "NUMBA_OPT": "0"}
    end = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=env)
    assert end.stdout.split() == ["1", "1"], end.stderr


@pytest.mark.slow
def test_umap_that_starts_from_the_map_before_moves_points_less():
    """Against maps of their own, of equal size and turned to lie on the one before (seen: 0.27 and 0.73 of the size)."""
    warm_steps, cold_steps = [], []
    for seed in range(3):
        x, _ = blobs(seed=seed, noise=0.6, classes=6)
        noise = torch.from_numpy(np.random.default_rng(seed + 10).normal(size=x.shape)).float()
        first, later = umap_embedding(x, seed=seed), x + 0.05 * noise
        warm, cold = umap_embedding(later, seed=seed, init=first), umap_embedding(later, seed=seed + 1)
        assert size(warm) == pytest.approx(size(first), rel=1e-4)
        for steps, points in ((warm_steps, warm), (cold_steps, align(cold * size(first) / size(cold), first))):
            steps.append(float((points - first).norm(dim=1).mean()) / size(first))
    assert sum(warm_steps) < 0.6 * sum(cold_steps)


# --- neighbours ---------------------------------------------------------------------------------


def test_neighbours_and_vote_are_scikit_learns():
    x, labels = blobs(300, noise=1.8)
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


# --- a recording --------------------------------------------------------------------------------

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


@pytest.mark.parametrize("length", [1.0, 1e20])
def test_new_points_are_placed_among_their_neighbours(length):
    g = torch.Generator().manual_seed(0)
    known, points = torch.randn(40, 8, generator=g), torch.randn(40, 2, generator=g)
    new = torch.cat((known[:5], known[7:8] + 1e-4 * torch.randn(1, 8, generator=g), torch.randn(3, 8, generator=g)))
    placed = place_on(new * length, known, points, neighbours=6)
    torch.testing.assert_close(placed[:5], points[:5])  # a known feature stays where it is
    torch.testing.assert_close(placed[5], points[7], atol=1e-3, rtol=0)
    for y, place in zip(new[6:].double(), placed[6:], strict=True):  # by hand
        distance = 1 - torch.nn.functional.cosine_similarity(known.double(), y[None])
        nearest = distance.argsort()[:6]
        weight = 1 / distance[nearest]
        by_hand = (weight[:, None] * points[nearest]).sum(0) / weight.sum()
        torch.testing.assert_close(place.double(), by_hand, rtol=1e-4, atol=1e-5)


def test_a_map_of_fewer_points_than_neighbours_is_enough():
    assert place_on(torch.tensor([[0.0, 2.0]]), torch.eye(2), torch.tensor([[1.0, 1.0], [5.0, 5.0]])).tolist() == [
        [5, 5]
    ]


@pytest.mark.parametrize(
    ("new", "points", "words"),
    [
        (torch.ones(2, 4), torch.ones(3, 2), "4 columns, those of the map 3"),
        (torch.ones(2, 3), torch.ones(2, 2), r"shape \(2, 2\): give 3"),
        (torch.ones(2, 3), torch.full((3, 2), torch.nan), "give 3 finite points"),
        (torch.full((2, 3), torch.inf), torch.ones(3, 2), "not finite"),
    ],
)
def test_what_cannot_be_placed_is_refused(new, points, words):
    with pytest.raises(EmbedError, match=words):
        place_on(new, torch.eye(3), points)


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
            from byol_tutorial.config.errors import DivergedError

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
    from dataclasses import replace

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
