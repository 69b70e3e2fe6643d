"""One run in several processes: the rank of this process, and sums over all of them.

torch.distributed and DistributedDataParallel do the work; torchrun starts the processes. In a single process every
function here returns its argument.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ..config.errors import DistributedError


@dataclass(frozen=True)
class Process:
    """The place of a process in its run: rank in 0 .. world_size − 1."""

    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0


def process() -> Process:
    """Return the place of this process; rank 0 of 1 if nothing was joined."""
    if dist.is_available() and dist.is_initialized():
        return Process(dist.get_rank(), dist.get_world_size())
    return Process()


def join(device: str = "auto") -> str:
    """Join the processes that torchrun started, if it did, and return the name of the device of this process.

    On CUDA each process of a machine takes the GPU of its local rank, and NCCL connects them; on a CPU, gloo.

    Raises:
        DistributedError: more processes on this machine than it has GPUs, or one device given to all of them.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return device
    local = int(os.environ.get("LOCAL_RANK", 0))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device not in ("cpu", "cuda"):
        raise DistributedError(f"device {device!r}: under torchrun each process takes its own; give auto, cpu or cuda")
    if device == "cuda":
        count = torch.cuda.device_count()
        if local >= count:
            raise DistributedError(
                f"process {local} of this machine has no GPU, there are {count}: lower --nproc-per-node to {count}"
            )
        device = f"cuda:{local}"
        torch.cuda.set_device(local)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    return device


def leave() -> None:
    """Leave the processes that `join` joined, if it did."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def main_first() -> Iterator[None]:
    """Let the main process run the body before the others, so that it downloads and they find the files."""
    several, is_main = process().world_size > 1, process().is_main
    if several and not is_main:
        dist.barrier()
    yield
    if several and is_main:
        dist.barrier()


def mean_over_processes(x: Tensor) -> Tensor:
    """Return the mean of this tensor over all processes, without gradient."""
    if process().world_size == 1:
        return x
    x = x.detach().clone()
    dist.all_reduce(x)
    return x / process().world_size


class _AllRows(torch.autograd.Function):
    """Forward: the rows of all processes. Backward: the gradients of this process's rows, summed over all processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.rows = len(x)
        parts = [torch.empty_like(x) for _ in range(process().world_size)]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        start = process().rank * ctx.rows
        return gradient[start : start + ctx.rows]


def all_rows(x: Tensor) -> Tensor:
    """Return the rows of all processes in the order of their ranks: (N, D) -> (world_size · N, D), with gradient."""
    return x if process().world_size == 1 else _AllRows.apply(x)
