"""kNN and linear probe against scikit-learn; features without a trace of training."""

import copy
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

import byol_tutorial as bt
from byol_tutorial.config.errors import DataError, TrainingError
from byol_tutorial.evaluate import balance, comparison
from byol_tutorial.evaluate.balance import floor_if_uneven
from byol_tutorial.evaluate.features import pixels, representations, settled
from byol_tutorial.evaluate.knn import nearest, vote
from byol_tutorial.methods.registry import build_model
from byol_tutorial.networks.encoders import build_encoder
from byol_tutorial.networks.heads import MLP
from byol_tutorial.runtime.device import is_lack_of_memory


def blobs(n=600, d=12, classes=5, noise=1.6, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, d)) * 1.5
    y = rng.integers(0, classes, n)
    x = centres[y] + rng.normal(size=(n, d)) * noise
    x, y = torch.from_numpy(x).float(), torch.from_numpy(y)
    return x[: n // 2], y[: n // 2], x[n // 2 :], y[n // 2 :]


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (20, 0.07), (20, 0.5), (150, 0.1), (20, 0.005)])
def test_knn_is_scikit_learns(k, temperature):
    x, y, xt, yt = blobs()
    weigh = lambda distance: np.exp((distance.min(1, keepdims=True) - distance) / temperature)  # noqa: E731
    theirs = KNeighborsClassifier(k, metric="cosine", algorithm="brute", weights=weigh).fit(x.double(), y)
    ours = bt.knn_accuracy(x, y, xt, yt, k=k, temperature=temperature)
    assert 0.3 < ours < 0.99  # the comparison means something
    assert ours == pytest.approx(theirs.score(xt.double(), yt), abs=1.01 / len(yt))  # one tie may fall either way


def test_knn_takes_fewer_neighbours_where_there_are_fewer_images():
    x, y, xt, yt = blobs(60)
    assert bt.knn_accuracy(x, y, xt, yt, k=1000) == bt.knn_accuracy(x, y, xt, yt, k=30)


@pytest.mark.parametrize("temperature", [1e-320, 1e-30, 1e-8])
def test_knn_at_a_low_temperature_is_the_nearest_neighbours_class(temperature):
    """The sum of the weights is then that of the nearest alone, although exp(−1 / T) is 0 in float32 and float64."""
    x, y, xt, yt = blobs()
    theirs = KNeighborsClassifier(1, metric="cosine", algorithm="brute").fit(x.double(), y).score(xt.double(), yt)
    assert 0.3 < theirs < 0.99
    assert bt.knn_accuracy(x.double(), y, xt.double(), yt, k=20, temperature=temperature) == theirs


@pytest.mark.parametrize("length", [1e-37, 1e-20, 1e-7, 1e20, 1e37])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_knn_does_not_depend_on_the_length_of_features(length, dtype):
    x, y, xt, yt = blobs()
    expected = bt.knn_accuracy(x, y, xt, yt)
    scaled = [(z.double() * length).to(dtype) for z in (x, xt)]
    assert bt.knn_accuracy(scaled[0], y, scaled[1], yt) == pytest.approx(expected, abs=1.01 / len(yt))
    assert torch.equal(nearest(scaled[1], scaled[0], 1), nearest(xt.to(dtype), x.to(dtype), 1))


