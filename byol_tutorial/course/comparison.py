"""The comparison of encoders with raw pixels, as several lessons make it of the same images."""

from dataclasses import asdict, replace

from torch import nn

from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..evaluate import comparison
from ..evaluate.comparison import Comparison, accuracies
from .cache import cached


def compare(encoders: dict[str, nn.Module], train: ImageSet | StreamedSet, test: ImageSet | StreamedSet) -> Comparison:
    """Judge the raw pixels and each encoder by kNN and a linear probe, exactly as `bt.compare` does.

    The row of raw pixels is kept on disk. It depends on the images alone, and a probe of 3,072 numbers takes ten times as
    long as one of an encoder's 64.

    Raises:
        DataError: images without labels.
    """
    kept = cached("raw pixels", lambda: asdict(comparison.compare({}, train, test)), train=train, test=test)
    pixels = Comparison(**kept)
    if not encoders:
        return pixels
    found = comparison.table({name: accuracies(encoder, train, test) for name, encoder in encoders.items()})
    return replace(found, rows=pixels.rows | found.rows, balanced=pixels.balanced | found.balanced)
