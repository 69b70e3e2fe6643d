"""Exercises of lesson 11, real photographs: a clean split, a simple rival, and what labels are worth."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from .record import Exercise, Mistake, UnusableError
from .values import ASKS_FOR, kind, tensor

# --- where squares may be cut -------------------------------------------------------------------

CUT = 0.65  # the share of a photograph's width that is for training


def _left(width: int, side: int, split: str, u: Tensor) -> Tensor:
    cut = CUT * width
    return u * (cut - side) if split == "train" else cut + u * (width - cut - side)


def _with_bug(width: int, side: int, split: str, u: Tensor) -> Tensor:
    cut = CUT * width
    return u * cut if split == "train" else cut + u * (width - cut)


def _anywhere(width: int, side: int, split: str, u: Tensor) -> Tensor:
    return u * (width - side)


def _one_part(right: str, width: int, side: int, split: str, u: Tensor) -> Tensor:
    return (_left if split == right else _with_bug)(width, side, split, u)


def _clamped(width: int, side: int, split: str, u: Tensor) -> Tensor:
    most = CUT * width - side if split == "train" else width - side
    return _with_bug(width, side, split, u).clamp(max=most)


def _exchanged(width: int, side: int, split: str, u: Tensor) -> Tensor:
    return _left(width, side, "test" if split == "train" else "train", u)


def _as_middle(width: int, side: int, split: str, u: Tensor) -> Tensor:
    return _left(width, side, split, u) + side / 2


def _places(left: Callable, width: int, side: int) -> dict[str, bool]:
    """Return which properties the left edges have, for 201 values of u from 0 to 1."""
    cut, slack = CUT * width, 1e-3 * width

    def edges(split: str) -> Tensor:
        found = tensor(left(width, side, split, torch.linspace(0, 1, 201)))
        if found is None or found.shape != (201,):
            value = left(width, side, split, torch.linspace(0, 1, 201))
            raise UnusableError(
                f"your function returns {kind(value)}{ASKS_FOR}a left edge for each u, a tensor of shape (201,)."
            )
        return found.sort().values

    train, test = edges("train"), edges("test")
    return {
        "train squares end before the cut": bool((train + side <= cut + slack).all()),
        "test squares begin after the cut": bool((test >= cut - slack).all()),
        "no square leaves the photograph": bool(
            (torch.cat((train, test)) >= -slack).all() and (torch.cat((train, test)) + side <= width + slack).all()
        ),
        "squares reach both ends of their part": bool(
            train[0] <= slack
            and train[-1] + side >= cut - slack
            and test[0] <= cut + slack
            and test[-1] + side >= width - slack
        ),
        "every place is as likely as any other": all(
            bool(torch.allclose(e.diff(), e.diff().mean().expand(200), atol=1e-2)) for e in (train, test)
        ),
    }


CUT_SQUARES = Exercise(
    id="11-cut",
    title="A clean cut",
    kind="find the bug",
    difficulty=2,
    minutes=8,
    hints=(
        "Where is the *right* edge of a train square whose left edge lies just before the cut?",
        "A square of this side fits into a part if its left edge lies at least a side before the end of the part. So u must be spread over a shorter range.",
        "cut = 0.65 * width\nroom = cut - side  # for the left edge of a train square\n# a test square: from cut on, with as much room as its part has",
    ),
    cases=lambda: [(640, 48), (451, 90)],
    observe=_places,
    reference=_left,
    mistakes=(
        Mistake(
            "unchanged",
            _with_bug,
            "as it was given. Take a train square and a test square with u = 1, and draw the left edge and the right edge of both: do "
            "they stay in their part of the photograph?",
        ),
        Mistake(
            "train alone",
            partial(_one_part, "train"),
            "train squares now end before the cut. Test squares still leave the photograph on the right.",
        ),
        Mistake(
            "test alone",
            partial(_one_part, "test"),
            "test squares are right now. Train squares still reach over the cut, and share pixels with test squares.",
        ),
        Mistake(
            "anywhere",
            _anywhere,
            "squares of both splits come from the whole photograph now, so they overlap everywhere.",
        ),
        Mistake(
            "clamped",
            _clamped,
            "no square crosses the cut, but those that did are all pushed to the same place, which is now drawn far more often than others. "
            "Spread u over a shorter range instead.",
        ),
        Mistake(
            "parts exchanged",
            _exchanged,
            "the squares are clean, but the parts are exchanged: training gets the left 65 %.",
        ),
        Mistake(
            "the middle",
            _as_middle,
            "this is right for the middle of a square. The left edge is half a side further left.",
        ),
    ),
    praise="right: one shared strip of pixels is enough to make test images easier than new ones.",
)


# --- a rival ------------------------------------------------------------------------------------


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


# --- in another light ---------------------------------------------------------------------------

LIGHT = Exercise(
    id="11-light",
    title="In another light",
    kind="predict",
    difficulty=2,
    minutes=3,
    hints=(
        "Which of the five know the colours of a square, and which know something else as well?",
        "In the same light colours tell these photographs apart, so it is good to keep them, together with texture. In the other light they "
        "mislead. Which encoder had a reason to rely on them, and which had not?",
        "# two of the five can be judged before any training: the same light, and another\n"
        "for f in (bt.evaluate.pixels, lambda images: histogram(images, 6)):\n"
        "    print(judged(f).knn, judged(f, other).knn)",
    ),
    questions=dict.fromkeys(
        ("same_light", "other_light"), ("raw pixels", "colours", "random encoder", "no colour views", "colour views")
    ),
    reference={"same_light": "no colour views", "other_light": "colour views"},
    mistakes=(
        Mistake(
            "colour views are always better",
            {"same_light": "colour views", "other_light": "colour views"},
            "same_light: views that change colours make the encoder give up a part of them. Here colours are half of the answer as long as the "
            "light stays the same.",
        ),
        Mistake(
            "nothing lost",
            {"other_light": "no colour views"},
            "other_light: this encoder has never seen one square in two colours, so nothing has told it that colours can change.",
        ),
        Mistake(
            "bins in another light",
            {"other_light": "colours"},
            "other_light: in another light the pixels fall into other bins, and the histogram has nothing else.",
        ),
        Mistake(
            "filters in another light",
            {"other_light": "random encoder"},
            "other_light: nothing has taught random filters that light does not matter.",
        ),
        Mistake(
            "colour is all",
            {"same_light": "colours"},
            "same_light: counting colours is a strong rival here, but sky and dark grounds have the same colours in several photographs. What "
            "about texture?",
        ),
        Mistake(
            "untrained",
            {"same_light": "random encoder"},
            "same_light: a random encoder sees colours and some edges, but its filters were chosen by chance.",
        ),
    ),
    praise="right: what views change is given up, for better or worse. Whether colour is content or light is for you to say.",
)


# --- what labels are worth ----------------------------------------------------------------------


def _curves() -> list[tuple]:
    labels, scratch = [40, 400, 4000], [0.30, 0.55, 0.80]
    return [
        (labels, scratch, 0.45),
        (labels, scratch, 0.70),
        ([10, 30, 300, 3000], [0.2, 0.3, 0.7, 0.75], 0.6),
        (labels, scratch, 0.90),
        (labels, scratch, 0.55),
    ]


def _worth(
    labels: list[int], scratch: list[float], accuracy: float, log: bool = True, beyond: float = math.inf
) -> float:
    if accuracy > scratch[-1]:
        return beyond
    found = float(np.interp(accuracy, scratch, np.log(labels) if log else labels))
    return math.exp(found) if log else found


def _next(labels: list[int], scratch: list[float], accuracy: float) -> float:
    return next((float(n) for n, a in zip(labels, scratch, strict=True) if a >= accuracy), math.inf)


def _logarithm(labels: list[int], scratch: list[float], accuracy: float) -> float:
    return math.log10(_worth(labels, scratch, accuracy))


def _log_accuracy(labels: list[int], scratch: list[float], accuracy: float) -> float:
    if accuracy > scratch[-1]:
        return math.inf
    return math.exp(np.interp(math.log(accuracy), np.log(scratch), np.log(labels)))


def _overall(labels: list[int], scratch: list[float], accuracy: float) -> float:
    return _worth([labels[0], labels[-1]], [scratch[0], scratch[-1]], accuracy)


WORTH = Exercise(
    id="11-worth",
    title="Worth how many labels?",
    kind="extend",
    difficulty=2,
    minutes=8,
    core=False,
    hints=(
        "Read it off the picture: go from the accuracy to the right until you meet the curve, then down.",
        "The axis of labels is logarithmic, so interpolate log(labels), as a function of the accuracy, between the two points around it; then "
        "take the exponential. Beyond the last point there is no answer: float('inf').",
        "import numpy as np\n\nif accuracy > scratch[-1]:\n    found = float('inf')\nelse:\n    found = np.exp(np.interp(accuracy, scratch, np.log(labels)))",
    ),
    cases=_curves,
    reference=_worth,
    tolerance=1e-3,
    mistakes=(
        Mistake(
            "labels not logarithmic",
            partial(_worth, log=False),
            "the line is straight over the number of labels. In the picture the axis is logarithmic: interpolate log(labels).",
        ),
        Mistake(
            "the next point",
            _next,
            "this is the next number of labels that was measured. Go along the line between the two points.",
        ),
        Mistake(
            "the last point",
            lambda labels, scratch, accuracy: _worth(labels, scratch, accuracy, beyond=labels[-1]),
            "an accuracy above the whole curve gets its last number of labels. No number that was measured is enough: return float('inf').",
        ),
        Mistake(
            "the logarithm",
            _logarithm,
            "this is the logarithm of the number. Take it back: 10 ** x, or exp.",
        ),
        Mistake(
            "logarithmic accuracy",
            _log_accuracy,
            "the accuracy is taken as a logarithm as well. Only the axis of labels is logarithmic.",
        ),
        Mistake(
            "one line",
            _overall,
            "this is one line from the first point to the last. Interpolate between the two points around the accuracy.",
        ),
    ),
    praise="right: so many labels does the frozen encoder replace, on this task and with this classifier.",
)

EXERCISES = (CUT_SQUARES, HISTOGRAM, LIGHT, WORTH)
