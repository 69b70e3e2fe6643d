"""What a run computes on: the device, the cores, the precision, compiling, and a lack of memory in words."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..config.errors import TrainingError


def resolve_device(name: str | torch.device) -> torch.device:
    """The device of this name; "auto" is CUDA where there is one, else the CPU."""
    if str(name) == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.empty(0, device=name).device  # with its index, so that it equals the device of what lies there
    except (RuntimeError, AssertionError) as error:
        raise TrainingError(
            f"device {str(name)!r} is not available here: choose auto, cpu"
            + (", cuda" if torch.cuda.is_available() else " (no CUDA device was found)")
        ) from error
    return device


def resolve_precision(name: str, device: torch.device) -> torch.dtype:
    """The dtype of `Config.precision`: "mixed" is bfloat16 where the device has it, float16 elsewhere."""
    if name != "mixed":
        return getattr(torch, name)
    cuda = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)  # which would be slow
    has_bfloat16 = device.type == "cpu" or cuda
    return torch.bfloat16 if has_bfloat16 else torch.float16


LONG = 10_000  # steps from which compiling pays: it takes about a minute, and saves some 8 ms a step of a ResNet-18


def resolve_compile(choice: str, device: torch.device, steps: int) -> bool:
    """Whether `Config.compile` means to compile, for a run of so many steps. "auto" compiles on CUDA where that is possible and pays."""
    if choice != "auto":
        return choice == "on"
    c_compiler = any(shutil.which(name) for name in (os.environ.get("CC") or "cc", "gcc", "clang"))
    return device.type == "cuda" and steps >= LONG and c_compiler and importlib.util.find_spec("triton") is not None


NO_MEMORY = (
    "allocate memory",
    "out of memory",
    "ALLOC_FAILED",
    "ALLOCATION_FAILED",
)  # the host's words, CUDA's, its libraries'
NO_ENGINE = (
    "unable to find an engine"  # cuDNN's, where no way to convolve fits into the memory left, or knows the shapes
)


def is_lack_of_memory(error: Exception) -> bool:
    """Whether this error says, in whichever words, that memory does not suffice."""
    if NO_ENGINE in str(error):
        free, total = torch.cuda.mem_get_info()
        return free < total / 10
    return isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY)


@contextmanager
def memory_errors(where: str, remedy: str) -> Iterator[None]:
    """Whatever runs out of memory in here, on a GPU or in the host, raises TrainingError: where, and what helps."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_lack_of_memory(error):
            raise
        raise TrainingError(f"out of memory {where}: {remedy}") from error


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
