"""One owner a run: of several processes that ask for one folder, one gets it, and the others get an error that names its owner."""

import os
import platform
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from command_line import SMALL, cut_run, main

from byol_tutorial.cli import run_lock
from byol_tutorial.config.errors import RunError
from byol_tutorial.data.tree import RESERVED
from byol_tutorial.train import checkpoint
from byol_tutorial.train.trainer import Trainer

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}


def start(here: Path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "byol_tutorial", *arguments]
    return subprocess.Popen(command, cwd=here, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture(scope="module")
def cut(tmp_path_factory) -> Path:
    """A run that was cut after its first step of very many."""
    return cut_run(tmp_path_factory.mktemp("cut") / "run", 100_000, after=0.5)


def together(count: int, work) -> None:
    barrier = threading.Barrier(count)

    def begin():
        barrier.wait(60)
        work()

    threads = [threading.Thread(target=begin) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


# --- new runs -----------------------------------------------------------------------------------


def test_eight_that_start_at_once_get_eight_folders(tmp_path):
    got = []
    together(8, lambda: got.append(run_lock.reserve(None, "photos", str(tmp_path / "runs"))))
    assert sorted(claim.path.name for claim in got) == [f"photos-{k:03d}" for k in range(1, 9)]


def test_of_eight_that_want_the_same_folder_one_gets_it(tmp_path):
    got, refused = [], []

    def begin():
        try:
            got.append(run_lock.reserve(tmp_path / "mine", "x"))
        except RunError as error:
            refused.append(str(error))

    together(8, begin)
    assert (len(got), len(refused)) == (1, 7)
    who = f"is in use by process {os.getpid()} on {platform.node()} since "
    assert all(who in words and "choose another --out" in words for words in refused)


def test_a_folder_whose_start_was_killed_can_be_taken(here):
    """As a kill leaves it between the settings and the first checkpoint."""
    (here / "mine" / "figures").mkdir(parents=True)
    for name in (RESERVED, "settings.json", ".checkpoint.pt.12.part"):
        (here / "mine" / name).write_text("{")
    assert main("train", "--out=mine", "--epochs=1", *SMALL) == 0
    assert sorted(p.name for p in (here / "mine").iterdir()) == [
        "checkpoint.pt", "encoder.safetensors", "figures", "history.json", "metrics.csv", "settings.json"
    ]  # fmt: skip


@pytest.mark.parametrize("more", ["checkpoint.pt", "notes.txt", "figures/mine.png"])
def test_a_folder_with_anything_to_lose_is_not_taken(here, capsys, more):
    (here / "mine" / "figures").mkdir(parents=True)
    for name in (RESERVED, "settings.json", more):
        (here / "mine" / name).write_text("{")
    assert main("train", "--out=mine", "--epochs=1", *SMALL) == 1
    assert "'mine' exists: choose another --out" in capsys.readouterr().err
    assert (here / "mine" / more).exists()
    assert (here / "mine" / "settings.json").exists()


# --- runs that go on ----------------------------------------------------------------------------


@pytest.mark.training
def test_of_eight_that_resume_one_run_at_once_one_trains(here, capsys):
    runs = [start(here, "train", "--resume", "run") for _ in range(8)]
    try:
        ended = {}
        while len(ended) < 7:  # the eighth would train for hours
            for run in runs:
                if run.poll() is not None and run not in ended:
                    ended[run] = run.communicate(timeout=60)[1].decode()
        (trains,) = (run for run in runs if run not in ended)
        assert trains.poll() is None
        who = f"run folder 'run' is in use by process {trains.pid} on {platform.node()} since "
        for run, said in ended.items():
            assert run.returncode == 1
            assert said.startswith(f"error: {who}"), said
            assert said.count("\n") == 1
        for command in (["evaluate", "run"], ["embed", "run"]):  # in this process
            assert main(*command) == 1
            assert capsys.readouterr().err.startswith(f"error: {who}")
    finally:
        for run in runs:
            run.kill()
            run.wait()
    # the lock of a killed process is free, and what it left half-written is removed
    assert (here / "run" / RESERVED).exists()
    (here / "run" / ".history.json.0.part").write_text("half")
    whole = checkpoint.load(here / "run" / "checkpoint.pt")["steps_done"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "run", lambda self, **_: self)
        assert main("train", "--resume=run") == 0
    assert checkpoint.load(here / "run" / "checkpoint.pt")["steps_done"] == whole
    assert not [*(here / "run").rglob(".*")]


WRITING = ["train --resume run", "evaluate run", "embed run", "embed run --out v.npz", "export run",
           "export run/encoder.safetensors", "export run --out run/x.onnx", "export other/run --out run/x.onnx",
           "export run --out run/figures/x.onnx", "embed run --kind none --out run/v.csv",
           "embed other/run --kind none --out run/v.npz"]  # fmt: skip


@pytest.mark.parametrize("command", WRITING)
def test_every_command_that_writes_into_a_run_needs_it_for_itself(here, capsys, command):
    if command.startswith("export"):
        pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    if "other" in command:
        shutil.copytree(here / "run", here / "other" / "run")
    with run_lock.owned(here / "run"):
        assert main(*command.split()) == 1
    said = capsys.readouterr().err.replace(str(here) + os.sep, "")
    assert said.startswith(f"error: run folder 'run' is in use by process {os.getpid()} on {platform.node()} since ")
    assert "wait until it ends, or copy the folder and use the copy" in said


@pytest.mark.skipif(os.name == "nt", reason="making links needs permission on Windows")
@pytest.mark.parametrize("name", [RESERVED, "figures", "tensorboard", "checkpoint-0001", "checkpoint-0001/figures"])
def test_nothing_is_written_through_a_link_in_a_run_folder(here, capsys, name):
    """As in a folder that was downloaded: each command would empty a file, or write into a folder, outside of it."""
    victim, link = here / "victim", here / "run" / name
    if name == RESERVED:
        victim.write_bytes(b"precious")
    else:
        victim.mkdir()
        (victim / "map.png").write_bytes(b"precious")
    if link.is_dir():
        shutil.rmtree(link)
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(victim)
    for command in ("export run", "embed run --kind=pca", "evaluate run", "train --resume run"):
        assert main(*command.split()) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert f"run/{name}' is a link" in line
        assert "nothing was written there: remove it" in line
    file = victim if name == RESERVED else victim / "map.png"
    assert file.read_bytes() == b"precious"
    assert link.is_symlink()


@pytest.mark.usefixtures("quick_export")
@pytest.mark.parametrize("command", ["embed run --out=v.npz --kind=none", "export run --out=v.onnx"])
def test_writing_elsewhere_needs_no_folder_for_itself(here, command):
    if command.startswith("export"):
        pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    with run_lock.owned(here / "run"):
        assert main(*command.split()) == 0
    (written,) = here.glob("v.*")
    assert written.stat().st_size > 1000


def test_settings_of_another_program_are_no_run_folder(here):
    (here / ".vscode").mkdir()
    (here / ".vscode" / "settings.json").write_text("{}")
    assert main("embed", "run", "--kind=none", "--out=.vscode/v.csv") == 0
    assert main("embed", "run", "--kind=pca", "--out=run/v.csv") == 0  # the folder that it owns already


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="root may write anywhere")
def test_a_run_that_cannot_be_written_is_said_before_the_work(here, capsys):
    (here / "run").chmod(0o555)
    try:
        assert main("evaluate", "run") == 1
    finally:
        (here / "run").chmod(0o755)
    assert "cannot be written (Permission denied): make it writable, or use a copy" in capsys.readouterr().err


def test_no_lock_is_made_in_a_folder_that_is_no_run(here, capsys):
    (here / "photos").mkdir()
    for command in ("train --resume photos", "evaluate photos", "embed photos"):
        assert main(*command.split()) == 1
        assert "is not a run folder" in capsys.readouterr().err
    assert not [*(here / "photos").iterdir()]
