"""Nearest neighbours by cosine, and classification by their vote."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .balance import accuracy


def nearest(query_features: Tensor, bank_features: Tensor, k: int) -> Tensor:
    """Find the positions of the k nearest bank images by cosine, nearest first: int64 (Q, k).

    Features are float (Q, D) and (N, D). k is lowered to N where the bank is smaller.
    """
    similarity = F.normalize(query_features, dim=1) @ F.normalize(bank_features, dim=1).T
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
    train images. Features are float (N, D) and (M, D), labels int64 (N,) and (M,).
    """
    return accuracy(knn_predictions(train_features, train_labels, test_features, k, temperature), test_labels)


def knn_predictions(
    train_features: Tensor, train_labels: Tensor, test_features: Tensor, k: int = 20, temperature: float = 0.07
) -> Tensor:
    """Return the class that wins the vote for each test image, as in `knn_accuracy`: int64 (M,)."""
    k = min(k, len(train_features))
    train_features = F.normalize(train_features, dim=1)
    n_classes, train_labels = int(train_labels.max()) + 1, train_labels.to(train_features.device)
    winners = []
    for query in F.normalize(test_features, dim=1).split(1024):
        similarity, index = (query @ train_features.T).topk(k, dim=1)  # (n, k)
        votes = torch.zeros(len(query), n_classes, device=query.device)
        votes.scatter_add_(1, train_labels[index], torch.exp((similarity - 1) / temperature))
        winners.append(votes.argmax(1))
    return torch.cat(winners)
