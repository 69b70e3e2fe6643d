"""Exercise 06-below-zero, “A loss below zero”."""

import torch
from torch import Tensor

from ..record import Exercise, Mistake
from .shared import unit


def _with_bug(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    scores = unit(z1) @ unit(z2).T / temperature
    partner = scores.diagonal()
    others = scores.masked_fill(torch.eye(len(z1), dtype=torch.bool), -torch.inf)
    return (others.logsumexp(dim=1) - partner).mean()


def _infonce(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    scores = unit(z1) @ unit(z2).T / temperature
    return (scores.logsumexp(dim=1) - scores.diagonal()).mean()


def _clamped(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    return _with_bug(z1, z2, temperature).clamp(min=0)


def _pairs() -> list[tuple]:
    """Return two sets of answers that have nothing to do with each other, and two that agree well."""
    g = torch.Generator().manual_seed(7)
    a, b = torch.randn(2, 6, 12, generator=g)
    return [(a, b, 0.5), (a, a + 0.05 * b, 0.1)]


BELOW_ZERO = Exercise(
    id="06-below-zero",
    title="A loss below zero",
    kind="find the bug",
    difficulty=2,
    minutes=8,
    hints=(
        (
            "The loss is −ln(probability of the partner). What must the sum below a fraction hold, so that the "
            "fraction is a probability?"
        ),
        (
            "Which candidate is missing from `others`? A probability is one candidate's share of the sum over "
            "*all* of them."
        ),
        ("everyone = scores.logsumexp(dim=1)  # with the partner\n# −ln(e^partner / Σ e^scores) = everyone − ..."),
    ),
    cases=_pairs,
    trains={"z1": 0, "z2": 1},
    reference=_infonce,
    mistakes=(
        Mistake(
            "unchanged",
            _with_bug,
            "this is the code as it was given: when partners agree well it goes far below 0, which the −ln of a probability cannot.",
        ),
        Mistake(
            "cut off at zero",
            _clamped,
            "this cuts the loss off at 0, and with it the gradient of every batch that is below 0. The cause is still there.",
        ),
        Mistake(
            "the size of it",
            lambda z1, z2, t: _with_bug(z1, z2, t).abs(),
            "the sign was taken away from the result: below 0 the loss would then rise as partners come nearer. The cause is still there.",
        ),
        Mistake(
            "shifted up",
            lambda z1, z2, t: _with_bug(z1, z2, t) + 1 / t,
            "a constant was added. It changes no gradient, and so the fault is still there: one candidate is missing in the sum.",
        ),
        Mistake(
            "the partner counted twice",
            lambda z1, z2, t: (
                torch.cat((unit(z1) @ unit(z2).T, (unit(z1) * unit(z2)).sum(1, keepdim=True)), 1)
                .div(t)
                .logsumexp(1)
                .mean()
                - (unit(z1) * unit(z2)).sum(1).div(t).mean()
            ),
            "the partner is in the sum twice now: with its entry on the diagonal it was there already.",
        ),
        Mistake(
            "the partner is not drawn near",
            lambda z1, z2, t: (unit(z1) @ unit(z2).T / t).logsumexp(1).mean(),
            "now nothing draws partners together: their score must still be subtracted.",
        ),
        Mistake(
            "the partner alone",
            lambda z1, z2, t: -(unit(z1) * unit(z2)).sum(1).div(t).mean(),
            "only the partner's score is left. The sum over all candidates belongs in it, the partner among them.",
        ),
    ),
    praise="right: the partner is one of the candidates, and a probability is at most 1.",
)
