"""Exercise 03-bug, “A loss that stands still”."""

import copy
from collections.abc import Callable

import torch
from torch import nn

from ..record import Exercise, Mistake


def _with_bug(online: nn.Module) -> nn.Module:
    target = online
    for w in target.parameters():
        w.requires_grad_(False)
    return target


def _built(build: Callable, online: nn.Module) -> dict[str, bool]:
    target = build(online)
    inner, outer = list(target.parameters()), list(online.parameters())
    return {
        "the target is another network": target is not online,
        "the target starts equal": all(torch.equal(a, b) for a, b in zip(inner, outer, strict=True)),
        "parameters are its own": not {w.data_ptr() for w in inner} & {w.data_ptr() for w in outer},
        "the online network can learn": all(w.requires_grad for w in outer),
        "the target cannot": not any(w.requires_grad for w in inner),
    }


def _target_of(online: nn.Module) -> nn.Module:
    return copy.deepcopy(online).requires_grad_(False)


BUG = Exercise(
    id="03-bug",
    title="A loss that stands still",
    kind="find the bug",
    difficulty=2,
    minutes=8,
    core=False,
    hints=(
        "How many networks are there after `target = online`? Print `target is online`.",
        (
            "An assignment gives a second name to the same network. A second network with the same numbers needs "
            "a copy of everything inside: the module `copy` makes one."
        ),
        ("target = copy.deepcopy(online)\n# and its parameters are to have no gradient"),
    ),
    cases=lambda: [(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)),)],
    observe=_built,
    reference=_target_of,
    mistakes=(
        Mistake(
            "unchanged",
            _with_bug,
            "this is the code as it was given: after it, nothing is left that learns. Which of the online network's own "
            "parameters still ask for a gradient?",
        ),
        Mistake(
            "still one network",
            lambda online: online,
            "the online network can learn again, but target and online are still one network: nothing moves slowly.",
        ),
        Mistake(
            "a shallow copy",
            copy.copy,
            "copy.copy makes a second shell around the *same* parameters: they still move together. Which function of the "
            "module `copy` also copies what is inside?",
            when=lambda seen, wanted: (
                seen[0]["the target is another network"] and not seen[0]["parameters are its own"]
            ),
        ),
        Mistake(
            "other numbers",
            lambda online: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).requires_grad_(False),
            "this is another network with other weights; the target starts *equal* to the online network.",
            when=lambda seen, wanted: not seen[0]["the target starts equal"],
        ),
        Mistake(
            "both frozen",
            lambda online: copy.deepcopy(online.requires_grad_(False)),
            "two networks now, and the target has no gradient. But the online network has none either, so nothing learns: "
            "take the gradient from the copy only.",
        ),
        Mistake(
            "the target can learn",
            copy.deepcopy,
            "two networks now. But the target still asks for gradients: an optimiser that is given all parameters would "
            "train it.",
        ),
    ),
    praise="right: a deep copy, without gradient.",
)
