"""Exercise 04-best, “The best prediction”."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..record import Exercise, Mistake


def _best(z: Tensor, target: Tensor) -> Tensor:
    return _by_answer(lambda own: own.mean(0))(z, target)


def _by_answer(value: Callable) -> Callable:
    """Return the prediction that gives each picture `value` of the targets that come with its answer."""

    def prediction(z: Tensor, target: Tensor) -> Tensor:
        p = torch.empty_like(target)
        for k in z.unique():
            p[z == k] = value(target[z == k])
        return p

    return prediction


def _answers_and_targets() -> list[tuple]:
    g = torch.Generator().manual_seed(9)
    return [
        (torch.tensor([0, 2, 0, 5, 2, 0]), 4 * torch.rand(6, 2, generator=g)),
        (torch.randint(4, (40,), generator=g), torch.randn(40, 3, generator=g) + 1),
    ]


BEST = Exercise(
    id="04-best",
    title="The best prediction",
    kind="implement",
    difficulty=2,
    minutes=8,
    hints=(
        "All pictures with the same answer get the same prediction. Which vector has the smallest mean squared distance to "
        "their targets?",
        (
            "It is their mean. For each answer k that occurs, take the rows target[z == k] and their mean over the pictures, "
            "and write it into the rows of these pictures."
        ),
        (
            "p = torch.zeros_like(target)\nfor k in z.unique():\n    own = z == k  # the pictures with this answer\n"
            "    # p[own] = ..., the mean of target[own] over the pictures"
        ),
    ),
    cases=_answers_and_targets,
    reference=_best,
    mistakes=(
        Mistake(
            "one mean for all",
            lambda z, target: target.mean(0).expand_as(target),
            "that is the mean of all targets, the best prediction for someone who does not know z. Here z is known.",
        ),
        Mistake(
            "the target itself",
            lambda z, target: target.clone(),
            "these are the targets themselves. The predictor sees only z: two pictures with the same z get the same prediction.",
        ),
        Mistake(
            "a sum",
            _by_answer(lambda own: own.sum(0)),
            "these are sums over the pictures with the same answer: divide each by the number of these pictures.",
        ),
        Mistake(
            "divided by all",
            lambda z, target: _by_answer(lambda own: own.sum(0))(z, target) / len(z),
            "the sum for an answer was divided by the number of all pictures, not of those that got this answer.",
        ),
        Mistake(
            "the median",
            _by_answer(lambda own: own.median(0).values),
            "the median has the smallest mean *absolute* distance in each dimension. For the squared distance it is the mean.",
        ),
        Mistake(
            "dimensions mixed",
            _by_answer(lambda own: own.mean().expand(own.shape[1])),
            "the mean was taken over the dimensions, too: z′ is a vector, and each of its dimensions has its own mean.",
        ),
        Mistake(
            "a table",
            lambda z, target: torch.stack([target[z == k].mean(0) for k in z.unique()]),
            "these are the right means, one row for each answer. A prediction has one row for each picture: give every picture "
            "the row of its answer.",
        ),
        Mistake(
            "sorted",
            lambda z, target: torch.cat([target[z == k].mean(0).expand(int((z == k).sum()), -1) for k in z.unique()]),
            "the right rows in another order: row i belongs to picture i, and its answer is z[i].",
        ),
        Mistake(
            "without itself",
            lambda z, target: torch.stack(
                [(target[z == k].sum(0) - target[i]) / max(int((z == k).sum()) - 1, 1) for i, k in enumerate(z)]
            ),
            "each picture's own target was left out of its mean. The best predictor is a mean over all pictures with this "
            "answer.",
        ),
    ),
    praise="right: the conditional mean, E[z′ | z]. Its squared error is the conditional variance.",
)
