"""Answers to the exercises of lesson 03, as people write them."""

import copy
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import byol_tutorial as bt

# --- 03-loss ------------------------------------------------------------------------------------


def by_lengths(p, z):
    p = p / p.norm(dim=1, keepdim=True)
    z = z / z.norm(dim=1, keepdim=True)
    return torch.sum((p - z) ** 2, dim=1).mean()


def by_loop(p, z):
    total = 0
    for a, b in zip(p, z, strict=True):
        total = total + 2 - 2 * torch.dot(a, b) / (torch.linalg.norm(a) * torch.linalg.norm(b))
    return total / len(p)


def as_float(p, z):
    return float(F.mse_loss(F.normalize(p), F.normalize(z), reduction="sum") / len(p))


def detached(p, z):
    return (F.normalize(p.detach(), dim=1) - F.normalize(z, dim=1)).pow(2).sum(1).mean()


def no_return(p, z):
    p, z = F.normalize(p, dim=-1), F.normalize(z, dim=-1)
    loss = (p - z).square().sum(-1).mean()  # noqa: F841


def by_numpy(p, z):
    p, z = p.numpy(), z.numpy()
    cos = (p * z).sum(1) / np.linalg.norm(p, axis=1) / np.linalg.norm(z, axis=1)
    return np.mean(2 - 2 * cos)


LOSS = {
    "right": [
        by_lengths,
        by_loop,
        lambda p, z: (2 - 2 * F.cosine_similarity(p, z, dim=-1)).mean(),
        lambda p, z: F.mse_loss(F.normalize(p), F.normalize(z), reduction="sum") / len(p),
        lambda p, z: (
            2 - 2 * torch.einsum("ij,ij->i", F.normalize(p), F.normalize(z.detach())).mean(dim=0, keepdim=True)
        ),
    ],
    "wrong": [
        (as_float, "no gradient reaches p"),
        (detached, "no gradient reaches p"),
        (by_numpy, "tensors that need a gradient"),
        (no_return, "perhaps `return loss`"),
        (lambda p, z: torch.linalg.vector_norm(p - z, dim=1).pow(2).mean(), "looks at directions only"),
        (lambda p, z: (F.normalize(p) - F.normalize(z)).pow(2).mean(), "too small by the number of dimensions"),
        (lambda p, z: torch.mean(1 - F.cosine_similarity(p, z)), "half of what is asked for"),
        (lambda p, z: 2 - 2 * (F.normalize(p) * F.normalize(z)).sum(1), "one number per image"),
    ],
}

# --- 03-bug -------------------------------------------------------------------------------------


def by_state(online):
    target = copy.deepcopy(online)
    target.load_state_dict(online.state_dict())
    for w in target.parameters():
        w.requires_grad = False
    return target


def in_eval_and_back(online):
    target = copy.deepcopy(online)
    for w in target.parameters():
        w.requires_grad_(False)
    return target


def shallow(online):
    target = copy.copy(online)
    return target.requires_grad_(False)


def forgot(online):
    target = copy.deepcopy(online)
    target.requires_grad_(False)


BUG = {
    "right": [by_state, in_eval_and_back, lambda online: copy.deepcopy(online).requires_grad_(False)],
    "wrong": [
        (shallow, "*same* parameters"),
        (lambda online: copy.deepcopy(online.requires_grad_(False)), "the online network has none either"),
        (copy.deepcopy, "still asks for gradients"),
        (forgot, "returns nothing"),
        (lambda online: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).requires_grad_(False), "starts *equal*"),
    ],
}

# --- 03-stop-gradient ---------------------------------------------------------------------------


def detaching(online, predictor, target, v1, v2):
    return bt.byol_loss(predictor(online(v1)), target(v2).detach()) + bt.byol_loss(
        predictor(online(v2)), target(v1).detach()
    )


def in_one_batch(online, predictor, target, v1, v2):
    p1, p2 = predictor(online(torch.cat((v1, v2)))).chunk(2)
    with torch.no_grad():
        t1, t2 = target(torch.cat((v1, v2))).chunk(2)
    return bt.byol_loss(p2, t1) + bt.byol_loss(p1, t2)


@torch.inference_mode()
def _frozen(network, v):
    return network(v)


def by_cosine(online, predictor, target, v1, v2):
    t1, t2 = _frozen(target, v1).clone(), _frozen(target, v2).clone()
    cos = F.cosine_similarity(predictor(online(v1)), t2) + F.cosine_similarity(predictor(online(v2)), t1)
    return (4 - 2 * cos).mean()


def everything_stopped(online, predictor, target, v1, v2):
    with torch.no_grad():
        return detaching(online, predictor, target, v1, v2)


def one_stopped(online, predictor, target, v1, v2):
    return bt.byol_loss(predictor(online(v1)), target(v2)) + bt.byol_loss(predictor(online(v2)), target(v1))


def same_views(online, predictor, target, v1, v2):
    return sum(bt.byol_loss(predictor(online(v)), target(v).detach()) for v in (v1, v2))


STOP_GRADIENT = {
    "right": [detaching, in_one_batch, by_cosine],
    "wrong": [
        (everything_stopped, "no gradient for any network"),
        (lambda *a: detaching(*a).item(), "no gradient for any network"),
        (one_stopped, "the gradient reaches the target"),
        (same_views, "*same* view"),
        (lambda *a: detaching(*a) / 2, "added, not averaged"),
        (lambda o, q, t, a, b: detaching(o, q, o, a, b), "the target network is not used"),
    ],
}

# --- 03-ema -------------------------------------------------------------------------------------


def by_lerp(target, online, tau):
    with torch.no_grad():
        torch._foreach_lerp_(list(target.parameters()), list(online.parameters()), 1 - tau)


