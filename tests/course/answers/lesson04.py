"""Answers to the exercises of lesson 04, as people write them."""

import numpy as np
import torch
import torch.nn.functional as F

# --- 04-sphere ----------------------------------------------------------------------------------

POINT, MANY = "one point", "many places"
SPHERE = {
    "right": [
        {"agreement": POINT, "byol": MANY, "simclr": MANY, "fixed_target": MANY},
        (POINT, MANY, MANY, MANY),
        {"simclr": "Many places", "fixed_target": "many  places", "byol": MANY, "agreement": "One point"},
    ],
    "wrong": [
        ((MANY, MANY, MANY, MANY), "agreement: nothing in this run"),
        ((POINT, POINT, MANY, POINT), "negatives are one way"),
        ((POINT, POINT, MANY, MANY), "byol: a point would be"),
        ((POINT, MANY, MANY, POINT), "fixed_target: its answers differ"),
        ((POINT, MANY, POINT, MANY), "simclr: pictures at the same point"),
        ((POINT, "a ring", MANY, MANY), "byol='a ring'"),
    ],
}

# --- 04-predictors ------------------------------------------------------------------------------

NO, YES = "learns nothing", "learns"
PREDICTORS = {
    "right": [
        {"none": NO, "linear": NO, "fixed": NO, "optimal": YES},
        (NO, NO, NO, YES),
        {"optimal": "Learns", "fixed": "Learns nothing", "linear": "learns  nothing", "none": NO},
    ],
    "wrong": [
        ({"none": NO, "linear": YES, "fixed": YES, "optimal": YES}, "a predictor that does not keep up"),
        ({"none": YES, "linear": NO, "fixed": NO, "optimal": YES}, "none: without a predictor"),
        ({"none": NO, "linear": NO, "fixed": NO, "optimal": NO}, "optimal: it is computed again"),
        ({"none": NO, "linear": YES, "fixed": NO, "optimal": YES}, "linear: it follows"),
        ({"none": NO, "linear": NO, "fixed": YES, "optimal": YES}, "fixed: it makes the two sides differ"),
        ({"no": NO, "linear": NO, "fixed": NO, "optimal": YES}, "the questions are none, linear, fixed, optimal"),
    ],
}

# --- 04-rungs -----------------------------------------------------------------------------------

RUNGS = {
    "right": [
        {"random": YES, "collapsed": NO},
        (YES, NO),
        {"collapsed": "Learns nothing", "random": np.str_("learns")},
    ],
    "wrong": [
        ((NO, YES), "the other way round"),
        ((NO, NO), "random: its answers"),
        ((YES, YES), "collapsed: its answers are nearly the same"),
        ({"random": YES, "collapsed": "worse"}, "collapsed='worse'"),
        ((YES,), "give a guess for each of random, collapsed"),
    ],
}

# --- 04-best ------------------------------------------------------------------------------------


def by_loop(z, target):
    p = torch.zeros_like(target)
    for k in z.unique():
        p[z == k] = target[z == k].mean(dim=0)
    return p


def by_one_hot(z, target):
    member = F.one_hot(z).to(target.dtype)  # (N, answers)
    return member @ torch.linalg.pinv(member) @ target  # least squares: the best table


def by_numpy_groups(z, target):
    z, target = z.numpy(), target.numpy()
    names, group = np.unique(z, return_inverse=True)
    total = np.stack([np.bincount(group, weights=column, minlength=len(names)) for column in target.T], 1)
    return (total / np.bincount(group)[:, None])[group]


def table_only(z, target):
    return torch.stack([target[z == k].mean(0) for k in z.unique()])


def mean_of_everything(z, target):
    return target.mean(0) + torch.zeros_like(target)


def sum_of_group(z, target):
    return torch.stack([target[z == k].sum(0) for k in z])


def over_both_axes(z, target):
    return torch.stack([target[z == k].mean() + torch.zeros(target.shape[1]) for k in z])


BEST = {
    "right": [by_loop, by_one_hot, by_numpy_groups],
    "wrong": [
        (table_only, "one row for each answer"),
        (mean_of_everything, "someone who does not know z"),
        (sum_of_group, "divide each by the number"),
        (over_both_axes, "over the dimensions, too"),
        (lambda z, target: target, "the targets themselves"),
        (lambda z, target: sum_of_group(z, target) / len(target), "not of those that got this answer"),
        (lambda z, target: by_loop(z, target)[z.argsort(stable=True)], "in another order"),
    ],
}

