"""Locks: one holder at a time, among processes and threads, and none after the holder is killed."""

import errno
import json
import os
import platform
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from byol_tutorial.config.errors import WriteError
from byol_tutorial.runtime import files, locks
from byol_tutorial.runtime.locks import HeldError, Lock, NoLocksError, UncertainHolderError, read_holder

# Packages without their own __init__, which import torch: the processes of these tests need only files and locks.
PACKAGE = f"""
import os, sys, types
for name in ("byol_tutorial", "byol_tutorial.config"):
    package = sys.modules[name] = types.ModuleType(name)
    package.__path__ = [os.path.join({str(Path(files.__file__).parents[2])!r}, *name.split("."))]
"""

# The package as a user imports it.
WHOLE = f"""
import sys
sys.path.insert(0, {str(Path(files.__file__).parents[2])!r})
import byol_tutorial
"""

# Takes the lock, says so, and keeps it until its input ends.
HOLDER = """
import pathlib, sys
from byol_tutorial.runtime.locks import Lock
lock = Lock.take(pathlib.Path(sys.argv[1]))
print("has it", flush=True)
sys.stdin.read()
"""


def hold(path, package: str = PACKAGE) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", package + HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"has it\n"
    return process


@pytest.mark.parametrize("package", [PACKAGE, pytest.param(WHOLE, marks=pytest.mark.slow)], ids=["alone", "whole"])
def test_another_process_is_refused_by_name_until_the_holder_is_killed(tmp_path, package):
    path = tmp_path / "lock"
    process = hold(path, package)
    try:
        assert read_holder(path)["pid"] == process.pid
        with pytest.raises(HeldError, match=rf"^process {process.pid} on {platform.node()} since \d{{4}}-\d\d-\d\d "):
            Lock.take(path)
    finally:
        process.kill()
        process.communicate()
    assert path.exists()  # a killed process removes nothing
    with Lock.take(path) as lock:
        assert (lock.warning, read_holder(path)["pid"]) == ("", os.getpid())
    assert not path.exists()


def test_a_holder_that_reuses_the_number_of_a_killed_one_does_not_count(tmp_path):
    """The number in the file is that of a living process, but the lock is not held."""
    path = tmp_path / "lock"
    path.write_text(json.dumps({"pid": os.getpid(), "host": platform.node(), "since": "then"}))
    Lock.take(path).give_back()
    assert not path.exists()


def test_never_two_at_once(tmp_path):
    """Each thread takes and gives back many times; the file disappears and returns all the while."""
    path, inside, taken, start = tmp_path / "lock", [], [], threading.Barrier(8)

    def work():
        start.wait(60)
        for _ in range(60):
            try:
                with Lock.take(path):
                    inside.append(None)
                    taken.append(len(inside))
                    inside.pop()
            except HeldError:
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(taken) == {1}
    assert not path.exists()


@pytest.mark.skipif(os.name == "nt", reason="making links needs permission on Windows")
@pytest.mark.parametrize("kind", ["symbolic", "hard", "dangling", "folder", "pipe"])
def test_nothing_is_written_through_a_link_or_into_what_is_no_plain_file(tmp_path, kind):
    victim, path = tmp_path / "victim", tmp_path / "lock"
    if kind != "dangling":
        victim.write_bytes(b"precious")
    match kind:
        case "symbolic" | "dangling":
            path.symlink_to("victim")
        case "hard":
            path.hardlink_to(victim)
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
    with pytest.raises(WriteError, match=r"lock' is a link or no plain file, so nothing was written there: remove it$"):
        Lock.take(path)
    assert victim.exists() == (kind != "dangling")
    assert kind == "dangling" or victim.read_bytes() == b"precious"
    assert path.is_symlink() or path.exists()


def test_giving_back_leaves_the_file_of_another_holder(tmp_path):
    path = tmp_path / "lock"
    first = Lock.take(path)
    path.unlink()  # by hand
    second = Lock.take(path)
    first.give_back()
    assert path.exists()
    second.give_back()
    second.give_back()
    assert not path.exists()


