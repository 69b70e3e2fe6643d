"""Answers to the exercises of lesson 01, as people write them."""

import math

import numpy as np
import torch
import torch.nn.functional as F

# --- 01-contrast --------------------------------------------------------------------------------


def by_softmax(z1, z2, temperature):
    z1, z2 = z1 / z1.norm(dim=1, keepdim=True), z2 / z2.norm(dim=1, keepdim=True)
    p = torch.softmax(z1 @ z2.T / temperature, dim=1)
    return -torch.log(torch.diagonal(p)).mean()


def by_loop(z1, z2, temperature):
    total = 0
    for i, row in enumerate(z1):
        scores = torch.exp(F.cosine_similarity(row[None], z2) / temperature)
        total = total - torch.log(scores[i] / scores.sum())
    return total / len(z1)


def by_logsumexp(z1, z2, temperature):
    s = torch.einsum("id,jd->ij", F.normalize(z1), F.normalize(z2)) / temperature
    return torch.mean(torch.logsumexp(s, 1) - s.diag())


CONTRAST = {
    "right": [by_softmax, by_loop, by_logsumexp],
    "wrong": [
        (lambda z1, z2, t: F.cross_entropy(z1 @ z2.T / t, torch.arange(z1.shape[0])), "not cosines"),
        (
            lambda z1, z2, t: F.cross_entropy(
                torch.softmax(F.normalize(z1) @ F.normalize(z2).T / t, 1), torch.arange(len(z1))
            ),
            "it is done twice",
        ),
        (lambda z1, z2, t: by_softmax(z2, z1, t), "the other direction"),
        (lambda z1, z2, t: by_softmax(z1, z2, 1.0), "the temperature was not used"),
        (lambda z1, z2, t: by_softmax(z1, z2, t).item(), "no gradient reaches z1"),
        (lambda z1, z2, t: by_softmax(z1, z2.detach(), t), "no gradient reaches z2"),
        (lambda z1, z2, t: by_softmax(z1, z2, t) * len(z1), "too large by the batch size"),
        (lambda z1, z2, t: (by_softmax(z1, z2, t) + by_softmax(z2, z1, t)) / 2, "as CLIP has it"),
    ],
}

# --- 01-random-target ---------------------------------------------------------------------------

RANDOM_TARGET = {
    "right": [
        {"linear": 0.6, "compared_with_its_target": "better"},
        (0.45, "Better"),
        {"compared_with_its_target": "better", "linear": np.float64(0.5)},
    ],
    "wrong": [
        ({"linear": 0.4, "compared_with_its_target": "the same"}, "another view than the target does"),
        ({"linear": 0.2, "compared_with_its_target": "worse"}, "two pictures get two answers"),
        ({"linear": 0.99, "compared_with_its_target": "better"}, "as good as training with labels"),
        ({"linear": 0.1, "compared_with_its_target": "better"}, "is printed above"),
        ({"linear": 50, "compared_with_its_target": "better"}, "a number from 0 to 1"),
        ({"linear": 0.5, "compared": "better"}, "the questions are linear, compared_with_its_target"),
    ],
}

# --- 01-chain -----------------------------------------------------------------------------------


def by_renewing_the_target(train, first, rounds):
    networks, target = [first], first
    for k in range(rounds):
        target = train(target, seed=k)
        networks.append(target)
    return networks


def by_recursion(train, first, rounds):
    if rounds == 0:
        return (first,)
    before = by_recursion(train, first, rounds - 1)
    return (*before, train(before[-1], rounds - 1))


def by_index(train, first, rounds):
    networks = [first] + [None] * rounds
    for k in range(rounds):
        networks[k + 1] = train(networks[k], seed=k)
    return networks


def as_given(train, first, rounds):
    networks, target = [first], first
    for k in range(rounds):
        networks.append(train(target, seed=k))
    return networks


def no_return(train, first, rounds):
    networks = [first]
    for k in range(rounds):
        networks.append(train(networks[-1], seed=k))


def same_seed(train, first, rounds):
    networks = [first]
    for _ in range(rounds):
        networks.append(train(networks[-1], seed=0))
    return networks


CHAIN = {
    "right": [by_renewing_the_target, by_recursion, by_index],
    "wrong": [
        (as_given, "predict the same network"),
        (no_return, "perhaps `return networks`"),
        (same_seed, "starts from the same weights"),
        (lambda *a: by_index(*a)[1:], "as its first"),
        (lambda *a: by_index(*a)[-1], "the list of all"),
    ],
}

# --- 01-rounds ----------------------------------------------------------------------------------

ROUNDS = {
    "right": [{"round_2": "better", "last_round": "better"}, ("better", "better"), [" Better", "BETTER "]],
    "wrong": [
        ({"round_2": "the same", "last_round": "the same"}, "found all that two views share"),
        ({"round_2": "worse", "last_round": "worse"}, "errors pile up"),
        ({"round_2": "better", "last_round": "the same"}, "last_round:"),
        ({"round_2": "better", "last_round": "worse"}, "what made the second round better"),
        ({"round_2": "the same", "last_round": "better"}, "round_2:"),
        ({"round2": "better", "last_round": "better"}, "the questions are round_2, last_round"),
        ({"round_2": "higher", "last_round": "better"}, "give one of 'better', 'the same', 'worse'"),
    ],
}

# --- 01-weights ---------------------------------------------------------------------------------


def by_numpy(tau, n):
    return np.concatenate(([tau**n], (1 - tau) * tau ** np.arange(n - 1, -1, -1.0)))


def by_tensor(tau, n):
    w = torch.zeros(n + 1)
    w[0] = 1
    for k in range(1, n + 1):
        w *= tau
        w[k] += 1 - tau
    return w


WEIGHTS = {
    "right": [by_numpy, by_tensor, lambda tau, n: (tau**n, *((1 - tau) * tau ** (n - k) for k in range(1, n + 1)))],
    "wrong": [
        (lambda tau, n: list(by_numpy(tau, n))[::-1], "wrong order"),
        (lambda tau, n: by_numpy(1 - tau, n), "the wrong way round"),
        (lambda tau, n: by_numpy(tau, n)[1:], "ξ₀ is missing"),
        (lambda tau, n: [tau ** (n - k) for k in range(n + 1)], "add up to more than 1"),
        (lambda tau, n: [tau**n] + [(1 - tau) * tau ** (n - k + 1) for k in range(1, n + 1)], "one too high"),
    ],
}

# --- 01-lag -------------------------------------------------------------------------------------


def from_ages(n):
    age = np.mean(np.arange(n))
    return age / (1 + age)


LAG = {
    "right": [from_ages, lambda n: 1 - 2 / (n + 1), lambda n: torch.tensor((n - 1) / (n + 1))],
    "wrong": [
        (lambda n: 1 - 1 / n, "not its mean"),
        (lambda n: n / (n + 2), "half a step too old"),
        (lambda n: math.fsum(range(n)) / n, "mean age in steps"),
        (lambda n: 2 / (n + 1), "this is 1 − τ"),
        (lambda n: n / (n + 1), "a mean age of n"),
    ],
}

ANSWERS = {
    "01-contrast": CONTRAST,
    "01-random-target": RANDOM_TARGET,
    "01-chain": CHAIN,
    "01-rounds": ROUNDS,
    "01-weights": WEIGHTS,
    "01-lag": LAG,
}
