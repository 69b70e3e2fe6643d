"""Accuracy where classes are not equally frequent: a classifier that always names the largest class looks good there."""

from torch import Tensor

UNEVEN = 1.5  # times the share of equal classes from which the largest one makes accuracies hard to read


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Return the share of images whose class was predicted, in [0, 1]; both int64 (M,)."""
    return (predicted.cpu() == labels.cpu()).double().mean().item()


def balanced_accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Return the mean over the classes of the share of each class that was predicted, in [0, 1]; both int64 (M,).

    Always naming one class gives 1 / classes, however frequent it is. Classes without test images do not count.
    """
    right, labels = (predicted.cpu() == labels.cpu()).double(), labels.cpu()
    counts = labels.bincount()
    hits = labels.bincount(weights=right)
    return (hits[counts > 0] / counts[counts > 0]).mean().item()


def largest_share(labels: Tensor) -> float:
    """Return the share of the most frequent class, in (0, 1]: the accuracy of always naming it."""
    return labels.bincount().max().item() / len(labels)


def floor_if_uneven(labels: Tensor | None) -> str:
    """Return what accuracies on these images are to be compared with, in words; "" if the classes are about equal.

    >>> floor_if_uneven(torch.tensor([0, 0, 0, 1]))
    'chance 0.500, largest class 0.750'

    Args:
        labels: int64 (M,), or None where they are not known, which gives "" too.
    """
    if labels is None or len(labels) == 0:
        return ""
    chance, largest = 1 / len(labels.unique()), largest_share(labels)
    return f"chance {chance:.3f}, largest class {largest:.3f}" if largest >= UNEVEN * chance else ""
