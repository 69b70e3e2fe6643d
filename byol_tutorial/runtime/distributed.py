"""Several processes, one run: who am I, and what have the others got?

torch.distributed and DistributedDataParallel do the work; torchrun starts the processes. With a single
process every function here returns what it was given.
"""

import os
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from ..config.errors import DistributedError


@dataclass(frozen=True)
class Process:
    """This process's place: rank in 0 .. world_size − 1."""

    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether it is the one that writes files and prints."""
        return self.rank == 0


def process() -> Process:
    if dist.is_available() and dist.is_initialized():
        return Process(dist.get_rank(), dist.get_world_size())
    return Process()


def join(device: str = "auto") -> str:
    """Join the processes that torchrun started, if it did; the name of this process's device is returned.

    On CUDA each process of a machine takes the GPU of its local rank, and NCCL connects them; on a CPU, gloo.

    Raises:
        DistributedError: more processes on this machine than it has GPUs, or a device named for all of them.
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
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def main_first():
    """The main process runs the body before the others do: it downloads, they find the files."""
    several, is_main = process().world_size > 1, process().is_main
    if several and not is_main:
        dist.barrier()
    yield
    if several and is_main:
        dist.barrier()


def mean_over_processes(x: Tensor) -> Tensor:
    """The mean of this tensor over all processes, without gradient."""
    if process().world_size == 1:
        return x
    x = x.detach().clone()
    dist.all_reduce(x)
    return x / process().world_size


class _AllRows(torch.autograd.Function):
    """Forward: everyone's rows. Backward: what everyone's loss says about one's own rows, added up."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.rows = len(x)
        parts = [torch.empty_like(x) for _ in range(process().world_size)]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        start = process().rank * ctx.rows
        return gradient[start : start + ctx.rows]


def all_rows(x: Tensor) -> Tensor:
    """The rows of all processes, in the order of their ranks: (N, D) -> (world_size · N, D), with gradient."""
    return x if process().world_size == 1 else _AllRows.apply(x)
