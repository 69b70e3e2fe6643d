"""The bench of the lessons: what is measured is written at once, and times of several at once never as a reader's."""

import importlib
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
NAMES = ["00_start_here", "01_the_idea", "03_build_byol"]


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Return bench(argument, ...): it runs the program with lessons that take no time; `bench.failing` fail."""
    monkeypatch.syspath_prepend(str(BENCH))
    lessons, common = importlib.import_module("lessons"), importlib.import_module("common")
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    monkeypatch.setattr(common, "circumstances", dict)

    def take(lesson, kept):
        assert Path(kept).is_dir()
        start.seen.append((lesson, {path.stem: json.loads(path.read_text()) for path in tmp_path.rglob("*.json")}))
        if lesson in start.failing:
            raise subprocess.CalledProcessError(1, lesson)
        return 7.4

    def start(*arguments):
        monkeypatch.setattr(sys, "argv", ["lessons.py", *arguments])
        lessons.main()

    start.seen, start.failing, start.lessons = [], set(), lessons
    monkeypatch.setattr(lessons, "seconds_of", take)
    yield start
    for name in ("lessons", "common"):
        sys.modules.pop(name, None)


def written(folder) -> dict:
    return {path.stem: json.loads(path.read_text()) for path in folder.rglob("*.json")}


def test_each_lesson_is_written_when_it_is_done_and_the_others_keep_their_seconds(bench, tmp_path):
    bench(*NAMES[:2])
    assert [sorted(files.get("lessons", {"seconds": {}})["seconds"]) for _, files in bench.seen] == [[], NAMES[:1]]
    bench(NAMES[2])
    assert written(tmp_path) == {"lessons": {"circumstances": {}, "seconds": dict.fromkeys(NAMES, 7)}}


@pytest.mark.parametrize("bad", range(3))
def test_a_lesson_that_fails_is_named_and_the_others_are_kept(bench, tmp_path, bad):
    bench.failing = {NAMES[bad]}
    with pytest.raises(SystemExit, match=f"not measured, because they failed: {NAMES[bad]}$"):
        bench(*NAMES)
    assert sorted(written(tmp_path)["lessons"]["seconds"]) == [name for name in NAMES if name != NAMES[bad]]


def test_times_of_several_at_once_are_no_readers(bench, tmp_path, monkeypatch, capsys):
    both = threading.Barrier(2, timeout=10)  # passed only if two run at a time
    take = bench.lessons.seconds_of
    monkeypatch.setattr(bench.lessons, "seconds_of", lambda *a: (both.wait(), take(*a))[1])
    bench(*NAMES[:2], "--at-once", "2")
    found = written(tmp_path)
    assert list(found) == ["lessons_at_once"]
    assert found["lessons_at_once"] == {
        "circumstances": {}, "at_once": 2, "seconds": dict.fromkeys(NAMES[:2], 7), "together": 0}  # fmt: skip
    assert "together" in capsys.readouterr().out


@pytest.mark.parametrize("number", ["0", "-1", "-20"])
def test_a_number_below_one_is_refused(bench, number, capsys):
    with pytest.raises(SystemExit):
        bench("--at-once", number)
    assert f"--at-once {number}: give a number of at least 1" in capsys.readouterr().err
    assert not bench.seen
