"""A thread's OpenMP helpers are given back: counted as threads of the process."""

import os
import subprocess
import sys

import pytest

from byol_tutorial.runtime.omp_threads import _library

CODE = """
import psutil, threading, torch
from byol_tutorial.runtime.omp_threads import release_helpers
count = psutil.Process().num_threads
x = torch.rand(4, 3, 256, 256)
torch.nn.functional.interpolate(x, scale_factor=2)
computed = count()
released = release_helpers()
after = count()
torch.nn.functional.interpolate(x, scale_factor=2)
print(released, computed - after > 0, count() == computed, release_helpers(), release_helpers())
"""


@pytest.mark.skipif(_library() is None, reason="this torch does not use GNU's OpenMP")
@pytest.mark.skipif(os.cpu_count() == 1, reason="one core needs no helpers")
def test_helpers_end_and_come_back_with_the_next_operation():
    environment = os.environ | {"OMP_NUM_THREADS": "3"}
    printed = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True)
    assert printed.stdout == "True True True True True\n"


def test_where_there_is_no_such_library_nothing_happens(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert _library.__wrapped__() is None
