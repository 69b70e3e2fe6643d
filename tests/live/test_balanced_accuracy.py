"""Where classes are not equally frequent, balanced accuracy stands beside accuracy: in a run's history, files, figures, verdict."""

import csv
import json
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

import byol_tutorial as bt
from byol_tutorial import figures
from byol_tutorial.cli.metrics import write_rows
from byol_tutorial.config.paper_tables import Row, tables
from byol_tutorial.evaluate.knn import knn_predictions
from byol_tutorial.live.findings import Finding, Findings
from byol_tutorial.live.judgement import Measured, judge
from byol_tutorial.live.laboratory import Laboratory
from byol_tutorial.live.recorder import neighbours_and_vote, record
from byol_tutorial.live.recording import Recording

TINY = {"width": 4, "hidden_dim": 16, "projection_dim": 8, "batch_size": 8, "epochs": 2, "warmup_epochs": 0.0}


def of_two_classes(split, uneven):
    """40 drawn shapes, of which 32 or 20 are called "often", whatever they are."""
    images = bt.load("shapes", split, limit=40).images
    labels = (torch.arange(40) % (5 if uneven else 2) == 0).long()
    return bt.ImageSet("two", split, images, labels, ("often", "seldom"))


@pytest.fixture(params=[True, False], ids=["uneven", "even"])
def sets(request):
    return of_two_classes("train", request.param), of_two_classes("test", request.param), request.param


def trainer(train, test, **changes):
    return bt.Trainer(bt.Config(**TINY).replace(**changes), train, test, "cpu")


def test_the_history_has_both_where_classes_are_uneven(sets, tmp_path):
    train, test, uneven = sets
    t = trainer(train, test).run(progress=False)
    assert [step for step, _ in t.history.knn] == [5, 10]
    assert [step for step, _ in t.history.knn_balanced] == ([5, 10] if uneven else [])
    encoder = t.model.encoder
    predicted = knn_predictions(bt.features(encoder, train), train.labels, bt.features(encoder, test))
    if uneven:
        assert t.history.knn_balanced[-1][1] == pytest.approx(balanced_accuracy_score(test.labels, predicted))
        assert t.history.knn[-1][1] == pytest.approx(float((predicted == test.labels).float().mean()))
        assert t.history.knn_balanced[-1] != t.history.knn[-1]
    t.save(tmp_path / "run.pt")
    assert bt.Trainer.resume(tmp_path / "run.pt", train, test, "cpu").history.knn_balanced == t.history.knn_balanced
    write_rows(tmp_path / "metrics.csv", t.history, t.steps_per_epoch)
    with open(tmp_path / "metrics.csv", newline="") as file:
        column = [row["knn_balanced"] for row in csv.DictReader(file)]
    assert [float(x) for x in column if x] == pytest.approx([x for _, x in t.history.knn_balanced])


def test_a_session_judges_by_it_and_a_branch_keeps_it(sets):
    train, test, uneven = sets
    with bt.Session(bt.Config(**TINY), train, test, device="cpu") as session:
        session.branching = True
        session.run()
        s = session.snapshot()
        assert [step for step, _ in s.knn_balanced] == ([0, 5, 10] if uneven else [])
        assert ("balanced kNN" in s.verdict) is uneven
        if uneven:
            assert f"balanced kNN {s.knn_balanced[-1][1]:.2f}" in s.verdict
            assert f"the untrained encoder's {s.knn_balanced[0][1]:.2f}" in s.verdict
        session.fork(7, tau_base=0.5).result(60)
        assert [step for step, _ in session.snapshot().knn_balanced] == ([0, 5] if uneven else [])
        t = session.trainer
    later = bt.Session.of(t)
    assert [step for step, _ in later.snapshot().knn_balanced] == ([0, 5] if uneven else [])
    later.close()


def test_the_largest_class_alone_is_no_success():
    """An encoder that learns to name the larger class, 95 % of the images, gains accuracy and no balanced accuracy."""
    measures = (300, 1000, 100, [0.8] * 300, 5.0, 64, None)
    assert judge(Measured(*measures, 0.95, 0.8)).kind == "healthy"
    verdict = judge(Measured(*measures, 0.5, 0.5, balanced=True))
    assert verdict.kind == "nothing learned"
    assert "balanced kNN 0.50, near the untrained encoder's 0.50" in verdict.words


@pytest.mark.slow
def test_a_laboratory_has_both(sets):
    train, test, uneven = sets
    with Laboratory(tables("τ = 0"), bt.Config(**TINY), train, test, workers=1) as lab:
        found = lab.run()["τ = 0"]
        s = lab.cells["τ = 0"].snapshot
    assert [step for step, _ in s.knn_balanced] == ([0, 5, 10] if uneven else [])
    assert set(found.balanced) == ({"knn", "linear", "random_linear"} if uneven else set())
    assert all(0 <= x <= 1 for x in found.balanced.values())
    text = str(Findings({"a": found}))
    assert ("balanced" in text) is uneven


def test_findings_without_balanced_accuracies_are_read():
    row = Row("a", "5a", "", {}, 50.0, "")
    found = Findings({"a": Finding(row, "healthy", 0.9, 0.8, 0.5, 0.5, balanced={"linear": 0.612, "knn": 0.5})})
    (cells,) = found.rows()
    assert cells[2:5] == ("90.0 (balanced 61.2)", "50.0", "80.0 (balanced 50.0)")
    values = json.loads(json.dumps(found.to_dict()))
    del values["findings"]["a"]["balanced"]
    assert Findings.from_dict(values)["a"].balanced == {}


def test_a_film_has_both(sets, tmp_path):
    train, test, uneven = sets
    recording = record(trainer(train, test), test, progress=False)
    _, knn, balanced = neighbours_and_vote(torch.ones(len(test), 3), test.labels)  # all vote for the larger class
    recording.save(tmp_path / "film.npz")
    again = Recording.load(tmp_path / "film.npz")
    film = bt.widgets.film(again)
    if uneven:
        assert torch.equal(again.balanced, recording.balanced)
        assert film.about["balanced"] == pytest.approx(recording.balanced.tolist())
        assert (knn, balanced) == pytest.approx((0.8, 0.5))
    else:
        assert recording.balanced is again.balanced is film.about["balanced"] is None
    film.close()


def test_without_labels_both_are_unknown():
    _, knn, balanced = neighbours_and_vote(torch.randn(30, 4))
    assert math.isnan(knn)
    assert math.isnan(balanced)


def test_curves_draw_both(sets):
    train, test, uneven = sets
    history = trainer(train, test).run(progress=False).history.to_dict()
    picture = figures.curves({"BYOL": history}, 5)
    dashed = [line for line in picture.axes[2].get_lines() if line.get_linestyle() == "--" and len(line.get_xdata())]
    assert len(dashed) == int(uneven)
    assert ("; balanced " in picture.alt) is uneven
    if uneven:
        np.testing.assert_allclose(dashed[0].get_ydata(), [x for _, x in history["knn_balanced"]])
        assert picture.axes[2].get_legend().get_texts()[0].get_text() == "balanced accuracy"
