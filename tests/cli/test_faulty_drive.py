"""A drive that fails: the quota is used up, a network drive goes away, a disk has errors, while a command reads or writes."""

import builtins
import errno
import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import SMALL, cut_run, main

from byol_tutorial.cli import report, run_folder
from byol_tutorial.runtime import files
from byol_tutorial.train import checkpoint

WRITING = {  # the first file that each command writes
    "train --out new --epochs=1": "settings.json",
    "train --resume run": "settings.json",
    "evaluate run --protocol knn": "results.json",
    "embed run --kind none": "embeddings.npz",
    "embed run --kind none --out v.csv": "v.csv",
    "export run": "encoder.onnx",
    "course student student": "00_start_here.ipynb",
    "claims --page ledger.md": "ledger.md",
}
FAULTS = {
    "EDQUOT": "and what you may use there is used up; what was there before is untouched; remove files of yours there, ",
    "ESTALE": "what was there before is untouched; its drive does not answer as it should: see to it that it is connected",
    "EIO": "what was there before is untouched; its drive does not answer as it should: see to it that it is connected",
    "EROFS": "what was there before is untouched; nothing can be written to this drive: choose another place",
}
POINTS = ("open", "write", "sync", "rename")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="numbers of errors of POSIX")


@pytest.fixture(scope="module")
def cut(tmp_path_factory) -> Path:
    """A run that was cut after its first epoch of two."""
    return cut_run(tmp_path_factory.mktemp("cut") / "run", 2, after=1)


def fail_at(monkeypatch, point: str, number: int) -> None:
    """Let the writing of every file fail at this point with this error of the system."""

    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    class Full(io.FileIO):
        write = fail

    if point == "write":
        real = Path.open
        monkeypatch.setattr(
            Path, "open", lambda self, *a, **o: Full(self, "x") if a == ("xb",) else real(self, *a, **o)
        )
    elif point == "open":
        monkeypatch.setattr(files, "_temporary_beside", fail)
    else:
        monkeypatch.setattr(os, {"sync": "fsync", "rename": "replace"}[point], fail)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.usefixtures("quick_export")
@pytest.mark.parametrize("command", WRITING)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_drive_that_fails_while_a_command_writes_is_one_line_and_loses_nothing(here, capsys, command, fault):
    if command.startswith("export"):
        pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    before, number = content(here), getattr(errno, fault)
    point = POINTS[(list(WRITING).index(command) + list(FAULTS).index(fault)) % len(POINTS)]
    with pytest.MonkeyPatch.context() as patch:
        fail_at(patch, point, number)
        assert main(*command.split(), *(SMALL if "--out new" in command else [])) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    assert f"{WRITING[command]}' could not be written ({os.strerror(number)}): " in said[0]
    assert FAULTS[fault] in said[0]
    assert "free there" not in said[0]  # that the disk has room does not help
    assert "permission" not in said[0]
    assert content(here) == before  # neither a lock nor a half-written file is left, and no new run
    assert not (here / "new").exists()


@pytest.mark.parametrize("number", [errno.EDQUOT, errno.ESTALE], ids=["EDQUOT", "ESTALE"])
def test_a_folder_that_cannot_be_made_or_locked_says_what_to_do(here, monkeypatch, capsys, number):
    def fail(self, *_, **__):
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "mkdir", fail)
    monkeypatch.setattr("byol_tutorial.runtime.locks._open", fail)
    for command in ("train --out new", "evaluate run", "train --resume run"):
        assert main(*command.split()) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert f"cannot be written ({os.strerror(number)}): {files.remedy(number)}" in line


# --- while a command reads ----------------------------------------------------------------------


