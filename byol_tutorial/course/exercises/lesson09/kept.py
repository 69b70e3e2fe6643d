"""Exercise 09-kept, “Too good for points thrown at random”."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..record import Exercise, Mistake


def _scattered() -> list[tuple]:
    g = torch.Generator().manual_seed(2)
    y = torch.randn(60, 8, generator=g)
    return [(y, y[:, :2].clone(), 5), (y, torch.randn(60, 2, generator=g), 5), (y, torch.randn(60, 2, generator=g), 10)]


def _kept(y: Tensor, points: Tensor, k: int) -> Tensor:
    y = F.normalize(y, dim=1)
    a = (y @ y.T).fill_diagonal_(-torch.inf).topk(k).indices
    b = torch.cdist(points, points).fill_diagonal_(torch.inf).topk(k, largest=False).indices
    return (a[:, :, None] == b[:, None, :]).any(2).float().mean()


def _kept_with_bug(y: Tensor, points: Tensor, k: int) -> Tensor:
    y = F.normalize(y, dim=1)
    a = (y @ y.T).topk(k).indices
    b = torch.cdist(points, points).topk(k, largest=False).indices
    return (a[:, :, None] == b[:, None, :]).any(2).float().mean()


def _one_side(y: Tensor, points: Tensor, k: int) -> Tensor:
    y = F.normalize(y, dim=1)
    a = (y @ y.T).fill_diagonal_(-torch.inf).topk(k).indices
    b = torch.cdist(points, points).topk(k, largest=False).indices
    return (a[:, :, None] == b[:, None, :]).any(2).float().mean()


def _by_distance(y: Tensor, points: Tensor, k: int) -> Tensor:
    a = torch.cdist(y, y).fill_diagonal_(torch.inf).topk(k, largest=False).indices
    b = torch.cdist(points, points).fill_diagonal_(torch.inf).topk(k, largest=False).indices
    return (a[:, :, None] == b[:, None, :]).any(2).float().mean()


def _one_more(y: Tensor, points: Tensor, k: int) -> Tensor:
    return _kept_with_bug(y, points, k + 1)


def _in_the_same_place(y: Tensor, points: Tensor, k: int) -> Tensor:
    y = F.normalize(y, dim=1)
    a = (y @ y.T).fill_diagonal_(-torch.inf).topk(k).indices
    b = torch.cdist(points, points).fill_diagonal_(torch.inf).topk(k, largest=False).indices
    return (a == b).float().mean()


def _other_side(y: Tensor, points: Tensor, k: int) -> Tensor:
    y = F.normalize(y, dim=1)
    a = (y @ y.T).topk(k).indices
    b = torch.cdist(points, points).fill_diagonal_(torch.inf).topk(k, largest=False).indices
    return (a[:, :, None] == b[:, None, :]).any(2).float().mean()


def _farthest(y: Tensor, points: Tensor, k: int) -> Tensor:
    y = F.normalize(y, dim=1)
    a = (y @ y.T).fill_diagonal_(-torch.inf).topk(k).indices
    b = torch.cdist(points, points).topk(k).indices
    return (a[:, :, None] == b[:, None, :]).any(2).float().mean()


KEPT = Exercise(
    id="09-kept",
    title="Too good for points thrown at random",
    kind="find the bug",
    difficulty=2,
    minutes=8,
    hints=(
        "Print `a[:, 0]`. Whose nearest neighbour is that?",
        (
            "Each point is its own nearest neighbour, in y and in the map. Make that impossible on both sides "
            "before topk: the diagonal holds it."
        ),
        (
            "similarity = (y @ y.T).fill_diagonal_(-torch.inf)  # no point is its own neighbour\n"
            "# the distances in the map need the same, with the other sign"
        ),
    ),
    cases=_scattered,
    reference=_kept,
    mistakes=(
        Mistake(
            "unchanged",
            _kept_with_bug,
            "this is the code as it was given: every map gets at least 1/k, even one that has nothing to do with y. Which "
            "neighbour is always found on both sides?",
        ),
        Mistake(
            "corrected on one side",
            _one_side,
            "a point is no longer its own neighbour in y, but still in the map, where it takes the place of a true one.",
        ),
        Mistake(
            "corrected on the other side",
            _other_side,
            "a point is no longer its own neighbour in the map, but still in y, where it takes the place of a true one.",
        ),
        Mistake(
            "one more neighbour",
            _one_more,
            "one neighbour more is taken, but the point itself is still among them and is counted as kept. Leave it out.",
        ),
        Mistake(
            "the same place in the list",
            _in_the_same_place,
            "a neighbour counts here only if it is the same one at the same place of both lists. It is kept if it is anywhere among the k.",
        ),
        Mistake(
            "a number",
            lambda y, points, k: k * _kept(y, points, k),
            "this is how many of the k are kept; the exercise asks for their share, in [0, 1].",
        ),
        Mistake(
            "distances in y",
            _by_distance,
            "neighbours in y are those with the largest cosine, as it was given; here the distance decides, so lengths count.",
        ),
        Mistake("the farthest", _farthest, "topk takes the largest: in the map these are the farthest points."),
    ),
    praise="right: a point must not count as its own neighbour. Points thrown at random now get about k/(N − 1).",
)
