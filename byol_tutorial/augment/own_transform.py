"""A transform of the user's own, applied to the views after ours."""

import functools
import random
import re
import threading
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..config.errors import TrainingError
from ..runtime.seeding import random_states, restore_random_states
from .operations import constant, normalise

Transform = Callable[[Tensor], Tensor]
Transforms = Transform | tuple[Transform | None, Transform | None]  # one for all views, or a pair for T and T′

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")  # in the repr of a function or an object, another one in each process

_one_at_a_time = threading.Lock()  # the global random numbers belong to all threads of the process


class OwnTransform:
    """A transform t: float32 (N, C, H, W) in [0, 1] -> float of the same shape, between our views and their normalisation.

    It may be a function, a transform of torchvision.transforms.v2, or any other callable. It gets the views of a whole
    forward pass on the training device, those from T and those from T′ in separate calls, and draws random numbers from
    torch, Python or NumPy freely: their global generators are seeded for each call, and put back afterwards. The seed
    follows from the run's seed, the step, the pass and the process, so a resumed run draws what the uninterrupted one
    does.

    Args:
        transform: t for all views; or a pair of them, for T and T′, of which one may be None.
        mean, std: of each channel, by which views are normalised.

    Raises:
        TrainingError: a transform that is not callable; in a call, a result of another shape, type or device, or at the
            first call one that is not finite.
    """

    def __init__(self, transform: Transforms, mean: Sequence[float], std: Sequence[float]) -> None:
        pair = transform if isinstance(transform, tuple) else (transform, transform)
        if len(pair) != 2 or not all(t is None or callable(t) for t in pair) or pair == (None, None):
            raise TrainingError(
                f"transform={transform!r}: give a callable that maps views (N, C, H, W) in [0, 1] to the same shape, or a "
                "pair of two for T and T′"
            )
        self.pair, self.mean, self.std = pair, mean, std
        self.name = ", ".join(dict.fromkeys(described(t) for t in pair))
        self._looked_at = False

    def __call__(self, views: Sequence[Tensor], seed: int) -> list[Tensor]:
        """Transform normalised views, the first, third, ... of which are from T and the others from T′; return them normalised."""
        with _one_at_a_time:
            states = random_states()
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002  (a transform may use NumPy's global generator)
            torch.manual_seed(seed)
            try:
                result = [self._one(v, self.pair[i % 2]) for i, v in enumerate(views)]
            finally:
                restore_random_states(states)
        self._looked_at = True
        return result

    def _one(self, view: Tensor, transform: Transform | None) -> Tensor:
        if transform is None:
            return view
        mean, std = (constant(tuple(x), view.device, torch.float32)[:, None, None] for x in (self.mean, self.std))
        with torch.no_grad():
            made = transform((view.float() * std + mean).clamp(0, 1))
        self._check(made, view)
        return normalise(made.float(), self.mean, self.std).to(view.dtype)

    def _check(self, made: object, view: Tensor) -> None:
        """Raise TrainingError unless a result can be used as a view. Only the first result is searched for NaN."""
        wrong = None
        if not isinstance(made, Tensor):
            wrong = f"a {type(made).__name__}"
        elif made.shape != view.shape or made.device != view.device or not made.is_floating_point():
            wrong = f"{made.dtype} {tuple(made.shape)} on {made.device}"
        elif not self._looked_at and not torch.isfinite(made).all():
            wrong = "numbers that are not finite"
        if wrong:
            raise TrainingError(
                f"transform {self.name}: it returned {wrong}; it must return finite floating-point numbers of the shape "
                f"{tuple(view.shape)} on {view.device}, as it gets them"
            )


def described(transform: Transform | None) -> str:
    """Return a name of a transform that is the same in another process: its settings, if it shows them, or where it is defined.

    Two lambdas of one place, and what a function finds outside of itself, are not told apart.
    """
    if transform is None:
        return "none"
    if isinstance(transform, functools.partial):
        arguments = [*map(repr, transform.args), *(f"{name}={value!r}" for name, value in transform.keywords.items())]
        return f"{described(transform.func)}({ADDRESS.sub('', ', '.join(arguments))})"
    if isinstance(transform, nn.Module):
        return ADDRESS.sub("", " ".join(repr(transform).split()))
    of = transform if hasattr(transform, "__qualname__") else type(transform)
    return f"{of.__module__}.{of.__qualname__}"