def by_data(target, online, tau):
    for xi, theta in zip(target.parameters(), online.parameters(), strict=True):
        xi.data = tau * xi.data + (1 - tau) * theta.data


def by_state_dict(target, online, tau):
    new = {k: tau * v + (1 - tau) * online.state_dict()[k] for k, v in target.state_dict().items()}
    target.load_state_dict(new)
    return target


def new_tensors(target, online, tau):
    with torch.no_grad():
        for xi, theta in zip(target.parameters(), online.parameters(), strict=True):
            xi = tau * xi + (1 - tau) * theta


def exchanged(target, online, tau):
    with torch.no_grad():
        for xi, theta in zip(target.parameters(), online.parameters(), strict=True):
            xi.copy_((1 - tau) * xi + tau * theta)


def without_no_grad(target, online, tau):
    for xi, theta in zip(target.parameters(), online.parameters(), strict=True):
        xi.lerp_(theta, 1 - tau)


def copied(target, online, tau):
    target.load_state_dict(online.state_dict())


def weights_only(target, online, tau):
    target.weight.data.mul_(tau).add_(online.weight.data, alpha=1 - tau)


EMA = {
    "right": [by_lerp, by_data, by_state_dict],
    "wrong": [
        (new_tensors, "gives the name to a new tensor"),
        (exchanged, "the wrong way round"),
        (without_no_grad, "under torch.no_grad()"),
        (copied, "a copy of the online network"),
        (weights_only, "only the first parameter moved"),
    ],
}

# --- 03-tau -------------------------------------------------------------------------------------

TAU = {
    "right": [
        lambda k, K, base: 1 - (1 - base) * (np.cos(np.pi * k / K) + 1) / 2,
        lambda k, K, base: 1 - (1 - base) * math.cos(math.pi * k / (2 * K)) ** 2,
        lambda k, K, base: base + (1 - base) * (1 - torch.cos(torch.tensor(torch.pi * k / K))) / 2,
    ],
    "wrong": [
        (lambda k, K, base: base + (1 - base) * (k / K), "a straight line"),
        (lambda k, K, base: base, "constant"),
        (lambda k, K, base: 1 - (1 - base) * (1 - np.cos(np.pi * k / K)) / 2, "upside down"),
        (lambda k, K, base: 1 - (1 - base) * (math.cos(k / K) + 1) / 2, "the angle is π k/K"),
        (lambda k, K, base: 1 - (1 - base) * (math.cos(math.pi * k / K) + 1), "twice as far"),
        (lambda k, K, base: 1 - (1 - base) * math.cos(math.pi * (k + 1) / (2 * K)) ** 2, "one update too far"),
    ],
}

# --- 03-loss-values -----------------------------------------------------------------------------

LOSS_VALUES = {
    "right": [
        {"first": 4, "last": 0.8},
        (3.9, 1.2),
        {"last": torch.tensor(0.5), "first": np.float32(4)},
        np.array([4, 1.0]),
    ],
    "wrong": [
        ({"first": 4.0, "last": 3.9}, "last: the two views show the same picture"),
        ({"first": 0, "last": 0}, "a random predictor stands between"),
        ({"first": 4, "last": 0}, "every prediction is perfect"),
        ({"first": 7.5, "last": 1}, "orthogonal, not opposite"),
        ({"first": 2, "last": 1}, "one half of the loss"),
        ({"start": 4, "last": 1}, "the questions are first, last"),
    ],
}

# --- 03-many-views ------------------------------------------------------------------------------


def by_pairs(ps, ts):
    losses = [bt.byol_loss(p, t) for i, p in enumerate(ps) for j, t in enumerate(ts) if i != j]
    return 2 * torch.stack(losses).mean()


def by_matrix(ps, ts):
    p, t = F.normalize(torch.stack(ps), dim=-1), F.normalize(torch.stack(ts), dim=-1)
    cos = torch.einsum("iab,jab->ij", p, t) / p.shape[1]
    others = ~torch.eye(len(ps), dtype=torch.bool)
    return 2 * (2 - 2 * cos[others]).mean()


def minus_the_diagonal(ps, ts):
    V = len(ps)
    every = sum(bt.byol_loss(p, t) for p in ps for t in ts)
    own = sum(bt.byol_loss(ps[i], ts[i]) for i in range(V))
    return (every - own) * 2 / (V * (V - 1))


def above_the_diagonal(ps, ts):
    V = len(ps)
    pairs = [(i, j) for i in range(V) for j in range(i + 1, V)]
    return 2 * sum(bt.byol_loss(ps[i], ts[j]) for i, j in pairs) / len(pairs)


MANY_VIEWS = {
    "right": [by_pairs, by_matrix, minus_the_diagonal],
    "wrong": [
        (above_the_diagonal, "in one direction only"),
        (
            lambda ps, ts: sum(bt.byol_loss(ps[i], ts[j]) for i in range(len(ps)) for j in range(i)),
            "in one direction only",
        ),
        (lambda ps, ts: by_pairs(ps, ts) / 2, "half of BYOL's loss"),
        (lambda ps, ts: by_pairs(ps, ts).item(), "no gradient reaches ps"),
        (lambda ps, ts: sum(bt.byol_loss(p, t) for p, t in zip(ps, ts, strict=True)), "its *own* view only"),
        (lambda ps, ts: sum(bt.byol_loss(p, t) for i, p in enumerate(ps) for j, t in enumerate(ts) if i != j), "grows"),
    ],
}

ANSWERS = {
    "03-loss": LOSS,
    "03-bug": BUG,
    "03-stop-gradient": STOP_GRADIENT,
    "03-ema": EMA,
    "03-tau": TAU,
    "03-loss-values": LOSS_VALUES,
    "03-many-views": MANY_VIEWS,
}
