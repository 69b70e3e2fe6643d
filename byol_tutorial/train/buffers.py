"""A copy of what forward passes change in a model, so that a step that fails can be undone."""

import torch
from torch import Tensor, nn


class Buffers:
    """A copy of one model's buffers: running statistics, centres, and predictors that are computed, not learned."""

    def __init__(self, model: nn.Module) -> None:
        places = [
            (module._buffers, name, buffer.dtype)
            for module in model.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]
        # Grouped by dtype, because one operation copies tensors of one dtype. The buffers themselves are looked up at each
        # copy, because a module may be moved to other memory.
        self._places = [
            [(of, name) for of, name, its_dtype in places if its_dtype == dtype] for dtype in {p[2] for p in places}
        ]
        self._copies = [[buffer.clone() for buffer in _buffers(group)] for group in self._places]

    def take(self) -> None:
        """Copy the buffers as they are now."""
        for group, copies in zip(self._places, self._copies, strict=True):
            torch._foreach_copy_(copies, _buffers(group))

    def put_back(self) -> None:
        """Write the copies back into the buffers."""
        for group, copies in zip(self._places, self._copies, strict=True):
            torch._foreach_copy_(_buffers(group), copies)


def _buffers(group: list[tuple[dict[str, Tensor | None], str]]) -> list[Tensor]:
    """Return the buffers that are at these places now."""
    return [buffer for of, name in group if (buffer := of[name]) is not None]
