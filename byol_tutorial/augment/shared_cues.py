"""What do two views of a picture still share? Hue, brightness, position, scale and shape, by simple descriptions.

A network can only learn what the augmentations leave alone, and it first finds what both views show clearly. So this
module asks, before any training, a question to a description φ, for example the mean hue:

    Here is one view, v_i. Of two others, one is its partner v′_i, the second view of the same picture; the other is
    a view v′_j of another picture. Is the partner the closer one?

    share = 2 · P(‖φ(v_i) − φ(v′_i)‖ < ‖φ(v_i) − φ(v′_j)‖) − 1, ties counted half

1: φ always picks the partner. 0: φ picks no better than chance. The probability is the area under the ROC curve of the
distances within pairs against those between pairs, so φ needs no scale, and photographs serve as well as drawings. The
descriptions need no object: position and scale are those of the edges.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..config.config import Config
from ..config.errors import DataError
from ..data.image_set import ImageSet
from .operations import LUMA, RGB, as_float, luma
from .views import Views

PAIRS = 256  # pairs of views; with so many, a share of 0 is measured as 0 ± 0.03 (one standard deviation)
SIZE = 24  # pixels a side of the views that are described
GREY = 0.01  # mean chroma below which a picture has no hue
RINGS, HARMONICS = 8, 4  # numbers that describe the shape: see `rings` and `directions`


@dataclass(frozen=True)
class Share:
    """What two views share of one description: two numbers in [−1, 1], where about 0 is chance."""

    name: str
    same: float  # the value for two views of the same picture
    different: float  # the value for views of different pictures: how far chance moves so few pairs

    @property
    def right(self) -> float:
        """The probability that the partner is the closer one, in [0, 1]; guessing gives 0.5."""
        return (1 + self.same) / 2

    def __str__(self) -> str:
        return (
            f"The {self.name} of one view tells you {max(self.same, 0) * 100:.0f}\u00a0% about the other's: "
            f"it picks the partner {self.right * 100:.0f} times in 100 (guessing: 50)."
        )


def shares(images: ImageSet | Tensor, config: Config, pairs: int = PAIRS, seed: int = 0) -> dict[str, Share]:
    """Draw about `pairs` pairs of views of different pictures, and measure the share of each description.

    >>> print(*shared_cues.shares(train, bt.preset("shapes")).values(), sep="\\n")

    images: uint8 or uint16 (N, C, H, W), or an ImageSet. The first `pairs` are taken; if there are fewer, they take turns. The
    images are first brought to at most 48 pixels a side, and the views and their blur to at most 24.

    Raises:
        DataError: fewer than two images; fewer pairs than two.
    """
    pixels = images if isinstance(images, Tensor) else images.images
    pictures = small(pixels[:pairs])
    n = len(pictures)
    if n < 2 or pairs < 2:
        raise DataError(f"{n} images, pairs={pairs}: at least 2 of each are needed, to tell one picture from another")
    which = torch.arange(pairs // n * n) % n
    view = config.view_size or pixels.shape[2]
    low, high = (max(sigma * min(1, SIZE / view), 0.01) for sigma in config.blur_sigma)
    config = config.replace(view_size=min(view, SIZE), blur_sigma=(low, high))
    v1, v2 = Views(config, (0.0,), (1.0,), torch.Generator().manual_seed(seed))(pictures[which])
    return compare(v1, v2, which)


def small(images: Tensor) -> Tensor:
    """Average areas until no side exceeds 48 pixels: uint8 or float (N, 3, H, W) -> float in [0, 1]."""
    side = [min(length, 2 * SIZE) for length in images.shape[2:]]
    x = as_float(images)
    return x if list(x.shape[2:]) == side else F.interpolate(x, side, mode="area")


def compare(v1: Tensor, v2: Tensor, which: Tensor | None = None) -> dict[str, Share]:
    """Measure the share of each description. v1, v2: float (N, 3, s, s) in [0, 1], row i of both from picture which[i].

    Rows i and i + 1 must be of different pictures. Default: every row is of its own picture.
    """
    which = torch.arange(len(v1)) if which is None else which
    other = which[:, None] != which
    result = {}
    for (name, a), b in zip(describe(v1).items(), describe(v2).values(), strict=True):
        # Each side is taken from its own mean: T′ may differ from T as a whole, which says nothing about a picture.
        distance = torch.cdist(a - a.mean(0), b - b.mean(0), compute_mode="donot_use_mm_for_euclid_dist")
        same, different = (_share(distance, torch.arange(len(a)).roll(-shift), other) for shift in (0, 1))
        result[name] = Share(name, same, different)
    return result


def _share(distance: Tensor, partner: Tensor, other: Tensor) -> float:
    own = distance.gather(1, partner[:, None])
    rivals = other.clone().scatter_(1, partner[:, None], False)
    closer = (own < distance - 1e-6).float() + 0.5 * ((own - distance).abs() <= 1e-6)
    return 2 * float(closer[rivals].mean()) - 1 if rivals.any() else math.nan


# --- descriptions -------------------------------------------------------------------------------


def describe(x: Tensor) -> dict[str, Tensor]:
    """Compute each description of each picture: float (N, C, s, s) in [0, 1] -> name: float (N, k).

    Without red, green and blue there is no hue, and brightness is the mean of the channels.
    """
    dx, dy = gradients(luma(x)[:, 0])
    energy = dx.square() + dy.square()
    weight = energy / energy.sum((1, 2), keepdim=True).clamp(min=1e-6)  # the weights of a picture sum to 1
    centre, across, down = middle(weight)
    distance = (across.square()[:, None, :] + down.square()[:, :, None]).sqrt_()
    spread = (weight * distance.square()).sum((1, 2)).sqrt().clamp(min=1e-3)
    colours = {"hue": hue(x)} if x.shape[1] == RGB else {}
    return colours | {
        "brightness": luma(x).mean((2, 3)),
        "position": centre,
        "scale": spread.log()[:, None],
        "shape": torch.cat((rings(weight, distance / spread[:, None, None]), directions(dx, dy, energy)), 1),
    }


def hue(x: Tensor) -> Tensor:
    """Return the direction of the mean chroma (cb, cr), a point on the unit circle; grey gives its centre: (N, 2)."""
    mean = x.mean((2, 3))
    grey = mean @ torch.tensor(LUMA)
    chroma = torch.stack(((mean[:, 2] - grey) / (2 * (1 - LUMA[2])), (mean[:, 0] - grey) / (2 * (1 - LUMA[0]))), 1)
    length = chroma.norm(dim=1, keepdim=True)
    return torch.where(length > GREY, chroma / length.clamp(min=GREY), 0)


def gradients(y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the central differences of (N, s, s) along the rows and along the columns, with the border repeated."""
    y = F.pad(y[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    return (y[:, 1:-1, 2:] - y[:, 1:-1, :-2]) / 2, (y[:, 2:, 1:-1] - y[:, :-2, 1:-1]) / 2


def middle(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the centroid (x, y) of weights (N, s, s), and the distance of each pixel from it along x and along y.

    The picture spans [−1, 1]. Shapes: (N, 2), (N, s), (N, s).
    """
    size = weight.shape[2]
    pixel = (torch.arange(size) + 0.5) / size * 2 - 1
    centre = torch.stack((weight.sum(1) @ pixel, weight.sum(2) @ pixel), 1)
    return centre, pixel - centre[:, :1], pixel - centre[:, 1:]


def rings(weight: Tensor, radius: Tensor) -> Tensor:
    """Return how much of the edges lies in each ring around their centroid: (N, 8).

    The unit of radius is the spread of the edges, so position, scale and rotation do not matter. Rings are a quarter of
    a unit apart and overlap.
    """
    radius = radius * 4
    return torch.stack([(weight * (1 - (radius - k).abs()).clamp_(min=0)).sum((1, 2)) for k in range(RINGS)], 1)


def directions(dx: Tensor, dy: Tensor, energy: Tensor) -> Tensor:
    """Return the directions of the edges: half the mean of cos 2kθ, k = 1..4, where θ is the gradient's angle: (N, 4).

    The mean is weighted by the length of the gradient. These cosines are the same for θ, −θ and θ + π, so a mirrored
    picture has the same directions.
    """
    cosine = (dx.square() - dy.square()) / energy.clamp(min=1e-8)  # cos 2θ
    length = energy.sqrt()
    length = length / length.sum((1, 2), keepdim=True).clamp(min=1e-6)
    before, now, means = torch.ones_like(cosine), cosine, []
    for _ in range(HARMONICS):
        means.append((length * now).sum((1, 2)) / 2)
        before, now = now, 2 * cosine * now - before  # cos (k + 1)a = 2 cos a · cos ka − cos (k − 1)a
    return torch.stack(means, 1)
