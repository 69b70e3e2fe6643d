"""Answers to the exercises of lesson 05, as people write them."""

import math

import numpy as np
import torch
import torch.nn.functional as F

# --- 05-tau -------------------------------------------------------------------------------------

NOTHING, LESS, WELL = "learns nothing", "learns less", "learns as well"
TAU = {
    "right": [
        {"tau_1": LESS, "tau_0999": LESS, "tau_0": WELL},
        (LESS, LESS, WELL),
        {"tau_0": "Learns as well", "tau_0999": " learns less", "tau_1": np.str_(LESS)},
    ],
    "wrong": [
        ({"tau_1": LESS, "tau_0999": WELL, "tau_0": NOTHING}, "that is so on ImageNet"),
        ({"tau_1": NOTHING, "tau_0999": LESS, "tau_0": WELL}, "predicting a random network"),
        ({"tau_1": LESS, "tau_0999": LESS, "tau_0": LESS}, "tau_0:"),
        ({"tau_1": LESS, "tau_0999": WELL, "tau_0": WELL}, "tau_0999:"),
        ({"tau_1": WELL, "tau_0999": LESS, "tau_0": WELL}, "tau_1:"),
        ({"tau_1": LESS, "tau_099": LESS, "tau_0": WELL}, "the questions are tau_1, tau_0999, tau_0"),
    ],
}

# --- 05-memory ----------------------------------------------------------------------------------


def by_logarithms(tau, steps, other):
    return math.exp(math.log(tau) * steps / other)


def by_bisection(tau, steps, other):
    low, high = 0.0, 1.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if other * math.log(middle) < steps * math.log(tau) else (low, middle)
    return low


MEMORY = {
    "right": [by_logarithms, by_bisection, lambda tau, steps, other: np.power(tau, steps / other)],
    "wrong": [
        (lambda tau, a, b: tau ** (b / a), "the other way"),
        (lambda tau, a, b: 1 - (1 - tau) * a / b, "near 1 that is nearly the same"),
        (lambda tau, a, b: tau, "the same τ"),
        (lambda tau, a, b: tau * b / a, "can exceed 1"),
        (lambda tau, a, b: tau**a, "what is left of the first target"),
        (lambda tau, a: tau, "called with 3 arguments"),
    ],
}

# --- 05-clouds ----------------------------------------------------------------------------------

CLOUDS = {
    "right": [
        {"point_spread": "near 0", "circle_spread": "near 1", "circle_rank": "about 2"},
        ("near 0", "near 1", "about 2"),
        {"circle_rank": "About 2", "circle_spread": "Near 1", "point_spread": "Near 0"},
    ],
    "wrong": [
        (("near 0", "near 0", "about 2"), "circle_spread:"),
        (("near 0", "near 1", "about 64"), "circle_rank:"),
        (("near 1", "near 1", "about 2"), "point_spread:"),
        ({"point_spread": 0, "circle_spread": "near 1", "circle_rank": "about 2"}, "give one of 'near 0', 'near 1'"),
        ({"point": "near 0", "circle_spread": "near 1", "circle_rank": "about 2"}, "there is no question 'point'"),
    ],
}

# --- 05-rank ------------------------------------------------------------------------------------


def spectrum(z):
    z = F.normalize(z.double(), dim=-1)
    return torch.linalg.svdvals(z - z.mean(dim=0)) ** 2 / len(z)


def entropy_rank(eigenvalues):
    share = eigenvalues / eigenvalues.sum()
    return float((-(share * share.clamp(min=1e-12).log()).sum()).exp())


def above_a_variance(z):
    return int((spectrum(z) > 0.01).sum())


def zero_below_a_variance(z):
    e = spectrum(z)
    if e.sum() < 0.05:
        return 0.0
    return entropy_rank(e)


def participation(z):
    z = z.numpy() / np.linalg.norm(z.numpy(), axis=1, keepdims=True)
    e = np.linalg.eigvalsh(np.cov(z.T))
    return e.sum() ** 3 / (e**2).sum()


def not_centred(z):
    e = torch.linalg.svdvals(F.normalize(z.double(), dim=1)) ** 2 / len(z)
    return entropy_rank(e) * e.sum()


RANK = {
    "right": [
        lambda z: entropy_rank(spectrum(z)) * spectrum(z).sum(),
        lambda z: entropy_rank(spectrum(z)) * spectrum(z).sum().sqrt(),
        above_a_variance,
        zero_below_a_variance,
        participation,
    ],
    "wrong": [
        (lambda z: entropy_rank(spectrum(z)), "only by noise"),
        (not_centred, "without taking away the mean"),
        (lambda z: (spectrum(z) / spectrum(z).sum() > 0.01).sum(), "threshold on *shares*"),
        (lambda z: (spectrum(z) > 0.2).sum(), "points around the sphere get 0 of 16"),
        (lambda z: entropy_rank(spectrum(z)) * spectrum(z).sum() / 2, "points around the sphere get"),
        (lambda z: 16 * spectrum(z).sum(), "a circle gets"),
        (lambda z: spectrum(z).sum(), "no longer counts directions"),
        (lambda z: spectrum(z), "returns a tensor of shape (16,)"),
    ],
}

# --- 05-lag -------------------------------------------------------------------------------------

LAG = {
    "right": [
        {"spread_no_predictor": "falls", "spread_no_stop_gradient": "falls", "knn_no_predictor": "rises"},
        ["falls", "falls", "rises"],
        {"knn_no_predictor": "Rises", "spread_no_stop_gradient": "Falls", "spread_no_predictor": "Falls"},
    ],
    "wrong": [
        (("falls", "falls", "falls"), "knn_no_predictor:"),
        (("stays", "stays", "rises"), "is not protected"),
        (("stays", "falls", "rises"), "spread_no_predictor:"),
        (("falls", "stays", "rises"), "spread_no_stop_gradient:"),
        (("falls", "falls", "stays"), "give one of 'falls', 'rises'"),
    ],
}

# --- 05-rotation --------------------------------------------------------------------------------


def from_mean(z):
    z = F.normalize(z, dim=-1)
    return (1 - z.mean(0).square().sum()).sqrt()


def from_covariance(z):
    z = z.double().numpy()
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    return np.sqrt(np.trace(np.cov(z, rowvar=False)))


def from_distances(z):
    z = F.normalize(z.double(), dim=1)
    return (torch.cdist(z, z).square().mean() / 2).sqrt()


def mean_distance(z):
    z = F.normalize(z.double(), dim=1)
    return torch.pdist(z).mean() / math.sqrt(2)


def usual(z):
    return F.normalize(z, dim=1).std(0).mean() * math.sqrt(z.shape[1])


ROTATION = {
    "right": [from_mean, from_covariance, from_distances, mean_distance],
    "wrong": [
        (usual, "a flat circle gets less"),
        (lambda z: from_mean(z) ** 2, "scale of a standard deviation"),
        (lambda z: z.var(0).sum().sqrt(), "only directions count"),
        (lambda z: from_mean(z) / 4, "points all around get 0.2"),
        (lambda z: F.normalize(z, dim=1).norm(dim=1).mean(), "always 1"),
        (lambda z: F.normalize(z, dim=1).std(0), "one number"),
    ],
}

ANSWERS = {
    "05-tau": TAU,
    "05-memory": MEMORY,
    "05-clouds": CLOUDS,
    "05-rank": RANK,
    "05-lag": LAG,
    "05-rotation": ROTATION,
}
