"""Exercise 08-difference, “Is one better than the other?”."""

import math

import torch
from torch import Tensor

from ..record import Exercise, Mistake


def _runs() -> list[tuple]:
    g = torch.Generator().manual_seed(10)
    hard = torch.randn(6, generator=g) * 0.05  # a seed draws pictures too, and some are harder for both
    return [
        (0.8 + hard + 0.01 * torch.randn(6, generator=g), 0.82 + hard + 0.01 * torch.randn(6, generator=g)),
        (torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0.92, 0.81, 0.75])),
    ]


def _paired(a: Tensor, b: Tensor) -> Tensor:
    d = b - a
    return torch.stack((d.mean(), d.std() / math.sqrt(len(d))))


def _unpaired(a: Tensor, b: Tensor) -> Tensor:
    return torch.stack((b.mean() - a.mean(), ((a.var() + b.var()) / len(a)).sqrt()))


DIFFERENCE = Exercise(
    id="08-difference",
    title="Is one better than the other?",
    kind="extend",
    difficulty=3,
    minutes=12,
    core=False,
    hints=(
        "Seed i gives a pair of runs. What drops out if you subtract within the pair?",
        (
            "Take the differences first, one for each seed: d = b − a. Then their mean, and the standard error of "
            "that mean: the standard deviation (with n − 1) over √n."
        ),
        ("d = b - a\nspread = d.std()  # of single differences, with n − 1\n# of their mean: smaller by √n"),
    ),
    cases=_runs,
    reference=_paired,
    mistakes=(
        Mistake(
            "not paired",
            _unpaired,
            "the difference is right, but its error is that of unrelated runs. Both had the same pictures for the same seed: take "
            "the difference seed by seed, and what is hard for both drops out.",
        ),
        Mistake(
            "the wrong way round",
            lambda a, b: _paired(b, a),
            "the sign is wrong: b − a says how much better the second is.",
        ),
        Mistake(
            "spread instead of error",
            lambda a, b: torch.stack(((b - a).mean(), (b - a).std())),
            "that is the spread of single differences. A mean of n is more certain than a single one: divide by √n.",
        ),
        Mistake(
            "divided by n",
            lambda a, b: torch.stack(((b - a).mean(), (b - a).std() / len(a))),
            "the spread is divided by n; the error of a mean falls with √n.",
        ),
        Mistake(
            "variance",
            lambda a, b: torch.stack(((b - a).mean(), (b - a).var() / len(a))),
            "this is the square of the standard error, the variance of the mean: take its root.",
        ),
        Mistake(
            "n instead of n − 1",
            lambda a, b: torch.stack(((b - a).mean(), (b - a).std(correction=0) / math.sqrt(len(a)))),
            "the standard deviation divides by n here: with so few seeds, n − 1 matters.",
        ),
        Mistake(
            "best against best",
            lambda a, b: torch.stack((b.max() - a.max(), (b - a).std() / math.sqrt(len(a)))),
            "this compares the best seed of the one with the best of the other: with more seeds both grow, whatever the methods.",
        ),
        Mistake(
            "without an error",
            lambda a, b: torch.stack(((b - a).mean(), torch.zeros(()))),
            "the mean is right, but its standard error is missing: how far would it move with other seeds?",
        ),
    ),
    praise="right. A difference of less than twice its error should not be called one.",
)