@pytest.fixture
def without_locks(monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    # Each system's own function, so that the tests see what becomes of its error.
    monkeypatch.setattr("msvcrt.locking" if sys.platform == "win32" else "fcntl.flock", refuse)


def test_a_file_system_without_locks_is_said_and_used(tmp_path, without_locks):
    path = tmp_path / "lock"
    with Lock.take(path) as lock:
        assert lock.warning == (
            f"the file system of {str(tmp_path)!r} has no locks: see to it that one process alone works there"
        )
        with pytest.raises(
            UncertainHolderError, match=rf"process {os.getpid()} .*, which may have ended: if so, remove "
        ):
            Lock.take(path)
    if os.name == "posix":  # elsewhere no process is known to have ended
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        path.write_text(json.dumps({"pid": gone.pid, "host": platform.node(), "since": "then"}))
        Lock.take(path).give_back()
    path.write_text(json.dumps({"pid": gone.pid, "host": "another machine", "since": "then"}))
    with pytest.raises(HeldError, match="on another machine"):
        Lock.take(path)


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b'{"pid": "x"}', b'{"pid": 1e400}'])
def test_a_damaged_file_hinders_nobody(tmp_path, content):
    (tmp_path / "lock").write_bytes(content)
    with Lock.take(tmp_path / "lock"):
        assert read_holder(tmp_path / "lock")["pid"] == os.getpid()


# --- half-written files -------------------------------------------------------------------------

WRITER = """
import sys
from byol_tutorial.runtime.files import write_atomically
def write(file):
    file.write(b"half")
    file.flush()
    print("half", flush=True)
    sys.stdin.read()
    file.write(b" and half")
write_atomically(sys.argv[1], write)
"""


def test_what_a_living_process_writes_stays_and_what_a_killed_one_left_goes(tmp_path):
    (tmp_path / "figures").mkdir()
    places = [tmp_path / "a", tmp_path / "figures" / "b"]
    living, killed = (
        subprocess.Popen([sys.executable, "-c", PACKAGE + WRITER, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for place in places
    )
    for process in (living, killed):
        assert process.stdout.readline() == b"half\n"
    killed.kill()
    killed.communicate()
    assert len([*tmp_path.rglob("*.part")]) == 2
    files.remove_dead_parts(tmp_path)
    (left,) = tmp_path.rglob("*.part")
    assert left.name.startswith(".a.")
    living.communicate()
    assert (tmp_path / "a").read_bytes() == b"half and half"
    assert not [*tmp_path.rglob("*.part")]


def test_a_file_taken_for_a_leftover_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    lock, cleaned = locks.try_lock, []

    def too_late(file):
        if not cleaned:
            cleaned.append(None)
            files.remove_dead_parts(tmp_path)
        return lock(file)

    monkeypatch.setattr(files, "try_lock", too_late)
    files.write_atomically(tmp_path / "a", lambda file: file.write(b"whole"))
    assert cleaned
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"whole"


@pytest.mark.skipif(os.name == "nt", reason="making links needs permission on Windows")
def test_links_with_the_name_of_a_leftover_are_left_alone(tmp_path):
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "run").mkdir()
    link = tmp_path / "run" / ".a.0.part"
    link.symlink_to(tmp_path / "victim")
    (tmp_path / "run" / "a").symlink_to(tmp_path / "victim")
    files.remove_dead_parts(tmp_path / "run")
    files.write_atomically(tmp_path / "run" / "a", lambda file: file.write(b"new"))  # replaces the link itself
    assert link.is_symlink()
    assert (tmp_path / "run" / "a").read_bytes() == b"new"
    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_without_locks_files_are_written_and_leftovers_stay(tmp_path, without_locks):
    files.write_atomically(tmp_path / "a", lambda file: file.write(b"whole"))
    (tmp_path / ".a.0.part").write_bytes(b"half")
    files.remove_dead_parts(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".a.0.part", "a"]
    with pytest.raises(NoLocksError), (tmp_path / "a").open("r+b") as file:
        locks.try_lock(file)
