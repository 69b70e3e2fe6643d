"""The evaluation protocols against scikit-learn, formulas, and faults injected into their data."""

import copy
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import byol_tutorial as bt
from byol_tutorial.evaluate import finetune, protocols
from byol_tutorial.evaluate.finetune import descend, few_label_split
from byol_tutorial.evaluate.protocols import PENALTIES, PROTOCOLS, inverse_strength

QUICK = {"sgd-linear": {"epochs": 2}, "few-labels-10": {"rates": (0.05,), "epochs": (2,)}}
QUICK["few-labels-1"] = QUICK["few-labels-10"]


@pytest.fixture(scope="module")
def sets():
    return bt.load("shapes", limit=400), bt.load("shapes", "test", limit=200)


@pytest.fixture(scope="module")
def few(sets):
    return sets[0][:120], sets[1][:60]


def encoder(seed=0) -> nn.Module:
    torch.manual_seed(seed)
    return bt.networks.build_encoder(bt.Config(width=4), 32)


class Table(nn.Module):
    """An encoder that reads each image's features from its first pixels: features of our choice."""

    feature_dim = 8

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("pixel_mean", torch.zeros(3))
        self.register_buffer("pixel_std", torch.ones(3))

    def forward(self, x):
        return self.scale * x.mean((1, 2))  # columns are features, so that no crop is needed to see them


def run(name, sets, seed=0, ours=None, baseline=None):
    return PROTOCOLS[name](ours or encoder(0), baseline or encoder(1), *sets, seed=seed, **QUICK.get(name, {}))


@pytest.mark.parametrize(
    ("name", "penalties"),
    [*((name, PENALTIES[::9]) for name in PROTOCOLS), pytest.param("transfer", PENALTIES, marks=pytest.mark.slow)],
    ids=[*PROTOCOLS, "transfer with its usual penalties"],
)
def test_every_protocol_leaves_the_encoder_and_the_random_state_alone_and_repeats_itself(
    few, monkeypatch, name, penalties
):
    monkeypatch.setattr(protocols, "PENALTIES", penalties)  # which "transfer" tries
    mine, other = encoder(0).train(), encoder(1)
    before, state = copy.deepcopy(mine.state_dict()), torch.get_rng_state()
    first = run(name, few, 3, mine, other)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[key], value) for key, value in mine.state_dict().items())
    assert mine.training
    assert all(p.grad is None for p in mine.parameters())
    torch.manual_seed(99)
    assert run(name, few, 3, mine, other) == first
    assert (first.protocol, first.seed, first.train_size, first.test_size) == (name, 3, 120, 60)
    assert 0 <= first.baseline <= 1
    assert 0 <= first.accuracy <= 1
    assert json.loads(json.dumps(first.to_dict()))["accuracy"] == first.accuracy
    assert repr(first).startswith(f"{name}: ")
    assert "random encoder" in repr(first)
    assert "seed 3" in repr(first)
    assert "<table>" in first._repr_html_()


@pytest.mark.parametrize("name", [n for n in PROTOCOLS if n not in ("factors", "dense")])
@pytest.mark.parametrize("which", [0, 1])
def test_missing_labels_and_a_single_class_are_refused_by_name(sets, name, which):
    unlabelled = list(sets)
    unlabelled[which] = replace(sets[which], labels=None, classes=())
    with pytest.raises(bt.DataError, match=f"^{name}: 'shapes' .* has no labels; put"):
        run(name, unlabelled)
    one = replace(sets[0], labels=torch.zeros(400, dtype=torch.int64))
    with pytest.raises(bt.DataError, match=f"^{name}: .*single class"):
        run(name, (one, sets[1]))


def test_factors_are_only_those_of_shapes(sets):
    with pytest.raises(bt.DataError, match=r"factors: 'shapes' .*has none"):
        run("factors", (replace(sets[0], factors=None), sets[1]))
    result = run("factors", sets)
    assert list(result.table) == ["shape", "hue", "x", "y", "scale", "rotation"]
    ours, random, chance = result.table["hue"]
    assert chance == pytest.approx(1 / 8)
    assert min(ours, random) > 2 * chance  # colour is easily read from any features
    assert result.accuracy == pytest.approx(np.mean([row[0] for row in result.table.values()]))


def test_dense_shows_the_dense_probe_beside_that_of_the_random_encoder(few):
    result = run("dense", few, 2)
    ours, random = (bt.dense_probe(encoder(seed), *few, seed=2) for seed in (0, 1))
    assert result.table == {
        "mIoU": (ours.miou, random.miou, ours.floor[0]),
        "figure-ground mIoU": (ours.figure_miou, random.figure_miou, ours.floor[1]),
        "error of the centre in pixels": (ours.centre_error, random.centre_error, ours.floor[2]),
    }
    assert (result.accuracy, result.baseline, result.chance) == result.table["mIoU"]
    assert result.details["ious"] == ours.ious
    assert result.chosen == ("C of classes", "C of figure", "λ of centre")
    assert "mIoU" in result._repr_html_()
    with pytest.raises(bt.DataError, match=r"dense: 'shapes' .*has no masks"):
        run("dense", (few[0], replace(few[1], factors=None)))


