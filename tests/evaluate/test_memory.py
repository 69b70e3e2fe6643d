"""How much memory judging needs beside the features, in a process of its own. Raw pixels are the widest features of a lesson."""

import os
import subprocess
import sys

import pytest

# Each judge has a process of its own, and no fork of one: a fork begins without the pages of the libraries, which would
# count as its own when it first uses them, and one of a process that computed with several threads waits for them forever.
MEASURED = """
import sys
import torch
from byol_tutorial.evaluate import knn_accuracy, linear, linear_probe

linear.ITERATIONS = 1  # more need time, and no more memory
judge = {"kNN": knn_accuracy, "linear probe": linear_probe}[sys.argv[1]]
x, y = torch.rand(4096, 3072), torch.arange(4096) % 10


def most():
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM"))


judge(x[:64], y[:64], x[:64], y[:64])  # so that what is imported at the first use is not counted
before = most()
judge(x, y, x[:512], y[:512])
print((most() - before) / x.nbytes)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("judge", ["kNN", "linear probe"])
def test_judging_needs_at_most_two_and_a_half_times_the_memory_of_the_features(judge):
    """A copy of the features in float64 alone would take two, and what is computed with it two more."""
    command, env = [sys.executable, "-c", MEASURED, judge], os.environ | {"OMP_NUM_THREADS": "1"}
    found = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=120)
    assert 0.5 < float(found.stdout) < 2.5
