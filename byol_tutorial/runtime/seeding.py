"""Random numbers: the seed of each draw, weights drawn without torch's global generator, and the global states."""

import random
from functools import cache
from typing import Any, cast

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ..config.config import Config


class OwnGenerator(TorchDispatchMode):
    """A context in which random operations of this thread draw from a generator of its own, unless they name one.

    Torch's layers take their initial weights from the global generator, which all threads share, so two runs that are
    built at the same time would disturb each other. The numbers are those that `torch.manual_seed(seed)` gives.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Answer torch, which would import its compiler to exclude the method below: nothing is compiled in this context."""
        return False

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if _draws(operation):
            kwargs["generator"] = kwargs.get("generator") or self.generator
        return operation(*args, **kwargs)


@cache
def _draws(operation: Any) -> bool:
    """Return whether an operation of torch takes a generator."""
    return any(argument.name == "generator" for argument in operation._schema.arguments)


def seed_at(config: Config, count: int) -> int:
    """Return the seed of random draw number `count` of a run."""
    return (config.seed * 1_000_003 + count) % 2**32


def random_states() -> dict[str, Any]:
    """Return the global random states, for code around the run; the run itself uses none of them."""
    version, numbers, gauss = random.getstate()
    legacy = np.random.get_state()  # noqa: NPY002  (this function saves the global state)
    kind, keys, position, has_gauss, cached = cast(tuple[str, np.ndarray, int, int, float], legacy)
    return {
        "python": [version, torch.tensor(numbers), gauss],
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        # A process that has not used a GPU has no state there, and to ask for it would take memory of the GPU.
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Set the global random states to those that `random_states` returned."""
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers.tolist()), gauss))
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
