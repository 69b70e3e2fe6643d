"""Normalisation between layers: BatchNorm, GroupNorm with weight standardisation, or none."""

import torch.nn.functional as F
from torch import Tensor, nn

# --- normalisation: bn, gn_ws or none -----------------------------------------------------------


def build_norm(kind: str, channels: int, dims: int = 2, affine: bool = True) -> nn.Module:
    """Build BatchNorm ("bn"), GroupNorm ("gn_ws") or nothing ("none"), for pictures (dims = 2) or vectors (1).

    PyTorch's BatchNorm momentum 0.1 is the authors' decay 0.9. GroupNorm has 16 groups as in Richemond et al. 2020
    (arXiv 2010.10241), or fewer, so that each group has at least four channels. `affine`: with a scale and a shift of each
    channel that are learned.
    """
    if kind == "bn":
        return nn.BatchNorm2d(channels, affine=affine) if dims == 2 else nn.BatchNorm1d(channels, affine=affine)
    if kind == "gn_ws":
        groups = next(g for g in (16, 8, 4, 2, 1) if (channels % g == 0 and channels >= 4 * g) or g == 1)
        return nn.GroupNorm(groups, channels, affine=affine)
    return nn.Identity()


def standardise(weight: Tensor) -> Tensor:
    """Bring the weights of each output to mean 0 and variance 1 / inputs: (out, ...) -> the same shape.

    Weight standardisation (Qiao et al. 2019, arXiv 1903.10520) together with GroupNorm replaces BatchNorm, and needs no
    other images of the batch.
    """
    flat = weight.flatten(1)
    centred = flat - flat.mean(1, keepdim=True)
    return (centred / (centred.norm(dim=1, keepdim=True) + 1e-8)).view_as(weight)


class StandardisedConv2d(nn.Conv2d):
    """A convolution with standardised weights."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of x."""
        return self._conv_forward(x, standardise(self.weight), self.bias)


class StandardisedLinear(nn.Linear):
    """A linear map with standardised weights."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the map of x."""
        return F.linear(x, standardise(self.weight), self.bias)


def is_standardised(module: nn.Module) -> bool:
    """Return whether this layer standardises its weights."""
    return isinstance(module, (StandardisedConv2d, StandardisedLinear))
