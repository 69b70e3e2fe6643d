"""Answers to the exercises of lesson 08, as people write them."""

import random
import statistics

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats
from sklearn.model_selection import GroupShuffleSplit

# --- 08-knn -------------------------------------------------------------------------------------


def with_one_hot(bank, labels, query, k, temperature, classes):
    cos = F.cosine_similarity(query[:, None], bank[None], dim=2)
    near = cos.topk(k).indices
    weight = torch.exp(cos.gather(1, near) / temperature)
    return (F.one_hot(labels[near], classes) * weight[..., None]).sum(1).argmax(1)


def by_loop(bank, labels, query, k, temperature, classes):
    answers = []
    for q in query:
        cos = F.cosine_similarity(q[None], bank)
        votes = [0.0] * classes
        for i in cos.argsort(descending=True)[:k]:
            votes[labels[i]] += float(torch.exp((cos[i] - 1) / temperature))
        answers.append(max(range(classes), key=votes.__getitem__))
    return answers


def by_numpy(bank, labels, query, k, temperature, classes):
    bank, labels, query = bank.numpy(), labels.numpy(), query.numpy()
    cos = (query @ bank.T) / np.linalg.norm(query, axis=1)[:, None] / np.linalg.norm(bank, axis=1)
    near = np.argsort(-cos, axis=1)[:, :k]
    w = np.exp(np.take_along_axis(cos, near, 1) / temperature)
    return np.array(
        [np.bincount(labels[n], weights=v, minlength=classes).argmax() for n, v in zip(near, w, strict=True)]
    )


def majority(bank, labels, query, k, temperature, classes):
    near = (F.normalize(query) @ F.normalize(bank).T).topk(k).indices
    return F.one_hot(labels[near], classes).sum(1).argmax(1)


def not_normalised(bank, labels, query, k, temperature, classes):
    cos, near = (query @ bank.T).topk(k)
    weight = ((cos - cos.max()) / temperature).exp()
    return torch.zeros(len(query), classes).scatter_add_(1, labels[near], weight).argmax(1)


KNN = {
    "right": [with_one_hot, by_loop, by_numpy],
    "wrong": [
        (majority, "all k votes count the same"),
        (lambda b, y, q, k, t, c: with_one_hot(b, y, q, 1, t, c), "only the nearest neighbour"),
        (lambda b, y, q, k, t, c: with_one_hot(b, y, q, len(b), t, c), "the whole bank votes"),
        (lambda b, y, q, k, t, c: F.cosine_similarity(q[:, None], b[None], dim=2).argmax(1), "not classes"),
        (lambda b, y, q, k, t, c: with_one_hot(b, y, q, k, 1 / t, c), "multiplied by the temperature instead"),
        (not_normalised, "not cosines"),
    ],
}

# --- 08-dense -----------------------------------------------------------------------------------

DENSE = {
    "right": [
        {"classes": "supervised", "figure": "BYOL", "centre": "BYOL"},
        ("Supervised", "byol", "BYOL"),
        {"centre": np.str_("BYOL"), "classes": "supervised", "figure": " byol "},
    ],
    "wrong": [
        (("supervised", "supervised", "supervised"), "the order of the linear probe"),
        (("BYOL", "BYOL", "BYOL"), "a pixel is right only if its shape is named"),
        ({"classes": "supervised", "figure": "supervised", "centre": "BYOL"}, "no label objects"),
        ({"classes": "supervised", "figure": "BYOL", "centre": "supervised"}, "no reason to keep its position"),
        ({"classes": "random", "figure": "BYOL", "centre": "BYOL"}, "give one of 'BYOL', 'supervised'"),
    ],
}

# --- 08-baseline --------------------------------------------------------------------------------

BASELINE = {
    "right": [
        {"byol_encoder": 0.96, "random_encoder": 0.85},
        (0.9, 0.9),
        {"random_encoder": torch.tensor(0.92), "byol_encoder": np.float32(0.97)},
    ],
    "wrong": [
        ({"byol_encoder": 0.95, "random_encoder": 0.99}, "better than the raw pixels"),
        ({"byol_encoder": 0.95, "random_encoder": 0.1}, "not a constant"),
        ({"byol_encoder": 0.95, "random_encoder": 0.4}, "Digits stand upright"),
        ({"byol_encoder": 0.5, "random_encoder": 0.8}, "byol_encoder:"),
        ({"byol_encoder": 1.0, "random_encoder": 0.9}, "trained on digits"),
        ({"byol_encoder": 95, "random_encoder": 90}, "a number from 0 to 1"),
    ],
}

