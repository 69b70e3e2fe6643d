"""What a representation is worth to kNN and to a linear probe: one encoder, and several side by side."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor, nn

from ..config.errors import DataError
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from .features import features, small_pixels
from .knn import knn_accuracy
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
        """The accuracy of the vote of the 20 nearest train images, in [0, 1]; see `knn_accuracy`."""
        return knn_accuracy(self.train_features, self.train_labels, self.test_features, self.test_labels)

    @property
    def linear(self) -> float:
        """The accuracy of a linear probe, in [0, 1]; see `linear_probe`."""
        return self.probe.accuracy

    @cached_property
    def probe(self) -> ProbeResult:
        """The linear probe's whole result: its accuracy, the chosen penalty, and the number of classes for chance."""
        return linear_probe(self.train_features, self.train_labels, self.test_features, self.test_labels)

    @property
    def finite(self) -> bool:
        """Whether all features are finite. Those of an encoder that has diverged are not, and have no accuracy."""
        return bool(self.train_features.isfinite().all() and self.test_features.isfinite().all())

    def __repr__(self) -> str:
        if not self.finite:
            return "no accuracies: the features are not finite, because the encoder has diverged"
        chance = 1 / self.probe.classes
        return f"kNN {self.knn:.3f}, linear probe {self.linear:.3f} (chance {chance:.3f})"


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
    """kNN and linear-probe accuracy of several representations of the same images, in the order in which they were given."""

    rows: dict[str, tuple[float, float]]  # name: (kNN, linear probe)

    def __str__(self) -> str:
        width = max([16, *(len(name) + 2 for name in self.rows)])
        lines = [f"{'':<{width}}{'kNN':>8}{'linear':>8}"]
        lines += [f"{name:<{width}}{knn:>8.3f}{linear:>8.3f}" for name, (knn, linear) in self.rows.items()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        body = "".join(f"<tr><th>{n}</th><td>{k:.3f}</td><td>{p:.3f}</td></tr>" for n, (k, p) in self.rows.items())
        return f"<table><thead><tr><th></th><th>kNN</th><th>linear probe</th></tr></thead><tbody>{body}</tbody></table>"


def compare(encoders: dict[str, nn.Module], train: ImageSet | StreamedSet, test: ImageSet | StreamedSet) -> Comparison:
    """Judge the raw pixels and each encoder by kNN and a linear probe.

    Raises:
        DataError: images without labels.
    """
    y, y_test = _labels(train), _labels(test)
    judged = {"raw pixels": Accuracies(small_pixels(train), y, small_pixels(test), y_test)}
    judged |= {name: accuracies(encoder, train, test) for name, encoder in encoders.items()}
    return Comparison({name: (each.knn, each.linear) for name, each in judged.items()})
