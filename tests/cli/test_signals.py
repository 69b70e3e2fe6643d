"""Signals at every moment of a command: while it imports, trains, judges and embeds. One line, and the shell's status."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import SMALL

from byol_tutorial.cli import embed, report
from byol_tutorial.cli import main as cli
from byol_tutorial.evaluate.protocols import PROTOCOLS
from byol_tutorial.train import checkpoint
from byol_tutorial.train.trainer import Trainer

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
COMMANDS = [[sys.executable, "-m", "byol_tutorial"], [str(Path(sys.executable).parent / "byol-tutorial")]]
# A module named torch that is found first: it sends the signal from inside its own import.
TORCH = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nraise SystemError('half imported')\n"


def main(*arguments) -> int:
    """The exit status of the command, in this process, whose handlers stay as they were."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in numbers}
    try:
        cli.main([str(a) for a in arguments])
    except SystemExit as end:
        return end.code or 0
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return 0


@pytest.mark.parametrize("command", COMMANDS, ids=["module", "script"])
def test_ctrl_c_while_modules_are_imported(tmp_path, command):
    (tmp_path / "torch.py").write_text(TORCH)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run([*command, "train"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, "", "error: interrupted\n")


@pytest.mark.slow
def test_the_library_leaves_ctrl_c_to_other_programs():
    code = "import signal, byol_tutorial; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "True\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("signals") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "judge", lambda *_: None)
        assert main("train", f"--out={path}", "--epochs=1", *SMALL) == 0
    return path


@pytest.fixture
def here(run, tmp_path, monkeypatch) -> Path:
    shutil.copytree(run, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def raising(number):
    def ended(*_, **__):
        signal.raise_signal(number)
        raise AssertionError("went on after the signal")

    return ended


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
@pytest.mark.parametrize("command", ["evaluate run", "evaluate run --protocol knn", "embed run", "train --resume run"])
def test_a_signal_while_judging_or_embedding_is_one_line_and_leaves_all_as_it_was(
    here, monkeypatch, capsys, command, name
):
    number = getattr(signal, name)
    monkeypatch.setattr(report, "compare", raising(number))
    monkeypatch.setitem(PROTOCOLS, "knn", raising(number))
    monkeypatch.setattr(embed, "map_of", raising(number))
    before = {p: p.read_bytes() for p in (here / "run").rglob("*") if p.is_file() and "resume" not in command}
    assert main(*command.split()) == 128 + number
    said = capsys.readouterr().err.splitlines()[-1]
    what = "interrupted" if name == "SIGINT" else f"ended by {name}"
    assert said == f"error: {what}; a run folder that is named above keeps what was learned"
    assert {p: p.read_bytes() for p in before} == before
    assert not [*(here / "run").rglob(".*")]  # neither the lock nor a half-written file
    assert not (here / "run" / "results.json").exists()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_in_training_keeps_what_was_learned_and_frees_the_folder(here, monkeypatch, capsys, name):
    step, number = Trainer.step, getattr(signal, name)

    def signalled(trainer):
        step(trainer)
        if trainer.steps_done == 3:
            signal.raise_signal(number)

    monkeypatch.setattr(Trainer, "step", signalled)
    assert main("train", "--out=new", "--epochs=4", *SMALL) == 128 + number
    assert "go on with: byol-tutorial train --resume new" in capsys.readouterr().out
    assert checkpoint.load("new/checkpoint.pt")["steps_done"] == 3
    assert not [*(here / "new").rglob(".*")]
