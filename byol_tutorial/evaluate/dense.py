"""The dense probe: what frozen features tell about every place of a picture, where pooled accuracy judges the whole.

Segmentation, detection and depth need the feature map F, (D, h, w), from before the pooling. The drawn shapes come with their
masks, the curve with all that it encloses, and its centre. Three linear probes are trained on F, see map_probes.py:

    mIoU                  class of each pixel: the ground, or one of ten shapes
    figure-ground mIoU    the same with two classes
    error of the centre   mean distance of the centre that is found from the true one, in pixels

    IoU_k = |P_k ∩ T_k| / |P_k ∪ T_k|        mIoU = mean of IoU_k over the classes k, ground included

P_k are the pixels of all test images that are predicted to be of class k, T_k those that are. A class that is in neither
does not count (Everingham et al. 2010, "The Pascal visual object classes challenge", doi 10.1007/s11263-009-0275-4).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..config.errors import DataError
from ..data.image_set import ImageSet
from ..data.shapes import CLASSES, draw, masks
from ..data.streaming import StreamedSet
from ..runtime.threads import computing
from . import map_probes
from .feature_map import feature_maps
from .features import centre, seen_size
from .result import held_out, name_of

IMAGES = 1024  # train images that are used, at most
NAMES = ("ground", *CLASSES)


@dataclass(frozen=True, repr=False)
class DenseResult:
    """The result of `dense_probe`, on the test images.

    ious          class -> IoU, in [0, 1]; "ground", then the shapes that are in the test images or were predicted
    figure_ious   the same of "ground" and "figure"
    centre_error  mean distance of the centre that was found from the true one, in pixels
    floor         mIoU, figure-ground mIoU and error of an answer that never looks: all ground, the mean centre
    grid          h and w of the feature map
    train_size    the train images that were used
    chosen        the chosen strengths: C of both classifiers, λ of the centre
    """

    ious: dict[str, float]
    figure_ious: dict[str, float]
    centre_error: float
    floor: tuple[float, float, float]
    grid: tuple[int, int]
    train_size: int
    chosen: dict[str, float] = field(default_factory=dict)

    @property
    def miou(self) -> float:
        """The mean IoU over the ground and the shapes, in [0, 1]."""
        return map_probes.mean(self.ious)

    @property
    def figure_miou(self) -> float:
        """The mean IoU of figure and ground, in [0, 1]."""
        return map_probes.mean(self.figure_ious)

    def __repr__(self) -> str:
        h, w = self.grid
        return (
            f"dense probe of a {h} × {w} map: mIoU {self.miou:.3f}, figure-ground mIoU {self.figure_miou:.3f}, centre off by "
            f"{self.centre_error:.2f} pixels (without looking {self.floor[0]:.3f}, {self.floor[1]:.3f}, {self.floor[2]:.2f})"
        )


@computing()
def dense_probe(
    encoder: nn.Module, train: ImageSet | StreamedSet, test: ImageSet | StreamedSet, seed: int = 0
) -> DenseResult:
    """Measure what an encoder's feature map tells about every place: segmentation and centre of the drawn shapes.

    >>> bt.dense_probe(trainer.model.encoder, bt.load("shapes"), bt.load("shapes", split="test"))

    The module's docstring has the equations. The channels of F, (N, D, h, w), are standardised. The strength of each
    penalty is chosen on a fifth of the *train* images, and the test images are used once. It is computed on the CPU from at
    most IMAGES train images, the same for the same seed; the encoder stays on its device and as it was.

    Args:
        encoder: f, frozen. Its feature map is found by `feature_map.feature_maps`.
        train, test: "shapes", as `load` draws them, of any size.
        seed: draws the train images, and those on which is chosen.

    Raises:
        DataError: images without masks, an encoder without feature map, features that are not finite.
    """
    some, asked = _drawn(train).sample(IMAGES, seed), _drawn(test)
    if len(some) < 2:
        raise DataError(f"dense: {name_of(train)} has a single image; give at least two, of which one is held out")
    parts = held_out(len(some), seed)
    maps, labels, figures, centres = (torch.cat(each) for each in zip(*_scenes(encoder, some), strict=True))
    if not maps.isfinite().all():
        raise DataError(
            f"features of {name_of(train)} are not finite: the encoder has diverged; train it with a lower lr"
        )
    mean, std = maps.mean((0, 2, 3), keepdim=True), maps.std((0, 2, 3), keepdim=True)
    std[std <= 1e-6 * mean.abs()] = torch.inf  # a constant, up to rounding, has no information and becomes 0
    maps = (maps - mean) / std
    classes = map_probes.fit_classes(maps, labels, len(NAMES), parts)
    figure = map_probes.fit_classes(maps, figures, 2, parts)
    position = map_probes.fit_position(maps, centres, parts)

    counts, figure_counts = (torch.zeros(k, k, dtype=torch.int64) for k in (len(NAMES), 2))
    errors, blind = [], []
    for scene in _scenes(encoder, asked):
        found, size = (scene.maps - mean) / std, (scene.labels.shape[1], scene.labels.shape[2])
        counts += map_probes.confusion(classes.classes(found, size), scene.labels, len(NAMES))
        figure_counts += map_probes.confusion(figure.classes(found, size), scene.figures, 2)
        errors.append(map_probes.distances(position.positions(found), scene.centres))
        blind.append(map_probes.distances(centres.mean(0), scene.centres))
    ground = figure_counts[0].sum().item() / figure_counts.sum().item()
    return DenseResult(
        map_probes.ious(counts, NAMES),
        map_probes.ious(figure_counts, ("ground", "figure")),
        torch.cat(errors).mean().item(),
        (ground / int((counts.sum(1) > 0).sum()), ground / 2, torch.cat(blind).mean().item()),
        (maps.shape[2], maps.shape[3]),
        len(some),
        {"C of classes": classes.strength, "C of figure": figure.strength, "λ of centre": position.strength},
    )


# --- pictures, with what is known about every place ---------------------------------------------


class _Scenes(NamedTuple):
    """Feature maps (n, D, h, w); class and figure of each pixel, int64 (n, H, W); centres (n, 2), pixels from the middle."""

    maps: Tensor
    labels: Tensor
    figures: Tensor
    centres: Tensor


def _drawn(images: ImageSet | StreamedSet) -> ImageSet:
    """Return the images if their factors draw them, so that masks drawn from the factors fit; else raise DataError."""
    if images.factors is None or not isinstance(images, ImageSet):
        raise DataError(
            f"dense: {name_of(images)} has no masks, which say what is at every pixel; only 'shapes' can draw them: load "
            "that, or choose linear"
        )
    few = images[:: max(1, len(images) // 16)]
    size = few.image_size[0]
    if few.images.dtype != torch.uint8 or few.factors is None or not torch.equal(draw(few.factors, size), few.images):
        raise DataError(
            f"dense: the images of {name_of(images)} are not those that their factors draw, so no masks fit; give 'shapes' "
            "as bt.load draws them"
        )
    return images


def _scenes(encoder: nn.Module, images: ImageSet, batch_size: int = 256) -> Iterator[_Scenes]:
    """Yield feature maps and what is known about their places, of the part of the images that the encoder sees.

    Masks are drawn for one batch at a time, so they never take more memory than a batch needs.
    """
    assert images.factors is not None
    size = images.image_size[0]
    for n, maps in enumerate(feature_maps(encoder, images.images, batch_size)):
        f = images.factors[n * batch_size : (n + 1) * batch_size]
        figures = centre(masks(f, size)[:, None], seen_size(encoder, size))[:, 0].long()
        yield _Scenes(maps, figures * (f.shape + 1)[:, None, None], figures, torch.stack((f.x, f.y), 1) * size / 2)
