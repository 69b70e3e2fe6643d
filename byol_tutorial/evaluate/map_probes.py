"""Linear probes of a feature map F, (D, h, w): the class of every pixel, and a position in the picture.

    class of a pixel    W F_i + b at each place i, a 1×1 convolution; interpolated to the pixels, the largest wins
    position            A vec(F) + a, from all places together

Both have an L2 penalty whose strength is chosen on held-out train images, and are fitted without random numbers.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..runtime.optimizers import LBFGS

STRENGTHS = (1e-2, 1e-1, 1.0, 10.0, 100.0)  # values of C, the inverse strength of the penalty, for classes
RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # values of λ for a position, in units of the mean eigenvalue of X Xᵀ
ITERATIONS = 30  # iterations of L-BFGS for each C; each fit starts where that of a stronger penalty ended
Parts = tuple[Tensor, Tensor]  # the positions of the held-out images, and of the others


class Probe(NamedTuple):
    """A fitted probe: weight (K, D) or (2, D·h·w), bias (K,) or (2,), and the strength that was chosen."""

    weight: Tensor
    bias: Tensor
    strength: float

    def classes(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Name the class of every pixel: maps (n, D, h, w) -> int64 (n, H, W)."""
        logits = F.conv2d(maps, self.weight[:, :, None, None], self.bias)
        return F.interpolate(logits, size, mode="bilinear").argmax(1)

    def positions(self, maps: Tensor) -> Tensor:
        """Find the position in each picture: maps (n, D, h, w) -> (n, 2)."""
        return F.linear(maps.flatten(1), self.weight, self.bias)


# --- the class of every pixel -------------------------------------------------------------------


def confusion(found: Tensor, true: Tensor, classes: int) -> Tensor:
    """Count the pixels of each true class (row) that were found to be of each class (column): int64 (classes, classes)."""
    return (true * classes + found).flatten().bincount(minlength=classes**2).view(classes, classes)


def ious(counts: Tensor, names: tuple[str, ...]) -> dict[str, float]:
    """Return the intersection over union of each class, in [0, 1], from the counts of `confusion`.

    IoU_k = n_kk / (Σ_j n_kj + Σ_j n_jk − n_kk). A class without a pixel, neither true nor found, is left out.
    """
    both = counts.diag().double()
    either = counts.sum(0) + counts.sum(1) - both
    return {name: (b / e).item() for name, b, e in zip(names, both, either, strict=True) if e > 0}


def mean(values: dict[str, float]) -> float:
    """Return the mean IoU over the classes that occur, in [0, 1]."""
    return sum(values.values()) / len(values)


def fit_classes(maps: Tensor, labels: Tensor, classes: int, parts: Parts) -> Probe:
    """Fit a 1×1 convolution: of the strengths C the one with the highest mIoU on the held-out images, then on all images.

    It minimises C Σ_i Σ_k −t_ik log softmax(W F_i + b)_k + ½ ‖W‖², in which t_ik is the share of class k among the pixels of
    place i.

    Args:
        maps: standardised, float32 (n, D, h, w).
        labels: class of each pixel, int64 (n, H, W), below `classes`.
        parts: positions of the held-out images, and of the others.
    """
    held, rest = parts
    places = maps.shape[2], maps.shape[3]
    shares = torch.stack([F.adaptive_avg_pool2d((labels == k).float(), places) for k in range(classes)], dim=1)
    start, scores = torch.zeros(classes, maps.shape[1] + 1), {}
    for strength in STRENGTHS:
        start = _minimise(maps[rest], shares[rest], strength, start)
        found = Probe(start[:, :-1], start[:, -1], strength).classes(maps[held], (labels.shape[1], labels.shape[2]))
        scores[strength] = mean(ious(confusion(found, labels[held], classes), tuple(map(str, range(classes)))))
    best = max(scores, key=scores.__getitem__)
    w = _minimise(maps, shares, best, start)
    return Probe(w[:, :-1], w[:, -1], best)


def _minimise(maps: Tensor, shares: Tensor, strength: float, start: Tensor) -> Tensor:
    """Minimise that loss by L-BFGS, divided by C and the number of places: (K, D + 1), of which b is the last column."""
    x, t = (each.movedim(1, -1).flatten(0, -2) for each in (maps, shares))
    w = start.clone().requires_grad_()
    optimizer = LBFGS([w], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(F.linear(x, w[:, :-1], w[:, -1]), t)
        value += w[:, :-1].square().sum() / (2 * strength * len(x))
        value.backward()
        return value

    optimizer.step(loss)
    return w.detach()


# --- a position ---------------------------------------------------------------------------------


def fit_position(maps: Tensor, positions: Tensor, parts: Parts) -> Probe:
    """Fit a ridge regression: of the λ the one with the smallest mean distance on the held-out images, then on all images.

    It minimises Σ ‖A x + a − p‖² + λ ‖A‖² over the images, with x = vec(F). maps are float32 (n, D, h, w), positions (n, 2).
    """
    held, rest = parts
    errors = [distances(probe.positions(maps[held]), positions[held]) for probe in _ridges(maps[rest], positions[rest])]
    return list(_ridges(maps, positions))[min(range(len(errors)), key=lambda i: errors[i].mean())]


def _ridges(maps: Tensor, positions: Tensor) -> Iterator[Probe]:
    """Yield the solution of each λ: A = Pᵀ (X Xᵀ + λ)⁻¹ X with centred rows, a system of n images, not of D·h·w features."""
    x = maps.flatten(1)
    x, p = x - x.mean(0), positions - positions.mean(0)
    values, vectors = torch.linalg.eigh((x @ x.T).double())
    for share in RIDGES:
        inverse = 1 / (values.clamp(min=0) + (share * values.mean()).clamp(min=1e-30))  # maps may all be constant
        weight = (vectors @ (inverse[:, None] * (vectors.T @ p.double()))).T.float() @ x
        yield Probe(weight, positions.mean(0) - weight @ maps.flatten(1).mean(0), share)


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Return how far each found position is from the true one: (n, 2) and (n, 2) -> (n,)."""
    return (a - b).norm(dim=1)
