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


@pytest.mark.training
@pytest.mark.parametrize("name", ["step", "growth", "learn", "startup", "peers", "busy"])
def test_the_bench_runs_and_writes_nothing_when_it_is_quick(name):
    if name == "peers":
        for peer in ("byol_pytorch", "kornia"):
            if importlib.util.find_spec(peer) is None:
                pytest.skip(f"{peer} is not installed: make bench-peers")
    before = {p: p.stat().st_mtime_ns for p in (BENCH / "results").rglob("*")}
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    on = [] if name in ("startup", "busy") else ["--device", "cpu"]
    end = subprocess.run(
        [sys.executable, f"{name}.py", "--quick", *on], cwd=BENCH, env=env, capture_output=True, text=True
    )
    assert end.returncode == 0, end.stderr
    assert re.search(r"\d", end.stdout)
    assert {p: p.stat().st_mtime_ns for p in (BENCH / "results").rglob("*")} == before


@pytest.mark.training
def test_results_go_where_out_names_and_commands_share_a_file(tmp_path):
    """Some machines allow copying only one folder, and several commands write parts of one result."""
    code = (
        "import common; common.write('gpu', {'parts': {'a': {'cases': {'x': 1}}}}, add=True);"
        "common.write('gpu', {'parts': {'a': {'cases': {'y': 2}}, 'b': 3}}, add=True)"
    )
    env = os.environ | {"OUT": str(tmp_path), "PYTHONPATH": str(BENCH)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, check=True)
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
