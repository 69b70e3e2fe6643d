"""Give back a thread's helpers, so that another thread can train at full speed.

Torch's operations on a CPU are shared out by OpenMP, and each thread that computes keeps a pool of helpers. Where
pools hold more threads than there are cores, GNU's OpenMP lets idle ones sleep at once instead of waiting for the next
operation, and waking them takes longer than a small operation does: with a notebook's own pool beside the run's,
training takes three times as long (bench/cockpit.py).
"""

import ctypes
import functools
import sys
from pathlib import Path

import torch

HARD = 2  # omp_pause_hard: give back all there is; the next operation builds it again


@functools.cache
def _library() -> ctypes.CDLL | None:
    """GNU's OpenMP as torch has loaded it; None elsewhere, where there is nothing to do."""
    if not sys.platform.startswith("linux"):
        return None
    for file in sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*")):
        library = ctypes.CDLL(str(file))  # the one in use: a file is loaded once
        if hasattr(library, "omp_pause_resource_all"):
            return library
    return None


def release_helpers() -> bool:
    """End the calling thread's OpenMP helpers, if it has any; whether that could be asked for at all."""
    library = _library()
    return library is not None and library.omp_pause_resource_all(HARD) == 0
