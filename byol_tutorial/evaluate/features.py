"""Features y = f(x) of images by a frozen encoder, and their projections z = g(y), both without augmentation.

Every y and z behind a number or a map is computed here, so that a panel, a verdict, a film and a notebook agree.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..augment.operations import as_float, normalise
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..runtime.device import memory_errors

PIXEL_GRID = 32  # pixels a side of pictures that are features themselves, at most


@torch.no_grad()
def features(encoder: nn.Module, images: Tensor | ImageSet | StreamedSet, batch_size: int = 512) -> Tensor:
    """y = f(x) in evaluation mode, without gradient: uint8 (N, 3, H, W), or a set of images -> float32 (N, D), on the CPU.

    Images are normalised with the encoder's own `pixel_mean` and `pixel_std` where it has them, else with 0.5 and
    0.25. The encoder's mode is restored. Images 8/7 as large as the views it was trained on give their centre (see
    `kept_size`), those of any other size are taken as they are.
    """
    device = next(encoder.parameters()).device
    was_training = encoder.training
    encoder.eval()
    rows = []
    for batch in images.split(batch_size) if isinstance(images, Tensor) else images.batches(batch_size):
        with memory_errors(f"on {device} at the features of {len(batch)} images", "give features a smaller batch_size"):
            x = centre(batch.to(device), seen_size(encoder, min(batch.shape[2:])))
            rows.append(encoder(network_input(encoder, as_float(x))).float().cpu())
    encoder.train(was_training)
    return torch.cat(rows)


@torch.no_grad()
def representations(online: nn.Module, images: Tensor | ImageSet | StreamedSet) -> tuple[Tensor, Tensor]:
    """Return y = f(x) and z = g(f(x)) of images: float32 (N, D) and (N, d), on the CPU.

    online: a network with the parts `encoder` f and `projector` g. It is not changed.

    y is what `features` gives. For z, BatchNorm normalises with its running averages too, but without the part that
    they still have of their start, see `settled`: with it, the projections of a network that has made few steps would
    all point in one direction and look like a collapse.
    """
    y = features(online.encoder, images)
    network = settled(online)
    if network is None:
        network, seen = online, y
    else:
        seen = features(network.encoder, images)
    g, training = network.projector, network.projector.training
    device = next(g.parameters(), seen).device
    g.eval()
    z = torch.cat([g(part.to(device)).float().cpu() for part in seen.split(4096)])
    g.train(training)
    return y, z


def settled(network: nn.Module) -> nn.Module | None:
    """Return a copy whose BatchNorm averages are free of their start; None where no such part is left in them.

    A running average begins as mean 0 and variance 1. After t batches it is m_t = (1 − ρ)^t m_0 + ρ Σ_k (1 − ρ)^(t−k) b_k
    with ρ = 0.1 and the batches' own values b_k. As Adam does with its moments, the copy has (m_t − (1 − ρ)^t m_0) /
    (1 − (1 − ρ)^t). Where t is 0 it normalises with the statistics of the images that it is given.
    """
    young = [layer for layer in _batchnorms(network) if _start_share(layer) > 1e-6]
    if not young:
        return None
    copied = copy.deepcopy(network)
    for layer in _batchnorms(copied):
        start = _start_share(layer)
        if start == 1:
            layer.running_mean = layer.running_var = None
        elif start > 1e-6:
            layer.running_mean.div_(1 - start)
            layer.running_var.sub_(start).div_(1 - start)
    return copied


def _batchnorms(network: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    kind = nn.modules.batchnorm._BatchNorm
    return [layer for layer in network.modules() if isinstance(layer, kind) and layer.running_mean is not None]


def _start_share(layer: nn.modules.batchnorm._BatchNorm) -> float:
    """Return the weight (1 − ρ)^t that mean 0 and variance 1 still have in a layer's running averages."""
    return (1 - layer.momentum) ** int(layer.num_batches_tracked)


def network_input(encoder: nn.Module, x: Tensor) -> Tensor:
    """Float images in [0, 1], normalised as the encoder's training images were."""
    mean, std = getattr(encoder, "pixel_mean", (0.5,) * 3), getattr(encoder, "pixel_std", (0.25,) * 3)
    return normalise(x, mean, std).contiguous(memory_format=torch.channels_last)


def kept_size(view_size: int) -> int:
    """Pixels a side that images are kept at for views of this size: 8/7 of it, as the paper's 256 for 224 (appendix)."""
    return round(view_size * 8 / 7)


def seen_size(encoder: nn.Module, size: int) -> int:
    """Pixels a side of what an encoder is shown of images of this size: of `kept_size` the size of its views."""
    view_size = getattr(encoder, "view_size", size)
    return view_size if size == kept_size(view_size) else size


def centre(x: Tensor, size: int) -> Tensor:
    """The middle size × size pixels of (N, C, H, W), where that is less."""
    if min(x.shape[2:]) <= size:
        return x
    top, left = ((length - size) // 2 for length in x.shape[2:])
    return x[:, :, top : top + size, left : left + size]


def pixels(images: Tensor) -> Tensor:
    """The images themselves as features, the baseline of no encoder at all: float32 (N, 3·H·W) in [0, 1]."""
    return as_float(images).flatten(1)


def small_pixels(images: ImageSet | StreamedSet) -> Tensor:
    """Like `pixels`, of pictures brought to at most 32 × 32."""
    if max(images.image_size) <= PIXEL_GRID:
        return torch.cat([pixels(batch) for batch in images.batches()])
    grid = (PIXEL_GRID, PIXEL_GRID)
    return torch.cat([F.interpolate(as_float(b), grid, mode="area").flatten(1) for b in images.batches()])
