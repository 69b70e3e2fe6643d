"""A loss is judged by its gradient too: a value that is right can still train nothing.

float(), .item(), .detach(), torch.no_grad() and NumPy cut the gradient.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .record import Exercise
from .values import same


def gradient_problem(exercise: Exercise, answer: Callable) -> str | None:
    """Return in words how the gradient of a loss differs from the reference's, or None if it does not."""
    if not exercise.trains:
        return None
    for mine, right in zip(exercise.cases(), exercise.cases(), strict=True):
        wanted = _gradients(exercise, exercise.reference, right)
        try:
            found = _gradients(exercise, answer, mine)
        except Exception as error:  # NumPy refuses tensors that need a gradient
            return f"the value is right, but not with tensors that need a gradient. {type(error).__name__}: {error}"
        for name, right_ones in wanted.items():
            gradients = found[name]
            if gradients is None or not any(map(torch.any, gradients)):
                return (
                    f"the value is right, but no gradient reaches {name}, so this loss trains nothing: float(), .item(), "
                    ".detach(), torch.no_grad(), NumPy and a new torch.tensor(...) cut the gradient. Use torch's operations "
                    "from end to end."
                )
            if not same(gradients, right_ones, max(exercise.tolerance, 1e-3)):
                return (
                    f"the value is right, but its gradient with respect to {name} is not: a part of the computation is "
                    "detached, or under torch.no_grad()."
                )
    return None


def _gradients(exercise: Exercise, loss: Callable, case: tuple) -> dict[str, list[Tensor] | None]:
    """Return name -> the gradients of one number with respect to that argument, a tensor or a list of tensors."""
    arguments: list[Any] = list(case)
    leaves: dict[str, list[Tensor]] = {}
    for name, position in exercise.trains.items():
        given = arguments[position]
        tensors = [given] if isinstance(given, Tensor) else list(given)
        leaves[name] = [t.detach().clone().requires_grad_() for t in tensors]
        made = [exercise.as_trained(leaf) for leaf in leaves[name]]  # a clone may be changed in place, a leaf may not
        arguments[position] = made[0] if isinstance(given, Tensor) else made
    value = loss(*arguments)
    if not isinstance(value, Tensor) or not value.requires_grad:
        return dict.fromkeys(leaves)
    flat = [leaf for group in leaves.values() for leaf in group]
    found = iter(torch.autograd.grad(value.sum(), flat, allow_unused=True))
    filled = {name: [(next(found), leaf) for leaf in group] for name, group in leaves.items()}
    return {n: [torch.zeros_like(leaf) if g is None else g for g, leaf in pairs] for n, pairs in filled.items()}
