"""--threads: the number reaches the steps, stands in the run's history, and is refused where it is none."""

import json

import pytest
import torch

from byol_tutorial.cli import main as cli
from byol_tutorial.cli import report
from byol_tutorial.runtime import threads

# A single step, because threads that wait for each other on busy cores can take seconds for one.
OPTIONS = ["--data", "shapes", "--limit", "8", "--size", "12", "--device", "cpu", "--epochs", "1", "--warmup-epochs", "0",
           "--batch-size", "8", "--width", "4", "--hidden-dim", "16", "--projection-dim", "8", "--knn-every", "0"]  # fmt: skip


@pytest.fixture(autouse=True)
def number_as_before(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(threads, "_set_later", None)
    yield
    threads._torch_sets(before)


def test_train_evaluate_and_embed_take_a_number(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "judge", lambda *_: None)  # slow, and not what this is about
    run = tmp_path / "run"
    cli.app.main(["train", *OPTIONS, "--out", str(run), "--threads", "2"], standalone_mode=False)
    history = json.loads((run / "history.json").read_text())
    assert history["threads"] == [[0, 2]]
    cli.app.main(["evaluate", str(run), "--protocol", "knn", "--threads", "3"], standalone_mode=False)
    assert threads.chosen() == 3
    cli.app.main(["embed", str(run), "--kind", "pca", "--threads", "1"], standalone_mode=False)
    assert (threads.chosen(), torch.get_num_threads()) == (1, 1)
    cli.app.main(["train", "--resume", str(run), "--threads", "2"], standalone_mode=False)
    assert json.loads((run / "history.json").read_text())["threads"] == [[0, 2]]


@pytest.mark.parametrize("command", ["train", "evaluate", "embed"])
@pytest.mark.parametrize("number", ["0", "-1", "two", "1.5"])
def test_a_number_that_is_none_is_refused(command, number, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([command, *([] if command == "train" else ["RUN"]), "--threads", number])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "--threads" in said
    assert number in said