def test_knn_weighs_each_query_alone():
    """Votes of a query depend on differences of its own cosines, so one that is far from all is judged like another."""
    cosine = torch.tensor([[0.9, 0.85, 0.84], [-0.1, -0.15, -0.16]])
    labels = torch.tensor([[0, 1, 1], [0, 1, 1]])
    assert vote(cosine, labels, 2, 0.01).tolist() == [0, 0]  # e^0 against e^−5 + e^−6
    assert vote(cosine, labels, 2, 0.2).tolist() == [1, 1]  # 1 against e^−0.25 + e^−0.3 = 1.52


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 0}, "k=0: give a whole number"), ({"k": -3}, "k=-3"), ({"k": 2.5}, "k=2.5"), ({"k": True}, "k=True"),
        ({"temperature": 0}, "temperature=0: give a number above 0"), ({"temperature": -0.1}, "temperature=-0.1"),
        ({"temperature": float("nan")}, "temperature=nan"), ({"temperature": float("inf")}, "temperature=inf"),
        ({"train_features": torch.full((4, 2), torch.nan)}, "train features are not finite"),
        ({"test_features": torch.tensor([[1.0, torch.inf]])}, "test features are not finite"),
        ({"test_features": torch.ones(1, 3)}, "test features have 3 columns: give 2"),
        ({"test_features": torch.ones(0, 2)}, r"test features have shape \(0, 2\)"),
        ({"train_features": torch.ones(4)}, r"train features have shape \(4,\)"),
        ({"train_features": torch.ones(4, 2, dtype=torch.int64)}, "train features are torch.int64"),
        ({"train_labels": torch.tensor([0, 1])}, "one for each of 4 rows"),
        ({"train_labels": torch.tensor([0, 1, -1, 0])}, "whole numbers from 0"),
        ({"test_labels": torch.tensor([0.5])}, "test labels are torch.float32"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_refused_in_words(changes, message):
    given = {
        "train_features": torch.eye(2).repeat(2, 1),
        "train_labels": torch.tensor([0, 1, 0, 1]),
        "test_features": torch.ones(1, 2),
        "test_labels": torch.tensor([0]),
    }
    with pytest.raises(DataError, match=message):
        bt.knn_accuracy(**given | changes)
    if not changes.keys() & {"k", "temperature"}:
        with pytest.raises(DataError, match=message):
            bt.linear_probe(**given | changes)


def test_nearest_is_scikit_learns():
    x, _, xt, _ = blobs()
    theirs = NearestNeighbors(n_neighbors=5, metric="cosine").fit(x).kneighbors(xt, return_distance=False)
    assert torch.equal(nearest(xt, x, 5), torch.from_numpy(theirs))


@pytest.mark.parametrize("default", [{"device": "meta"}, {"dtype": torch.float64}])
def test_linear_probe_does_not_depend_on_torchs_defaults(default):
    x, y, xt, yt = blobs(noise=2.5)
    expected = bt.linear_probe(x, y, xt, yt)
    try:
        torch.set_default_device(default.get("device"))
        torch.set_default_dtype(default.get("dtype", torch.float32))
        found = bt.linear_probe(x, y, xt, yt)
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert found.accuracy == expected.accuracy


def test_linear_probe_is_as_good_as_the_best_penalty():
    """Against scikit-learn fitted with every penalty and scored on the test images: at most 2 points below the best."""
    x, y, xt, yt = blobs(noise=2.5)
    mean, std = x.mean(0), x.std(0, unbiased=False)
    scores = [
        LogisticRegression(C=c, max_iter=2000).fit((x - mean) / std, y).score((xt - mean) / std, yt)
        for c in bt.evaluate.PENALTIES
    ]
    result = bt.linear_probe(x, y, xt, yt)
    assert max(scores) - 0.02 <= result.accuracy <= max(scores)
    assert float(result) == result.accuracy
    assert "linear probe" in str(result)


def test_linear_probe_ignores_the_scale_of_the_features():
    x, y, xt, yt = blobs()
    scale = torch.logspace(-3, 3, 12)
    assert bt.linear_probe(x * scale, y, xt * scale, yt).accuracy == bt.linear_probe(x, y, xt, yt).accuracy


def test_linear_probe_never_looks_at_test_labels_to_choose():
    x, y, xt, yt = blobs()
    wrong = (yt + 1) % 5
    a, b = bt.linear_probe(x, y, xt, yt), bt.linear_probe(x, y, xt, wrong)
    assert (a.penalty, a.held_out_accuracy) == (b.penalty, b.held_out_accuracy)
    assert b.accuracy < 0.3 < a.accuracy


def test_linear_probe_needs_two_classes():
    x, _, xt, _ = blobs()
    with pytest.raises(bt.DataError, match="at least two classes"):
        bt.linear_probe(x, torch.zeros(len(x), dtype=torch.long), xt, torch.zeros(len(xt), dtype=torch.long))


def test_linear_probe_survives_collapsed_features():
    """Constant features: nothing to learn, so the accuracy of always naming one class; no warning, no crash."""
    _, y, _, yt = blobs()
    constant = torch.ones(len(y), 8)
    accuracy = bt.linear_probe(constant, y, torch.ones(len(yt), 8), yt).accuracy
    assert accuracy in [(yt == c).float().mean().item() for c in range(5)] or accuracy == pytest.approx(
        max((yt == c).float().mean().item() for c in range(5)), abs=0.15
    )


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return build_encoder(bt.Config(width=4), 32, mean=[0.2, 0.3, 0.4], std=[0.5, 0.6, 0.7])


def test_features_are_the_encoder_in_evaluation_mode(encoder):
    images = bt.load("shapes", limit=70).images
    expected = copy.deepcopy(encoder).eval()
    mean, std = torch.tensor([0.2, 0.3, 0.4])[:, None, None], torch.tensor([0.5, 0.6, 0.7])[:, None, None]
    with torch.no_grad():
        expected = expected((images / 255 - mean) / std)
    y = bt.features(encoder, images, batch_size=32)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)
    assert y.dtype == torch.float32
    assert not y.requires_grad


