"""Features y = f(x) of images by a frozen encoder, and their projections z = g(y), both without augmentation.

Every y and z behind a number or a map is computed here, so that a panel, a verdict, a film and a notebook agree.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..augment.operations import as_float, normalise
from ..config.errors import DataError
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..networks.encoders import Branch
from ..runtime.device import memory_errors
from ..runtime.threads import available, chosen, computing, multiplications

BatchNorm = nn.modules.batchnorm._BatchNorm  # with one, two or three dimensions, and synchronised
Network = TypeVar("Network", bound=nn.Module)
PIXEL_GRID = 32  # largest side, in pixels, of images that are used as features themselves


@contextmanager
def in_evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Compute with the network in evaluation mode; then, also after an error, each of its parts has the mode it had."""
    modes = [(part, part.training) for part in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@torch.no_grad()
def features(
    encoder: nn.Module, images: Tensor | ImageSet | StreamedSet, batch_size: int = 256, of: str = "y"
) -> Tensor:
    """Compute y = f(x) in evaluation mode, without gradient and without augmentation: float32 (N, D), on the CPU.

    Images are normalised with the encoder's own `pixel_mean` and `pixel_std`, or those of the one part of it that has
    them, as the encoder in nn.Sequential(encoder, projector); if there is none, with 0.5 and 0.25. Of images 8/7 as large
    as the views of its training the centre is used (see `kept_size`); images of any other size are used whole. The
    encoder's mode is restored.

    >>> bt.features(trainer.model.encoder, test)       # y
    >>> bt.features(trainer.model, test, of="z")       # z = g(y); of="p" gives p = q(z)

    Args:
        encoder: f; or a run's whole model, which "z" and "p" need.
        images: uint8 or uint16 (N, C, H, W), or a set of images. Of an encoder for three channels C may be 1.
        batch_size: how many are computed together. On a CPU 256 take less time than 512, whose activations do not fit into
            its cache.
        of: "y", "z" or "p". For z and p, BatchNorm's averages are freed of their initial values, see `representations`.

    Raises:
        TrainingError: memory does not suffice for a batch.
        DataError: images with other channels than those of its training; another `of`, a model without that part, or one whose parts were trained on different images.
    """
    if of != "y" or hasattr(encoder, "online"):
        return _of_model(encoder, images, batch_size, of)
    device = next(encoder.parameters(), torch.empty(0)).device  # fixed features have no parameters
    rows, work = [], None
    with in_evaluation_mode(encoder):
        for batch in images.split(batch_size) if isinstance(images, Tensor) else images.batches(batch_size):
            where = f"on {device} at the features of {len(batch)} images"
            with memory_errors(where, "give features a smaller batch_size"):
                x = centre(batch.to(device), seen_size(encoder, min(batch.shape[2:])))
                if work is None:
                    work = len(x) * work_of(encoder, x)
                with computing(work):
                    rows.append(encoder(network_input(encoder, as_float(x))).float().cpu())
    return torch.cat(rows)


def work_of(encoder: nn.Module, images: Tensor) -> float:
    """Return the multiplications for one image's features, which decide the number of threads; 0 where they need not be known.

    images: uint8 or uint16 (N, C, H, W), on the CPU. They are counted in evaluation mode, and the mode is restored.
    """
    if next(encoder.parameters(), images).device.type != "cpu" or chosen() is not None or available() == 1:
        return 0.0
    with in_evaluation_mode(encoder):
        x = centre(images[:2], seen_size(encoder, min(images.shape[2:])))
        return multiplications(encoder, network_input(encoder, as_float(x)))


def _of_model(model: nn.Module, images: Tensor | ImageSet | StreamedSet, batch_size: int, of: str) -> Tensor:
    """Return y, z or p of a run's whole model, as `features` does."""
    if of not in ("y", "z", "p"):
        raise DataError(f'of={of!r}: give "y", "z" or "p"')
    online = getattr(model, "online", None)
    predictor = getattr(model, "predictor", None) if of == "p" else None
    if online is None or (of == "p" and predictor is None):
        missing = "projector" if online is None else "predictor"
        raise DataError(f"of={of!r}: {type(model).__name__} has no {missing}; give the model of a run, trainer.model")
    if of == "y":
        return features(online.encoder, images, batch_size)
    z = representations(online, images)[1]
    return z if predictor is None else _in_evaluation(predictor, z)


@torch.no_grad()
def representations(online: Branch, images: Tensor | ImageSet | StreamedSet) -> tuple[Tensor, Tensor]:
    """Return y = f(x) and z = g(f(x)) of images: float32 (N, D) and (N, d), on the CPU.

    y is what `features` returns. For z, BatchNorm also normalises with its running averages, but without the part of them
    that still comes from their initial values, see `settled`. With that part, the projections of a network after few
    steps would all point in one direction and look like a collapse.

    Args:
        online: a network with the parts `encoder` f and `projector` g. It is not changed.
        images: uint8 or uint16 (N, C, H, W), or a set of images.
    """
    y = features(online.encoder, images)
    network = settled(online)
    if network is None:
        return y, _in_evaluation(online.projector, y)
    return y, _in_evaluation(network.projector, features(network.encoder, images))


@computing()
@torch.no_grad()
def _in_evaluation(head: nn.Module, x: Tensor) -> Tensor:
    """Apply a projector or predictor in evaluation mode to float (N, D): float32 (N, d), on the CPU. Its mode is restored."""
    device = next(head.parameters(), x).device
    with in_evaluation_mode(head):
        return torch.cat([head(part.to(device)).float().cpu() for part in x.split(4096)])


def settled(network: Network) -> Network | None:
    """Return a copy whose BatchNorm averages are free of their initial values; None if the averages already are.

    Running averages begin with mean 0 and variance 1. After t batches they are m_t = (1 − ρ)^t m_0 + ρ Σ_k (1 − ρ)^(t−k) b_k
    with ρ = 0.1 and the batches' own values b_k. As Adam does with its moments, the copy has (m_t − (1 − ρ)^t m_0) /
    (1 − (1 − ρ)^t). If t is 0, it normalises with the statistics of the images that it is given.
    """
    if all(averages.start <= 1e-6 for averages in _batchnorms(network)):
        return None
    copied = copy.deepcopy(network)
    for layer, mean, var, start in _batchnorms(copied):
        if start == 1:
            layer.running_mean = layer.running_var = None
        elif start > 1e-6:
            mean.div_(1 - start)
            var.sub_(start).div_(1 - start)
    return copied


class _Averages(NamedTuple):
    """A BatchNorm layer, its running mean and variance, (D,), and the weight that their initial values still have."""

    layer: BatchNorm
    mean: Tensor
    var: Tensor
    start: float


def _batchnorms(network: nn.Module) -> Iterator[_Averages]:
    """Yield the BatchNorm layers that have running averages, of a known number of batches, with these."""
    for layer in network.modules():
        if isinstance(layer, BatchNorm):
            mean, var, batches = layer.running_mean, layer.running_var, layer.num_batches_tracked
            if mean is not None and var is not None and batches is not None:
                yield _Averages(layer, mean, var, _start_share(layer.momentum, int(batches)))


def _start_share(momentum: float | None, batches: int) -> float:
    """Return the weight (1 − ρ)^t that mean 0 and variance 1 still have in running averages after t batches.

    Without a momentum ρ they are the plain means of all batches, in which the initial values have no part.
    """
    return float(batches == 0) if momentum is None else (1 - momentum) ** batches


def network_input(encoder: nn.Module, x: Tensor) -> Tensor:
    """Normalise float images (N, C, H, W) in [0, 1] as the encoder's training images were.

    An encoder that takes one size alone gets its images resized to that. A grey image is one whose three channels are
    equal, so that images of one channel also fit an encoder for three.

    Raises:
        DataError: images with other channels.
    """
    trained = trained_part(encoder)
    side = getattr(trained, "view_size", None) if getattr(trained, "fixed_size", False) else None
    if side is not None and set(x.shape[2:]) != {side}:
        x = F.interpolate(x, (side, side), mode="bilinear", antialias=True)
    mean, std = getattr(trained, "pixel_mean", (0.5,)), getattr(trained, "pixel_std", (0.25,))
    here, there = x.shape[1], len(mean)
    if hasattr(trained, "pixel_mean") and here != there and (here, there) != (1, 3):
        raise DataError(
            f"the images have {here} channel{'s'[: here > 1]}, and the encoder is made for {there}: read the images "
            f"with channels={there}, or choose another encoder"
        )
    return normalise(x, mean, std).contiguous(memory_format=torch.channels_last)


def trained_part(encoder: nn.Module) -> nn.Module:
    """Return the encoder, or the part of it that has the pixel statistics of its training.

    Raises:
        DataError: several parts have statistics, and not the same.
    """
    if hasattr(encoder, "pixel_mean"):
        return encoder
    parts = [module for module in encoder.modules() if hasattr(module, "pixel_mean") and hasattr(module, "pixel_std")]
    if not parts:
        return encoder
    for other in parts[1:]:
        if not all(torch.equal(getattr(other, name), getattr(parts[0], name)) for name in ("pixel_mean", "pixel_std")):
            raise DataError(
                f"{type(encoder).__name__} has {len(parts)} parts that were trained on different images, so it is not "
                "known how to normalise: give one of them at a time"
            )
    return parts[0]


def kept_size(view_size: int) -> int:
    """Return the side, in pixels, of stored images for views of this size: 8/7 of it, as the paper's 256 for 224 (appendix)."""
    return round(view_size * 8 / 7)


def seen_size(encoder: nn.Module, size: int) -> int:
    """Return the side, in pixels, of the part of images that an encoder sees: its views' size if `size` is `kept_size` of it."""
    view_size = getattr(trained_part(encoder), "view_size", size)
    return view_size if size == kept_size(view_size) else size


def centre(x: Tensor, size: int) -> Tensor:
    """Cut the middle size × size pixels out of images (N, C, H, W); smaller images stay as they are."""
    if min(x.shape[2:]) <= size:
        return x
    top, left = ((length - size) // 2 for length in x.shape[2:])
    return x[:, :, top : top + size, left : left + size]


def pixels(images: Tensor) -> Tensor:
    """Use images as features, the baseline without an encoder: uint8 or uint16 (N, C, H, W) -> float32 (N, C·H·W) in [0, 1]."""
    return as_float(images).flatten(1)


def small_pixels(images: ImageSet | StreamedSet) -> Tensor:
    """Use images as features like `pixels`, after reducing them to 32 × 32 if they are larger."""
    if max(images.image_size) <= PIXEL_GRID:
        return torch.cat([pixels(batch) for batch in images.batches()])
    grid = (PIXEL_GRID, PIXEL_GRID)
    return torch.cat([F.interpolate(as_float(b), grid, mode="area").flatten(1) for b in images.batches()])
