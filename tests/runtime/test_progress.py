"""A bar that its user stopped says so in words, and what is kept."""

import io

import pytest
from tqdm import tqdm

import byol_tutorial as bt
from byol_tutorial.config.errors import UserError
from byol_tutorial.course import runs, supervised
from byol_tutorial.runtime import progress

SMALL = {"epochs": 1, "batch_size": 32, "knn_every": 0}


@pytest.fixture
def said(monkeypatch):
    """What bars showed, as one text."""
    text = io.StringIO()
    shown = tqdm.__init__

    def begin(self, *arguments, **options):
        shown(self, *arguments, **options | {"file": text, "mininterval": 0})

    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.setattr(tqdm, "__init__", begin)
    return text.getvalue


@pytest.fixture(scope="module")
def images():
    return bt.load("shapes", limit=128)


def test_a_run_that_is_stopped_says_that_all_is_kept_and_goes_on(images, said):
    trainer = bt.Trainer(bt.preset("shapes", **SMALL), images)
    trainer.run(on_step=lambda t: t._stop.set() if t.steps_done == 2 else None)
    assert trainer.steps_done == 2
    assert "stopped; what was learned is kept, run() goes on from here" in said()
    before = len(said())
    trainer.run()
    assert trainer.steps_done == 4
    assert "stopped" not in said()[before:]


def test_a_run_that_is_stopped_at_its_last_step_is_over(images, said):
    trainer = bt.Trainer(bt.preset("shapes", **SMALL), images)
    trainer.run(on_step=lambda t: t._stop.set() if t.steps_done == 4 else None)
    assert "stopped" not in said()


def stop(*_, **__):
    raise KeyboardInterrupt


def test_runs_of_a_lesson_say_that_finished_ones_are_kept(images, said, tmp_path, monkeypatch):
    monkeypatch.setenv("BYOL_CACHE", str(tmp_path))
    monkeypatch.setattr("byol_tutorial.course.parallel.train_and_judge", stop)
    with pytest.raises(KeyboardInterrupt):
        runs.run(bt.preset("shapes", **SMALL), images)
    assert "stopped; finished runs are kept, the others start again" in said()


def test_supervised_training_says_that_nothing_is_kept(images, said, tmp_path, monkeypatch):
    monkeypatch.setenv("BYOL_CACHE", str(tmp_path))
    monkeypatch.setattr("torch.nn.functional.cross_entropy", stop)
    with pytest.raises(KeyboardInterrupt):
        supervised(bt.preset("shapes", **SMALL), images, images)
    assert "supervised" in said()
    assert "stopped; nothing is kept" in said()


def test_only_a_stop_is_called_a_stop(said):
    bar = tqdm(total=2)
    with pytest.raises(UserError), bar, progress.saying_stopped(bar, "all is kept"):
        raise UserError("no such file")
    assert "stopped" not in said()


def test_a_hidden_bar_may_be_stopped_too(capfd):
    with tqdm(total=2, disable=True) as bar:
        progress.say_stopped(bar, "all is kept")
    assert capfd.readouterr() == ("", "")


def test_the_bar_s_knn_is_called_quick(images):
    """In a table another kNN accuracy stands beside it, by the votes of all images."""
    trainer = bt.Trainer(bt.preset("shapes", **SMALL), images, images)
    trainer.step()
    trainer.history.knn.append((1, 0.79))
    assert "quick kNN 0.79" in trainer._status()