def test_features_of_images_kept_larger_than_the_views_are_those_of_their_centre(encoder):
    """As the paper's, 224 of 256; of any other size, of all of it."""
    images = torch.randint(0, 256, (6, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    kept = images[:, :, :37, :37]  # 37 = 8/7 · 32, rounded
    assert torch.equal(bt.features(encoder, kept), bt.features(encoder, kept[:, :, 2:34, 2:34]))
    whole = encoder.eval()(bt.evaluate.network_input(encoder, images / 255))
    torch.testing.assert_close(bt.features(encoder, images), whole)
    assert (bt.evaluate.kept_size(224), bt.evaluate.seen_size(encoder, 37), bt.evaluate.seen_size(encoder, 38)) == (
        256,
        32,
        38,
    )


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    ],
)
def test_features_that_do_not_fit_into_memory_say_what_helps(encoder, monkeypatch, error):
    def forward(x):
        raise error

    monkeypatch.setattr(encoder, "forward", forward)
    with pytest.raises(
        TrainingError, match=r"out of memory on cpu at the features of 20 images: .* smaller batch_size"
    ):
        bt.features(encoder, bt.load("shapes", limit=20).images)


@pytest.mark.parametrize(("free", "expected"), [(1, True), (90, False)])
def test_cudnns_lack_of_an_engine_is_one_of_memory_where_little_is_free(monkeypatch, free, expected):
    """It has the same words for shapes that it cannot convolve."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free, 100))
    assert is_lack_of_memory(RuntimeError("GET was unable to find an engine to execute this computation")) == expected


def test_features_change_nothing_in_the_encoder(encoder):
    before = copy.deepcopy(encoder.state_dict())
    encoder.train()
    bt.features(encoder, bt.load("shapes", limit=20).images)
    assert encoder.training
    assert all(torch.equal(before[k], v) for k, v in encoder.state_dict().items())
    encoder.eval()
    bt.features(encoder, bt.load("shapes", limit=20).images)
    assert not encoder.training


def test_factor_probe_reads_what_is_there_and_not_what_is_not():
    train, test = bt.load("shapes", limit=1500), bt.load("shapes", "test", limit=700)

    def only_hue(s):
        angle = 2 * torch.pi * s.factors.hue
        return torch.stack((angle.cos(), angle.sin()), 1) + 0.01 * torch.randn(
            len(s), 2, generator=torch.Generator().manual_seed(0)
        )

    assert bt.factor_probe(only_hue(train), train, only_hue(test), test, "hue").accuracy > 0.9
    # chance is 0.1 and 0.125; standard error of 700 images 0.0125
    assert bt.factor_probe(only_hue(train), train, only_hue(test), test, "shape").accuracy < 0.16
    assert bt.factor_probe(only_hue(train), train, only_hue(test), test, "rotation").accuracy < 0.19


def test_factor_probe_refuses():
    train, digits = bt.load("shapes", limit=20), bt.load("digits", limit=20)
    x = torch.zeros(20, 2)
    with pytest.raises(bt.DataError, match="factor 'colour': choose one of shape, hue"):
        bt.factor_probe(x, train, x, train, "colour")
    with pytest.raises(bt.DataError, match="'digits' has no factors"):
        bt.factor_probe(x, digits, x, digits, "hue")


def test_accuracies_are_features_then_knn_and_probe(encoder):
    train, test = bt.load("shapes", limit=300), bt.load("shapes", "test", limit=200)
    found = bt.accuracies(encoder, train, test)
    a, b = bt.features(encoder, train.images), bt.features(encoder, test.images)
    assert torch.equal(found.train_features, a)
    assert torch.equal(found.test_features, b)
    assert found.knn == bt.knn_accuracy(a, train.labels, b, test.labels)
    assert found.probe == bt.linear_probe(a, train.labels, b, test.labels)
    assert found.linear == found.probe.accuracy
    assert repr(found) == f"kNN {found.knn:.3f}, linear probe {found.linear:.3f} (chance 0.100)"


def test_accuracies_compute_only_what_is_read_and_once(encoder, monkeypatch):
    train, calls = bt.load("shapes", limit=60), []
    for name in ("knn_predictions", "linear_probe"):
        plain = getattr(comparison, name)
        monkeypatch.setattr(comparison, name, lambda *y, name=name, plain=plain: calls.append(name) or plain(*y))
    found = bt.accuracies(encoder, train, train)
    assert calls == []
    assert found.knn == found.knn
    assert calls == ["knn_predictions"]
    assert found.linear == found.linear
    assert calls == ["knn_predictions", "linear_probe"]


def test_accuracies_of_a_diverged_encoder_say_so(encoder):
    train, broken = bt.load("shapes", limit=60), copy.deepcopy(encoder)
    assert bt.accuracies(encoder, train, train).finite
    next(broken.parameters()).data.fill_(torch.nan)
    found = bt.accuracies(broken, train, train)
    assert not found.finite
    assert "not finite" in repr(found)


@pytest.mark.parametrize("unlabelled", [0, 1])
def test_accuracies_without_labels_say_what_to_do(encoder, unlabelled):
    sets = [bt.load("shapes", limit=50), bt.load("shapes", "test", limit=50)]
    sets[unlabelled] = replace(sets[unlabelled], name="mine", labels=None)
    with pytest.raises(bt.DataError, match="'mine' has no labels: put the images in one sub-folder a class"):
        bt.accuracies(encoder, *sets)


def test_compare_measures_each_representation(encoder):
    train, test = bt.load("shapes", limit=300), bt.load("shapes", "test", limit=200)
    table = bt.compare({"random encoder": encoder}, train, test)
    assert list(table.rows) == ["raw pixels", "random encoder"]
    a, b = bt.features(encoder, train.images), bt.features(encoder, test.images)
    assert table.rows["random encoder"] == (
        bt.knn_accuracy(a, train.labels, b, test.labels),
        bt.linear_probe(a, train.labels, b, test.labels).accuracy,
    )
    assert table.rows["raw pixels"][0] == bt.knn_accuracy(
        pixels(train.images), train.labels, pixels(test.images), test.labels
    )
    for text in (str(table), table._repr_html_()):
        assert f"{table.rows['random encoder'][1]:.3f}" in text


def test_compare_without_labels_says_what_to_do(encoder):
    train = bt.load("shapes", limit=50)
    with pytest.raises(bt.DataError, match="no labels: put the images in one sub-folder a class"):
        bt.compare({}, replace(train, labels=None), train)


def test_the_linear_probe_leaves_numpys_threads_as_they_were_and_takes_one(monkeypatch):
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_info, threadpool_limits

    def threads():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    seen, fit = [], LogisticRegression.fit

    def watched(self, *arguments):
        seen.append(threads())
        return fit(self, *arguments)

    monkeypatch.setattr(LogisticRegression, "fit", watched)
    x, y = torch.randn(60, 4), torch.arange(60) % 3
    with threadpool_limits(2, user_api="blas"):
        before = threads()
        bt.linear_probe(x, y, x, y)
        assert threads() == before
    assert set(before) == {2}
    assert seen
    assert all(n == 1 for pools in seen for n in pools)


# --- projections --------------------------------------------------------------------------------


class Online(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 8), torch.nn.BatchNorm1d(8))
        self.projector = MLP(8, 10, 4)


def pictures(n, seed=0):
    return torch.randint(0, 256, (n, 3, 2, 2), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def as_input(images):
    return (images.double() / 255 - 0.5) / 0.25


def test_running_averages_are_freed_of_their_start_as_worked_out_by_hand():
    """After t batches the average is the weighted mean of the batches' own values, weights 0.9^(t−k), k = 1 ... t."""
    torch.manual_seed(0)
    network, t = Online().double(), 5
    batches = [as_input(pictures(30, seed=k)) for k in range(t)]
    network.train()
    hidden = [network.encoder[1](b.flatten(1)).detach() for b in batches]
    for b in batches:
        network.encoder(b)
    weights = torch.tensor([0.9 ** (t - k) for k in range(1, t + 1)], dtype=torch.float64)
    weights /= weights.sum()
    layer = settled(network).encoder[2]
    for value, of in ((layer.running_mean, lambda h: h.mean(0)), (layer.running_var, lambda h: h.var(0))):
        torch.testing.assert_close(value, sum(w * of(h) for w, h in zip(weights, hidden, strict=True)))


