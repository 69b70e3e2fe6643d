"""Exercise 08-knn, “A vote of the neighbours”."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ..record import Exercise, Mistake


def _banks() -> list[tuple]:
    g = torch.Generator().manual_seed(8)
    cases = []
    for n, q, d, k, t in ((40, 12, 3, 5, 0.1), (30, 10, 3, 9, 0.5)):
        bank, query = torch.randn(n, d, generator=g) * torch.rand(n, 1, generator=g) * 4, torch.randn(q, d, generator=g)
        cases.append((bank, torch.randint(3, (n,), generator=g), query, k, t, 3))
    return cases


def _knn(
    bank: Tensor,
    labels: Tensor,
    query: Tensor,
    k: int,
    temperature: float,
    classes: int,
    normalise: bool = True,
    weigh: bool = True,
    largest: bool = True,
) -> Tensor:
    if normalise:
        bank, query = F.normalize(bank, dim=1), F.normalize(query, dim=1)
    similarity, index = (query @ bank.T).topk(k, dim=1, largest=largest)
    weight = ((similarity - similarity.max()) / temperature).exp() if weigh else torch.ones_like(similarity)
    return torch.zeros(len(query), classes).scatter_add_(1, labels[index], weight).argmax(1)


def _times_temperature(bank: Tensor, labels: Tensor, query: Tensor, k: int, temperature: float, classes: int) -> Tensor:
    return _knn(bank, labels, query, k, 1 / temperature, classes)


def _nearest_only(bank: Tensor, labels: Tensor, query: Tensor, k: int, temperature: float, classes: int) -> Tensor:
    return _knn(bank, labels, query, 1, temperature, classes)


def _by_distance(bank: Tensor, labels: Tensor, query: Tensor, k: int, temperature: float, classes: int) -> Tensor:
    distance, index = torch.cdist(query, bank).topk(k, dim=1, largest=False)
    weight = (-distance / temperature).exp()
    return torch.zeros(len(query), classes).scatter_add_(1, labels[index], weight).argmax(1)


def _nearest_position(bank: Tensor, labels: Tensor, query: Tensor, k: int, temperature: float, classes: int) -> Tensor:
    return (F.normalize(query, dim=1) @ F.normalize(bank, dim=1).T).argmax(1)


def _everyone(bank: Tensor, labels: Tensor, query: Tensor, k: int, temperature: float, classes: int) -> Tensor:
    return _knn(bank, labels, query, len(bank), temperature, classes)


KNN = Exercise(
    id="08-knn",
    title="A vote of the neighbours",
    kind="implement",
    difficulty=2,
    minutes=15,
    hints=(
        (
            "Three steps: how near is each query to each of the bank, which k are nearest, and which class has "
            "most of their votes?"
        ),
        (
            "Cosines of all queries with all of the bank: F.normalize both, then query @ bank.T. `.topk(k, "
            "dim=1)` gives values and positions; labels[positions] the classes. Then torch.zeros(Q, "
            "classes).scatter_add_(1, classes_of_neighbours, weights)."
        ),
        (
            "similarity = F.normalize(query, dim=1) @ F.normalize(bank, dim=1).T  # (Q, N)\n"
            "nearest, index = similarity.topk(k, dim=1)  # (Q, k) each\n"
            "# votes: torch.zeros(Q, classes).scatter_add_(1, labels[index], weights), then argmax(1)"
        ),
    ),
    cases=_banks,
    reference=_knn,
    mistakes=(
        Mistake(
            "one neighbour",
            _nearest_only,
            "only the nearest neighbour is asked. Let k of them vote.",
        ),
        Mistake(
            "every vote the same",
            partial(_knn, weigh=False),
            "all k votes count the same. A neighbour's vote weighs exp(cosine / temperature), so near ones count more.",
        ),
        Mistake(
            "no normalisation",
            partial(_knn, normalise=False),
            "these are products, not cosines: long vectors of the bank seem near to everything.",
        ),
        Mistake(
            "times the temperature",
            _times_temperature,
            "the k votes weigh nearly the same: the cosines are multiplied by the temperature instead of divided, or the exponential is "
            "missing.",
        ),
        Mistake(
            "distances",
            _by_distance,
            "nearness is measured by the distance here: a long vector is then far from everything. Use the cosine.",
        ),
        Mistake(
            "positions",
            _nearest_position,
            "these are positions in the bank, not classes: labels[positions] are their classes.",
        ),
        Mistake(
            "everyone votes",
            _everyone,
            "the whole bank votes here, but only the k nearest may.",
        ),
        Mistake(
            "the farthest",
            partial(_knn, largest=False),
            "these are the k farthest. A large cosine is near.",
        ),
    ),
    praise="right: it has no parameters that are fitted, and two that are chosen, k and the temperature. More of that below.",
)