# --- knn ----------------------------------------------------------------------------------------


def test_k_is_200_on_large_sets(sets, monkeypatch):
    seen = []

    def predictions(bank, labels, queries, k, temperature):
        seen.append((k, temperature))
        return torch.zeros(len(queries), dtype=torch.int64)

    monkeypatch.setattr(protocols, "knn_predictions", predictions)
    assert run("knn", sets).hyperparameters == {"k": 20, "temperature": 0.07}
    large = sets[0][torch.arange(10_000) % 400]
    assert run("knn", (large, sets[1])).hyperparameters["k"] == 200
    assert set(seen) == {(20, 0.07), (200, 0.07)}


def test_accuracies_are_those_of_the_functions_they_wrap(sets):
    train, test = sets
    a, b = (bt.features(encoder(0), s) for s in sets)
    expected = bt.knn_accuracy(a, train.labels, b, test.labels, k=20, temperature=0.07)
    assert run("knn", sets).accuracy == expected
    assert run("linear", sets).accuracy == bt.linear_probe(a, train.labels, b, test.labels).accuracy


# --- transfer -----------------------------------------------------------------------------------


def test_penalties_are_the_papers():
    assert len(PENALTIES) == 45
    assert sorted(PENALTIES)[0] == pytest.approx(1e-6)
    assert sorted(PENALTIES)[-1] == pytest.approx(1e5)
    np.testing.assert_allclose(np.diff(np.log10(sorted(PENALTIES))), 11 / 44)


def softmax_regression(x, y, penalty):
    """Minimise the documented loss, (1/N) Σ −log softmax(W x + b)[label] + λ/2 ‖W‖², by torch's own L-BFGS."""
    w = torch.zeros(int(y.max()) + 1, x.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [w], max_iter=3000, tolerance_grad=1e-9, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def loss():
        optimizer.zero_grad()
        value = F.cross_entropy(F.linear(x, w[:, :-1], w[:, -1]), y) + penalty / 2 * w[:, :-1].square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return w.detach()


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("penalty", [1e-3, 0.1, 10.0])
def test_the_inverse_strength_gives_the_minimum_of_the_documented_loss(penalty, classes):
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, 300)
    x = rng.normal(size=(300, 6)) + np.eye(classes, 6)[y] * 2
    theirs = LogisticRegression(C=inverse_strength(penalty, y), tol=1e-10, max_iter=10_000).fit(x, y)
    ours = softmax_regression(torch.from_numpy(x), torch.from_numpy(y), penalty)
    p = F.linear(torch.from_numpy(x), ours[:, :-1], ours[:, -1]).softmax(1)
    np.testing.assert_allclose(theirs.predict_proba(x), p, atol=1e-5)


@pytest.mark.parametrize("penalty", [0.001, 0.1])
def test_transfer_is_softmax_regression_on_the_features(sets, monkeypatch, penalty):
    monkeypatch.setattr(protocols, "PENALTIES", (penalty,))
    train, test = sets
    a, b = (bt.features(encoder(0), images).double() for images in sets)
    w = softmax_regression(a - a.mean(0), train.labels, penalty)
    found = F.linear(b - a.mean(0), w[:, :-1], w[:, -1]).argmax(1)
    result = run("transfer", sets)
    assert result.hyperparameters == {"λ": penalty}
    assert result.accuracy == pytest.approx((found == test.labels).double().mean().item(), abs=1.01 / len(test))


def test_transfer_where_one_class_is_left_to_choose_with(sets):
    """Every λ says the same then, so the strongest is taken, and all images are fitted."""
    train = sets[0][torch.arange(10)]
    labels = torch.zeros(10, dtype=torch.int64)
    labels[protocols.held_out(10, 0)[0]] = 1
    result = run("transfer", (replace(train, labels=labels), sets[1]))
    assert result.hyperparameters == {"λ": PENALTIES[0]}


# --- with SGD -----------------------------------------------------------------------------------


def test_descend_is_nesterovs_formula_in_float64():
    w = nn.Linear(3, 1, bias=False).double()
    start = w.weight.detach().numpy().copy()
    gradients = np.random.default_rng(0).normal(size=(4, 1, 3))
    batches = [(k / 4, torch.tensor([k]), torch.from_numpy(gradients[k])) for k in range(4)]
    descend({0.3: w}, batches, lambda at, x: (w.weight * x).sum(), seed=0)
    expected, v = start, np.zeros_like(start)
    for k, g in enumerate(gradients):
        lr = 0.3 * 0.5 * (1 + np.cos(np.pi * k / 4))
        v = g if k == 0 else 0.9 * v + g
        expected = expected - lr * (g + 0.9 * v)
    np.testing.assert_allclose(w.weight.detach().numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["linear", "sgd-linear", "few-labels-10", "transfer"])
