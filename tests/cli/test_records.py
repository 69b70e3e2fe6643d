"""What a run keeps besides its state: metrics.csv, kept checkpoints, TensorBoard's event files."""

import csv
import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch
from command_line import main

import byol_tutorial as bt
from byol_tutorial.cli import metrics, records, report
from byol_tutorial.config.errors import CheckpointError
from byol_tutorial.train import checkpoint
from byol_tutorial.train.history import History
from byol_tutorial.train.trainer import Trainer

TINY = ["--limit=24", "--epochs=4", "--batch-size=8", "--warmup-epochs=0.5", "--width=4", "--hidden-dim=8", "--projection-dim=4",
        "--device=cpu", "--size=16"]  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "judge", lambda *_: None)  # slow, and not what this is about


def stop_after(monkeypatch, epochs: float):
    whole = Trainer.run
    monkeypatch.setattr(Trainer, "run", lambda self, **kwargs: whole(self, epochs=epochs, **kwargs))


def knn_of(monkeypatch, *values: float):
    """Let the kNN checks of a run give these values."""
    given = iter(values)
    monkeypatch.setattr(Trainer, "check_knn", lambda self: self.history.knn.append((self.steps_done, next(given))))


def state(file: str | Path) -> dict:
    return checkpoint.load(file)


def table(file: str | Path) -> list[dict[str, str]]:
    with Path(file).open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


# --- metrics ------------------------------------------------------------------------------------


def check_table(run: str, steps: int):
    """Compare metrics.csv with the history of the checkpoint, which is measured by other tests."""
    found, history = table(f"{run}/metrics.csv"), state(f"{run}/checkpoint.pt")["history"]
    assert [int(row["step"]) for row in found] == list(range(1, steps + 1))
    assert [float(row["epoch"]) for row in found] == pytest.approx([k / 3 for k in range(1, steps + 1)])
    for name in metrics.MEASURES:
        assert [float(row[name]) for row in found] == history[name]
    assert {int(row["step"]): float(row["knn"]) for row in found if row["knn"]} == dict(history["knn"])
    assert set(found[0]) == set(metrics.COLUMNS)


@pytest.mark.training
def test_metrics_grow_with_the_run_and_are_whole_after_a_resume(monkeypatch):
    assert main("train", "--out=whole", *TINY) == 0
    check_table("whole", 12)
    with monkeypatch.context() as patch:
        stop_after(patch, 5 / 3)  # in the middle of an epoch
        assert main("train", "--out=cut", *TINY) == 0
    check_table("cut", 5)
    assert main("train", "--resume=cut") == 0
    assert Path("cut/metrics.csv").read_text() == Path("whole/metrics.csv").read_text()


@pytest.mark.training
def test_metrics_are_written_after_each_epoch(monkeypatch):
    seen = []
    whole = metrics.write_csv
    monkeypatch.setattr(
        "byol_tutorial.cli.records.write_csv", lambda path, t: (whole(path, t), seen.append(len(table(path))))
    )
    assert main("train", "--out=run", *TINY) == 0
    assert seen == [3, 6, 9, 12, 12]


def test_rows_say_what_is_not_finite_and_begin_where_they_are_asked_to():
    history = History()
    for k in range(3):
        history.add(4.0 - k, 0.8, 0.1, 0.0, float("inf") if k == 1 else 2.0, 0.5, 0.99)
    history.knn = [(2, 0.25)]
    second, third = metrics.rows(history, 2, since=1)
    assert (second["step"], second["epoch"], second["gradient_norm"], second["knn"]) == (2, 1.0, float("inf"), 0.25)
    assert (third["step"], third["loss"], third["knn"]) == (3, 2.0, None)


# --- kept checkpoints ---------------------------------------------------------------------------


