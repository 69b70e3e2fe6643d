"""Exercise 11-histogram, “A rival without a network”."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..record import Exercise, Mistake, UnusableError
from ..values import ASKS_FOR, kind, tensor


def _pictures() -> list[tuple]:
    g = torch.Generator().manual_seed(11)
    return [
        (torch.randint(256, (n, 3, size, size), dtype=torch.uint8, generator=g) // step * step, levels)
        for n, size, step, levels in ((9, 6, 60, 4), (7, 5, 1, 2), (6, 4, 50, 3))
    ]


def _histogram(images: Tensor, levels: int) -> Tensor:
    q = images.long() * levels // 256  # (N, 3, H, W), 0 ... levels - 1
    place = ((q[:, 0] * levels + q[:, 1]) * levels + q[:, 2]).flatten(1)  # (N, H·W)
    found = torch.zeros(len(images), levels**3)
    return found.scatter_add_(1, place, torch.ones(place.shape)) / place.shape[1]


def _compared(histogram: Callable, images: Tensor, levels: int) -> dict[str, Tensor]:
    """Return what does not depend on the order of the colours: products of histograms, sums and the largest shares."""
    value = histogram(images.clone(), levels)
    h = tensor(value)
    # with 3 · levels numbers it is a usual mistake, which has a message of its own
    if h is None or h.shape not in ((len(images), levels**3), (len(images), 3 * levels)):
        raise UnusableError(
            f"your function returns {kind(value)}{ASKS_FOR}a tensor of shape ({len(images)}, {levels**3}): one number for each "
            f"colour, and there are {levels} levels of red, of green and of blue."
        )
    return {"sums": h.sum(1), "largest": h.max(1).values, "products": h @ h.T}


def _each_channel(images: Tensor, levels: int) -> Tensor:
    q = (images.long() * levels // 256).flatten(2)
    shares = [(q == k).float().mean(2) for k in range(levels)]  # (N, 3) each
    return torch.stack(shares, 2).flatten(1)


def _overflow(images: Tensor, levels: int) -> Tensor:
    q = (images * levels).long() // 256  # the product of bytes is a byte, so it is below 256
    place = ((q[:, 0] * levels + q[:, 1]) * levels + q[:, 2]).flatten(1)
    found = torch.zeros(len(images), levels**3)
    return found.scatter_add_(1, place, torch.ones(place.shape)) / place.shape[1]


def _shared_histogram(images: Tensor, levels: int) -> Tensor:
    return _histogram(images, levels).mean(0).expand(len(images), -1)


def _unit_length(images: Tensor, levels: int) -> Tensor:
    return torch.nn.functional.normalize(_histogram(images, levels), dim=1)


def _grey(images: Tensor, levels: int) -> Tensor:
    grey = images.float().mean(1).long() * levels**3 // 256
    found = torch.zeros(len(images), levels**3)
    return found.scatter_add_(1, grey.flatten(1), torch.ones(grey.flatten(1).shape)) / grey[0].numel()


HISTOGRAM = Exercise(
    id="11-histogram",
    title="A rival without a network",
    kind="implement",
    difficulty=2,
    minutes=10,
    hints=(
        "Which of the `levels` steps does a value of 0 to 255 belong to? And which of the levels³ colours do three steps make?",
        "Bring the images to int64 first, because a product of bytes does not fit into a byte. The step is value · levels // 256. "
        "Number the colours as r · levels² + g · levels + b, and count them in each image.",
        "step = images.long() * levels // 256  # (N, 3, H, W)\n"
        "colour = (step[:, 0] * levels + step[:, 1]) * levels + step[:, 2]\n"
        "# for each image: torch.bincount(colour[i].flatten(), minlength=levels**3)",
    ),
    cases=_pictures,
    observe=_compared,
    reference=_histogram,
    mistakes=(
        Mistake(
            "each channel for itself",
            _each_channel,
            "each channel is counted for itself. Then red and blue side by side is the same as purple and black: count the colours, which are "
            "triples.",
        ),
        Mistake(
            "counts",
            lambda images, levels: _histogram(images, levels) * images[0, 0].numel(),
            "these are counts. Divide by the number of pixels, so that the size of the images plays no part.",
        ),
        Mistake(
            "a byte overflows",
            _overflow,
            "a product of bytes is a byte and wraps around at 256: bring the images to int64 before you multiply.",
        ),
        Mistake(
            "one for all",
            _shared_histogram,
            "this is one histogram of all images together. Each image has its own.",
        ),
        Mistake(
            "unit length",
            _unit_length,
            "the vectors have length 1 instead of the sum 1. Shares of pixels add up to 1.",
        ),
        Mistake(
            "grey",
            _grey,
            "only the brightness is counted. Two colours of the same brightness are two colours.",
        ),
        Mistake(
            "per cent",
            lambda images, levels: 100 * _histogram(images, levels),
            "these are per cent: give shares from 0 to 1.",
        ),
    ),
    praise="right. A rival that anybody can compute says more about a task than chance does.",
)
