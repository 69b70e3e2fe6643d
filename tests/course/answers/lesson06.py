"""Answers to the exercises of lesson 06, as people write them."""

import numpy as np
import torch
import torch.nn.functional as F

import byol_tutorial as bt

# --- 06-negatives -------------------------------------------------------------------------------


def by_exponentials(p, own, other, temperature):
    p, own, other = (x / x.norm(dim=1, keepdim=True) for x in (p, own, other))
    same, cross = (p @ own.T / temperature).exp(), (p @ other.T / temperature).exp()
    same = same - torch.diag(same.diagonal())
    return 2 * temperature * (same.sum(1) + cross.sum(1)).log().mean()


def by_loop(p, own, other, temperature):
    total = 0
    for i in range(len(p)):
        scores = [F.cosine_similarity(p[i], own[j], dim=0) for j in range(len(p)) if j != i]
        scores += [F.cosine_similarity(p[i], other[j], dim=0) for j in range(len(p))]
        total = total + torch.logsumexp(torch.stack(scores) / temperature, 0)
    return 2 * temperature * total / len(p)


def by_stacking(p, own, other, temperature):
    n = len(p)
    scores = F.normalize(p) @ F.normalize(torch.cat((own, other))).T / temperature
    keep = ~torch.eye(n, 2 * n, dtype=torch.bool)
    return 2 * temperature * scores[keep].view(n, 2 * n - 1).logsumexp(1).mean()


def zero_diagonal(p, own, other, temperature):
    p, own, other = (F.normalize(x, dim=1) for x in (p, own, other))
    same = (p @ own.T / temperature) * (1 - torch.eye(len(p)))
    return 2 * temperature * torch.cat((same, p @ other.T / temperature), 1).logsumexp(1).mean()


def with_itself(p, own, other, temperature):
    scores = F.normalize(p) @ F.normalize(torch.cat((own, other))).T / temperature
    return 2 * temperature * scores.logsumexp(1).mean()


NEGATIVES = {
    "right": [by_exponentials, by_loop, by_stacking],
    "wrong": [
        (with_itself, "leave j = i out of the first sum"),
        (zero_diagonal, "e⁰ = 1"),
        (lambda p, own, other, t: by_stacking(p, own, other, t) / 2 / t, "factor 2α is missing"),
        (lambda p, own, other, t: by_stacking(p, own, other, t) / t, "2α, not 2"),
        (lambda p, own, other, t: by_stacking(p, p, other, t), "compared with p"),
        (lambda p, own, other, t: by_stacking(p.detach(), own, other, t), "no gradient reaches p"),
        (lambda p, own, other, t: by_stacking(p, own, other.detach(), t), "no gradient reaches other"),
        (lambda p, own, other, t: by_stacking(p, own, other, t).item(), "trains nothing"),
    ],
}

# --- 06-rows ------------------------------------------------------------------------------------

YES, NO = "learns", "collapses"
ROWS = {
    "right": [
        {"no_predictor_target_negatives": YES, "predictor_no_target": YES, "no_predictor_target": NO},
        (YES, YES, NO),
        np.array([YES, YES, NO]).tolist(),
    ],
    "wrong": [
        ((YES, NO, NO), "that is the paper's table"),
        ((YES, YES, YES), "a slow target only delays"),
        ((NO, YES, NO), "SimCLR has none"),
        ((YES, "learn", NO), "give one of 'learns', 'collapses'"),
        ({"negatives": YES, "predictor_no_target": YES, "no_predictor_target": NO}, "there is no question 'negatives'"),
    ],
}

# --- 06-below-zero ------------------------------------------------------------------------------


def by_cross_entropy(z1, z2, temperature):
    return F.cross_entropy(F.normalize(z1) @ F.normalize(z2).T / temperature, torch.arange(len(z1)))


def by_log_softmax(z1, z2, temperature):
    scores = F.cosine_similarity(z1[:, None], z2[None], dim=2) / temperature
    return -scores.log_softmax(dim=1).diagonal().mean()


def put_back(z1, z2, temperature):
    scores = F.normalize(z1, dim=-1) @ F.normalize(z2, dim=-1).T / temperature
    partner = scores.diagonal()
    others = scores.masked_fill(torch.eye(len(z1), dtype=torch.bool), -torch.inf)
    everyone = torch.logaddexp(others.logsumexp(dim=1), partner)
    return (everyone - partner).mean()


