"""Exercise 11-worth, “Worth how many labels?”."""

import math
from functools import partial

import numpy as np

from ..record import Exercise, Mistake


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
