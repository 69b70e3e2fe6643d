"""The threads that torch computes with on a CPU: lent to other work, and given back.

Torch's operations are shared out by OpenMP, and each thread that computes keeps a pool of helpers. Between operations
they wait wide awake for the next, so other threads beside them would get no core; `share` uses the same ones. And where
pools hold more threads than there are cores, GNU's OpenMP lets idle ones sleep at once instead of waiting for the next
operation, and waking them takes longer than a small operation does: with a notebook's own pool beside the run's,
training takes three times as long (bench/cockpit.py).
"""

import ctypes
import functools
import sys
from collections.abc import Callable, Sequence
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


def share(work: Callable, tasks: Sequence[tuple]) -> None:
    """work(*task) for every task, each on one of torch's threads; one after the other where they cannot be had.

    Worth it for work that lets other threads run, as compiled code can.
    """
    tasks_left, errors = iter(tasks), []  # an iterator gives each task to one thread only

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    def worker(_):
        try:
            for task in tasks_left:
                work(*task)
        except BaseException as error:  # nothing can be raised through OpenMP
            errors.append(error)

    library = _library() if len(tasks) > 1 else None
    if library is None:
        worker(None)
    else:
        library.GOMP_parallel(worker, None, len(tasks), 0)
    if errors:
        raise errors[0]
