"""Linear probes on frozen features: for the classes, and for one factor of the drawn shapes."""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..config.errors import DataError
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from .balance import accuracy, balanced_accuracy
from .directions import check_features

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # values of C, the inverse L2 strength, among which the probe chooses
ITERATIONS = 100  # iterations of L-BFGS for each C; the chosen one gets twice as many
HELD_OUT = 0.2  # share of the train images on which the choice is made
ROWS = 128  # rows of features that are standardised at a time


@dataclass(frozen=True)
class ProbeResult:
    """The result of `linear_probe`."""

    accuracy: float  # on the test images, in [0, 1]
    held_out_accuracy: float  # on the held-out train images, with the chosen penalty
    penalty: float  # the chosen C
    classes: int  # among the train labels; chance is 1 / classes
    balanced: float = math.nan  # balanced accuracy on the test images, see balance.py

    def __float__(self) -> float:
        return self.accuracy

    def __str__(self) -> str:
        return f"linear probe: {self.accuracy:.3f} (chance {1 / self.classes:.3f}, C {self.penalty:g} chosen on held-out train images)"


def linear_probe(
    train_features: Tensor, train_labels: Tensor, test_features: Tensor, test_labels: Tensor, seed: int = 0
) -> ProbeResult:
    """Measure the accuracy of a linear classifier on frozen features (paper, section 4.1, with SGD there).

    Multinomial logistic regression by L-BFGS on standardised features:

        min over W, b of  C Σ −log softmax(W x + b)[label] + ½ ‖W‖²

    C is one of PENALTIES, chosen on a fifth of the *train* images. Then the classifier is fitted to all of them, and the
    test images are used once, at the end. Features are float (N, D) and (M, D), labels int64 (N,) and (M,), on any device;
    the classifier is fitted on the CPU.

    Raises:
        DataError: fewer than two classes among the train labels, features that are not finite or do not fit, or a label
            below 0 or none for some row.
    """
    from sklearn.linear_model import LogisticRegression

    check_features("train", train_features, train_labels)
    check_features("test", test_features, test_labels, columns=train_features.shape[1])
    train_features, train_labels, test_features, test_labels = (
        t.detach().cpu() for t in (train_features, train_labels, test_features, test_labels)
    )
    y = train_labels.numpy()
    classes = np.unique(y)
    if len(classes) < 2:
        raise DataError(f"a linear probe needs at least two classes: the train labels are all {classes.tolist()}")
    standardised = _standardisation(train_features)
    order = np.random.default_rng(seed).permutation(len(y))
    held, rest = np.split(order, [max(1, int(len(y) * HELD_OUT))])
    scores: dict[float, float] = {}
    with fitting():
        if len(np.unique(y[rest])) > 1:
            scores = _scores(*((standardised(train_features, torch.from_numpy(at)), y[at]) for at in (rest, held)))
        best = max(scores, key=scores.__getitem__, default=1.0)
        probe = LogisticRegression(max_iter=2 * ITERATIONS, C=best).fit(standardised(train_features), y)
    predicted = torch.from_numpy(probe.predict(standardised(test_features)))
    return ProbeResult(
        accuracy(predicted, test_labels),
        scores.get(best, math.nan),
        best,
        len(classes),
        balanced_accuracy(predicted, test_labels),
    )


def _scores(rest: tuple[np.ndarray, np.ndarray], held: tuple[np.ndarray, np.ndarray]) -> dict[float, float]:
    """Return penalty -> accuracy on the held-out rows and labels of a classifier that was fitted to the rest."""
    from sklearn.linear_model import LogisticRegression

    # From the strongest penalty to the weakest, each fit starts where the one before ended.
    probe = LogisticRegression(max_iter=ITERATIONS, warm_start=True)
    return {penalty: probe.set_params(C=penalty).fit(*rest).score(*held) for penalty in PENALTIES}


def _standardisation(train: Tensor) -> Callable[..., np.ndarray]:
    """Return a function that shifts and scales the columns of features so that the train rows have mean 0 and deviation 1.

    It takes features, float (N, D), and the positions of the wanted rows, by default all, and returns float32 (n, D). A
    column that is constant, up to rounding, has no information and becomes 0.

    It computes in float64, some rows at a time: a copy in float64 of the raw pixels of all images would be the largest
    object in the memory of a lesson.
    """
    mean = torch.stack([part.double().sum(0) for part in train.split(ROWS)]).sum(0) / len(train)
    square = torch.stack([(part.double() - mean).square().sum(0) for part in train.split(ROWS)]).sum(0) / len(train)
    std = square.sqrt()
    std[std <= 1e-6 * mean.abs()] = math.inf

    def standardised(features: Tensor, wanted: Tensor | None = None) -> np.ndarray:
        wanted = torch.arange(len(features), device="cpu") if wanted is None else wanted
        found = torch.empty(len(wanted), features.shape[1], dtype=torch.float32, device="cpu")
        for at, place in zip(wanted.split(ROWS), found.split(ROWS), strict=True):
            place.copy_((features[at].double() - mean) / std)
        return found.numpy()

    return standardised


@contextmanager
def fitting(threads: int = 1) -> Iterator[None]:
    """Let scikit-learn fit with so many threads of NumPy's BLAS, and without a warning when its iterations are used up.

    One thread is the default: with more, thousands of small products take ten times as long beside torch's own threads.
    """
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    with threadpool_limits(threads, user_api="blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of iterations is part of the protocol
        yield


def factor_probe(
    train_features: Tensor,
    train: ImageSet | StreamedSet,
    test_features: Tensor,
    test: ImageSet | StreamedSet,
    factor: str,
    bins: int = 8,
) -> ProbeResult:
    """Measure how well a linear probe reads one factor of "shapes" off the features; chance is 1 / classes.

    Args:
        factor: "shape", or a continuous one ("hue", "x", "y", "scale", "rotation"), which is cut into bins.
        bins: how many, of equal frequency among the train images.

    Raises:
        DataError: the images have no factors, or none of this name.
    """
    if train.factors is None or test.factors is None:
        raise DataError(f"{train.name!r} has no factors: only 'shapes' has; load that")
    if not hasattr(train.factors, factor):
        raise DataError(f"factor {factor!r}: choose one of {', '.join(vars(train.factors))}")
    a, b = getattr(train.factors, factor), getattr(test.factors, factor)
    if factor != "shape":
        edges = torch.quantile(a, torch.linspace(0, 1, bins + 1)[1:-1])
        a, b = torch.bucketize(a, edges), torch.bucketize(b, edges)
    return linear_probe(train_features, a, test_features, b)
