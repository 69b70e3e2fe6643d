"""Exercise 10-same-view, “Which views are compared”."""

import torch
from torch import Tensor

from ....methods.dino import dino_loss
from ..record import Exercise, Mistake


def _views() -> list[tuple]:
    g = torch.Generator().manual_seed(11)
    return [
        ([torch.randn(n, k, generator=g).softmax(1) for _ in range(2)],
         [torch.randn(n, k, generator=g).log_softmax(1) for _ in range(2 + local)])
        for n, k, local in ((5, 6, 3), (4, 3, 0))
    ]  # fmt: skip


def _every_pair(teacher: list[Tensor], log_student: list[Tensor]) -> Tensor:
    pairs = [(t, s) for t in teacher for s in log_student]
    return torch.stack([-(t * s).sum(1).mean() for t, s in pairs]).mean()


def _local_only(teacher: list[Tensor], log_student: list[Tensor]) -> Tensor:
    pairs = [(t, s) for t in teacher for s in log_student[len(teacher) :]] or [(teacher[0], log_student[1])]
    return torch.stack([-(t * s).sum(1).mean() for t, s in pairs]).mean()


def _pairs_after(teacher: list[Tensor], log_student: list[Tensor]) -> Tensor:
    pairs = [(t, s) for i, t in enumerate(teacher) for s in log_student[i + 1 :]]
    return torch.stack([-(t * s).sum(1).mean() for t, s in pairs]).mean()


SAME_VIEW = Exercise(
    id="10-same-view",
    title="Which views are compared",
    kind="find the bug",
    difficulty=1,
    minutes=6,
    hints=(
        (
            "The first of the teacher's views and the first of the student's are the same picture, cut and "
            "coloured alike. What can be learned from that pair?"
        ),
        (
            "enumerate() both loops, and leave a pair out if both numbers are the same. Count only the pairs that "
            "you add."
        ),
        (
            "for i, t in enumerate(teacher):\n"
            "    for j, s in enumerate(log_student):\n"
            "        if i != j:\n"
            "            ...  # add the pair, and count it"
        ),
    ),
    cases=_views,
    trains={"log_student": 1},
    as_trained=lambda scores: scores.log_softmax(1),
    reference=dino_loss,
    mistakes=(
        Mistake(
            "unchanged",
            _every_pair,
            "this is the code as it was given: each global view is also compared with itself, and two of the pairs ask for nothing that "
            "views have in common.",
        ),
        Mistake(
            "divided by all pairs",
            lambda teacher, student: dino_loss(teacher, student) * (1 - 1 / len(student)),
            "the pairs are right, but the sum is divided by the number of all of them, those of a view with itself included.",
        ),
        Mistake(
            "local views alone",
            _local_only,
            "the two global views are compared with each other as well, crosswise.",
        ),
        Mistake(
            "the sign",
            lambda teacher, student: -dino_loss(teacher, student),
            "the minus was lost: the loss is −Σ P ln P′, at least 0.",
        ),
        Mistake(
            "a view with itself only",
            lambda teacher, student: (
                sum(-(t * s).sum(1).mean() for t, s in zip(teacher, student, strict=False)) / len(teacher)
            ),
            "the condition is turned: only the pairs of a view with itself are left. They are the ones to leave out.",
        ),
        Mistake(
            "each pair once",
            _pairs_after,
            "only pairs i < j are compared. The teacher's second global view must also meet the student's first.",
        ),
        Mistake(
            "a sum",
            lambda teacher, student: dino_loss(teacher, student) * len(teacher) * (len(student) - 1),
            "this is a sum over the pairs, so with more local views the steps would grow. Take the mean.",
        ),
    ),
    praise="right: G · (G + L − 1) pairs.",
)
