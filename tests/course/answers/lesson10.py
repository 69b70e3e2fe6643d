"""Answers to the exercises of lesson 10, as people write them."""

import itertools

import numpy as np
import torch
import torch.nn.functional as F

# --- 10-sort ------------------------------------------------------------------------------------


def by_exponentials(scores, center, temperature, momentum):
    e = torch.exp((scores - center) / temperature)
    return e / e.sum(dim=1, keepdim=True), torch.lerp(scores.mean(0), center, momentum)


def in_numpy(scores, center, temperature, momentum):
    scores, center = scores.double().numpy(), center.double().numpy()
    x = (scores - center) / temperature
    x = np.exp(x - x.max(axis=1, keepdims=True))
    return x / x.sum(1, keepdims=True), momentum * center + (1 - momentum) * scores.mean(axis=0)


def by_rows(scores, center, temperature, momentum):
    rows = [F.softmax((row - center) / temperature, dim=0) for row in scores]
    return [torch.stack(rows), center + (1 - momentum) * (scores.mean(0) - center)]


def centre_first(scores, center, temperature, momentum):
    center = momentum * center + (1 - momentum) * scores.mean(0)
    return ((scores - center) / temperature).softmax(1), center


SORT = {
    "right": [by_exponentials, in_numpy, by_rows],
    "wrong": [
        (centre_first, "that it has changed itself"),
        (lambda s, c, t, m: by_rows(s, c, t, 1 - m), "m and 1 − m are exchanged"),
        (lambda s, c, t, m: (((s - c) / t).softmax(0), by_rows(s, c, t, m)[1]), "columns sum to 1"),
        (lambda s, c, t, m: by_rows(s, c, t, m)[::-1], "the two results are exchanged"),
        (lambda s, c, t, m: (by_rows(s, c, t, m)[0], m * c + (1 - m) * s.sum(0)), "*mean* over the pictures"),
        (lambda s, c, t, m: (by_rows(s, c, t, m)[0], ...), "still `Ellipsis`"),
    ],
}

# --- 10-collapse --------------------------------------------------------------------------------

COLLAPSE = {
    "right": [
        {
            "no_centring_in_use": "about one",
            "no_centring_loss": "near 0",
            "no_sharpening_in_use": "nearly all",
            "no_sharpening_loss": "near ln K",
        },
        ("about one", "near 0", "nearly all", "near ln k"),
        ["About one", "Near 0", "Nearly all", "Near ln K"],
    ],
    "wrong": [
        (("nearly all", "near ln K", "about one", "near 0"), "the other way round"),
        (("about one", "near 0", "nearly all", "near 0"), "no_sharpening_loss:"),
        (("about one", "near ln K", "nearly all", "near ln K"), "no_centring_loss:"),
        (("some", "near 0", "nearly all", "near ln K"), "no_centring_in_use:"),
        (("about one", "near 0", "some", "between"), "no_sharpening_in_use:"),
        (("1", "near 0", "nearly all", "near ln K"), "give one of 'about one'"),
    ],
}

# --- 10-same-view -------------------------------------------------------------------------------


def by_product(teacher, log_student):
    pairs = [(i, j) for i, j in itertools.product(range(len(teacher)), range(len(log_student))) if i != j]
    return torch.stack([-(teacher[i] * log_student[j]).sum(1).mean() for i, j in pairs]).mean()


def by_einsum(teacher, log_student):
    every = -torch.einsum("abk,cbk->ac", torch.stack(teacher), torch.stack(log_student)) / len(teacher[0])
    return every[~torch.eye(len(teacher), len(log_student), dtype=torch.bool)].mean()


def with_continue(teacher, log_student):
    total, pairs = 0.0, 0
    for i, t in enumerate(teacher):
        for j, s in enumerate(log_student):
            if i == j:
                continue
            total += F.cross_entropy(s, t)  # of log probabilities the softmax is the probabilities again
            pairs += 1
    return total / pairs


def as_given(teacher, log_student):
    total, pairs = 0.0, 0
    for t in teacher:
        for s in log_student:
            total = total - (t * s).sum(dim=1).mean()
            pairs += 1
    return total / pairs


def counts_all(teacher, log_student):
    total, pairs = 0.0, 0
    for i, t in enumerate(teacher):
        for j, s in enumerate(log_student):
            if i != j:
                total = total - (t * s).sum(dim=1).mean()
            pairs += 1
    return total / pairs


SAME_VIEW = {
    "right": [by_product, by_einsum, with_continue],
    "wrong": [
        (as_given, "compared with itself"),
        (counts_all, "number of all of them"),
        (lambda t, s: by_product(t, s) * len(t) * (len(s) - 1), "this is a sum"),
        (lambda t, s: -by_product(t, s), "the minus was lost"),
        (lambda t, s: by_product(t, [x.detach() for x in s]), "no gradient reaches log_student"),
        (lambda t, s: by_product(t, s).item(), "no gradient reaches log_student"),
    ],
}

# --- 10-sinkhorn --------------------------------------------------------------------------------


def in_logarithms(scores, temperature, iterations):
    q = scores / temperature
    for _ in range(iterations):
        q = q - q.logsumexp(0)
        q = q - q.logsumexp(1, keepdim=True)
    return q.exp()


def of_a_total(scores, temperature, iterations):
    q = np.exp(scores.double().numpy() / temperature)
    q /= q.sum()
    n, k = q.shape
    for _ in range(iterations):
        q /= q.sum(axis=0) * k
        q /= q.sum(axis=1, keepdims=True) * n
    return q * n


def by_normalize(scores, temperature, iterations):
    q = torch.exp(scores / temperature)
    for _ in range(iterations):
        q = F.normalize(F.normalize(q, p=1, dim=0), p=1, dim=1)
    return q


def rows_first(scores, temperature, iterations):
    q = torch.exp(scores / temperature)
    for _ in range(iterations):
        q = q / q.sum(1, keepdim=True)
        q = q / q.sum(0) * len(q) / q.shape[1]
    return q


SINKHORN = {
    "right": [in_logarithms, of_a_total, by_normalize],
    "wrong": [
        (lambda s, t, i: torch.softmax(s / t, dim=1), "softmax of each row"),
        (rows_first, "Columns first, rows last"),
        (lambda s, t, i: in_logarithms(s, t, 1), "this is one turn"),
        (lambda s, t, i: in_logarithms(s, t, i + 1), "one turn too many"),
        (lambda s, t, i: in_logarithms(s, 1.0, i), "the temperature was not used"),
    ],
}

# --- 10-count -----------------------------------------------------------------------------------


def by_counting(G, L):
    pairs = [(i, j) for i in range(G) for j in range(G + L) if i != j]
    return len(pairs), sum(j >= G for _, j in pairs) / len(pairs)


COUNT = {
    "right": [by_counting, lambda G, L: [G**2 - G + G * L, L / (G + L - 1)], lambda G, L: np.array(by_counting(G, L))],
    "wrong": [
        (lambda G, L: (G * (G + L), L / (G + L)), "not compared with itself"),
        (lambda G, L: (G * (G + L - 1), G * L), "asks for their share"),
        (lambda G, L: (G * (G + L - 1), 1 - L / (G + L - 1)), "*global* view"),
        (lambda G, L: (G * (G + L - 1), 100 * L / (G + L - 1)), "per cent"),
        (lambda G, L: G * (G + L - 1), "asks for a tuple of 2"),
    ],
}

ANSWERS = {
    "10-sort": SORT,
    "10-collapse": COLLAPSE,
    "10-same-view": SAME_VIEW,
    "10-sinkhorn": SINKHORN,
    "10-count": COUNT,
}
