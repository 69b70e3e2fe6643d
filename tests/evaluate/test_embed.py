"""Maps against scikit-learn and brute force."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from byol_tutorial.config.errors import EmbedError
from byol_tutorial.evaluate.embed import (
    _neighbours,
    align,
    pca_embedding,
    place_on,
    size,
    successive_maps,
    umap_embedding,
)

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


@pytest.mark.slow  # UMAP is compiled at its first map, which takes seconds
def test_umap_is_the_same_for_a_seed_and_keeps_classes_together():
    x, labels = blobs()
    first = umap_embedding(x, seed=1)
    assert first.shape == (240, 2)
    assert first.dtype == torch.float32
    torch.testing.assert_close(first, umap_embedding(x, seed=1), atol=0, rtol=0)
    assert not torch.equal(first, umap_embedding(x, seed=2))
    _, near = NearestNeighbors(n_neighbors=6).fit(first).kneighbors(first)
    assert (labels[near[:, 1:]] == labels[:, None]).float().mean() > 0.97


def one_opposite() -> torch.Tensor:
    """Points of which the first is opposite to all others."""
    x = torch.ones(60, 16) + 0.05 * torch.from_numpy(np.random.default_rng(0).normal(size=(60, 16))).float()
    x[0] = -x[1:].mean(0)
    return x


@pytest.mark.parametrize("scale", [2.0**100, 2.0**-100])
def test_neighbours_for_umap_are_those_of_the_directions(scale):
    x = one_opposite()
    assert np.array_equal(_neighbours(scale * x, 15)[0], _neighbours(x, 15)[0])


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.0, 2.0**100, 2.0**-100])
def test_umap_of_a_point_opposite_to_all_others_and_of_any_length(scale):
    """UMAP itself binds no points at a distance of 2, and makes no map where a point is left with none."""
    points = umap_embedding((scale * one_opposite()).requires_grad_())
    assert torch.isfinite(points).all()
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


# --- new points on a map ------------------------------------------------------------------------


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
