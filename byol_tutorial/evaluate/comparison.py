"""What a representation is worth to kNN and to a linear probe: one encoder, and several side by side."""

import math
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor, nn

from ..config.errors import DataError
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..runtime.markup import html_table
from .balance import UNEVEN, accuracy, balanced_accuracy, largest_share
from .features import features, small_pixels
from .knn import knn_predictions
from .linear import ProbeResult, linear_probe


@dataclass(frozen=True, repr=False, eq=False)
class Accuracies:
    """The accuracies of one representation, as shares of the test images in [0, 1]. Each is computed when first read.

    train_features, test_features   float (N, D) and (M, D)
    train_labels, test_labels       int64 (N,) and (M,)

    >>> layer_z = Accuracies(z_train, train.labels, z_test, test.labels)    # of any features, here of projections
    """

    train_features: Tensor
    train_labels: Tensor
    test_features: Tensor
    test_labels: Tensor

    @cached_property
    def knn(self) -> float:
        """The accuracy of the vote of the 20 nearest train images, in [0, 1]; see `knn.knn_accuracy`."""
        return accuracy(self._voted, self.test_labels)

    @property
    def knn_balanced(self) -> float:
        """The same as a mean over the classes, see `balanced_accuracy`."""
        return balanced_accuracy(self._voted, self.test_labels)

    @cached_property
    def _voted(self) -> Tensor:
        return knn_predictions(self.train_features, self.train_labels, self.test_features)

    @property
    def linear_balanced(self) -> float:
        """The accuracy of the linear probe as a mean over the classes, see `balanced_accuracy`."""
        return self.probe.balanced

    @property
    def largest(self) -> float:
        """The share of the largest class of the test images, which is the accuracy of always naming it."""
        return largest_share(self.test_labels)

    @property
    def linear(self) -> float:
        """The accuracy of a linear probe, in [0, 1]; see `linear_probe`."""
        return self.probe.accuracy

    @cached_property
    def probe(self) -> ProbeResult:
        """The linear probe's whole result, with its accuracies, the chosen penalty, and the number of classes for chance."""
        return linear_probe(self.train_features, self.train_labels, self.test_features, self.test_labels)

    @property
    def finite(self) -> bool:
        """Whether all features are finite. Those of an encoder that has diverged are not, and have no accuracy."""
        return bool(self.train_features.isfinite().all() and self.test_features.isfinite().all())

    def __repr__(self) -> str:
        if not self.finite:
            return "no accuracies: the features are not finite, because the encoder has diverged"
        words = f"kNN {self.knn:.3f}, linear probe {self.linear:.3f} (chance {1 / self.probe.classes:.3f}"
        if self.largest < UNEVEN / self.probe.classes:
            return f"{words})"
        return (
            f"{words}, largest class {self.largest:.3f}; balanced {self.knn_balanced:.3f}, {self.linear_balanced:.3f})"
        )


def accuracies(encoder: nn.Module, train: ImageSet | StreamedSet, test: ImageSet | StreamedSet) -> Accuracies:
    """Compute the features y = f(x) of train and test images; kNN and a linear probe judge them.

    >>> found = bt.accuracies(trainer.model.encoder, train, test)
    >>> found.knn, found.linear

    The features are those of `features`: plain images, the encoder in evaluation mode, no gradient. kNN (k = 20,
    T = 0.07) has nothing to fit. The linear probe is the paper's main measure (Grill et al. 2020, section 4.1), here by
    logistic regression. Chance is 1 / classes, and an accuracy a on M test images has a standard error of
    √(a (1 − a) / M) from the choice of these images alone.

    Raises:
        DataError: images without labels.
    """
    y, y_test = _labels(train), _labels(test)
    return Accuracies(features(encoder, train), y, features(encoder, test), y_test)


def _labels(images: ImageSet | StreamedSet) -> Tensor:
    """Return the labels, int64 (N,), or raise DataError."""
    if images.labels is None:
        raise DataError(f"{images.name!r} has no labels: put the images in one sub-folder a class to have accuracies")
    return images.labels


@dataclass(frozen=True)
class Comparison:
    """kNN and linear-probe accuracy of several representations of the same images, in the order in which they were given.

    rows      name: (kNN, linear probe)
    balanced  the same as means over the classes, see balance.py
    chance    1 / classes of the train images
    largest   share of the largest class of the test images: the accuracy of always naming it
    """

    rows: dict[str, tuple[float, float]]
    balanced: dict[str, tuple[float, float]] = field(default_factory=dict)
    chance: float = math.nan
    largest: float = math.nan

    @property
    def uneven(self) -> bool:
        """Whether the largest class is so frequent that accuracies must be read beside it."""
        return self.largest >= UNEVEN * self.chance

    @property
    def columns(self) -> list[str]:
        """The names of the columns of a table."""
        return ["kNN", "linear probe"] + (["kNN, balanced", "linear probe, balanced"] if self.uneven else [])

    def values(self, name: str) -> tuple[float, ...]:
        """Return one row of a table."""
        return self.rows[name] + (self.balanced[name] if self.uneven else ())

    @property
    def floor(self) -> str:
        """What accuracies are to be compared with, in words."""
        return f"chance {self.chance:.3f}, largest class {self.largest:.3f}"

    def __str__(self) -> str:
        width = max([16, *(len(name) + 2 for name in self.rows)])
        heads = ["kNN", "linear", "kNN bal.", "lin. bal."][: len(self.columns)]
        lines = [f"{'':<{width}}" + "".join(f"{head:>10}" for head in heads)]
        lines += [f"{name:<{width}}" + "".join(f"{v:>10.3f}" for v in self.values(name)) for name in self.rows]
        return "\n".join([*lines, self.floor])

    def _repr_html_(self) -> str:
        rows = [(name, *(f"{value:.3f}" for value in self.values(name))) for name in self.rows]
        return html_table(("", *self.columns), rows, foot=self.floor)


def compare(encoders: dict[str, nn.Module], train: ImageSet | StreamedSet, test: ImageSet | StreamedSet) -> Comparison:
    """Judge the raw pixels and each encoder by kNN and a linear probe.

    Raises:
        DataError: images without labels.
    """
    y, y_test = _labels(train), _labels(test)
    pixels = Accuracies(small_pixels(train), y, small_pixels(test), y_test)
    return table({"raw pixels": pixels} | {name: accuracies(f, train, test) for name, f in encoders.items()})


def table(judged: dict[str, Accuracies]) -> Comparison:
    """Put accuracies of at least one representation, all of the same images, side by side."""
    labels = next(iter(judged.values()))
    return Comparison(
        {name: (each.knn, each.linear) for name, each in judged.items()},
        {name: (each.knn_balanced, each.linear_balanced) for name, each in judged.items()},
        chance=1 / len(labels.train_labels.unique()),
        largest=largest_share(labels.test_labels),
    )
