"""Exercise 03-ema, “The moving average”."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..record import Exercise, Mistake


def _two_nets() -> list[tuple]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return [(nn.Linear(3, 2).requires_grad_(False), nn.Linear(3, 2), tau) for tau in (0.9, 0.3)]


def _after(update: Callable, target: nn.Module, online: nn.Module, tau: float) -> dict[str, Any]:
    update(target, online, tau)
    flat = lambda net: torch.cat([w.detach().flatten() for w in net.parameters()])  # noqa: E731
    return {
        "target": flat(target),
        "online network": flat(online),
        "the target is free of gradients": not any(w.requires_grad for w in target.parameters()),
    }


@torch.no_grad()
def _ema(target: nn.Module, online: nn.Module, tau: float) -> None:
    for xi, theta in zip(target.parameters(), online.parameters(), strict=True):
        xi.lerp_(theta, 1 - tau)


def _with_gradient(target: nn.Module, online: nn.Module, tau: float) -> None:
    for xi, theta in zip(target.parameters(), online.parameters(), strict=True):
        xi.mul_(tau).add_(theta, alpha=1 - tau)


def _wrong_way_round(target: nn.Module, online: nn.Module, tau: float) -> None:
    _ema(target, online, 1 - tau)


def _moves_online(target: nn.Module, online: nn.Module, tau: float) -> None:
    _ema(online, target, tau)


def _copies(target: nn.Module, online: nn.Module, tau: float) -> None:
    _ema(target, online, 0.0)


def _not_in_place(target: nn.Module, online: nn.Module, tau: float) -> nn.Module:
    xi: Tensor
    for xi, theta in zip(target.parameters(), online.parameters(), strict=True):
        xi = tau * xi + (1 - tau) * theta
    return target


@torch.no_grad()
def _first_only(target: nn.Module, online: nn.Module, tau: float) -> None:
    xi, theta = next(target.parameters()), next(online.parameters())
    xi.lerp_(theta, 1 - tau)


@torch.no_grad()
def _adds(target: nn.Module, online: nn.Module, tau: float) -> None:
    for xi, theta in zip(target.parameters(), online.parameters(), strict=True):
        xi.add_((1 - tau) * theta)


@torch.no_grad()
def _shrinks(target: nn.Module, online: nn.Module, tau: float) -> None:
    for xi in target.parameters():
        xi.mul_(tau)


EMA = Exercise(
    id="03-ema",
    title="The moving average",
    kind="implement",
    difficulty=2,
    minutes=10,
    hints=(
        (
            "Two networks have the same parameters in the same order. Each of the target's is to be changed where "
            "it is, not replaced."
        ),
        (
            "Under torch.no_grad(), walk through zip(target.parameters(), online.parameters()) and change the "
            "target's tensors in place: xi.mul_(tau).add_(theta, alpha=...)."
        ),
        (
            "with torch.no_grad():\n"
            "    for xi, theta in zip(target.parameters(), online.parameters()):\n"
            "        xi.mul_(tau)  # what stays of the old; and now add the share of theta"
        ),
    ),
    cases=_two_nets,
    observe=_after,
    in_place=True,
    reference=_ema,
    mistakes=(
        Mistake(
            "the wrong way round",
            _wrong_way_round,
            "the wrong way round: τ is the share of the old target that *stays*; with τ = 0.99 the target moves by a "
            "hundredth of the way.",
        ),
        Mistake(
            "the online network moved",
            _moves_online,
            "the online network was changed. It learns by gradient; only the target follows.",
        ),
        Mistake("a copy", _copies, "the target is now a copy of the online network, since τ was not used."),
        Mistake(
            "not in place",
            _not_in_place,
            "the target has not moved: `xi = ...` gives the name to a new tensor and leaves the network's own tensor as "
            "it was. Change it in place: xi.mul_(...).add_(...), or xi.copy_(...).",
        ),
        Mistake(
            "first parameter only", _first_only, "only the first parameter moved: go through all of them, in pairs."
        ),
        Mistake("not shrunk", _adds, "(1 − τ) θ was added, but ξ itself was not multiplied by τ."),
        Mistake(
            "with gradient",
            _with_gradient,
            "the numbers are right, but autograd follows the update, so the target now depends on the online network and "
            "asks for a gradient. Do it under torch.no_grad().",
        ),
        Mistake(
            "only shrunk",
            _shrinks,
            "ξ was multiplied by τ, but (1 − τ) θ was not added: the target shrinks to 0.",
        ),
    ),
    praise="right. Note that no gradient and no optimiser is involved.",
)