def test_y_is_the_features_and_z_follows_from_the_settled_averages():
    torch.manual_seed(0)
    network = Online()
    network.train()
    for k in range(3):
        network.projector(network.encoder(as_input(pictures(40, seed=k)).float()))
    images = pictures(25, seed=9)
    y, z = representations(network, images)
    assert torch.equal(y, bt.features(network.encoder, images))
    copied = settled(network).eval()
    with torch.no_grad():
        torch.testing.assert_close(z, copied.projector(copied.encoder(as_input(images).float())))
    assert z.dtype == torch.float32
    assert not z.requires_grad


def test_an_untrained_network_normalises_with_the_images_that_it_is_given():
    torch.manual_seed(0)
    network, images = Online().double(), pictures(25)
    x = as_input(images).flatten(1)
    with torch.no_grad():
        h = network.encoder[1](x)
        h = (h - h.mean(0)) / (h.var(0, unbiased=False) + 1e-5).sqrt()
        h = network.projector[0](h)
        h = (h - h.mean(0)) / (h.var(0, unbiased=False) + 1e-5).sqrt()
        expected = network.projector[3](h.relu())
    torch.testing.assert_close(representations(network.float(), images)[1].double(), expected, rtol=1e-4, atol=1e-5)


def test_a_network_of_many_steps_is_taken_as_it_is():
    network = Online()
    for layer in (network.encoder[2], network.projector[1]):
        layer.num_batches_tracked.fill_(200)
        layer.running_mean.fill_(0.3)
    assert settled(network) is None
    y, z = representations(network, pictures(9))
    with torch.no_grad():
        torch.testing.assert_close(z, network.projector.eval()(y))


