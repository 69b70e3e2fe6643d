"""Directions of vectors, and what is asked of features before anything is measured on them."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..config.errors import DataError

LARGE = 2**20  # entries of a matrix that are scaled or checked at a time


def directions(x: Tensor) -> Tensor:
    """Scale each row to length 1, x/‖x‖: float (..., D), in float32 or better. A row of zeros stays as it is.

    The length of a float32 row is computed in float64, because the square of an entry such as 1e20 or 1e-30 is beyond the
    range of float32. So the direction does not depend on the length. Wide matrices are scaled some rows at a time, because
    a copy in float64 of all would need much memory.
    """
    if x.ndim == 2 and x.numel() > LARGE and not x.requires_grad:
        found = torch.empty_like(x, dtype=torch.float64 if x.dtype == torch.float64 else torch.float32)
        rows = max(1, LARGE // x.shape[1])
        for part, place in zip(x.split(rows), found.split(rows), strict=True):
            place.copy_(_scaled(part))
        return found
    return _scaled(x)


def _scaled(x: Tensor) -> Tensor:
    """Return `directions`, with all rows at a time."""
    x = x if x.dtype == torch.float64 else x.float()
    if (
        x.dtype == torch.float64 or x.device.type == "mps"
    ):  # there is nothing wider, so divide by the largest entry first
        largest = x.abs().amax(-1, keepdim=True)
        return F.normalize(x / largest.masked_fill(largest == 0, 1), dim=-1)
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float64)
    return (x / length.clamp(min=1e-300)).to(x.dtype)


def check_features(which: str, features: Tensor, labels: Tensor | None = None, columns: int | None = None) -> None:
    """Raise DataError unless features are a finite matrix (N, D), N and D at least 1, with one label for each row.

    Args:
        which: "train" or "test", for the message.
        labels: whole numbers, 0 or more, (N,).
        columns: the D of the features with which these are compared.
    """
    shape = tuple(features.shape)
    if features.ndim != 2 or 0 in shape:
        raise DataError(f"the {which} features have shape {shape}: give a matrix (N, D) of at least one row and column")
    if not features.is_floating_point():
        raise DataError(f"the {which} features are {features.dtype}: give floating-point numbers, as bt.features does")
    if columns is not None and shape[1] != columns:
        raise DataError(f"the {which} features have {shape[1]} columns: give {columns}, as the train features have")
    if not all(torch.isfinite(part).all() for part in features.split(max(1, LARGE // shape[1]))):
        raise DataError(f"the {which} features are not finite: the encoder has diverged; train it with a lower lr")
    if labels is None:
        return
    if labels.shape != (shape[0],):
        raise DataError(f"the {which} labels have shape {tuple(labels.shape)}: give one for each of {shape[0]} rows")
    if labels.is_floating_point() or labels.is_complex() or int(labels.min()) < 0:
        raise DataError(f"the {which} labels are {labels.dtype} from {labels.min().item()}: give whole numbers from 0")
