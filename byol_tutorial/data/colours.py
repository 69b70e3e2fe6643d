"""How pictures of any number of channels are shown as red, green and blue."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def in_colours(images: Tensor, bands: Sequence[int] = (0, 1, 2)) -> Tensor:
    """Return pictures of any number of channels as red, green and blue: (..., C, H, W) -> (..., 3, H, W).

    One channel becomes grey. Of two, the first is red and the second green. Of more than three, `bands` are red, green
    and blue. uint8 and floats in [0, 1] keep their type; uint16 becomes float32 in [0, 1].
    """
    if not images.is_floating_point() and images.dtype != torch.uint8:
        images = images.float() / torch.iinfo(images.dtype).max
    channels = images.shape[-3]
    if channels == 1:
        return images.expand(*images.shape[:-3], 3, *images.shape[-2:])
    if channels == 2:
        return torch.cat((images, torch.zeros_like(images[..., :1, :, :])), -3)
    return images if channels == 3 else images[..., list(bands), :, :]


def thumbnails(pictures: Tensor, side: int) -> Tensor:
    """Return pictures, float in [0, 1] (N, C, H, W), in colours and in another size: uint8 (N, 3, side, side)."""
    return F.interpolate(in_colours(pictures), (side, side), mode="area").mul(255).round().to(torch.uint8)


def false_colour(channels: int) -> str:
    """Return "false colour" for pictures of so many channels, if their colours are not their own; else ""."""
    return "" if channels in (1, 3) else "false colour"
