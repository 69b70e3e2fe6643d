"""Torch's optimisers without torch's compiler.

In a process that compiles nothing, torch.optim still imports the compiler: its methods exclude themselves from compiling
at their first call, and a step ends a graph that is not there. The import takes 130 MB of memory and two seconds, in each
process. The classes here call the same methods without these guards. Do not call them inside a compiled function,
or with differentiable=True.
"""

import inspect
from typing import TypeVar

import torch

Class = TypeVar("Class", bound=type[torch.optim.Optimizer])


def without_compiler(optimizer: Class) -> Class:
    """Change an optimiser's class, as its decorator, so that it calls its methods without the guards around them."""
    guarded = ("add_param_group", "zero_grad", "state_dict", "load_state_dict", "step")
    methods = {name: inspect.unwrap(getattr(optimizer, name)) for name in guarded}
    methods["step"] = torch.no_grad()(methods["step"])
    for name, method in methods.items():
        setattr(optimizer, name, method)
    return optimizer


@without_compiler
class SGD(torch.optim.SGD):
    """torch.optim.SGD, without the compiler."""


@without_compiler
class AdamW(torch.optim.AdamW):
    """torch.optim.AdamW, without the compiler."""


@without_compiler
class LBFGS(torch.optim.LBFGS):
    """torch.optim.LBFGS, without the compiler."""
