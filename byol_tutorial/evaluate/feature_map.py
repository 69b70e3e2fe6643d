"""The feature map F of an encoder: its last output that still has places, before they are pooled to y.

    ResNet, four convolutions    F, (D, h, w)  →  mean over the places  →  y, (D,)
    vision transformer           class token and patches, (1 + h·w, D)  →  class token  →  y, (D,)

The map is found by looking at what the parts of an encoder return, so no architecture is named here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn

from ..config.errors import DataError
from .features import features


def feature_maps(encoder: nn.Module, images: Tensor, batch_size: int = 256) -> Iterator[Tensor]:
    """Yield the feature maps F of images in order, in batches: float32 (b, D, h, w), on the CPU.

    They come from the same forward pass as `features`: evaluation mode, normalised images, no gradient. Of the parts of
    an encoder, the one counts that is computed last among those that return several places with the D channels of y; if
    there are none, those with any channels.

    Args:
        encoder: f, which maps images to y, (N, D).
        images: uint8 or uint16 (N, C, H, W).
        batch_size: how many are computed together.

    Raises:
        DataError: no part returns a map with several places, such as (N, D, h, w) or patches (N, h·w, D).
    """
    part, dim, calls = _last_with_places(encoder, images[:1])
    for batch in images.split(batch_size):
        with _outputs(part) as seen:
            features(encoder, batch, batch_size)
        maps = [found.float().cpu() for _, output in seen if (found := _map_of(output, dim)) is not None]
        yield torch.cat(maps[calls - 1 :: calls])  # several where the network computes its batch in pieces


def _last_with_places(encoder: nn.Module, image: Tensor) -> tuple[nn.Module, int | None, int]:
    """Return the part whose output is the feature map, its D, and how often it returns such maps in one forward pass.

    D is None where no part has the channels of y. A part that is used several times returns the map with its last use.
    """
    with _outputs(*encoder.modules()) as seen:
        y = features(encoder, image)
    dim: int | None
    for dim in (y.shape[1], None):
        parts = [part for part, output in seen if _map_of(output, dim) is not None]
        if parts:
            return parts[-1], dim, sum(part is parts[-1] for part in parts)
    raise DataError(
        f"{type(encoder).__name__} has no feature map: none of its parts, which are modules, returns (N, D, h, w), or "
        "patches (N, h·w, D), with several places; give it larger images, or pool in a module of its own"
    )


@contextmanager
def _outputs(*parts: nn.Module) -> Iterator[list[tuple[nn.Module, Tensor]]]:
    """Collect what these parts return in this context, in the order in which they were computed."""
    seen: list[tuple[nn.Module, Tensor]] = []

    def keep(part: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            seen.append((part, output))

    hooks = [part.register_forward_hook(keep) for part in parts]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _map_of(output: Tensor, dim: int | None) -> Tensor | None:
    """Return an output as a map (N, D, h, w) if it has several places and `dim` channels (any, if it is None)."""
    if output.ndim == 3 and output.shape[2] == dim and output.shape[1] > 1:  # tokens
        side = isqrt(output.shape[1])  # in front of the patches are class and register tokens, fewer than 2 · side
        return output[:, -side * side :].transpose(1, 2).unflatten(2, (side, side)) if side > 1 else None
    if output.ndim != 4:
        return None
    if dim is not None and output.shape[1] != dim and output.shape[3] == dim:  # (N, h, w, D), as in Swin
        output = output.permute(0, 3, 1, 2)
    places = output.shape[2] * output.shape[3]
    return output if places > 1 and dim in (None, output.shape[1]) else None
