"""Exercises of lesson 01, from negatives to a target that moves."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...methods.byol import byol_loss
from .record import Exercise, Mistake

# --- contrast -----------------------------------------------------------------------------------


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


# --- a random target ----------------------------------------------------------------------------


def _above_the_target(answer: dict) -> str | None:
    if answer["compared_with_its_target"] != "better":
        return (
            "compared_with_its_target: the network need not copy the target. What two views share is all that can be "
            "predicted of it."
        )
    if not 0.3 < answer["linear"] < 0.85:
        return (
            "linear: it is more than that of the random network, whose probe is above, but the target's answers leave "
            "out much of a picture."
        )
    return None


RANDOM_TARGET = Exercise(
    id="01-random-target",
    title="Predicting a random network",
    kind="predict",
    difficulty=2,
    minutes=3,
    hints=(
        (
            "The target sees the *other* view. Which part of its answer can be predicted at all: what both views "
            "show, or what only its own view shows?"
        ),
        (
            "Compare with the printed probe of the random target. What the online network can predict is the "
            "average of the target's answers over the views of a picture: does that say more about the picture or "
            "less? Chance is 0.1."
        ),
        (
            "# an answer is made of what all views of a picture share, and of what is in one view alone\n"
            "picture, of_one_view = torch.randn(64), torch.randn(100, 64)\n"
            "answers = picture + of_one_view\n"
            "for said in (answers[0], answers.mean(0)):  # which of the two is nearer to the picture?\n"
            "    print(torch.cosine_similarity(said, picture, dim=0))"
        ),
    ),
    questions={"linear": (0.0, 1.0), "compared_with_its_target": ("better", "the same", "worse")},
    reference={"linear": 0.5, "compared_with_its_target": "better"},
    accept=_above_the_target,
    mistakes=(
        Mistake(
            "a pupil is no better than its teacher",
            {"compared_with_its_target": "the same"},
            "compared_with_its_target: that would be right if the network had to copy its teacher. But it sees another view than the target does: crop "
            "and colour are drawn anew, and what depends on them cannot be predicted. What is left is the picture.",
        ),
        Mistake(
            "as good as labels",
            {"linear": 0.95, "compared_with_its_target": "better"},
            "linear: that would be as good as training with labels. What the random target says of a picture is poor, so what can be "
            "predicted of it leaves much out.",
            when=lambda seen, wanted: seen[0]["linear"] >= 0.85 and seen[0]["compared_with_its_target"] == "better",
        ),
        Mistake(
            "hardly more than chance",
            {"linear": 0.12, "compared_with_its_target": "better"},
            "linear: the probe of the random network itself is printed above, and the online network is better than that.",
            when=lambda seen, wanted: seen[0]["linear"] <= 0.3 and seen[0]["compared_with_its_target"] == "better",
        ),
        Mistake(
            "nothing comes of nothing",
            {"compared_with_its_target": "worse"},
            "compared_with_its_target: a random network has learned nothing about shapes, but its answers do depend on the picture: two pictures get two "
            "answers. That is something to predict.",
        ),
    ),
    praise="right: what can be predicted across views is a cleaner description of the picture than the target's own.",
)


# --- rounds -------------------------------------------------------------------------------------


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


ROUNDS = Exercise(
    id="01-rounds",
    title="And again",
    kind="predict",
    difficulty=1,
    minutes=2,
    hints=(
        (
            "The first round helped because the target's answer, as far as it is predictable, says more of the "
            "picture than of the view. Does that stop being so when the target is better?"
        ),
        (
            "A round could stop helping only if it had found all that two views share. Four rounds of a few "
            "epochs are short."
        ),
        (
            "# an estimate of accuracy, round by round, if each round closes a third of the gap to a ceiling:\n"
            "accuracy = 0.3\n"
            "for k in range(4):\n"
            "    accuracy += (0.9 - accuracy) / 3\n"
            "    print(k, accuracy)"
        ),
    ),
    questions={"round_2": ("better", "the same", "worse"), "last_round": ("better", "the same", "worse")},
    reference={"round_2": "better", "last_round": "better"},
    mistakes=(
        Mistake(
            "once only",
            {"round_2": "the same", "last_round": "the same"},
            "a second round would change nothing if the first had found all that two views share. But it had few epochs and a "
            "poor target.",
        ),
        Mistake(
            "the end after two",
            {"round_2": "better", "last_round": "the same"},
            "last_round: that would need the third round to have found all that two views share. Four short rounds from a random "
            "network do not get so far.",
        ),
        Mistake(
            "from the third on, errors",
            {"round_2": "better", "last_round": "worse"},
            "last_round: what made the second round better is still true in the last: its target says more of the picture than "
            "the one before.",
        ),
        Mistake(
            "nothing, then something",
            {"round_2": "the same"},
            "round_2: the second target is better than the random one, so more of the picture can be predicted of it.",
        ),
        Mistake(
            "errors pile up",
            {"round_2": "worse"},
            "errors pile up where each network copies the one before. Here each one keeps what both views show, and drops more of "
            "the rest.",
        ),
    ),
    praise="right: what is gained in one round is a better target for the next.",
)


# --- the average --------------------------------------------------------------------------------


def _weights(tau: float, n: int) -> list[float]:
    return [tau**n] + [(1 - tau) * tau ** (n - k) for k in range(1, n + 1)]


WEIGHTS = Exercise(
    id="01-weights",
    title="What the target is made of",
    kind="implement",
    difficulty=2,
    minutes=10,
    hints=(
        ("Write the target out after one update, and after two. What happened to the weight of ξ₀, and to that of θ₁?"),
        (
            "Start with weights = [1.0], all on ξ₀. Each update multiplies every weight there is by τ and adds a "
            "new one, 1 − τ, at the end."
        ),
        (
            "weights = [1.0]  # after 0 updates, all of it is ξ₀\n"
            "# one update:\n"
            "weights = [tau * w for w in weights] + [1 - tau]\n"
            "# and n of them?"
        ),
    ),
    cases=lambda: [(0.9, 0), (0.9, 1), (0.5, 3), (0.95, 40)],
    reference=_weights,
    mistakes=(
        Mistake(
            "the wrong way round",
            lambda tau, n: _weights(1 - tau, n),
            "the wrong way round: τ is the share of the old target that stays; the new network comes in with 1 − τ.",
        ),
        Mistake(
            "newest first",
            lambda tau, n: _weights(tau, n)[::-1],
            "the right numbers in the wrong order: ξ₀ comes first, θₙ last.",
        ),
        Mistake(
            "newest first, but the beginning",
            lambda tau, n: [tau**n] + [(1 - tau) * tau**k for k in range(n)],
            "θ₁ … θₙ are in the wrong order: the newest, θₙ, weighs 1 − τ, and the older ones less and less.",
        ),
        Mistake(
            "without the beginning",
            lambda tau, n: _weights(tau, n)[1:],
            "ξ₀ is missing: it is still in the target, with the weight that is left after n updates. The weights add up to 1.",
        ),
        Mistake(
            "no share of the new",
            lambda tau, n: [tau ** (n - k) for k in range(n + 1)],
            "the weights add up to more than 1: θₖ came in with a weight of 1 − τ, before it was multiplied by τ at each "
            "later update.",
        ),
        Mistake(
            "one multiplication too many",
            lambda tau, n: [tau**n] + [(1 - tau) * tau ** (n - k + 1) for k in range(1, n + 1)],
            "the newest, θₙ, has just come in with a weight of 1 − τ and has not been multiplied by τ yet: the exponents are one too "
            "high, and the weights add up to less than 1.",
        ),
        Mistake(
            "all alike",
            lambda tau, n: [tau**n] + [(1 - tau**n) / max(n, 1)] * n,
            "all online networks weigh the same here: an average with equal weights. In the moving average an older network weighs less.",
        ),
        Mistake(
            "an average of all",
            lambda tau, n: [1 / (n + 1)] * (n + 1),
            "all parts weigh the same here, whatever τ is. In a moving average the newest weighs 1 − τ, and older ones less and less.",
        ),
    ),
    praise="right: they add up to 1, and each is τ times the one after it. What is their mean age?",
)


def _same_lag(n: int) -> float:
    return (n - 1) / (n + 1)


LAG = Exercise(
    id="01-lag",
    title="A copy now and then, or an average",
    kind="extend",
    difficulty=3,
    minutes=15,
    core=False,
    hints=(
        ("How old is a copy on average? Then: how old is the moving average, as a function of τ? Set them equal."),
        (
            "The copy's age runs through 0, 1, ..., n − 1 and starts again: what is its mean? The average's mean "
            "age is Σ k (1 − τ) τᵏ = τ/(1 − τ). Set them equal."
        ),
        (
            "mean_age_of_the_copy = sum(range(n)) / n\n"
            "# of the average: sum of k · (1 − τ) τ^k over k = 0, 1, 2, ... = τ / (1 − τ)\n"
            "# solve τ / (1 − τ) = mean_age_of_the_copy for τ"
        ),
    ),
    cases=lambda: [(1,), (2,), (39,), (512,)],
    reference=_same_lag,
    mistakes=(
        Mistake(
            "twice as old",
            lambda n: 1 - 1 / n,
            "such an average is n − 1 steps old. That is the copy's age just before it is replaced, not its mean.",
        ),
        Mistake(
            "half a step off",
            lambda n: n / (n + 2),
            "half a step too old: just after copying, the copy's age is 0, so its ages are 0 ... n − 1, not 1 ... n.",
        ),
        Mistake(
            "the share of the new one",
            lambda n: 2 / (n + 1),
            "this is 1 − τ, the share of the new network; the exercise asks for τ, the share of the old target.",
        ),
        Mistake(
            "the copy's rhythm",
            lambda n: 1 - 1 / (n + 1),
            "too old: an average with this τ has a mean age of n. The copy's ages are 0 ... n − 1, whose mean is about half of that.",
        ),
        Mistake(
            "the mean age itself",
            lambda n: (n - 1) / 2,
            "that is the copy's mean age in steps. Now find the τ with τ/(1 − τ) equal to it.",
        ),
        Mistake("upside down", lambda n: 1 / n, "the longer a copy stays, the slower the average: τ must rise with n."),
    ),
    praise="right: a copy every 39 steps lags as far behind as an average with τ = 0.95, but by jumps.",
)


EXERCISES = (CONTRAST, RANDOM_TARGET, CHAIN, ROUNDS, WEIGHTS, LAG)
