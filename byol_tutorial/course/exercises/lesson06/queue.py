"""Exercise 06-queue, “Negatives from a queue”."""

import torch
from torch import Tensor

from ....methods.byol import byol_loss
from ..record import Exercise, Mistake
from .shared import unit


def _queues() -> list[tuple]:
    g = torch.Generator().manual_seed(8)
    return [
        (*(3 * torch.randn(2, n, d, generator=g) + 0.3), 2 * torch.randn(m, d, generator=g), t)
        for n, m, d, t in ((6, 20, 8, 0.5), (3, 7, 4, 0.2))
    ]


def _queue_scores(p: Tensor, z: Tensor, queue: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    p, z, queue = unit(p), unit(z), unit(queue)
    return (p * z).sum(1, keepdim=True) / temperature, p @ queue.T / temperature


def _queue(p: Tensor, z: Tensor, queue: Tensor, temperature: float) -> Tensor:
    scores = torch.cat(_queue_scores(p, z, queue, temperature), 1)  # (N, 1 + M)
    return byol_loss(p, z) + 2 * temperature * scores.logsumexp(1).mean()


def _queue_without_partner(p: Tensor, z: Tensor, queue: Tensor, temperature: float) -> Tensor:
    return byol_loss(p, z) + 2 * temperature * _queue_scores(p, z, queue, temperature)[1].logsumexp(1).mean()


def _queue_not_normalised(p: Tensor, z: Tensor, queue: Tensor, temperature: float) -> Tensor:
    partner, _ = _queue_scores(p, z, queue, temperature)
    scores = torch.cat((partner, unit(p) @ queue.T / temperature), 1)
    return byol_loss(p, z) + 2 * temperature * scores.logsumexp(1).mean()


def _queue_and_batch(p: Tensor, z: Tensor, queue: Tensor, temperature: float) -> Tensor:
    scores = unit(p) @ unit(torch.cat((z, queue))).T / temperature
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
