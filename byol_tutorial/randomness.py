"""Random numbers of one's own, in code that would take them from torch's global generator."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode


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