@contextmanager
def unreadable(name: str, number: int) -> Iterator[None]:
    """Let no file of this name be opened, with this error of the system."""
    real = io.open

    def opened(file, *arguments, **options):
        if isinstance(file, (str, os.PathLike)) and os.path.basename(file) == name:
            raise OSError(number, os.strerror(number), os.fspath(file))
        return real(file, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(io, "open", opened)
        patch.setattr(builtins, "open", opened)
        yield


@pytest.mark.parametrize("fault", ["ESTALE", "EIO", "EACCES"])
@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("checkpoint.pt", "train --resume run"),
        ("checkpoint.pt", "evaluate run"),
        ("settings.json", "train --resume run"),
        ("settings.json", "embed run --kind none"),
        ("encoder.safetensors", "embed run --kind none"),
        ("encoder.safetensors", "embed run/encoder.safetensors --kind none"),
        ("w.safetensors", "embed run --kind none --guest timm:convnext_atto=run/w.safetensors"),
        ("w.pth", "embed run --kind none --guest resnet18=run/w.pth"),
        ("results.json", "evaluate run --protocol knn"),
    ],
)
def test_a_file_that_the_system_does_not_let_us_read_is_not_called_damaged(here, capsys, name, command, fault):
    (here / "run" / "results.json").write_text(json.dumps({"steps": 2, "protocols": {"mine": 1}}))
    if name.startswith("w."):
        shutil.copy("run/encoder.safetensors", here / "run" / name)
    before, number = content(here), getattr(errno, fault)
    with unreadable(name, number):
        assert main(*command.split()) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    assert os.strerror(number) in said[0]
    assert name in said[0]
    assert "damaged" not in said[0]
    assert "not an encoder" not in said[0]
    if fault != "EACCES":
        assert files.RECONNECT in said[0]
    after = content(here)
    assert {file: after[file] for file in before} == before


@pytest.mark.parametrize("fault", ["ESTALE", "EIO", "EACCES"])
def test_results_that_cannot_be_read_for_now_are_not_replaced(tmp_path, fault):
    report._write_results(tmp_path, 2, {"protocols": {"knn": 0.3}})
    before = content(tmp_path)
    number = getattr(errno, fault)
    with unreadable("results.json", number), pytest.raises(OSError, match=os.strerror(number)):
        report._write_results(tmp_path, 2, {"protocols": {"linear": 0.4}})
    assert content(tmp_path) == before


def test_a_best_state_that_cannot_be_read_for_now_is_not_replaced(here, capsys):
    settings = run_folder._settings(here / "run")
    settings["config"]["knn_every"] = 1
    whole = checkpoint.load("run/checkpoint.pt")
    whole["config"]["knn_every"] = 1
    checkpoint.save("run/checkpoint.pt", {k: v for k, v in whole.items() if k not in ("format", "version")})
    run_folder.write_json(here / "run" / "settings.json", settings | {"records": {"keep_best": True}})
    whole["history"]["knn"] = [(2, 1.0)]
    checkpoint.save("run/checkpoint-best.pt", {k: v for k, v in whole.items() if k not in ("format", "version")})
    before = Path("run/checkpoint-best.pt").read_bytes()
    with unreadable("checkpoint-best.pt", errno.ESTALE):
        assert main("train", "--resume=run") == 1
    words = f"checkpoint 'run/checkpoint-best.pt' cannot be read ({os.strerror(errno.ESTALE)}): {files.RECONNECT}"
    assert words in capsys.readouterr().err
    assert Path("run/checkpoint-best.pt").read_bytes() == before


# --- the network --------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ECONNRESET, errno.ETIMEDOUT, errno.ENETUNREACH, errno.EHOSTUNREACH])
def test_a_network_that_fails_is_not_called_a_drive(number):
    error = OSError(number, os.strerror(number))
    assert files.explained(error) == str(error)
    of_a_file = OSError(number, os.strerror(number), "/mnt/x.png")  # on a drive of the network
    assert files.explained(of_a_file) == f"{of_a_file}: {files.RECONNECT}"
    assert files.explained(OSError(errno.EIO, "read")).endswith(files.RECONNECT)  # reading names no file


def test_a_download_that_breaks_off_is_one_line_without_advice_about_drives(here, monkeypatch, capsys):
    def fail(*_, **__):
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))

    monkeypatch.setattr("byol_tutorial.cli.evaluate.load_guests", fail)
    assert main("evaluate", "run", "--guest", "resnet18=download") == 1
    said = capsys.readouterr().err
    assert os.strerror(errno.ECONNRESET) in said
    assert "drive" not in said
