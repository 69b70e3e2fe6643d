"""Every speed benchmark runs without an error; the measured numbers are not tested here."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from answering import Answering

BENCH = Path(__file__).parents[2] / "bench"

# Runs scripts as `python FILE ...` does, each in a process that is forked after the imports that all of them begin with.
SCRIPTS = """
import importlib, json, os, runpy, sys

for module in sys.argv[1:]:
    importlib.import_module(module)
for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for stream, file in (1, request["printed"]), (2, request["errors"]):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        sys.argv = request["command"]
        script = os.path.abspath(sys.argv[0])
        sys.path[0] = os.path.dirname(script)
        runpy.run_path(script, run_name="__main__")
        sys.exit()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps({"number": request["number"], "code": code}), flush=True)
"""
HERE = {"cwd": BENCH, "env": os.environ | {"OMP_NUM_THREADS": "1"}}
NO_INPUT = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
LIMIT = 240  # seconds that a script may take, less than pytest gives a test


def forks(*imported: str) -> Answering | None:
    """Return what runs scripts in forks of a process with these imports; None where torch may not work in a fork."""
    return Answering([sys.executable, "-c", SCRIPTS, *imported], **HERE) if sys.platform == "linux" else None


def run_script(scripts: Answering | None, folder: Path, *command: str) -> tuple[int, str, str]:
    """Run a script, the name of a file of the folder bench or a path: its exit code, what it printed, and its errors."""
    if scripts is None:
        end = subprocess.run([sys.executable, *command], **HERE, **NO_INPUT, timeout=LIMIT)
        return end.returncode, end.stdout, end.stderr
    own = Path(tempfile.mkdtemp(dir=folder))
    files = {name: own / f"{name}.txt" for name in ("printed", "errors")}
    code = scripts.ask(LIMIT, command=command, **{name: str(file) for name, file in files.items()})["code"]
    return code, *(file.read_text() for file in files.values())


@pytest.fixture(scope="module")
def scripts():
    scripts = forks("byol_tutorial", "common")
    yield scripts
    if scripts:
        scripts.stop()


@pytest.mark.parametrize("forked", [True, False], ids=["fork", "process"])
def test_a_script_runs_as_python_runs_a_file(forked, tmp_path):
    """Its folder is where it imports from first, it has no input, and its exit code and errors are its own."""
    (tmp_path / "neighbour.py").write_text("NAME = 'neighbour'")
    (tmp_path / "script.py").write_text(
        "import sys, neighbour\n"
        "assert sys.stdin.read() == ''\n"
        "print(__name__, sys.argv[1:], sys.path[0], neighbour.NAME, __file__, sep=chr(10))\n"
        "assert len(sys.argv) < 3, sys.argv[2]\n"
        "sys.exit(int(sys.argv[1]))"
    )
    scripts, script = forks() if forked else None, str(tmp_path / "script.py")
    try:
        code, printed, errors = run_script(scripts, tmp_path, script, "3")
        assert (code, errors) == (3, "")
        assert printed.splitlines() == ["__main__", "['3']", str(tmp_path), "neighbour", script]
        code, _, errors = run_script(scripts, tmp_path, script, "0", "why")
        assert code == 1
        assert errors.endswith("AssertionError: why\n")
    finally:
        if scripts:
            scripts.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="each script has a process of its own here")
def test_a_script_that_was_stopped_gives_the_next_no_result(tmp_path, monkeypatch):
    (tmp_path / "long.py").write_text("import time; print('long', flush=True); time.sleep(100)")
    (tmp_path / "short.py").write_text("print('short')")
    scripts = forks()
    try:
        with monkeypatch.context() as short:
            short.setattr(sys.modules[__name__], "LIMIT", 0.5)
            with pytest.raises(AssertionError, match=r"did not end within 0\.5 s"):
                run_script(scripts, tmp_path, str(tmp_path / "long.py"))
        assert run_script(scripts, tmp_path, str(tmp_path / "short.py")) == (0, "short\n", "")
    finally:
        scripts.stop()


@pytest.mark.training
@pytest.mark.parametrize("name", ["step", "growth", "learn", "startup", "peers", "busy"])
def test_the_bench_runs_and_writes_nothing_when_it_is_quick(name, scripts, tmp_path):
    if name == "peers":
        for peer in ("byol_pytorch", "kornia"):
            if importlib.util.find_spec(peer) is None:
                pytest.skip(f"{peer} is not installed: make bench-peers")
    before = {p: p.stat().st_mtime_ns for p in (BENCH / "results").rglob("*")}
    on = [] if name in ("startup", "busy") else ["--device", "cpu"]
    code, printed, errors = run_script(scripts, tmp_path, f"{name}.py", "--quick", *on)
    assert code == 0, errors
    assert re.search(r"\d", printed)
    assert {p: p.stat().st_mtime_ns for p in (BENCH / "results").rglob("*")} == before


def test_results_go_where_out_names_and_commands_share_a_file(tmp_path, monkeypatch):
    """Some machines allow copying only one folder, and several commands write parts of one result."""
    monkeypatch.setenv("OUT", str(tmp_path))
    spec = importlib.util.spec_from_file_location("common", BENCH / "common.py")
    common = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(common)
    common.write("gpu", {"parts": {"a": {"cases": {"x": 1}}}}, add=True)
    common.write("gpu", {"parts": {"a": {"cases": {"y": 2}}, "b": 3}}, add=True)
    (file,) = tmp_path.rglob("gpu.json")
    assert json.loads(file.read_text())["parts"] == {"a": {"cases": {"x": 1, "y": 2}}, "b": 3}


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="it would measure")
@pytest.mark.parametrize("command", [[sys.executable, "bench/gpu.py"], ["bash", "bench/gpu.sh"]], ids=["py", "sh"])
def test_the_bench_of_a_gpu_says_where_there_is_none(command):
    end = subprocess.run(command, cwd=BENCH.parent, capture_output=True, text=True)
    assert end.returncode != 0
    assert "no CUDA device here" in end.stdout + end.stderr


def test_the_yardstick_of_lesson_5_has_the_numbers_that_were_measured():
    found = json.loads((BENCH / "results/intel-xeon-2-cores/yardstick.json").read_text())
    rank = {
        name: f"{found[name]['EfficientNet-Lite0, ImageNet']['rank']:.0f}" for name in ("photographs", "CIFAR-10-JPEG")
    }
    imagenet, byol = found["shapes"]["EfficientNet-Lite0, ImageNet"], found["shapes"]["BYOL, this set"]
    assert imagenet["knn"] == 1.0
    text = " ".join((BENCH.parent / "notebooks/05_ema_and_collapse.md").read_text("utf-8").split())
    for sentence in (
        f"has 1,280 numbers and an effective rank of {imagenet['rank']:.1f}.",
        f"and a rank of {byol['rank']:.1f}, because",
        f"vary in {byol['directions']:.0f} directions, and those of the ImageNet encoder in {imagenet['directions']:.0f}.",
        f"a rank of {rank['photographs']} on the photographs of lesson 11, and of {rank['CIFAR-10-JPEG']} on small photographs",
    ):
        assert sentence in text
