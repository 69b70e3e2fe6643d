"""Every bench of speed runs; what it measures is nobody's business here."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench"


@pytest.mark.training
@pytest.mark.parametrize("name", ["step", "growth", "learn", "startup", "peers"])
def test_the_bench_runs_and_writes_nothing_when_it_is_quick(name):
    if name == "peers":
        for peer in ("byol_pytorch", "kornia"):
            if importlib.util.find_spec(peer) is None:
                pytest.skip(f"{peer} is not installed: make bench-peers")
    before = {p: p.stat().st_mtime_ns for p in (BENCH / "results").rglob("*")}
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    on = [] if name == "startup" else ["--device", "cpu"]
    end = subprocess.run(
        [sys.executable, f"{name}.py", "--quick", *on], cwd=BENCH, env=env, capture_output=True, text=True
    )
    assert end.returncode == 0, end.stderr
    assert re.search(r"\d", end.stdout)
    assert {p: p.stat().st_mtime_ns for p in (BENCH / "results").rglob("*")} == before