def test_test_labels_choose_nothing(few, name, monkeypatch):
    """With the test labels shuffled, accuracy falls or rises, and every choice stays."""
    train, test = few
    if name.startswith("few"):
        monkeypatch.setitem(QUICK, name, {"rates": (0.02, 0.1), "epochs": (1, 2)})
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(1))
    a, b = run(name, few), run(name, (train, replace(test, labels=test.labels[order])))
    assert a.chosen
    assert a.hyperparameters == b.hyperparameters
    assert a.details == b.details


@pytest.mark.training
def test_sgd_linear_learns_what_is_linearly_separable():
    """Brightness of columns as features: each class has its own bright column."""
    rng = torch.Generator().manual_seed(0)

    def make(n, split):
        labels = torch.randint(0, 4, (n,), generator=rng)
        images = torch.randint(0, 40, (n, 3, 8, 8), generator=rng, dtype=torch.uint8)
        images[torch.arange(n), :, :, labels] += 200
        images[torch.arange(n), :, :, 7 - labels] += 200  # the same when mirrored
        return bt.ImageSet("columns", split, images, labels, tuple("abcd"))

    sets = make(512, "train"), make(256, "test")
    result = protocols.sgd_linear(Table(), Table(), *sets, epochs=60, crop_area=(0.999, 1.0))
    assert result.accuracy > 0.95
    assert result.accuracy == result.baseline  # the same encoder, the same protocol
    assert result.hyperparameters["lr"] in (0.4, 0.3, 0.2, 0.1, 0.05)
    assert result.hyperparameters["batch_size"] == 512


def test_few_labels_are_balanced_seeded_and_apart_from_those_that_choose():
    labels = torch.arange(10).repeat_interleave(torch.arange(20, 220, 20))
    few, held = few_label_split(labels, 0.05, seed=1)
    assert labels[few].bincount().tolist() == [round(0.05 * len(labels) / 10)] * 10
    assert not torch.isin(few, held).any()
    assert len(held) == len(held.unique()) == int(0.2 * len(labels))
    assert torch.equal(few, few_label_split(labels, 0.05, seed=1)[0])
    assert not torch.equal(few, few_label_split(labels, 0.05, seed=2)[0])
    least, _ = few_label_split(labels, 0.001)
    assert labels[least].bincount().tolist() == [1] * 10


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_a_fraction_that_is_none_is_refused(fraction):
    with pytest.raises(bt.DataError, match=r"fraction=.*above 0 and below 1"):
        few_label_split(torch.arange(4), fraction)


@pytest.mark.parametrize("nothing", [{"rates": ()}, {"epochs": []}, {"rates": [], "epochs": ()}])
def test_no_choice_at_all_is_refused(sets, nothing):
    (name, value), *_ = nothing.items()
    with pytest.raises(bt.DataError, match=rf"few-labels-50: .*{name}={re.escape(repr(value))}.*at least one of each"):
        protocols.few_labels(encoder(0), encoder(1), *sets, fraction=0.5, **nothing)


@pytest.mark.parametrize("scores", [[0.2, 0.5, 0.5, 0.1], [0.0, 0.0, 0.0, 0.0], [0.9, 0.1, 0.2, 0.3]])
def test_the_first_of_the_best_choices_is_tested(sets, scores, monkeypatch):
    """The held-out accuracies are given here; the chosen one is that of the first largest."""
    tried = [(n, rate) for n in (1, 2) for rate in (0.1, 0.2)]
    given = iter(scores * 2)  # of the encoder, then of the baseline
    monkeypatch.setattr(finetune, "accuracy_of", lambda *_: next(given))
    result = protocols.few_labels(encoder(0), encoder(1), *sets, fraction=0.02, rates=(0.1, 0.2), epochs=(1, 2))
    epochs, rate = tried[scores.index(max(scores))]
    assert (result.hyperparameters["epochs"], result.hyperparameters["lr"]) == (epochs, rate)
    assert result.details["held_out"] == {
        f"lr {rate}, epochs {n}": s for (n, rate), s in zip(tried, scores, strict=True)
    }


@pytest.mark.training
def test_fine_tuning_learns(sets):
    """With more labels the held-out accuracy of a fine-tuned encoder passes the chance level by far."""
    result = protocols.few_labels(encoder(0), encoder(1), *sets, fraction=0.6, rates=(0.1,), epochs=(30,))
    assert max(result.details["held_out"].values()) > 0.25
