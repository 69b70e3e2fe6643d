"""How much memory judging needs beside the features, in processes of their own. Raw pixels are the widest features of a lesson."""

import subprocess
import sys

import pytest

# Each judge works in a fork, so that its most memory is its own and everything is imported once.
MEASURED = """
import os
import torch
from byol_tutorial.evaluate import knn_accuracy, linear, linear_probe

linear.ITERATIONS = 1  # more need time, and no more memory
judges = {"kNN": knn_accuracy, "linear probe": linear_probe}
x, y = torch.rand(4096, 3072), torch.arange(4096) % 10


def most():
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM"))


for judge in judges.values():
    judge(x[:64], y[:64], x[:64], y[:64])  # so that what is imported at the first use is not counted
for name, judge in judges.items():
    child = os.fork()
    if child == 0:
        before = most()
        judge(x, y, x[:512], y[:512])
        print(name, (most() - before) / x.nbytes, sep=":", flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.fixture(scope="module")
def measured() -> dict[str, float]:
    """For each judge, its most memory beside the features, as a multiple of theirs."""
    end = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True)
    return {name: float(times) for name, times in (line.split(":") for line in end.stdout.splitlines())}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("judge", ["kNN", "linear probe"])
def test_judging_needs_at_most_two_and_a_half_times_the_memory_of_the_features(measured, judge):
    """A copy of the features in float64 alone would take two, and what is computed with it two more."""
    assert 0.5 < measured[judge] < 2.5
