"""How many threads torch computes with on a CPU: one for small work, more for large work, or the number that you set.

Threads share every operation and wait for each other at its end. An operation of a small network takes microseconds. On
an idle machine two threads then gain at most a fifth. Beside other programs one of the threads often has no core, the
other waits for it at every operation, and a step takes many times as long (bench/busy.py). Large operations lose little.

A number that was set is always kept: by OMP_NUM_THREADS, by `--threads`, or, after the import of this library, by
`set_threads` or `torch.set_num_threads`. One that torch was given before is the most that large work takes.
"""

import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..config.errors import TrainingError
from .device import cores

LARGE = 1e10  # multiplications of one call, about 0.3 s on one core, from which on all cores take part
AT_IMPORT = torch.get_num_threads()
_torch_sets = torch.set_num_threads
_set_later: int | None = None  # the number that a call has set since the import
_outside = AT_IMPORT  # torch's number outside this library, while none is set
_here = threading.local()  # `count` is the number in `on_threads`, which holds on its own thread alone


def set_threads(count: int | None) -> None:
    """Compute with so many CPU threads from now on; None: the library decides again, see `threads_for`.

    It holds for running sessions too, from their next step on. On a CPU the same number of threads gives the same
    results, bit for bit, on machines with any number of cores.

    Raises:
        TrainingError: a count that is not a whole number of at least 1.
    """
    global _set_later
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        raise TrainingError(f"threads={count!r}: give a whole number of at least 1, or None to let the library decide")
    _torch_sets(count or _outside)
    _set_later = count or 0


def _remember(count: int) -> None:
    """Set torch's number of threads as torch.set_num_threads does, and note that it was set."""
    global _set_later
    _torch_sets(count)
    _set_later = count


# Nothing in torch says whether its number was set or is the default, so from the import on each call that sets it is noted.
functools.update_wrapper(_remember, _torch_sets)
vars(torch)["set_num_threads"] = _remember


def chosen() -> int | None:
    """Return the number of threads that was set, or None if none was set."""
    here = getattr(_here, "count", None)
    later = _set_before() if _set_later is None else _set_later
    return here or later or None


@functools.cache
def _set_before() -> int | None:
    """Return the number that OMP_NUM_THREADS or MKL_NUM_THREADS asks for, or None.

    torch's own number at the import says nothing: it is that of all cores, of the physical or the fast ones, or less.
    """
    values = [os.environ.get(name, "").split(",")[0].strip() for name in ("MKL_NUM_THREADS", "OMP_NUM_THREADS")]
    return next((int(value) for value in values if value.isdecimal() and int(value)), None)


_set_before()  # now, because a variable that a notebook sets later is meant for other processes


def available() -> int:
    """Return the largest number of threads that the library uses by itself: torch's default, at most one for each core."""
    return min(AT_IMPORT, cores())


def threads_for(work: float) -> int:
    """Return the number of threads for a call with so many multiplications: the one that was set, else one or all."""
    return chosen() or (available() if work >= LARGE else 1)


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Compute in this context, on the calling thread, with so many threads; afterwards with as many as before."""
    before, outer = torch.get_num_threads(), getattr(_here, "count", None)
    _torch_sets(count)
    _here.count = count
    try:
        yield
    finally:
        _here.count = outer
        _torch_sets(before)


@contextmanager
def computing(work: float = 0) -> Iterator[None]:
    """Compute in this context, or in a function that this decorates, with `threads_for(work)` threads."""
    with on_threads(threads_for(work)):
        yield


def one_by_default() -> None:
    """Let torch compute with one thread in the whole process, also outside this library, while no number is set."""
    global _outside
    _outside = 1
    if chosen() is None:
        _torch_sets(1)


@torch.no_grad()
def multiplications(network: nn.Module, images: Tensor) -> float:
    """Count the multiplications by weights in a forward pass, for one image. Two of the images, (N, C, H, W), are used.

    A layer with the weight W, (outputs, ...), multiplies each number in W once for each place of its output.
    """
    total = 0.0

    def count(layer: nn.Module, _: Any, output: Any) -> None:
        nonlocal total
        weight = getattr(layer, "weight", None)
        if isinstance(weight, Tensor) and weight.dim() > 1 and isinstance(output, Tensor):
            total += weight.numel() * output.numel() / len(weight)

    hooks = [layer.register_forward_hook(count) for layer in network.modules()]
    try:
        with on_threads(1):
            network(images[:2])
    finally:
        for hook in hooks:
            hook.remove()
    return total / len(images[:2])