# --- 04-what-counts -----------------------------------------------------------------------------

GROWS, STAYS = "grows", "stays"
COUNTS = {
    "right": [
        {"smaller": STAYS, "merged": GROWS, "constant": GROWS},
        (STAYS, GROWS, GROWS),
        {"constant": "Grows", "merged": "grows ", "smaller": STAYS},
    ],
    "wrong": [
        ((GROWS, GROWS, GROWS), "smaller: as long as different answers stay different"),
        ((GROWS, GROWS, STAYS), "however small the differences are"),
        ((GROWS, STAYS, STAYS), "has to keep up with such a change"),
        ((STAYS, STAYS, GROWS), "merged: two groups"),
        ((STAYS, GROWS, STAYS), "constant: the loss of *agreement*"),
    ],
}

# --- 04-alignment -------------------------------------------------------------------------------


def by_columns(W, C, k):
    s, u = torch.linalg.eigh(C)
    best = u[:, s.argsort(descending=True)[:k]]
    return F.cosine_similarity(W @ best, best, dim=0).abs().mean()


def by_svd(W, C, k):
    u = torch.linalg.svd(C).U[:, :k]  # of a symmetric matrix without negative eigenvalues, largest first
    Wu = W @ u
    return ((Wu * u).sum(0) / Wu.norm(dim=0)).abs().mean()


def by_numpy(W, C, k):
    W, C = W.numpy(), C.numpy()
    _, u = np.linalg.eigh(C)
    return np.mean([abs(v @ W @ v) / np.linalg.norm(W @ v) for v in u.T[::-1][:k]])


def rows(W, C, k):
    _, u = torch.linalg.eigh(C)
    return sum(F.cosine_similarity(W @ u[-1 - j], u[-1 - j], dim=0).abs() for j in range(k)) / k


def smallest(W, C, k):
    u = torch.linalg.eigh(C).eigenvectors[:, :k]
    return F.cosine_similarity(W @ u, u, dim=0).abs().mean()


def signed(W, C, k):
    u = torch.linalg.eigh(C).eigenvectors.flip(1)[:, :k]
    return F.cosine_similarity(W @ u, u, dim=0).mean()


ALIGNMENT = {
    "right": [by_columns, by_svd, by_numpy],
    "wrong": [
        (rows, "eigenvectors at all"),
        (smallest, "*smallest* eigenvalues"),
        (signed, "absolute value"),
        (lambda W, C, k: by_columns(W, C, k) * k, "the mean over the k directions"),
        (lambda W, C, k: by_columns(W, C, len(C)), "only the k with the largest"),
    ],
}

# --- 04-dynamics --------------------------------------------------------------------------------


def in_a_dict_first(p, s, tau, eta, alpha, noise):
    rate = {"p": alpha * s * (tau - (1 + noise) * p) - eta * p}
    rate["s"] = 2 * (p * s * (tau - (1 + noise) * p) - eta * s)
    return [rate["p"], rate["s"]]


def stacked(p, s, tau, eta, alpha, noise):
    p, s = torch.as_tensor(p), torch.as_tensor(s)
    pull = tau - p - noise * p
    return torch.stack((alpha * s * pull - eta * p, 2 * s * (p * pull - eta)))


def by_numpy(p, s, tau, eta, alpha, noise):
    p, s = np.asarray(p), np.asarray(s)
    pull = tau - (1 + noise) * p
    return np.array([alpha * s * pull - eta * p, 2 * p * s * pull - 2 * eta * s])


def no_two(p, s, tau, eta, alpha, noise):
    pull = tau - (1 + noise) * p
    return alpha * s * pull - eta * p, p * s * pull - eta * s


def no_noise(p, s, tau, eta, alpha, noise):
    return stacked(p, s, tau, eta, alpha, 0)


def forgets(p, s, tau, eta, alpha, noise):
    pull = tau - (1 + noise) * p
    dp = alpha * s * pull - eta * p  # noqa: F841
    ds = 2 * p * s * pull - 2 * eta * s  # noqa: F841


def half_done(p, s, tau, eta, alpha, noise):
    pull = tau - (1 + noise) * p
    return alpha * s * pull - eta * p, ...


