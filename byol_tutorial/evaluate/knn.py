"""Nearest neighbours by cosine, and classification by their vote."""

import math

import torch
from torch import Tensor

from ..config.errors import DataError
from ..runtime.threads import computing
from .balance import accuracy
from .directions import check_features, directions


def nearest(query_features: Tensor, bank_features: Tensor, k: int) -> Tensor:
    """Find the positions of the k nearest bank images by cosine, nearest first: int64 (Q, k).

    Features are float (Q, D) and (N, D). k is lowered to N where the bank is smaller.

    Raises:
        DataError: features that are no finite matrices of equal width, or a k that is no whole number of at least 1.
    """
    _check(bank_features, query_features, k)
    with computing(query_features.numel() * len(bank_features)):
        similarity = directions(query_features) @ directions(bank_features).T
        return similarity.topk(min(k, len(bank_features)), dim=1).indices


def knn_accuracy(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    k: int = 20,
    temperature: float = 0.07,
) -> float:
    """Measure the share of test images, in [0, 1], whose class wins the vote of their k nearest train images.

    Nearest is by cosine, and a neighbour's vote weighs exp(cosine / temperature) (Wu et al. 2018, arXiv 1805.01978). The
    paper does not use it, but all its peers do: k = 200 on large sets, 20 on small ones. k is lowered to the number of
    train images. Features are float (N, D) and (M, D), labels int64 (N,) and (M,). The length of a feature vector does
    not count.

    Raises:
        DataError: features that are not finite or do not fit, a label below 0 or none for some row, k below 1, or a
            temperature that is not above 0.
    """
    check_features("test", test_features, test_labels)
    return accuracy(knn_predictions(train_features, train_labels, test_features, k, temperature), test_labels)


def knn_predictions(
    train_features: Tensor, train_labels: Tensor, test_features: Tensor, k: int = 20, temperature: float = 0.07
) -> Tensor:
    """Return the class that wins the vote for each test image, as in `knn_accuracy`: int64 (M,)."""
    check_features("train", train_features, train_labels)
    _check(train_features, test_features, k, temperature)
    k, bank = min(k, len(train_features)), directions(train_features)
    n_classes, train_labels = int(train_labels.max()) + 1, train_labels.to(bank.device)
    winners = []
    with computing(test_features.numel() * len(bank)):
        for part in test_features.split(256):
            query = directions(part).to(bank.device, bank.dtype)
            similarity, index = (query @ bank.T).topk(k, dim=1)  # (n, k)
            winners.append(vote(similarity, train_labels[index], n_classes, temperature))
    return torch.cat(winners)


def vote(similarity: Tensor, labels: Tensor, n_classes: int, temperature: float) -> Tensor:
    """Return the class whose neighbours have the largest sum of exp(cosine / temperature): int64 (n,).

    Only ratios of the weights count. So each query's best cosine is subtracted before the division, and at any
    temperature the nearest neighbour weighs 1, where exp(−1 / temperature) could be 0 for all of them.

    Args:
        similarity: cosines of each query's k neighbours, float (n, k).
        labels: their classes, int64 (n, k).
    """
    behind = (similarity - similarity.amax(1, keepdim=True)).double()
    votes = torch.zeros(len(similarity), n_classes, dtype=torch.float64, device=similarity.device)
    return votes.scatter_add_(1, labels, torch.exp(behind / temperature)).argmax(1)


def _check(bank: Tensor, query: Tensor, k: int, temperature: float = 1.0) -> None:
    """Raise DataError for features that do not fit, for k below 1, and for a temperature that is not above 0."""
    check_features("train", bank)
    check_features("test", query, columns=bank.shape[1])
    if isinstance(k, bool) or k != int(k) or k < 1:
        raise DataError(f"k={k!r}: give a whole number of neighbours, at least 1")
    if not 0 < temperature < math.inf:
        raise DataError(f"temperature={temperature!r}: give a number above 0, such as 0.07")
