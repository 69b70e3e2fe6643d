import shutil
from pathlib import Path

import pytest

from byol_tutorial.cli import report


@pytest.fixture
def here(cut, tmp_path, monkeypatch) -> Path:
    """A folder with a copy, `run`, of the run `cut` that a module of tests has; it is the current folder.

    Nothing is judged, because that takes longest.
    """
    shutil.copytree(cut, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "judge", lambda *_: None)
    return tmp_path
