"""The playground's shapes, views and measures beside the library's."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from javascript import run

import byol_tutorial as bt
from byol_tutorial.augment.operations import apply, as_float, normalise
from byol_tutorial.data import shapes
from byol_tutorial.evaluate.diagnose import effective_rank
from byol_tutorial.evaluate.knn import knn_accuracy
from byol_tutorial.methods.byol import tau_at
from byol_tutorial.train.optim import lr_factor_at
from byol_tutorial.widgets.playground.build import engine
from byol_tutorial.widgets.playground.fields import about


@pytest.mark.parametrize("size", [24, 32])
def test_shapes_are_the_librarys_to_one_level(size):
    factors = shapes.sample_factors(200, seed=3)
    names = ("shape", "hue", "x", "y", "scale", "rotation")
    body = """
    const out = new Uint8Array(200 * a.size ** 2 * 3);
    for (let i = 0; i < 200; i++) drawShape(Object.fromEntries(Object.entries(a.factors).map(([k, v]) => [k, v[i]])), a.size, out, i * a.size ** 2 * 3);
    return out;"""
    ours = run(engine(), body, size=size, factors={n: getattr(factors, n).double().numpy() for n in names})
    theirs = shapes.draw(factors, size).permute(0, 2, 3, 1).numpy().ravel().astype(int)
    away = np.abs(np.array(ours) - theirs)
    assert away.max() <= 1
    assert (away > 0).mean() < 1e-3


def test_a_set_holds_all_shapes_as_often_and_all_factors_in_their_ranges():
    body = "const set = new PictureSet(1000, 24, generator(5)); return {factors: set.factors, statistics: channelStatistics(set.all())};"
    ours = run(engine(), body)
    theirs = bt.load("shapes", size=24, limit=1000)
    for name, low, high in (("hue", 0, 1), ("x", -0.25, 0.25), ("scale", 0.58, 0.78), ("rotation", 0, 2 * np.pi)):
        values = np.array([f[name] for f in ours["factors"]])
        assert low <= values.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.03 * (high - low))
    assert (np.bincount([f["shape"] for f in ours["factors"]]) == 100).all()
    x = theirs.images[:1000].double() / 255
    np.testing.assert_allclose(ours["statistics"]["mean"], x.mean((0, 2, 3)), atol=0.01)
    np.testing.assert_allclose(ours["statistics"]["std"], x.std((0, 2, 3)), atol=0.01)


@pytest.mark.parametrize(
    ("size", "changes"), [(24, {}), (32, {}), (32, {"crop_area": (0.08, 1.0)}), (24, {"jitter_p": 0.5})]
)
def test_views_of_given_draws_are_the_librarys(size, changes):
    config, n = bt.preset("shapes", **changes), 64
    images = bt.load("shapes", size=size, limit=n).images[:n]
    mean, std = torch.tensor([0.2, 0.19, 0.21]), torch.tensor([0.15, 0.14, 0.16])
    drawn = bt.augment.Views(config, mean, std, torch.Generator().manual_seed(9)).draw(n, size, size)
    theirs = normalise(apply(as_float(images).repeat(2, 1, 1, 1), drawn, size), mean, std)
    body = """
    const maker = new ViewMaker(a.size, a), each = a.size ** 2 * 3, out = new Float64Array(128 * each), d = a.drawn;
    for (let i = 0; i < 128; i++) maker.make(a.images, (i % 64) * each, {top: d.top[i], left: d.left[i], height: d.height[i], width: d.width[i],
      jitter: d.jitter[i], factors: d.factors.slice(4 * i, 4 * i + 4), order: Array.from(d.order.slice(4 * i, 4 * i + 4)), grayscale: d.grayscale[i]}, out, i * each);
    return out;"""
    names = ("top", "left", "height", "width", "jitter", "factors", "order", "grayscale")
    ours = run(engine(), body, size=size, mean=mean.tolist(), std=std.tolist(), drawn={k: getattr(drawn, k).double().numpy().ravel() for k in names},
               images=images.permute(0, 2, 3, 1).numpy().ravel())  # fmt: skip
    away = np.abs(np.array(ours) - theirs.permute(0, 2, 3, 1).numpy().ravel()) * 0.16  # in units of a pixel's range
    assert away.max() < 1e-5


def test_draws_have_the_distribution_of_the_librarys():
    """Means and deviations of what 20,000 views are drawn with."""
    body = """
    const random = generator(1), s = {crop_area: 0.5, jitter_p: 0.8, grayscale_p: 0.3};
    const all = Array.from({length: 20000}, () => drawView(s, 32, random));
    return all.map((v) => [v.height * v.width / 1024, v.width / v.height, v.top / Math.max(32 - v.height, 1e-9), v.jitter, v.grayscale, ...v.factors, ...v.order].map(Number));"""
    ours = np.array(run(engine(), body))
    config = bt.preset("shapes", jitter_p=0.8)
    d = bt.augment.Views(config, generator=torch.Generator().manual_seed(2)).draw(10_000, 32, 32)
    theirs = torch.stack([d.height * d.width / 1024, d.width / d.height, d.top / (32 - d.height).clamp(min=1e-9), d.jitter, d.grayscale,
                          *d.factors.T, *d.order.T], 1).double().numpy()  # fmt: skip
    error = theirs.std(0) / np.sqrt(10_000)
    assert (np.abs(ours.mean(0) - theirs.mean(0)) < 5 * error + 1e-9).all()
    np.testing.assert_allclose(ours.std(0), theirs.std(0), rtol=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_neighbours_and_their_vote_are_the_librarys(seed):
    """Each picture is judged by the others, so the library is asked once for each, without it."""
    torch.manual_seed(seed)
    labels = torch.randint(0, 10, (150,))
    x = F.normalize(torch.randn(10, 32)[labels] + 1.5 * torch.randn(150, 32))
    body = """
    const n = 150, cosines = Float64Array.from({length: n * n}, (_, i) => { let s = 0; for (let k = 0; k < 32; k++) s += a.x[Math.floor(i / n) * 32 + k] * a.x[i % n * 32 + k]; return s; });
    const near = neighbours(cosines, n);
    return {accuracy: voteAccuracy(near, a.labels, 10), index: near.index};"""
    ours = run(engine(), body, x=x.double().numpy().ravel(), labels=labels.numpy().astype(np.uint8))
    rest = [torch.arange(150) != i for i in range(150)]
    theirs = [knn_accuracy(x[r], labels[r], x[~r], labels[~r]) for r in rest]
    assert ours["accuracy"] == pytest.approx(np.mean(theirs), abs=1e-9)
    nearest = (x @ x.T).fill_diagonal_(-2).topk(20).indices
    assert (np.array(ours["index"]).reshape(150, 20) == nearest.numpy()).mean() > 0.999


@pytest.mark.parametrize("spectrum", [[1.0] * 16, [0.5**k for k in range(16)], [1] + [0] * 15, [1, 1, 1] + [1e-7] * 13])
def test_rank_and_plane_are_the_librarys(spectrum):
    torch.manual_seed(0)
    turn = torch.linalg.qr(torch.randn(16, 16))[0]
    z = F.normalize((torch.randn(300, 16) * torch.tensor(spectrum).double().sqrt()).double() @ turn.double() + 0.1)
    body = """
    const c = covariance(a.z, 16);
    return {rank: effectiveRank(c.matrix, 16), eigenvalues: eigenvaluesOf(c.matrix, 16), ...principalPlane(a.z, 16, c, null)};"""
    ours = run(engine(), body, z=z.numpy().ravel())
    centred = z - z.mean(0)
    values = torch.linalg.eigvalsh(centred.T @ centred / 300)
    np.testing.assert_allclose(np.sort(ours["eigenvalues"]), values, atol=1e-10)
    assert ours["rank"] == pytest.approx(effective_rank(z), rel=1e-6, abs=1e-9)
    xy = np.array(ours["xy"]).reshape(-1, 2)
    assert (xy**2).sum() / 300 == pytest.approx(
        float(values[-2:].sum()), rel=0.03
    )  # of all planes the one with most variance


def test_schedules_are_the_librarys():
    body = """return {rate: a.steps.map((k) => rateFactor(k, 1000, 150)),
                       tau: a.steps.map((k) => decayRate({target: "ema", tau_base: 0.9, tau_schedule: "cosine"}, k, 1000))};"""
    steps = [0, 1, 149, 150, 151, 400, 999, 1000]
    ours = run(engine(), body, steps=steps)
    np.testing.assert_allclose(ours["rate"], [lr_factor_at(k, 1000, 150) for k in steps], atol=1e-12)
    np.testing.assert_allclose(ours["tau"], [tau_at(k, 1000, 0.9) for k in steps], atol=1e-12)


def test_the_map_of_z_stays_within_the_sphere():
    body = """
    const frames = [], run = new Run((m) => { if (m.kind === "frame") frames.push(m); }, openScript(), "page");
    run.begin(a.settings, []);
    return frames[0].seen.maps.z;"""
    z = np.array(run(engine(), body, settings=about()["settings"])).reshape(-1, 2)
    length = np.linalg.norm(z, axis=1)
    assert 0.2 < length.max() <= 1 + 1e-6