@pytest.mark.parametrize("options", [{}, {"momentum": None}, {"affine": False}])
def test_a_layer_that_does_not_count_its_batches_is_taken_as_it_is(options):
    """Torch allows it. The other layer alone is freed of its start."""
    network, images = Online(), pictures(9)
    network.encoder[2] = layer = torch.nn.BatchNorm1d(8, **options)
    layer.num_batches_tracked = None
    layer.running_mean.fill_(0.3)
    freed = settled(network)
    assert all(torch.equal(value, freed.state_dict()[f"encoder.2.{n}"]) for n, value in layer.state_dict().items())
    assert freed.projector[1].running_mean is None
    y, z = representations(network, images)
    with torch.no_grad():
        torch.testing.assert_close(z, freed.projector.eval()(y))


def small_run(**changes):
    """A BYOL model on images whose statistics are far from 0.5 and 0.25, after three forward passes in training."""
    torch.manual_seed(0)
    config = bt.Config(width=4, hidden_dim=16, projection_dim=8, **changes)
    model = build_model(config, 16, mean=(0.1, 0.2, 0.3), std=(0.05, 0.06, 0.07)).train()
    for _ in range(3):
        model(torch.randn(8, 3, 16, 16), torch.randn(8, 3, 16, 16))
    return model


def test_a_part_with_its_projector_is_normalised_as_the_encoder_is():
    model = small_run().eval()
    images = pictures(9)
    y = bt.features(model.encoder, images)
    with torch.no_grad():
        by_hand = model.projector(y)
    for part in (torch.nn.Sequential(model.encoder, model.projector), model.online):
        torch.testing.assert_close(bt.features(part, images), by_hand, rtol=1e-4, atol=1e-5)


def test_parts_trained_on_different_images_are_refused():
    a, b = (build_encoder(bt.Config(width=4), 16, mean, (0.2,) * 3) for mean in ((0.5,) * 3, (0.1,) * 3))
    with pytest.raises(DataError, match="2 parts that were trained on different images"):
        bt.features(torch.nn.ModuleList([a, b]), pictures(3))
    same = torch.nn.Sequential(a, torch.nn.Identity())
    torch.testing.assert_close(bt.features(same, pictures(3)), bt.features(a, pictures(3)))


def test_features_of_z_and_p_are_those_of_the_run():
    model, images = small_run(), pictures(9)
    y, z = representations(model.online, images)
    assert torch.equal(bt.features(model, images), y)
    assert torch.equal(bt.features(model, images, of="z"), z)
    head = copy.deepcopy(model.predictor).eval()
    with torch.no_grad():
        torch.testing.assert_close(bt.features(model, images, of="p"), head(z), rtol=1e-5, atol=1e-6)
    assert model.training


