"""Several representations of the same images side by side."""

from dataclasses import dataclass

from torch import nn

from ..config.errors import DataError
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from .features import features, small_pixels
from .knn import knn_accuracy
from .linear import linear_probe


@dataclass(frozen=True)
class Comparison:
    """kNN and linear-probe accuracy of several representations of the same images, worst to best as given."""

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
    """Raw pixels and each encoder, by kNN and linear probe.

    Raises:
        DataError: images without labels.
    """
    if train.labels is None or test.labels is None:
        raise DataError(f"{train.name!r} has no labels: put the images in one sub-folder a class to have accuracies")

    pairs = {"raw pixels": (small_pixels(train), small_pixels(test))}
    pairs |= {name: (features(f, train), features(f, test)) for name, f in encoders.items()}
    return Comparison(
        {
            name: (
                knn_accuracy(a, train.labels, b, test.labels),
                linear_probe(a, train.labels, b, test.labels).accuracy,
            )
            for name, (a, b) in pairs.items()
        }
    )
