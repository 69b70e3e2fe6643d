"""Exercise 11-cut, “A clean cut”."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ..record import Exercise, Mistake, UnusableError
from ..values import ASKS_FOR, kind, tensor

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
