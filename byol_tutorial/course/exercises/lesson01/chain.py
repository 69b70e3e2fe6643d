"""Exercise 01-chain, “Rounds that change nothing”."""

from collections.abc import Callable
from typing import Any

from ..record import Exercise, Mistake


def _with_bug(train: Callable, first: Any, rounds: int) -> list:
    networks, target = [first], first
    for k in range(rounds):
        networks.append(train(target, seed=k))
    return networks


def _chain(train: Callable, first: Any, rounds: int) -> list:
    networks = [first]
    for k in range(rounds):
        networks.append(train(networks[-1], seed=k))
    return networks


def _one_seed(train: Callable, first: Any, rounds: int) -> list:
    networks = [first]
    for _ in range(rounds):
        networks.append(train(networks[-1], seed=0))
    return networks


def _one_late(train: Callable, first: Any, rounds: int) -> list:
    networks = [first]
    for k in range(rounds):
        networks.append(train(networks[max(len(networks) - 2, 0)], seed=k))
    return networks


def _who_predicts_whom(chain: Callable, rounds: int) -> list[str]:
    """Return each network of the chain as the words that say how it was made."""
    found = chain(lambda target, seed: f"(trained from seed {seed} to predict {target})", "the first", rounds)
    return [found] if isinstance(found, str) else list(found)


CHAIN = Exercise(
    id="01-chain",
    title="Rounds that change nothing",
    kind="find the bug",
    difficulty=1,
    minutes=6,
    hints=(
        "Write down, for each round, the value of `target`. Which line would have to change it?",
        (
            "The list `networks` already holds what each round needs: the network that a round must predict is "
            "the one that was added last."
        ),
        ("newest = train(target, seed=k)\nnetworks.append(newest)\n# and the next round's target?"),
    ),
    cases=lambda: [(1,), (3,)],
    observe=_who_predicts_whom,
    reference=_chain,
    mistakes=(
        Mistake(
            "unchanged",
            _with_bug,
            "the first round is as it should be, but the second and the third predict the same network as the first did.",
        ),
        Mistake(
            "the same beginning",
            _one_seed,
            "every round starts from the same weights: seed=k makes each a new network.",
        ),
        Mistake(
            "one round late",
            _one_late,
            "one round late: the target of each round is the network of the round just before it.",
        ),
        Mistake(
            "the first is missing",
            lambda train, first, rounds: _chain(train, first, rounds)[1:],
            "the network to begin with belongs to the list too, as its first: its accuracy is what the others are compared "
            "with.",
        ),
        Mistake(
            "the last only",
            lambda train, first, rounds: [_chain(train, first, rounds)[-1]],
            "that is the last network; the exercise asks for the list of all, in order.",
        ),
    ),
    praise="right: each network is the target of the next.",
)