def as_given(z1, z2, temperature):
    scores = F.normalize(z1, dim=-1) @ F.normalize(z2, dim=-1).T / temperature
    partner = scores.diagonal()
    others = scores.masked_fill(torch.eye(len(z1), dtype=torch.bool), -torch.inf)
    return (others.logsumexp(dim=1) - partner).mean()


BELOW_ZERO = {
    "right": [by_cross_entropy, by_log_softmax, put_back],
    "wrong": [
        (as_given, "far below 0"),
        (lambda z1, z2, t: F.relu(as_given(z1, z2, t)), "cuts the loss off"),
        (lambda z1, z2, t: as_given(z1, z2, t).abs(), "the sign was taken away"),
        (
            lambda z1, z2, t: torch.logsumexp(F.normalize(z1) @ F.normalize(z2).T / t, 1).mean(),
            "nothing draws partners",
        ),
        (lambda z1, z2, t: float(by_cross_entropy(z1.detach(), z2.detach(), t)), "no gradient reaches z1"),
    ],
}

# --- 06-batch -----------------------------------------------------------------------------------

BATCH = {
    "right": [
        {"paper_loses_more": "SimCLR", "simclr_with_four": "learns", "byol_with_four": "learns"},
        ("simclr", "learns", "learns"),
        {"byol_with_four": "Learns", "simclr_with_four": "LEARNS", "paper_loses_more": np.str_("SimCLR")},
    ],
    "wrong": [
        (("BYOL", "learns", "learns"), "BYOL's loss compares no two images"),
        (("SimCLR", "fails", "learns"), "how many negatives"),
        (("SimCLR", "learns", "fails"), "noisy with four images"),
        (("both", "learns", "learns"), "give one of 'BYOL', 'SimCLR'"),
        (
            {"paper": "SimCLR", "simclr_with_four": "learns", "byol_with_four": "learns"},
            "the questions are paper_loses_more",
        ),
    ],
}

# --- 06-queue -----------------------------------------------------------------------------------


def candidates(p, z, queue, temperature):
    p, z, queue = F.normalize(p), F.normalize(z), F.normalize(queue)
    own = torch.einsum("ij,ij->i", p, z)[:, None]
    return torch.hstack((own, p @ queue.T)) / temperature


def with_cross_entropy(p, z, queue, temperature):
    nce = F.cross_entropy(candidates(p, z, queue, temperature), torch.zeros(len(p), dtype=torch.long))
    return 2 + 2 * temperature * nce


def in_two_parts(p, z, queue, temperature):
    s = candidates(p, z.detach(), queue.detach(), temperature)
    return bt.byol_loss(p, z) + 2 * temperature * torch.log(torch.exp(s).sum(1)).mean()


def by_loop(p, z, queue, temperature):
    total = 0
    for p_i, z_i in zip(p, z, strict=True):
        all_of_them = torch.cat((z_i[None], queue))
        s = F.cosine_similarity(p_i[None], all_of_them)
        total = total + 2 - 2 * s[0] + 2 * temperature * (s / temperature).logsumexp(0)
    return total / len(p)


def queue_only(p, z, queue, temperature):
    return bt.byol_loss(p, z) + 2 * temperature * candidates(p, z, queue, temperature)[:, 1:].logsumexp(1).mean()


QUEUE = {
    "right": [with_cross_entropy, in_two_parts, by_loop],
    "wrong": [
        (queue_only, "1 + M candidates"),
        (lambda p, z, q, t: bt.byol_loss(p, z), "the queue is not used"),
        (lambda p, z, q, t: (with_cross_entropy(p, z, q, t) - 2) / (2 * t), "InfoNCE itself"),
        (lambda p, z, q, t: with_cross_entropy(p, z, q, t) - bt.byol_loss(p, z), "the attracting part is missing"),
        (lambda p, z, q, t: with_cross_entropy(p.detach(), z, q, t), "no gradient reaches p"),
    ],
}

ANSWERS = {
    "06-negatives": NEGATIVES,
    "06-rows": ROWS,
    "06-below-zero": BELOW_ZERO,
    "06-batch": BATCH,
    "06-queue": QUEUE,
}
