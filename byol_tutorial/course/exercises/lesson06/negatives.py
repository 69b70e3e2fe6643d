"""Exercise 06-negatives, “The part that pushes apart”."""

from collections.abc import Callable

import torch
from torch import Tensor

from ....methods.byol import byol_loss, negatives_term
from ..record import Exercise, Mistake
from .shared import unit


def _three_batches() -> list[tuple]:
    g = torch.Generator().manual_seed(6)
    return [(*(3 * torch.randn(3, n, d, generator=g) + 0.3), t) for n, d, t in ((8, 16, 0.5), (5, 4, 0.1))]


def _scores(
    p: Tensor, own: Tensor, other: Tensor, temperature: float, normalise: Callable = unit
) -> tuple[Tensor, Tensor]:
    p, own, other = normalise(p), normalise(own), normalise(other)
    return p @ own.T / temperature, p @ other.T / temperature


def _without_diagonal(scores: Tensor) -> Tensor:
    return scores.masked_fill(torch.eye(len(scores), dtype=torch.bool), -torch.inf)


def _negatives(p: Tensor, own: Tensor, other: Tensor, temperature: float) -> Tensor:
    to_own, to_other = _scores(p, own, other, temperature)
    return 2 * temperature * torch.cat((_without_diagonal(to_own), to_other), 1).logsumexp(1).mean()


def _itself(p: Tensor, own: Tensor, other: Tensor, temperature: float) -> Tensor:
    return 2 * temperature * torch.cat(_scores(p, own, other, temperature), 1).logsumexp(1).mean()


def _no_partner(p: Tensor, own: Tensor, other: Tensor, temperature: float) -> Tensor:
    to_own, to_other = _scores(p, own, other, temperature)
    return 2 * temperature * torch.cat((_without_diagonal(to_own), _without_diagonal(to_other)), 1).logsumexp(1).mean()


def _partner_view_only(p: Tensor, own: Tensor, other: Tensor, temperature: float) -> Tensor:
    return 2 * temperature * _scores(p, own, other, temperature)[1].logsumexp(1).mean()


def _not_normalised(p: Tensor, own: Tensor, other: Tensor, temperature: float) -> Tensor:
    to_own, to_other = _scores(p, own, other, temperature, normalise=lambda x: x)
    return 2 * temperature * torch.cat((_without_diagonal(to_own), to_other), 1).logsumexp(1).mean()


def _zero_on_the_diagonal(p: Tensor, own: Tensor, other: Tensor, temperature: float) -> Tensor:
    to_own, to_other = _scores(p, own, other, temperature)
    itself = torch.eye(len(p), dtype=torch.bool)
    return 2 * temperature * torch.cat((to_own.masked_fill(itself, 0.0), to_other), 1).logsumexp(1).mean()


def _two_logarithms(p: Tensor, own: Tensor, other: Tensor, temperature: float) -> Tensor:
    to_own, to_other = _scores(p, own, other, temperature)
    return 2 * temperature * (_without_diagonal(to_own).logsumexp(1) + to_other.logsumexp(1)).mean()


def _mean_of_exponentials(p: Tensor, own: Tensor, other: Tensor, temperature: float) -> Tensor:
    to_own, to_other = _scores(p, own, other, temperature)
    scores = torch.cat((_without_diagonal(to_own), to_other), 1)
    return 2 * temperature * (scores.logsumexp(1).exp() / (2 * len(p) - 1)).log().mean()


NEGATIVES = Exercise(
    id="06-negatives",
    title="The part that pushes apart",
    kind="implement",
    difficulty=2,
    minutes=15,
    hints=(
        "2N − 1 scores for each image: from which two matrices do they come, and which entry is left out?",
        (
            "F.normalize all three. Two matrices of scores, p @ own.T / temperature and p @ other.T / "
            "temperature, both (N, N). Put −torch.inf on the diagonal of the first, torch.cat the two along "
            "dim=1, then .logsumexp(1).mean()."
        ),
        (
            "to_own = F.normalize(p, dim=-1) @ F.normalize(own, dim=-1).T / temperature\n"
            "to_own = to_own.masked_fill(torch.eye(len(p), dtype=torch.bool), -torch.inf)  # j ≠ i\n"
            "# to_other likewise, without the mask; then ln Σ exp along the row of both together"
        ),
    ),
    cases=_three_batches,
    trains={"p": 0, "own": 1, "other": 2},
    reference=negatives_term,
    mistakes=(
        Mistake(
            "an image with itself",
            _itself,
            "the image's own answer for the same view is among those that are pushed away: leave j = i out of the first sum.",
        ),
        Mistake(
            "the partner is missing",
            _no_partner,
            "j = i is left out of both sums. In the second one it stays: it is the partner, and the sum is the whole "
            "denominator of a probability.",
        ),
        Mistake(
            "one view's negatives",
            _partner_view_only,
            "only the other view's answers are in the sum. The same view's answers for the other images belong in it too: "
            "2N − 1 terms for each image.",
        ),
        Mistake("no normalisation", _not_normalised, "products of whole vectors: cosines need rows of length 1."),
        Mistake(
            "no factor",
            lambda p, own, other, t: _negatives(p, own, other, t) / (2 * t),
            "the factor 2α is missing. Without it this does not fit the scale of 2 − 2 cos.",
        ),
        Mistake(
            "zero on the diagonal",
            _zero_on_the_diagonal,
            "the score of an image with itself was set to 0, and e⁰ = 1 still counts in the sum. It must be −∞, so that its exponential "
            "is 0.",
        ),
        Mistake(
            "two logarithms",
            _two_logarithms,
            "each of the two sums has a logarithm of its own. They are added first: ln(Σ + Σ).",
        ),
        Mistake(
            "its own predictions",
            lambda p, own, other, t: _negatives(p, p, other, t),
            "p was compared with p. The first sum is over z, the answers `own`, to the same view.",
        ),
        Mistake(
            "no temperature",
            lambda p, own, other, t: t * _negatives(p, own, other, 1.0),
            "the cosines inside the exponentials are not divided by the temperature.",
        ),
        Mistake(
            "2 without α",
            lambda p, own, other, t: _negatives(p, own, other, t) / t,
            "the factor is 2α, not 2.",
        ),
        Mistake(
            "half the factor",
            lambda p, own, other, t: _negatives(p, own, other, t) / 2,
            "half of it: the factor is 2α, as the attracting part is 2 − 2 cos.",
        ),
        Mistake(
            "mean of exponentials",
            _mean_of_exponentials,
            "inside the logarithm stands a sum of exponentials, not their mean.",
        ),
        Mistake(
            "sum over the batch",
            lambda p, own, other, t: len(p) * _negatives(p, own, other, t),
            "too large by the batch size: the mean over the images.",
        ),
        Mistake(
            "the sign",
            lambda p, own, other, t: -_negatives(p, own, other, t),
            "the sign is turned: lowering this would pull the images together.",
        ),
        Mistake(
            "the attraction",
            lambda p, own, other, t: byol_loss(p, other),
            "this is the first part of the sum, BYOL's loss. The second one is asked for, in which all the other answers are.",
        ),
    ),
    praise="right. What does it give when every answer is the same? The next cell asks.",
)
