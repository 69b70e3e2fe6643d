"""The hardware of a run: device, cores, precision, compiling, and plain errors where memory does not suffice."""

import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from ..config.errors import TrainingError
from ..config.installed import is_installed


def resolve_device(name: str | torch.device) -> torch.device:
    """Return the device of this name; "auto" is CUDA if there is a GPU, else the CPU.

    Raises:
        TrainingError: a device that is not available.
    """
    if str(name) == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.empty(0, device=name).device  # with its index, so that it equals the .device of tensors on it
    except (RuntimeError, AssertionError) as error:
        raise TrainingError(
            f"device {str(name)!r} is not available here: choose auto, cpu"
            + (", cuda" if torch.cuda.is_available() else " (no CUDA device was found)")
        ) from error
    return device


def resolve_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the dtype of `Config.precision`: "mixed" is bfloat16 where the device has it, float16 elsewhere."""
    if name != "mixed":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]
    # without emulation, because emulated bfloat16 is slow
    cuda = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    has_bfloat16 = device.type == "cpu" or cuda
    return torch.bfloat16 if has_bfloat16 else torch.float16


LONG = 10_000  # from so many steps on compiling pays: it takes about a minute, and saves 8 ms a step of a ResNet-18


def resolve_compile(choice: str, device: torch.device, steps: int) -> bool:
    """Return whether `Config.compile` means to compile, in a run of so many steps.

    "auto" compiles on CUDA, where a C compiler and Triton are there, and the run is long enough.

    Raises:
        TrainingError: "on" where there is no compiler, found out now and not at the first step.
    """
    if choice == "off":
        return False
    cuda = device.type == "cuda"
    compilers = ("gcc", "clang") if cuda else ("g++", "clang++", "c++", "cl")
    own = os.environ.get("CC" if cuda else "CXX")
    found = any(shutil.which(name) for name in (own, "cc" if cuda else None, *compilers) if name)
    triton = not cuda or is_installed("triton")
    if choice == "on" and not (found and triton):
        needed = f"a {'C' if cuda else 'C++'} compiler such as {compilers[0]}" if not found else "Triton"
        raise TrainingError(
            f"compile='on' needs {needed}, and there is none here: install it, or leave compile (--compile) out, which "
            "changes the speed only"
        )
    return choice == "on" or (cuda and steps >= LONG and found and triton)


# parts of the messages of the operating system, of CUDA, and of CUDA's libraries
NO_MEMORY = ("allocate memory", "out of memory", "ALLOC_FAILED", "ALLOCATION_FAILED")
# cuDNN's message if no algorithm fits into the memory left, but also if it has no algorithm for the shapes
NO_ENGINE = "unable to find an engine"


def is_lack_of_memory(error: Exception) -> bool:
    """Return whether this error means that memory does not suffice."""
    if NO_ENGINE in str(error):
        free, total = torch.cuda.mem_get_info()
        return free < total / 10
    return isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY)


@contextmanager
def memory_errors(where: str, remedy: str) -> Iterator[None]:
    """Raise TrainingError, with `where` and `remedy`, if the context runs out of memory, on a GPU or in the host."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_lack_of_memory(error):
            raise
        raise TrainingError(f"out of memory {where}: {remedy}") from error


CGROUP = Path("/sys/fs/cgroup")  # where Linux tells a container how much of the cores' time it may use


def cores() -> int:
    """Return the number of cores that this process may use, at least 1.

    A quota of time, as containers have one, counts as so many cores, rounded up.
    """
    return max(1, math.ceil(min(len(_allowed()), _quota())))


def _allowed() -> set[int]:
    """Return the identifiers of the cores on which the system lets this process run."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _quota() -> float:
    """Return how many cores' time this process's control group may use; infinity where nothing limits it."""
    with suppress(OSError, ValueError):  # version 2: "max 100000", or the quota and its period in microseconds
        quota, period = (CGROUP / "cpu.max").read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    with suppress(OSError, ValueError):  # version 1, with -1 where there is no limit
        used, of = (int((CGROUP / f"cpu/cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        return used / of if used > 0 else math.inf
    return math.inf


def free_cores(ours: float = 0, moment: float = 0.2) -> int:
    """Return how many of the cores that this process may use are left free by other programs, at least 1.

    This process waits for a moment and looks at what the cores do meanwhile. The shares of time in which they are busy are
    added up, and each whole core of the sum counts as taken; 0.75 of a core count as a whole one. psutil, which comes with
    Jupyter, reads the shares. Where psutil is missing or fails, all cores count as free.

    Args:
        ours: how many cores processes that this one has started keep busy, which count as free. Threads of this process
            that compute meanwhile count as other programs unless they are in this number.
        moment: in seconds.
    """
    count = cores()
    if count == 1 or not is_installed("psutil"):
        return count
    try:
        import psutil

        used = psutil.cpu_percent(moment, percpu=True)  # of each core that is switched on, in per cent
        mine = _allowed()
        if max(mine) < len(used):
            busy = sum(used[core] for core in mine) / 100
        else:  # some cores are switched off, so a position in the list is not the identifier of a core
            busy = sum(used) / len(used) * len(mine) / 100
    except Exception:  # what the system tells of its cores can be missing or forbidden in many ways
        return count
    return max(1, min(count, len(mine) - int(max(0, busy - ours) + 0.25)))
