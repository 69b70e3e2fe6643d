"""Exercises of lesson 06, from SimCLR to BYOL by three switches."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...methods.byol import byol_loss, negatives_term
from .record import Exercise, Mistake

# --- the negatives ------------------------------------------------------------------------------


def _three_batches() -> list[tuple]:
    g = torch.Generator().manual_seed(6)
    return [(*(3 * torch.randn(3, n, d, generator=g) + 0.3), t) for n, d, t in ((8, 16, 0.5), (5, 4, 0.1))]


def _unit(x: Tensor) -> Tensor:
    return F.normalize(x, dim=-1)


def _scores(
    p: Tensor, own: Tensor, other: Tensor, temperature: float, normalise: Callable = _unit
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


# --- the eight rows -----------------------------------------------------------------------------

_WORDS = ("learns", "collapses")


ROWS = Exercise(
    id="06-rows",
    title="Which rows collapse",
    kind="predict",
    difficulty=2,
    minutes=4,
    hints=(
        (
            "With β > 0 a constant answer has a price. With β = 0 it has none, so ask of each row: what keeps the "
            "network from finding it?"
        ),
        (
            "A slow target alone lets both networks drift together. A predictor with a stop-gradient is SimSiam, "
            "which lesson 5 trained as τ = 0."
        ),
        (
            "constant = torch.ones(8, 4)\n"
            "print(bt.byol_loss(constant, constant), negatives(constant, constant, constant, 0.5))  # BYOL's part, and the price"
        ),
    ),
    questions={
        "no_predictor_target_negatives": _WORDS,
        "predictor_no_target": _WORDS,
        "no_predictor_target": _WORDS,
    },
    reference={
        "no_predictor_target_negatives": "learns",
        "predictor_no_target": "learns",
        "no_predictor_target": "collapses",
    },
    mistakes=(
        Mistake(
            "negatives need the predictor",
            {"no_predictor_target_negatives": "collapses"},
            "no_predictor_target_negatives: with negatives a constant answer has a price, predictor or not: SimCLR has none.",
        ),
        Mistake(
            "a slow target is enough",
            {"no_predictor_target": "learns"},
            "no_predictor_target: a slow target only delays: if the online network may answer exactly what the target does, both drift "
            "together to one answer.",
        ),
        Mistake(
            "as the paper's table",
            {"predictor_no_target": "collapses"},
            "predictor_no_target: that is the paper's table. SimSiam showed later that the stop-gradient and a predictor that learns fast enough need "
            "no slow target; our small runs agree with SimSiam here.",
        ),
    ),
    praise="right for these runs. In one row the paper's table says otherwise: look for it.",
)


# --- a loss below zero --------------------------------------------------------------------------


def _with_bug(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    scores = _unit(z1) @ _unit(z2).T / temperature
    partner = scores.diagonal()
    others = scores.masked_fill(torch.eye(len(z1), dtype=torch.bool), -torch.inf)
    return (others.logsumexp(dim=1) - partner).mean()


def _infonce(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    scores = _unit(z1) @ _unit(z2).T / temperature
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
                torch.cat((_unit(z1) @ _unit(z2).T, (_unit(z1) * _unit(z2)).sum(1, keepdim=True)), 1)
                .div(t)
                .logsumexp(1)
                .mean()
                - (_unit(z1) * _unit(z2)).sum(1).div(t).mean()
            ),
            "the partner is in the sum twice now: with its entry on the diagonal it was there already.",
        ),
        Mistake(
            "the partner is not drawn near",
            lambda z1, z2, t: (_unit(z1) @ _unit(z2).T / t).logsumexp(1).mean(),
            "now nothing draws partners together: their score must still be subtracted.",
        ),
        Mistake(
            "the partner alone",
            lambda z1, z2, t: -(_unit(z1) * _unit(z2)).sum(1).div(t).mean(),
            "only the partner's score is left. The sum over all candidates belongs in it, the partner among them.",
        ),
    ),
    praise="right: the partner is one of the candidates, and a probability is at most 1.",
)


# --- batches ------------------------------------------------------------------------------------

BATCH = Exercise(
    id="06-batch",
    title="Who needs a large batch",
    kind="predict",
    difficulty=2,
    minutes=3,
    hints=(
        "What does each of the two losses take from the other images of the batch?",
        (
            "SimCLR's loss has negatives only from the batch, BYOL's has none. Besides the loss, BatchNorm looks "
            "at the whole batch. How low is the price of a constant with three other images, by the curve above?"
        ),
        (
            "for N in (4, 32, 256):\n"
            "    constant = torch.ones(N, 4)\n"
            "    print(N, float(negatives(constant, constant, constant, 0.5)))  # the price of a constant"
        ),
    ),
    questions={
        "paper_loses_more": ("BYOL", "SimCLR"),
        "simclr_with_four": ("learns", "fails"),
        "byol_with_four": ("learns", "fails"),
    },
    reference={"paper_loses_more": "SimCLR", "simclr_with_four": "learns", "byol_with_four": "learns"},
    mistakes=(
        Mistake(
            "BYOL needs the batch",
            {"paper_loses_more": "BYOL"},
            "paper_loses_more: BYOL's loss compares no two images. Only BatchNorm looks at the others of its batch, and down to 256 that "
            "makes little difference in the paper.",
        ),
        Mistake(
            "three negatives are too few",
            {"simclr_with_four": "fails"},
            "simclr_with_four: how many negatives SimCLR needs depends on the temperature: the curve above has the price of a constant answer with "
            "four images.",
        ),
        Mistake(
            "BatchNorm cannot work with four",
            {"byol_with_four": "fails"},
            "byol_with_four: BatchNorm's mean and variance are noisy with four images, but a convolution's BatchNorm takes them over all places of each "
            "image, too.",
        ),
    ),
    praise="right. Four images are enough for either to learn here; in the paper it takes far larger batches to see SimCLR lose.",
)


# --- a queue ------------------------------------------------------------------------------------


def _queues() -> list[tuple]:
    g = torch.Generator().manual_seed(8)
    return [
        (*(3 * torch.randn(2, n, d, generator=g) + 0.3), 2 * torch.randn(m, d, generator=g), t)
        for n, m, d, t in ((6, 20, 8, 0.5), (3, 7, 4, 0.2))
    ]


def _queue_scores(p: Tensor, z: Tensor, queue: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    p, z, queue = _unit(p), _unit(z), _unit(queue)
    return (p * z).sum(1, keepdim=True) / temperature, p @ queue.T / temperature


def _queue(p: Tensor, z: Tensor, queue: Tensor, temperature: float) -> Tensor:
    scores = torch.cat(_queue_scores(p, z, queue, temperature), 1)  # (N, 1 + M)
    return byol_loss(p, z) + 2 * temperature * scores.logsumexp(1).mean()


def _queue_without_partner(p: Tensor, z: Tensor, queue: Tensor, temperature: float) -> Tensor:
    return byol_loss(p, z) + 2 * temperature * _queue_scores(p, z, queue, temperature)[1].logsumexp(1).mean()


def _queue_not_normalised(p: Tensor, z: Tensor, queue: Tensor, temperature: float) -> Tensor:
    partner, _ = _queue_scores(p, z, queue, temperature)
    scores = torch.cat((partner, _unit(p) @ queue.T / temperature), 1)
    return byol_loss(p, z) + 2 * temperature * scores.logsumexp(1).mean()


def _queue_and_batch(p: Tensor, z: Tensor, queue: Tensor, temperature: float) -> Tensor:
    scores = _unit(p) @ _unit(torch.cat((z, queue))).T / temperature
    return byol_loss(p, z) + 2 * temperature * scores.logsumexp(1).mean()


QUEUE = Exercise(
    id="06-queue",
    title="Negatives from a queue",
    kind="extend",
    difficulty=3,
    minutes=15,
    core=False,
    hints=(
        "Each image has 1 + M candidates. Which one comes from z, and where do the M others come from?",
        (
            "Each image has 1 + M scores: (p * z).sum(1, keepdim=True) for its partner, p @ queue.T for the "
            "queue, all of rows of length 1, divided by the temperature. torch.cat, logsumexp, mean, times 2α; "
            "plus bt.byol_loss(p, z)."
        ),
        (
            "a, b, c = (F.normalize(x, dim=-1) for x in (p, z, queue))\n"
            "scores = torch.cat(((a * b).sum(dim=1, keepdim=True), a @ c.T), dim=1) / temperature  # (N, 1 + M)\n"
            "# 2α · mean of ln Σ exp, plus BYOL's loss"
        ),
    ),
    cases=_queues,
    trains={"p": 0},
    reference=_queue,
    mistakes=(
        Mistake(
            "the partner is missing",
            _queue_without_partner,
            "the partner's own score is missing from the sum: 1 + M candidates for each image.",
        ),
        Mistake(
            "queue not normalised",
            _queue_not_normalised,
            "the queue's rows keep their lengths, so long ones count for more: use cosines everywhere.",
        ),
        Mistake(
            "the batch as well",
            _queue_and_batch,
            "the other images of the batch are among the candidates too. Here the queue alone gives the negatives, so that the "
            "batch may be as small as you like.",
        ),
        Mistake(
            "no factor",
            lambda p, z, queue, t: byol_loss(p, z) + (_queue(p, z, queue, t) - byol_loss(p, z)) / (2 * t),
            "the factor 2α before the repulsion is missing; without it the two parts do not fit.",
        ),
        Mistake(
            "InfoNCE",
            lambda p, z, queue, t: (_queue(p, z, queue, t) - 2) / (2 * t),
            "this is InfoNCE itself, −ln of the partner's probability: right up to scale. Here attraction and repulsion are asked for in "
            "the form above: 2 + 2α · NCE.",
        ),
        Mistake(
            "repulsion only",
            lambda p, z, queue, t: _queue(p, z, queue, t) - byol_loss(p, z),
            "the attracting part is missing: add byol_loss(p, z).",
        ),
        Mistake(
            "attraction only",
            lambda p, z, queue, t: byol_loss(p, z),
            "this is BYOL's loss: the queue is not used.",
        ),
    ),
    praise="right: this is how MoCo has many negatives with small batches. Its keys come from a moving average, so that the queue's "
    "old entries do not differ too much from new ones. BYOL kept that network and dropped the queue.",
)

EXERCISES = (NEGATIVES, ROWS, BELOW_ZERO, BATCH, QUEUE)
