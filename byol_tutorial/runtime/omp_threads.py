"""The threads that torch computes with on a CPU: used for other work, and ended.

OpenMP divides torch's operations among threads, and each thread that computes keeps a pool of helpers. Between two
operations the helpers keep their cores busy with waiting, so that other threads get no core. Therefore `run_on_threads`
gives its work to the same helpers.

If all pools together have more threads than there are cores, GNU's OpenMP puts idle threads to sleep at once, and to
wake them takes longer than a small operation. A run with the pool of a notebook beside its own takes three times as
long (bench/cockpit.py). Therefore `release_helpers` ends a pool.
"""

import ctypes
import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

HARD = 2  # omp_pause_hard: end all threads of the pool; the next operation starts them again


@functools.cache
def _library() -> ctypes.CDLL | None:
    """Return GNU's OpenMP as torch has loaded it, or None if torch uses another one."""
    if not sys.platform.startswith("linux"):
        return None
    for file in sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*")):
        library = ctypes.CDLL(str(file))  # this is the one in use, because a file is loaded only once
        if hasattr(library, "omp_pause_resource_all"):
            return library
    return None


def release_helpers() -> bool:
    """End the OpenMP helpers of the calling thread, if it has any; return whether this OpenMP can do so."""
    library = _library()
    return library is not None and library.omp_pause_resource_all(HARD) == 0


def run_on_threads(work: Callable[..., object], tasks: Sequence[tuple[Any, ...]]) -> None:
    """Call work(*task) for every task on torch's threads; without GNU's OpenMP, one after the other.

    This saves time only if `work` releases Python's global lock, as compiled code can.
    """
    tasks_left = iter(tasks)  # an iterator gives each task to one thread only
    errors: list[BaseException] = []

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    def worker(_: int | None) -> None:
        try:
            for task in tasks_left:
                work(*task)
        except BaseException as error:  # an exception cannot pass through OpenMP
            errors.append(error)

    library = _library() if len(tasks) > 1 else None
    if library is None:
        worker(None)
    else:
        library.GOMP_parallel(worker, None, len(tasks), 0)
    if errors:
        raise errors[0]
