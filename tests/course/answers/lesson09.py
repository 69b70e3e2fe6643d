"""Answers to the exercises of lesson 09, as people write them."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import cKDTree
from sklearn.decomposition import PCA as SklearnPCA

# --- 09-pca -------------------------------------------------------------------------------------


def by_eigh(y):
    y = y - y.mean(0)
    _, v = torch.linalg.eigh(y.T @ y)
    return y @ v.flip(1)[:, :2]


def by_numpy(y):
    y = y.numpy() - y.numpy().mean(0)
    u, s, _ = np.linalg.svd(y, full_matrices=False)
    return u[:, :2] * s[:2]


def eigh_smallest(y):
    y = y - y.mean(0)
    _, v = torch.linalg.eigh(y.T @ y)
    return y @ v[:, :2]


PCA = {
    "right": [by_eigh, by_numpy, lambda y: SklearnPCA(2).fit_transform(y.numpy()), lambda y: by_eigh(y).tolist()],
    "wrong": [
        (lambda y: y @ torch.linalg.svd(y, full_matrices=False)[2][:2].T, "subtract the"),
        (eigh_smallest, "least variance"),
        (lambda y: torch.linalg.svd(y - y.mean(0), full_matrices=False)[0][:, :2], "lost the lengths"),
        (lambda y: by_eigh((y - y.mean(0)) / y.std(0)), "the same spread first"),
        (lambda y: (y - y.mean(0)) @ torch.linalg.svd(y - y.mean(0))[2][:, :2], "svd gives Vᵀ"),
        (lambda y: by_eigh(y)[:, :1], "a place for each point"),
    ],
}

# --- 09-first -----------------------------------------------------------------------------------

FIRST = {
    "right": [{"before": "hue", "after": "shape"}, ("hue", "shape"), ["Hue", " SHAPE"]],
    "wrong": [
        (("shape", "shape"), "before: an average"),
        (("hue", "hue"), "after: the two views"),
        (("colour", "shape"), "give one of 'shape', 'hue'"),
        ({"at first": "hue", "after": "shape"}, "there is no question 'at first'"),
        (("hue",), "give a guess for each of before, after"),
    ],
}

# --- 09-kept ------------------------------------------------------------------------------------


def skipping_the_first(y, points, k):
    y = F.normalize(y, dim=1)
    a = (y @ y.T).topk(k + 1).indices[:, 1:]
    b = torch.cdist(points, points).topk(k + 1, largest=False).indices[:, 1:]
    return (a[:, :, None] == b[:, None, :]).sum() / (k * len(y))


def with_sets(y, points, k):
    y = F.normalize(y.double(), dim=1).numpy()
    share = 0.0
    trees = cKDTree(y), cKDTree(points.numpy())
    for i in range(len(y)):
        near = [set(tree.query(x[i], k + 1)[1]) - {i} for tree, x in zip(trees, (y, points.numpy()), strict=True)]
        share += len(near[0] & near[1]) / k
    return share / len(y)


def with_masks(y, points, k):
    off = torch.diag(torch.full((len(y),), torch.inf))
    near = [F.normalize(y) @ F.normalize(y).T - off, -torch.cdist(points, points) - off]
    marks = [torch.zeros_like(n).scatter_(1, n.topk(k, dim=1).indices, 1) for n in near]
    return (marks[0] * marks[1]).sum(1).mean() / k


def as_given(y, points, k):
    y = F.normalize(y, dim=1)
    a = (y @ y.T).topk(k).indices
    b = torch.cdist(points, points).topk(k, largest=False).indices
    return (a[:, :, None] == b[:, None, :]).any(2).float().mean()


def one_side(y, points, k):
    y = F.normalize(y, dim=1)
    a = (y @ y.T - 9 * torch.eye(len(y))).topk(k).indices
    b = torch.cdist(points, points).topk(k, largest=False).indices
    return (a[:, :, None] == b[:, None, :]).any(2).float().mean()


KEPT = {
    "right": [skipping_the_first, with_sets, with_masks],
    "wrong": [
        (as_given, "every map gets at least 1/k"),
        (one_side, "but still in the map"),
        (lambda y, p, k: as_given(y, p, k + 1), "one neighbour more"),
        (lambda y, p, k: skipping_the_first(y, p, k) * k, "how many of the k"),
        (lambda y, p, k: (skipping_the_first(y, p, k), k), "asks for one number"),
    ],
}

# --- 09-collapse --------------------------------------------------------------------------------

COLLAPSE = {
    "right": [{"pca": "a dot", "umap": "a cloud"}, ("a dot", "a cloud"), {"umap": "A cloud", "pca": "A  dot"}],
    "wrong": [
        (("a dot", "a dot"), "umap: UMAP asks"),
        (("a cloud", "a cloud"), "pca: in PCA's unit"),
        (("dot", "a cloud"), "give one of 'a dot', 'a cloud'"),
        ({"PCA": "a dot", "UMAP": "a cloud"}, "the questions are pca, umap"),
        ("a dot", "give a guess for each of pca, umap"),
    ],
}

# --- 09-weights ---------------------------------------------------------------------------------


def by_rows(d, sigma):
    return torch.stack([torch.exp((row[0] - row) / s) for row, s in zip(d, sigma, strict=True)])


def by_broadcasting(d, sigma):
    rho = d.min(dim=1, keepdim=True).values
    return (-F.relu(d - rho) / sigma.view(-1, 1)).exp()


def in_numpy(d, sigma):
    d, sigma = d.numpy(), sigma.numpy()
    return np.exp(-np.maximum(0, d - d[:, [0]]) / sigma[:, None]).tolist()


WEIGHTS = {
    "right": [by_rows, by_broadcasting, in_numpy],
    "wrong": [
        (lambda d, s: torch.exp(-d / s[:, None]), "the nearest neighbour must weigh 1"),
        (lambda d, s: torch.exp(-(d - d[:1]).clamp(min=0) / s[:, None]), "first *row*"),
        (lambda d, s: torch.exp(-(((d - d[:, :1]) / s[:, None]) ** 2)), "a Gaussian"),
        (lambda d, s: torch.exp(d[:, :1] - d), "σ is not used"),
        (lambda d, s: F.normalize(by_rows(d, s), p=1, dim=1), "as in t-SNE"),
        (lambda d, s: torch.exp(-(d - d[:, :1]) / s), "RuntimeError"),
    ],
}

# --- 09-tight -----------------------------------------------------------------------------------

TIGHT = {
    "right": [{"umap": 1, "pca": 0.1}, (0.9, 0.12), {"pca": torch.tensor(0.08), "umap": np.float64(1.2)}],
    "wrong": [
        ({"umap": 0.1, "pca": 0.1}, "a unit of its own"),
        ({"umap": 1.0, "pca": 1.0}, "PCA is a linear map"),
        ({"umap": 2.0, "pca": 0.1}, "why should the island grow"),
        ({"umap": 1.0, "pca": 0.0}, "a tenth in y"),
        ({"umap": 10, "pca": 0.1}, "a number from 0 to 2"),
    ],
}

# --- 09-lay -------------------------------------------------------------------------------------


def by_scipy(new, old, common):
    a, b = new[common].numpy(), old.numpy()
    turn, _ = orthogonal_procrustes(a - a.mean(0), b - b.mean(0))
    return (new.numpy() - a.mean(0)) @ turn + b.mean(0)


def by_polar(new, old, common):
    a, b = new[common].double(), old.double()
    u, _, vt = torch.linalg.svd((b - b.mean(0)).T @ (a - a.mean(0)))
    return (new.double() - a.mean(0)) @ (u @ vt).T + b.mean(0)


def by_angles(new, old, common):
    a, b = new[common] - new[common].mean(0), old - old.mean(0)
    best = None
    for mirror in (1.0, -1.0):
        m = a * torch.tensor([1.0, mirror])
        angle = math.atan2(float((m[:, 0] * b[:, 1] - m[:, 1] * b[:, 0]).sum()), float((m * b).sum()))
        turn = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        turn = torch.diag(torch.tensor([1.0, mirror])) @ turn
        off = float((a @ turn - b).square().sum())
        best = min(best or (off, turn), (off, turn), key=lambda pair: pair[0])
    return (new - new[common].mean(0)) @ best[1] + old.mean(0)


def without_shift(new, old, common):
    return by_polar(new, old, common) - old.double().mean(0)


def least_squares(new, old, common):
    a, b = new[common] - new[common].mean(0), old - old.mean(0)
    return (new - new[common].mean(0)) @ torch.linalg.pinv(a) @ b + old.mean(0)


LAY = {
    "right": [by_scipy, by_polar, by_angles],
    "wrong": [
        (without_shift, "add the old map's mean"),
        (least_squares, "scales and shears"),
        (lambda new, old, common: new - new[common].mean(0) + old.mean(0), "not turned"),
        (lambda new, old, common: by_polar(new, old, common)[common], "the points that the old map lacks"),
        (
            lambda new, old, common: (
                by_polar(new, old, common)
                + by_polar(new, old, common)[common].mean(0)
                - by_polar(new, old, common).mean(0)
            ),
            "that of the common points",
        ),
    ],
}

ANSWERS = {
    "09-pca": PCA,
    "09-first": FIRST,
    "09-kept": KEPT,
    "09-collapse": COLLAPSE,
    "09-weights": WEIGHTS,
    "09-tight": TIGHT,
    "09-lay": LAY,
}
