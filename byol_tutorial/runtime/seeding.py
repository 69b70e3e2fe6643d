"""Random numbers: the seed of each draw of a run, weights drawn without torch's global generator, and the global states."""

import random

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ..config.config import Config


class OwnGenerator(TorchDispatchMode):
    """Within it, on this thread alone, every random operation that names no generator draws from this one.

    The initial weights of torch's layers come from the global generator, which all threads share: two runs that are
    built at the same time would disturb each other. The numbers are those that `torch.manual_seed(seed)` gives.
    """

    def __init__(self, seed: int):
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if any(argument.name == "generator" for argument in operation._schema.arguments):
            kwargs["generator"] = kwargs.get("generator") or self.generator
        return operation(*args, **kwargs)


def seed_at(config: Config, count: int) -> int:
    """The seed of random draw number `count` of a run."""
    return (config.seed * 1_000_003 + count) % 2**32


def random_states() -> dict:
    """The global random states, for code around the run; the run itself needs none of them."""
    version, numbers, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002  (the global state is what is asked for)
    return {
        "python": [version, torch.tensor(numbers), gauss],
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        # of a process that has not used a GPU there is none, and to ask would take some of the GPU's memory
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def restore_random_states(states: dict) -> None:
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers.tolist()), gauss))
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