DYNAMICS = {
    "right": [in_a_dict_first, stacked, by_numpy],
    "wrong": [
        (no_two, "has a factor 2"),
        (no_noise, "σ² was not used"),
        (forgets, "returns nothing"),
        (half_done, "is still `Ellipsis`"),
        (lambda *a: stacked(*a).flip(0), "exchanged"),
        (lambda p, s: (p, s), "called with 6 arguments"),
    ],
}

# --- 04-directpred ------------------------------------------------------------------------------


def from_svd(C, epsilon):
    u, s, _ = torch.linalg.svd(C)
    return u @ torch.diag((s / s[0]).sqrt() + epsilon) @ u.T


def from_numpy(C, epsilon):
    s, u = np.linalg.eigh(C.numpy().astype(np.float64))
    p = np.sqrt(np.maximum(s, 0) / s[-1]) + epsilon
    return u @ np.diag(p) @ u.T


def sum_of_products(C, epsilon):
    s, u = torch.linalg.eigh(C.double())
    W = torch.zeros_like(u)
    for s_j, u_j in zip(s.relu(), u.T, strict=True):
        W += ((s_j / s.max()) ** 0.5 + epsilon) * torch.outer(u_j, u_j)
    return W


def scaled(C, epsilon):
    s, u = torch.linalg.eigh(C)
    root = s.relu().sqrt()
    return u @ torch.diag(root + epsilon * root.max()) @ u.T


def of_the_paper(C, epsilon):
    u, s, _ = torch.linalg.svd(C)
    return u @ torch.diag(s.sqrt() + epsilon * s[0]) @ u.T


def not_clamped(C, epsilon):
    s, u = torch.linalg.eigh(C)
    return u @ torch.diag((s / s.max()) ** 0.5 + epsilon) @ u.T


DIRECTPRED = {
    "right": [from_svd, from_numpy, sum_of_products],
    "wrong": [
        (scaled, "√s + ε max √s"),
        (of_the_paper, "equation 18"),
        (not_clamped, "NaN"),
        (lambda C, e: from_svd(C, 0), "could never come back"),
        (lambda C, e: from_svd(C @ C, e), "the root is missing"),
        (lambda C, e: from_svd(C, e).diagonal(), "asks for"),
        (lambda C, e: C, "C itself"),
    ],
}

# --- 04-table-21 --------------------------------------------------------------------------------

TABLE_21 = {
    "right": [
        {"rate_0": NO, "rate_1": YES, "rate_10": YES},
        (NO, YES, YES),
        {"rate_10": np.str_("learns"), "rate_1": "LEARNS", "rate_0": "learns nothing "},
    ],
    "wrong": [
        ({"rate_0": NO, "rate_1": NO, "rate_10": YES}, "5.5 %"),
        ({"rate_0": NO, "rate_1": NO, "rate_10": NO}, "the moving average is not"),
        ({"rate_0": YES, "rate_1": YES, "rate_10": YES}, "rate_0:"),
        ({"rate_0": NO, "rate_1": YES, "rate_10": NO}, "rate_10:"),
        ((NO, YES), "give a guess for each of rate_0, rate_1, rate_10"),
    ],
}

# --- 04-limit -----------------------------------------------------------------------------------


def by_grid(tau, noise):
    p = np.linspace(0, tau, 200_001)
    return (p * (tau - (1 + noise) * p)).max()


def by_gradient(tau, noise):
    p = torch.tensor(0.0, dtype=torch.float64)
    for _ in range(200):
        p += 0.2 * (tau - 2 * (1 + noise) * p)
    return p * (tau - (1 + noise) * p)


LIMIT = {
    "right": [by_grid, by_gradient, lambda tau, noise: (tau / 2) ** 2 / (1 + noise)],
    "wrong": [
        (lambda tau, noise: tau / (2 * (1 + noise)), "How high is it there?"),
        (lambda tau, noise: (tau / 2) ** 2, "right without noise"),
        (lambda tau, noise: tau / (1 + noise), "at which the pull is 0"),
        (lambda tau, noise: (tau / (1 + noise)) ** 2 / 4, "not squared"),
        (lambda tau, noise: by_grid(tau, noise) * 4, "four times too large"),
    ],
}

ANSWERS = {
    "04-sphere": SPHERE,
    "04-rungs": RUNGS,
    "04-best": BEST,
    "04-what-counts": COUNTS,
    "04-predictors": PREDICTORS,
    "04-table-21": TABLE_21,
    "04-alignment": ALIGNMENT,
    "04-dynamics": DYNAMICS,
    "04-directpred": DIRECTPRED,
    "04-limit": LIMIT,
}
