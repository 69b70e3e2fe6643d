"""Exercise 10-sort, “Centring and sharpening”."""

import torch
from torch import Tensor

from ..record import Exercise, Mistake


def _teachers() -> list[tuple]:
    g = torch.Generator().manual_seed(10)
    return [
        (torch.randn(n, k, generator=g) / 3 + 0.2, torch.randn(k, generator=g) / 5, t, m)
        for n, k, t, m in ((6, 5, 0.1, 0.9), (3, 8, 0.04, 0.6))
    ]


def _sort(scores: Tensor, center: Tensor, temperature: float, momentum: float) -> tuple[Tensor, Tensor]:
    return ((scores - center) / temperature).softmax(1), momentum * center + (1 - momentum) * scores.mean(0)


SORT = Exercise(
    id="10-sort",
    title="Centring and sharpening",
    kind="implement",
    difficulty=1,
    minutes=8,
    hints=(
        (
            "Two results. What do all pictures agree on, and what is it subtracted from? Then: how does a moving "
            "average take in a new value?"
        ),
        (
            "Subtract first, then divide: the centre is a mean of scores. The softmax goes over the prototypes. "
            "The new centre is much of the old, and a little of this batch's mean over the pictures."
        ),
        (
            "probabilities = ((scores - center) / temperature).softmax(dim=1)\n"
            "mean = scores.mean(dim=0)  # (K,), of this batch\n"
            "# the new centre: momentum is the share of the old one"
        ),
    ),
    cases=_teachers,
    reference=_sort,
    mistakes=(
        Mistake(
            "centre added",
            lambda s, c, t, m: (((s + c) / t).softmax(1), _sort(s, c, t, m)[1]),
            "the centre is added: what all pictures agree on grows instead of being taken away.",
        ),
        Mistake(
            "not centred",
            lambda s, c, t, m: ((s / t).softmax(1), _sort(s, c, t, m)[1]),
            "the centre plays no part in the probabilities.",
        ),
        Mistake(
            "centre outside of the temperature",
            lambda s, c, t, m: ((s / t - c).softmax(1), _sort(s, c, t, m)[1]),
            "the centre is subtracted after dividing by the temperature; it is a mean of scores, so both are divided.",
        ),
        Mistake(
            "softmax over the batch",
            lambda s, c, t, m: (((s - c) / t).softmax(0), _sort(s, c, t, m)[1]),
            "columns sum to 1, not rows: the softmax goes over the prototypes, dim=1.",
        ),
        Mistake(
            "multiplied by the temperature",
            lambda s, c, t, m: (((s - c) * t).softmax(1), _sort(s, c, t, m)[1]),
            "multiplied by the temperature: a low one would soften. Divide.",
        ),
        Mistake(
            "momentum the wrong way",
            lambda s, c, t, m: (_sort(s, c, t, m)[0], (1 - m) * c + m * s.mean(0)),
            "m and 1 − m are exchanged: the centre would follow the last batch.",
        ),
        Mistake(
            "a sum over the batch",
            lambda s, c, t, m: (_sort(s, c, t, m)[0], m * c + (1 - m) * s.sum(0)),
            "the probabilities are right. The new centre takes in the *mean* over the pictures, not the sum, which grows with the batch.",
        ),
        Mistake(
            "only the batch's mean",
            lambda s, c, t, m: (_sort(s, c, t, m)[0], s.mean(0)),
            "the probabilities are right. The new centre is a moving average: most of the old one stays.",
        ),
        Mistake(
            "mean of the probabilities",
            lambda s, c, t, m: (_sort(s, c, t, m)[0], m * c + (1 - m) * _sort(s, c, t, m)[0].mean(0)),
            "the probabilities are right. The centre is a mean of *scores*, not of probabilities.",
        ),
        Mistake(
            "mean of centred scores",
            lambda s, c, t, m: (_sort(s, c, t, m)[0], m * c + (1 - m) * (s - c).mean(0)),
            "the probabilities are right. The centre takes in the mean of the scores as they are, not of the centred ones.",
        ),
        Mistake(
            "exchanged",
            lambda s, c, t, m: _sort(s, c, t, m)[::-1],
            "the two results are exchanged: first the probabilities, then the new centre.",
        ),
        Mistake(
            "logarithms",
            lambda s, c, t, m: (((s - c) / t).log_softmax(1), _sort(s, c, t, m)[1]),
            "these are logarithms of the probabilities: softmax, not log_softmax.",
        ),
        Mistake(
            "the new centre already",
            lambda s, c, t, m: (_sort(s, _sort(s, c, t, m)[1], t, m)[0], _sort(s, c, t, m)[1]),
            "this batch is centred by a centre that it has changed itself. The paper uses the old one, and moves it afterwards.",
        ),
        Mistake(
            "the centre stays",
            lambda s, c, t, m: (_sort(s, c, t, m)[0], c),
            "the probabilities are right, but the centre is returned as it was: it moves a little towards the mean of this batch's scores.",
        ),
    ),
    praise="right. The next cells look at what such a teacher makes of the pictures.",
)
