"""Every speed benchmark runs without an error; the measured numbers are not tested here."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCH = Path(__file__).parents[2] / "bench"


# Runs scripts as `python FILE ...` does, each in a process that is forked after the imports that all of them begin with.
SCRIPTS = """
import json, os, runpy, sys
import byol_tutorial, common

for line in sys.stdin:
    printed, errors, *sys.argv = json.loads(line)
    if not os.fork():
        for stream, file in (1, printed), (2, errors):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        runpy.run_path(os.path.abspath(sys.argv[0]), run_name="__main__")
        sys.exit()
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return run(script of the folder bench, argument, ...): its exit code, what it printed, and its errors."""
    folder = tmp_path_factory.mktemp("bench")
    printed, errors = files = folder / "printed.txt", folder / "errors.txt"
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}

    def run(*command: str) -> tuple[int, str, str]:
        print(json.dumps([*map(str, files), *command]), file=scripts.stdin, flush=True)
        return int(scripts.stdout.readline()), printed.read_text(), errors.read_text()

    with subprocess.Popen([sys.executable, "-c", SCRIPTS], cwd=BENCH, env=env, text=True, **pipes) as scripts:
        yield run
        scripts.stdin.close()
    assert scripts.returncode == 0


@pytest.mark.training
@pytest.mark.parametrize("name", ["step", "growth", "learn", "startup", "peers", "busy"])
def test_the_bench_runs_and_writes_nothing_when_it_is_quick(name, run):
    if name == "peers":
        for peer in ("byol_pytorch", "kornia"):
            if importlib.util.find_spec(peer) is None:
                pytest.skip(f"{peer} is not installed: make bench-peers")
    before = {p: p.stat().st_mtime_ns for p in (BENCH / "results").rglob("*")}
    on = [] if name in ("startup", "busy") else ["--device", "cpu"]
    code, printed, errors = run(f"{name}.py", "--quick", *on)
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
