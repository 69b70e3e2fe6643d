"""Exercise 03-many-views, “More than two views”."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ....methods.byol import byol_loss
from ..record import Exercise, Mistake


def _batches_of_views() -> list[tuple]:
    g = torch.Generator().manual_seed(11)
    return [(list(torch.randn(v, 6, 8, generator=g)), list(torch.randn(v, 6, 8, generator=g))) for v in (2, 4)]


def _all_pairs(ps: list[Tensor], ts: list[Tensor], itself: bool = False, scale: bool = True) -> Tensor:
    n = len(ps)
    total = torch.stack([byol_loss(ps[i], ts[j]) for i in range(n) for j in range(n) if itself or i != j]).sum()
    return total * 2 / (n * (n - 1)) if scale else total


def _half_of_the_pairs(ps: list[Tensor], ts: list[Tensor], first: Callable = lambda i, j: i < j) -> Tensor:
    n = len(ps)
    pairs = [(i, j) for i in range(n) for j in range(n) if first(i, j)]
    return sum((byol_loss(ps[i], ts[j]) for i, j in pairs), torch.zeros(())) * 2 / (n * (n - 1))


def _is_half(seen: list, wanted: list) -> bool:
    """Return whether two views gave one of the two directions, times any usual factor."""
    p, t = _batches_of_views()[0]
    found = float(seen[0])
    halves = [float(byol_loss(p[0], t[1])), float(byol_loss(p[1], t[0]))]
    return any(math.isclose(found, half * factor, rel_tol=1e-4) for half in halves for factor in (0.5, 1, 2))


MANY_VIEWS = Exercise(
    id="03-many-views",
    title="More than two views",
    kind="extend",
    difficulty=3,
    minutes=15,
    core=False,
    hints=(
        "How many ordered pairs i ≠ j are there with two views, and how many with V?",
        (
            "Two loops, over i and over j ≠ i. With two views there are two such pairs and the loss is their sum; "
            "with V views there are V(V − 1), so the sum over all pairs is multiplied by 2/(V(V − 1))."
        ),
        (
            "pairs = [(i, j) for i in range(V) for j in range(V) if i != j]\n"
            "total = sum(loss(ps[i], ts[j]) for i, j in pairs)\n"
            "# total is right for two views; scale it so that it is in [0, 8] for any V"
        ),
    ),
    cases=_batches_of_views,
    reference=_all_pairs,
    trains={"ps": 0},
    mistakes=(
        Mistake(
            "half of the pairs",
            _half_of_the_pairs,
            "each pair of views was taken in one direction only, i < j or i > j. View j is to predict view i as well: all "
            "ordered pairs i ≠ j.",
            when=_is_half,
        ),
        Mistake(
            "a view with itself",
            lambda ps, ts: _all_pairs(ps, ts, itself=True),
            "pairs of a view with itself are included: they ask for nothing that two views have in common.",
        ),
        Mistake(
            "grows with the number of views",
            lambda ps, ts: _all_pairs(ps, ts, scale=False),
            "right for two views; with more it grows with the number of pairs, V(V − 1), and so would the learning rate. "
            "Keep its range at [0, 8].",
        ),
        Mistake(
            "mean over pairs",
            lambda ps, ts: _all_pairs(ps, ts) / 2,
            "the mean over the pairs is half of BYOL's loss, which is the *sum* of two. Two views must give the same as "
            "before.",
        ),
        Mistake(
            "neighbours only",
            lambda ps, ts: sum(byol_loss(ps[i], ts[i - 1]) for i in range(len(ps))) * 2 / len(ps),
            "each view predicts one other view only; take all ordered pairs i ≠ j.",
        ),
        Mistake(
            "mean over all V²",
            lambda ps, ts: (
                sum(byol_loss(p, t) for i, p in enumerate(ps) for j, t in enumerate(ts) if i != j) * 2 / len(ps) ** 2
            ),
            "the pairs are right, but they are divided as if there were V² of them: without i = j there are V(V − 1).",
        ),
        Mistake(
            "matching views only",
            lambda ps, ts: sum(map(byol_loss, ps, ts)),
            "each prediction is compared with the target of its *own* view only: nothing has to be common to two views.",
        ),
    ),
    praise="right. SwAV and DINO gain much from this (multi-crop): small extra crops are cheap.",
)
