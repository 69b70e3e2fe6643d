"""Exercise 01-contrast, “The contrastive loss”."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ....methods.byol import byol_loss
from ..record import Exercise, Mistake


def _two_batches() -> list[tuple]:
    g = torch.Generator().manual_seed(1)
    return [(*(3 * torch.randn(2, n, d, generator=g) + 0.5), t) for n, d, t in ((8, 16, 0.5), (5, 4, 0.1))]


def _cosines(z1: Tensor, z2: Tensor) -> Tensor:
    return F.normalize(z1, dim=-1) @ F.normalize(z2, dim=-1).T


def _contrast(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    return F.cross_entropy(_cosines(z1, z2) / temperature, torch.arange(len(z1)))


def _without_own_partner(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    scores = _cosines(z1, z2) / temperature
    itself = torch.eye(len(z1), dtype=torch.bool)
    return (scores.masked_fill(itself, -torch.inf).logsumexp(1) - scores.diagonal()).mean()


CONTRAST = Exercise(
    id="01-contrast",
    title="The contrastive loss",
    kind="implement",
    difficulty=2,
    minutes=12,
    hints=(
        (
            "Read it as a classification: row i has N candidates, and the right one is candidate i. Which of "
            "PyTorch's losses is −ln of a softmax's right entry?"
        ),
        (
            "F.normalize both, then all cosines at once: scores = z1 @ z2.T / temperature, (N, N). Row i is a "
            "classification into N classes whose right answer is class i: F.cross_entropy(scores, "
            "torch.arange(N))."
        ),
        (
            "scores = F.normalize(z1, dim=-1) @ F.normalize(z2, dim=-1).T  # (N, N), cosines\n"
            "right = torch.arange(len(scores))  # row i belongs to class i\n"
            "# divide the scores by the temperature, then: F.cross_entropy(..., right)"
        ),
    ),
    cases=_two_batches,
    reference=_contrast,
    trains={"z1": 0, "z2": 1},
    mistakes=(
        Mistake(
            "no normalisation",
            lambda z1, z2, t: F.cross_entropy(z1 @ z2.T / t, torch.arange(len(z1))),
            "these are products of whole vectors, not cosines: give each row length 1 first, or long vectors win.",
        ),
        Mistake(
            "no temperature",
            lambda z1, z2, t: F.cross_entropy(_cosines(z1, z2), torch.arange(len(z1))),
            "the temperature was not used: cosines lie in [−1, 1], and without dividing them no answer can be sure.",
        ),
        Mistake(
            "times the temperature",
            lambda z1, z2, t: F.cross_entropy(_cosines(z1, z2) * t, torch.arange(len(z1))),
            "multiplied by the temperature: a low temperature makes the choice sharper, so the cosines are divided by it.",
        ),
        Mistake(
            "the partner is missing below",
            _without_own_partner,
            "the partner's own term is missing in the sum below the fraction. With it, the fraction is a probability.",
        ),
        Mistake(
            "the other direction",
            lambda z1, z2, t: F.cross_entropy(_cosines(z2, z1) / t, torch.arange(len(z1))),
            "the other direction: here each row of z1 must find its partner among all rows of z2, so the sum below the "
            "fraction runs over z2.",
        ),
        Mistake(
            "sum over the batch",
            lambda z1, z2, t: F.cross_entropy(_cosines(z1, z2) / t, torch.arange(len(z1)), reduction="sum"),
            "too large by the batch size: take the mean over the images.",
        ),
        Mistake(
            "no logarithm",
            lambda z1, z2, t: 1 - (_cosines(z1, z2) / t).softmax(1).diagonal().mean(),
            "this is the probability of a wrong choice. The loss is −log of the probability of the right one.",
        ),
        Mistake(
            "softmax twice",
            lambda z1, z2, t: F.cross_entropy((_cosines(z1, z2) / t).softmax(1), torch.arange(len(z1))),
            "F.cross_entropy takes the scores themselves and does the softmax inside: with a softmax before it, it is done twice.",
        ),
        Mistake(
            "both directions",
            lambda z1, z2, t: (_contrast(z1, z2, t) + _contrast(z2, z1, t)) / 2,
            "this is the mean of both directions, as CLIP has it. Here only z1 asks: one direction.",
        ),
        Mistake(
            "the sign",
            lambda z1, z2, t: -_contrast(z1, z2, t),
            "the sign is turned: lower must mean that the partner is found more surely.",
        ),
        Mistake(
            "attraction only",
            lambda z1, z2, t: byol_loss(z1, z2),
            "this only draws partners together. The others of the batch must appear in it too: they are what pushes apart.",
        ),
        Mistake(
            "attraction alone",
            lambda z1, z2, t: -_cosines(z1, z2).diagonal().div(t).mean(),
            "only the partner's score is in it: the sum below the fraction, over all rows of z2, is missing.",
        ),
    ),
    praise="right: a classification with as many classes as there are images in the batch. What does a constant z cost?",
)