# --- 08-choose ----------------------------------------------------------------------------------

CHOOSE = {
    "right": [
        lambda held, test: max(zip(held.tolist(), test.tolist(), strict=True))[1],
        lambda held, test: test.numpy()[np.argmax(held.numpy())],
        lambda held, test: test[held == held.max()][0],
        lambda held, test: test[held.topk(1).indices],
    ],
    "wrong": [
        (lambda held, test: max(test), "the test images made the choice"),
        (lambda held, test: max(held), "too high itself"),
        (lambda held, test: np.argmax(held.numpy()), "number of the chosen setting"),
        (lambda held, test: sum(test) / len(test), "the mean over all settings"),
        (lambda held, test: test[(held + test).argmax()], "half a vote"),
    ],
}

# --- 08-leak ------------------------------------------------------------------------------------


def with_lists(image_of, share, seed):
    images = sorted(set(image_of.tolist()))
    random.Random(seed).shuffle(images)
    held = set(images[: round(share * len(images))])
    return (
        [i for i, image in enumerate(image_of.tolist()) if image not in held],
        [i for i, image in enumerate(image_of.tolist()) if image in held],
    )


def with_numpy(image_of, share, seed):
    ids = image_of.numpy()
    images = np.unique(ids)
    held = np.isin(
        ids, np.random.default_rng(seed).choice(images, int(np.ceil(share * len(images) - 1e-9)), replace=False)
    )
    return np.flatnonzero(~held), np.flatnonzero(held)


def with_sklearn(image_of, share, seed):
    splitter = GroupShuffleSplit(1, test_size=share, random_state=seed)
    return next(splitter.split(image_of, groups=image_of))


def with_masks(image_of, share, seed):
    _, test = with_lists(image_of, share, seed)
    held = torch.zeros(len(image_of), dtype=torch.bool)
    held[test] = True
    return [~held, held]


def by_coin(image_of, share, seed):
    torch.manual_seed(seed)
    images = image_of.unique()
    held = torch.isin(image_of, images[torch.rand(len(images)) < share])
    return torch.where(~held)[0], torch.where(held)[0]


def by_picture(image_of, share, seed):
    order = torch.randperm(len(image_of), generator=torch.Generator().manual_seed(seed)).tolist()
    n = round(share * len(order))
    return order[n:], order[:n]


def last_images(image_of, share, seed):
    images = image_of.unique()
    held = torch.isin(image_of, images[-round(share * len(images)) :])
    return (~held).nonzero().flatten(), held.nonzero().flatten()


LEAK = {
    "right": [with_lists, with_numpy, with_sklearn, with_masks],
    "wrong": [
        (by_coin, "each is drawn by itself"),
        (by_picture, "copies in the train part"),
        (last_images, "does not depend on the seed"),
        (lambda *a: with_lists(*a)[::-1], "exchanged"),
        (lambda image_of, share, seed: with_lists(image_of, share, random.randrange(10**6)), "another split each time"),
        (lambda image_of, share, seed: image_of.unique(), "two parts"),
    ],
}

# --- 08-difference ------------------------------------------------------------------------------


def with_statistics(a, b):
    d = [y - x for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    return statistics.mean(d), statistics.stdev(d) / len(d) ** 0.5


def with_numpy_ddof(a, b):
    d = b.numpy() - a.numpy()
    return np.array([d.mean(), d.std(ddof=1) / np.sqrt(len(d))])


DIFFERENCE = {
    "right": [with_statistics, with_numpy_ddof, lambda a, b: [(b - a).mean(), float(stats.sem((b - a).numpy()))]],
    "wrong": [
        (lambda a, b: (b.mean() - a.mean(), (a.var() / len(a) + b.var() / len(b)).sqrt()), "unrelated runs"),
        (lambda a, b: with_statistics(b, a), "the sign is wrong"),
        (lambda a, b: ((b - a).mean(), (b - a).std()), "spread of single differences"),
        (lambda a, b: ((b - a).mean(), np.std((b - a).numpy()) / len(a) ** 0.5), "n − 1 matters"),
        (lambda a, b: ((b - a).mean(), (b - a).var() / len(a)), "take its root"),
        (lambda a, b: (b - a).mean(), "asks for a tensor of shape (2,)"),
    ],
}

ANSWERS = {
    "08-knn": KNN,
    "08-dense": DENSE,
    "08-baseline": BASELINE,
    "08-leak": LEAK,
    "08-choose": CHOOSE,
    "08-difference": DIFFERENCE,
}