@pytest.mark.parametrize(
    ("build", "of", "message"),
    [
        (small_run, "x", 'give "y", "z" or "p"'),
        (lambda: small_run().encoder, "z", "SmallEncoder has no projector; give the model of a run"),
        (lambda: small_run(method="simclr"), "p", "SimCLR has no predictor"),
    ],
)
def test_a_part_that_a_model_lacks_is_named(build, of, message):
    with pytest.raises(DataError, match=message):
        bt.features(build(), pictures(3), of=of)


@pytest.mark.parametrize("training", [True, False])
def test_representations_leave_the_network_as_it_was(training):
    network = Online().train(training)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    representations(network, pictures(30))
    assert all(module.training == training for module in network.modules())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_representations_of_one_process_wait_for_no_other():
    """SyncBatchNorm in training mode would ask the other processes, which may be at something else."""
    plain = Online()
    shared = torch.nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(plain))
    images = pictures(30)
    torch.testing.assert_close(representations(shared, images)[1], representations(plain, images)[1])


# --- classes of unequal size --------------------------------------------------------------------


def test_balanced_accuracy_is_scikit_learns():
    from sklearn.metrics import accuracy_score, balanced_accuracy_score

    rng = np.random.default_rng(0)
    labels = rng.choice(5, 400, p=(0.7, 0.2, 0.05, 0.05, 0.0))  # the last class is absent
    predicted = np.where(rng.random(400) < 0.6, labels, rng.integers(0, 4, 400))
    pair = torch.from_numpy(predicted), torch.from_numpy(labels)
    assert balance.accuracy(*pair) == pytest.approx(accuracy_score(labels, predicted))
    assert balance.balanced_accuracy(*pair) == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert balance.largest_share(pair[1]) == (labels == 0).mean()


def test_an_encoder_that_knows_only_the_largest_class_is_seen_through():
    """Features without information on 90 : 10: accuracy 0.9, which is nothing; balanced it is chance."""
    torch.manual_seed(0)
    y = (torch.arange(400) % 10 == 0).long()
    found = bt.evaluate.Accuracies(torch.randn(400, 8), y, torch.randn(400, 8), y)
    assert min(found.knn, found.linear) > 0.85
    assert found.largest == 0.9
    assert max(found.knn_balanced, found.linear_balanced) < 0.6
    assert "largest class 0.900; balanced 0." in repr(found)


def test_a_table_of_unequal_classes_has_balanced_columns(encoder):
    train, test = bt.load("shapes", limit=200), bt.load("shapes", "test", limit=200)
    even = bt.compare({"ours": encoder}, train, test)
    assert not even.uneven
    assert "bal." not in str(even)
    assert "chance 0.100, largest class" in str(even)
    few = test[(test.labels == 0) | (torch.arange(200) % 12 == 0)]
    uneven = bt.compare({"ours": encoder}, train, few)
    assert uneven.uneven
    assert "bal." in str(uneven)
    assert uneven._repr_html_().count("balanced") == 2
    assert set(uneven.balanced) == set(uneven.rows)


def test_the_floor_of_accuracies_is_said_only_where_classes_are_uneven():
    even, uneven = torch.arange(30) % 3, torch.tensor([0] * 20 + [1] * 5 + [2] * 5)
    assert floor_if_uneven(even) == floor_if_uneven(None) == floor_if_uneven(even[:0]) == ""
    assert floor_if_uneven(uneven) == "chance 0.333, largest class 0.667"
    assert floor_if_uneven(torch.tensor([0] * 15 + [1] * 15 + [2])) == ""  # 0.484 is less than 1.5 times a third


@pytest.mark.parametrize("of", ["y", "z", "p"])
def test_features_that_fail_leave_the_modes_of_the_network_as_they_were(monkeypatch, of):
    train = bt.load("shapes", limit=64)
    model = bt.Trainer(bt.Config(width=4, batch_size=16), train, device="cpu").model
    part = {"y": model.encoder, "z": model.projector, "p": model.predictor}[of]
    frozen = next(layer for layer in part.modules() if layer is not part)
    frozen.eval()
    modes = [layer.training for layer in model.modules()]
    with monkeypatch.context() as patch:
        patch.setattr(part, "forward", lambda x: 1 / 0)
        patch.setattr(sys.modules["byol_tutorial.evaluate.features"], "settled", lambda online: None)
        with pytest.raises(ZeroDivisionError):
            bt.features(model, train, of=of)
    assert [layer.training for layer in model.modules()] == modes
    bt.features(model, train, of=of)
    assert [layer.training for layer in model.modules()] == modes
