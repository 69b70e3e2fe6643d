import shutil
from pathlib import Path

import pytest

from byol_tutorial.cli import report
from byol_tutorial.train import onnx_file


@pytest.fixture(scope="module")
def world(cut) -> Path:
    """The folder that holds `run`. A module has its own `world`, or a run `cut` in a folder of its own."""
    return cut.parent


@pytest.fixture
def here(world, tmp_path, monkeypatch) -> Path:
    """A copy of the module's `world`, which a test may change; it is the current folder.

    Nothing is judged, because that takes longest.
    """
    copy = tmp_path / "here"
    shutil.copytree(world, copy)
    settings = copy / "run" / "settings.json"
    settings.write_text(settings.read_text().replace(str(world), str(copy)))
    monkeypatch.chdir(copy)
    monkeypatch.setattr(report, "judge", lambda *_: None)
    return copy


@pytest.fixture
def quick_export(monkeypatch) -> None:
    """Let `export` write bytes that are no network: to make a graph of one takes seconds; train/test_onnx_file.py does it."""
    monkeypatch.setattr(onnx_file, "_model", lambda *_: b"a network" * 2000)
    monkeypatch.setattr(onnx_file, "_difference", lambda *_: 0.0)
