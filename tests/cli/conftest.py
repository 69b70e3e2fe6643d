import shutil
from pathlib import Path

import pytest

from byol_tutorial.cli import report
from byol_tutorial.train import onnx_file


@pytest.fixture
def here(cut, tmp_path, monkeypatch) -> Path:
    """A folder with a copy, `run`, of the run `cut` that a module of tests has; it is the current folder.

    Nothing is judged, because that takes longest.
    """
    shutil.copytree(cut, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "judge", lambda *_: None)
    return tmp_path


@pytest.fixture
def quick_export(monkeypatch) -> None:
    """Let `export` write bytes that are no network: to make a graph of one takes seconds; train/test_onnx_file.py does it."""
    monkeypatch.setattr(onnx_file, "_model", lambda *_: b"a network" * 2000)
    monkeypatch.setattr(onnx_file, "_difference", lambda *_: 0.0)