@pytest.mark.training
def test_checkpoints_are_kept_every_so_many_epochs_and_can_be_resumed_and_evaluated(capsys):
    assert main("train", "--out=run", "--keep-every=2", *TINY) == 0
    kept = sorted(p.name for p in Path("run").glob("checkpoint*.pt"))
    assert kept == ["checkpoint-0002.pt", "checkpoint-0004.pt", "checkpoint.pt"]
    assert state("run/checkpoint-0002.pt")["steps_done"] == 6
    before = {p.name: p.read_bytes() for p in Path("run").iterdir() if p.is_file()}

    assert main("train", "--resume=run/checkpoint-0002.pt", "--out=again") == 0
    a, b = state("run/checkpoint.pt"), state("again/checkpoint.pt")
    assert a["history"]["loss"] == b["history"]["loss"]
    assert all(torch.equal(a["model"][name], b["model"][name]) for name in a["model"])
    assert sorted(p.name for p in Path("again").glob("checkpoint-*")) == ["checkpoint-0004.pt"]  # it keeps the same
    assert {name: (Path("run") / name).read_bytes() for name in before} == before

    capsys.readouterr()
    assert main("evaluate", "run/checkpoint-0002.pt", "--protocol=knn") == 0
    assert "6 of 12 steps" in capsys.readouterr().out
    assert "knn" in json.loads(Path("run/checkpoint-0002/results.json").read_text())["protocols"]
    assert not Path("run/results.json").exists()  # those of the whole run are of another state


