"""The lessons' comparison: the same numbers as bt.compare, with the row of raw pixels computed once."""

from dataclasses import replace

import pytest

import byol_tutorial as bt
from byol_tutorial.course import compare
from byol_tutorial.evaluate import comparison


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BYOL_CACHE", str(tmp_path))


@pytest.fixture(scope="module")
def encoder():
    return bt.Trainer(
        bt.preset("shapes", width=4, hidden_dim=16), bt.load("shapes", limit=64), device="cpu"
    ).model.encoder


def test_it_is_what_the_library_finds_and_pixels_are_judged_once(encoder, monkeypatch):
    train, test = bt.load("shapes", limit=120), bt.load("shapes", "test", limit=80)
    uneven = test[test.labels != 3]  # also balanced accuracies, and the share of the largest class
    expected = [bt.compare({"ours": encoder, "again": encoder}, train, part) for part in (test, uneven)]
    assert [compare({"ours": encoder, "again": encoder}, train, part) for part in (test, uneven)] == expected
    assert compare({}, train, uneven) == bt.compare({}, train, uneven)
    monkeypatch.setattr(comparison, "small_pixels", lambda _: pytest.fail("judged a second time"))
    assert compare({"ours": encoder, "again": encoder}, train, test) == expected[0]
    alone = compare({}, train, test)
    assert alone.rows == {"raw pixels": expected[0].rows["raw pixels"]}
    assert (alone.chance, alone.largest) == (expected[0].chance, expected[0].largest)
    monkeypatch.setattr(comparison, "small_pixels", lambda _: (_ for _ in ()).throw(RuntimeError("other images")))
    with pytest.raises(RuntimeError, match="other images"):
        compare({"ours": encoder}, train, test[:70])


def test_images_without_labels_are_refused(encoder):
    train = bt.load("shapes", limit=50)
    with pytest.raises(bt.DataError, match="no labels: put the images in one sub-folder a class"):
        compare({"ours": encoder}, replace(train, labels=None), train)
