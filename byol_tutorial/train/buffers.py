"""A copy of what forward passes change in a model, so that a step that fails can be undone."""

import torch
from torch import nn


class Buffers:
    """A copy of one model's buffers: running statistics, centres, and predictors that are computed, not learned."""

    def __init__(self, model: nn.Module) -> None:
        places = [(module._buffers, name) for module in model.modules() for name in module._buffers]
        places = [(of, name) for of, name in places if of[name] is not None]
        # Grouped by dtype, because one operation copies tensors of one dtype. The buffers themselves are looked up at each
        # copy, because a module may be moved to other memory.
        self._places = [[p for p in places if p[0][p[1]].dtype == dtype] for dtype in {of[n].dtype for of, n in places}]
        self._copies = [[of[name].clone() for of, name in group] for group in self._places]

    def take(self) -> None:
        """Copy the buffers as they are now."""
        for group, copies in zip(self._places, self._copies, strict=True):
            torch._foreach_copy_(copies, [of[name] for of, name in group])

    def put_back(self) -> None:
        """Write the copies back into the buffers."""
        for group, copies in zip(self._places, self._copies, strict=True):
            torch._foreach_copy_([of[name] for of, name in group], copies)