@pytest.mark.training
def test_the_best_state_is_kept_also_over_a_resume(monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        knn_of(patch, 0.2, 0.6, 0.4)
        assert main("train", "--out=run", "--keep-best", *TINY) == 0
    best = Path("run/checkpoint-best.pt")
    assert state(best)["history"]["knn"] == [(3, 0.2), (6, 0.6)]
    encoder = bt.load_encoder("run/encoder-best.safetensors").state_dict()
    model = state(best)["model"]
    assert all(torch.equal(w, model[f"online.encoder.{name}"]) for name, w in encoder.items())
    before = best.read_bytes()
    with monkeypatch.context() as patch:
        knn_of(patch, 0.6)  # as good is not better
        assert main("train", "--resume=run") == 0
    assert best.read_bytes() == before
    assert state("run/checkpoint.pt")["steps_done"] == 12


@pytest.mark.training
def test_with_uneven_classes_the_balanced_accuracy_decides_which_state_is_the_best(monkeypatch):
    def checks(trainer):
        step = trainer.steps_done
        trainer.history.knn.append((step, {3: 0.9, 6: 0.8, 9: 0.7, 12: 0.6}[step]))
        trainer.history.knn_balanced.append((step, {3: 0.2, 6: 0.6, 9: 0.4, 12: 0.3}[step]))

    monkeypatch.setattr(Trainer, "check_knn", checks)
    assert main("train", "--out=run", "--keep-best", *TINY) == 0
    best = Path("run/checkpoint-best.pt")
    assert state(best)["steps_done"] == 6
    assert records._accuracy(best) == 0.6


@pytest.mark.training
def test_what_is_kept_can_change_at_a_resume(monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        assert main("train", "--out=run", "--keep-every=1", *TINY) == 0
    assert main("train", "--resume=run", "--keep-every=4", "--keep-best") == 0
    kept = sorted(p.name for p in Path("run").glob("checkpoint-*"))
    assert kept == ["checkpoint-0001.pt", "checkpoint-0002.pt", "checkpoint-0004.pt", "checkpoint-best.pt"]
    assert json.loads(Path("run/settings.json").read_text())["records"] == {
        "keep_every": 4, "keep_best": True, "tensorboard": False,
    }  # fmt: skip


@pytest.mark.training
def test_a_full_disk_leaves_whole_files_and_is_told(monkeypatch, capsys):
    """It fills up while the kept copy is written; the state itself, which is written later, still finds room."""
    whole = Trainer.save

    def save(self, path):
        if Path(path).name != "checkpoint.pt":
            raise CheckpointError(f"{str(path)!r} could not be written (No space left on device): make room")
        whole(self, path)

    monkeypatch.setattr(Trainer, "save", save)
    assert main("train", "--out=run", "--keep-every=1", *TINY) == 1
    assert "checkpoint-0001.pt' could not be written (No space left on device)" in capsys.readouterr().err
    assert state("run/checkpoint.pt")["steps_done"] == 3
    assert not [p for p in Path("run").iterdir() if p.name.endswith(".part")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--keep-best", "--knn-every=0"), "needs knn_every above 0"),
        (("--keep-best", "--knn-every=5"), "a run of epochs=4 with knn_every=5 never makes"),
        (("--keep-best", "--data=folder:plain"), "needs labels and test images"),
        (("--keep-every=-1",), "keep-every"),
        (("--resume=nowhere/checkpoint-0001.pt",), "does not exist"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_a_run_begins(arguments, words, capsys, tmp_path):
    from PIL import Image

    (tmp_path / "plain").mkdir()
    for i in range(24):
        Image.new("RGB", (16, 16), (10 * i, 5, 9)).save(tmp_path / "plain" / f"{i}.png")
    options = [] if "--resume" in arguments[0] else ["--out=run", *TINY[1:-1]]
    assert main("train", *arguments, *options) in (1, 2)
    assert words in capsys.readouterr().err
    assert not Path("run").exists()


@pytest.mark.training
def test_a_single_checkpoint_goes_on_only_in_a_folder_of_its_own(monkeypatch, capsys):
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        assert main("train", "--out=run", "--keep-every=1", *TINY) == 0
    assert main("train", "--resume=run/checkpoint-0001.pt") == 1
    assert "name a new one with --out" in capsys.readouterr().err
    assert main("train", "--resume=run/checkpoint-0001.pt", "--out=run") == 1
    assert "run folder 'run' exists" in capsys.readouterr().err
    assert state("run/checkpoint.pt")["steps_done"] == 3
    Path("run/checkpoint-0001.pt").write_bytes(b"cut off")
    assert main("train", "--resume=run/checkpoint-0001.pt", "--out=new") == 1
    assert "is damaged" in capsys.readouterr().err
    assert not Path("new").exists()


# --- TensorBoard --------------------------------------------------------------------------------


@pytest.mark.training
def test_event_files_hold_each_step_once_also_after_a_resume(monkeypatch):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with monkeypatch.context() as patch:
        stop_after(patch, 5 / 3)
        assert main("train", "--out=run", "--tensorboard", *TINY) == 0
    assert main("train", "--resume=run") == 0  # it goes on writing them
    events = EventAccumulator("run/tensorboard").Reload()
    assert set(events.Tags()["scalars"]) == {
        *metrics.MEASURES,
        *metrics.CHECKS,
    }  # of a test set of few images, whose classes are uneven
    history = state("run/checkpoint.pt")["history"]
    for name in metrics.MEASURES:
        found = events.Scalars(name)
        assert [event.step for event in found] == list(range(1, 13))
        assert [event.value for event in found] == pytest.approx(history[name], rel=1e-6)
    for name in metrics.CHECKS:
        assert [(e.step, e.value) for e in events.Scalars(name)] == [(s, pytest.approx(a)) for s, a in history[name]]


def test_a_folder_named_tensorboard_is_not_the_package(monkeypatch, tmp_path):
    """Python takes any folder on its path for a package, which has no code."""
    (tmp_path / "tensorboard").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])  # where nothing else is
    monkeypatch.delitem(sys.modules, "tensorboard", raising=False)
    assert importlib.util.find_spec("tensorboard") is not None
    assert not metrics.has_tensorboard()
    (tmp_path / "tensorboard" / "__init__.py").write_text("")
    importlib.invalidate_caches()
    assert metrics.has_tensorboard()


def test_tensorboard_that_is_missing_is_one_line_before_the_run_begins(monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorboard" else find(name))
    assert main("train", "--out=run", "--tensorboard", *TINY) == 1
    assert capsys.readouterr().err == f"error: --tensorboard: {metrics.NO_TENSORBOARD}\n"
    assert not Path("run").exists()
