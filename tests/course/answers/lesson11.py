"""Answers to the exercises of lesson 11, as people write them."""

import itertools
import math

import numpy as np
import torch

# --- 11-cut -------------------------------------------------------------------------------------


def by_room(width, side, split, u):
    cut = 0.65 * width
    start, end = (0, cut) if split == "train" else (cut, width)
    return start + u * (end - start - side)


def by_lerp(width, side, split, u):
    cut = torch.tensor(0.65 * width)
    if split == "train":
        return torch.lerp(torch.zeros(()), cut - side, u)
    return torch.lerp(cut, torch.tensor(float(width - side)), u)


def from_the_right(width, side, split, u):
    right = {"train": 0.65 * width, "test": width}[split]
    room = right - side - (0 if split == "train" else 0.65 * width)
    return [float(right - side - room * x) for x in u]


def as_given(width, side, split, u):
    cut = 0.65 * width
    if split == "train":
        return u * cut
    return cut + u * (width - cut)


def train_only(width, side, split, u):
    cut = 0.65 * width
    if split == "train":
        return u * (cut - side)
    return cut + u * (width - cut)


def pushed(width, side, split, u):
    end = 0.65 * width if split == "train" else width
    return torch.minimum(as_given(width, side, split, u), torch.tensor(end - side))


CUT = {
    "right": [by_room, by_lerp, from_the_right],
    "wrong": [
        (as_given, "as it was given"),
        (train_only, "still leave the photograph"),
        (pushed, "pushed to the same place"),
        (lambda w, s, split, u: by_room(w, s, {"train": "test", "test": "train"}[split], u), "parts are exchanged"),
        (lambda w, s, split, u: u * (w - s), "overlap everywhere"),
        (lambda w, s, split, u: by_room(w, s, split, u)[:3], "a left edge for each u"),
    ],
}

# --- 11-histogram -------------------------------------------------------------------------------


def by_bincount(images, levels):
    step = images.long() * levels // 256
    colour = step[:, 2] * levels**2 + step[:, 1] * levels + step[:, 0]
    return torch.stack([c.flatten().bincount(minlength=levels**3) / c.numel() for c in colour])


def by_numpy(images, levels):
    rows = []
    for image in images.numpy():
        counts, _ = np.histogramdd(image.reshape(3, -1).T, bins=[np.arange(levels + 1) * 256 / levels] * 3)
        rows.append(counts.flatten() / counts.sum())
    return np.array(rows)


def by_buckets(images, levels):
    edges = torch.arange(1, levels) * 256 / levels
    step = torch.bucketize(images.float(), edges, right=True)
    colour = (step * torch.tensor([levels**2, levels, 1])[:, None, None]).sum(1)
    return torch.nn.functional.one_hot(colour.flatten(1), levels**3).float().mean(1)


def in_bytes(images, levels):
    step = (images * levels).long() // 256
    colour = step[:, 0] * levels**2 + step[:, 1] * levels + step[:, 2]
    return torch.nn.functional.one_hot(colour.flatten(1), levels**3).float().mean(1)


def by_channel(images, levels):
    step = images.long() * levels // 256
    return torch.cat([torch.nn.functional.one_hot(step[:, c].flatten(1), levels).float().mean(1) for c in range(3)], 1)


HISTOGRAM = {
    "right": [by_bincount, by_numpy, by_buckets],
    "wrong": [
        (by_channel, "each channel is counted for itself"),
        (in_bytes, "wraps around at 256"),
        (lambda x, n: by_bincount(x, n) * x[0, 0].numel(), "these are counts"),
        (lambda x, n: torch.nn.functional.normalize(by_bincount(x, n), dim=1), "instead of the sum 1"),
        (lambda x, n: 100 * by_bincount(x, n), "per cent"),
        (lambda x, n: by_bincount(x, n)[0], "one number for each colour"),
    ],
}

# --- 11-light -----------------------------------------------------------------------------------

LIGHT = {
    "right": [
        {"same_light": "no colour views", "other_light": "colour views"},
        ("No colour views", "colour views"),
        {"other_light": np.str_("colour views"), "same_light": " no colour views "},
    ],
    "wrong": [
        (("colour views", "colour views"), "give up a part of them"),
        (("no colour views", "no colour views"), "never seen one square in two colours"),
        (("no colour views", "colours"), "into other bins"),
        (("colours", "colour views"), "What about texture?"),
        (("random encoder", "colour views"), "chosen by chance"),
        (("BYOL", "colour views"), "give one of"),
    ],
}

# --- 11-worth -----------------------------------------------------------------------------------


def by_interp(labels, scratch, accuracy):
    if accuracy > scratch[-1]:
        return float("inf")
    return 10 ** np.interp(accuracy, scratch, np.log10(labels))


def by_loop(labels, scratch, accuracy):
    points = list(zip(labels, scratch, strict=True))
    for (n0, a0), (n1, a1) in itertools.pairwise(points):
        if a0 <= accuracy <= a1:
            return n0 * (n1 / n0) ** ((accuracy - a0) / (a1 - a0))
    return math.inf


def in_torch(labels, scratch, accuracy):
    labels, scratch = torch.tensor(labels, dtype=torch.float64), torch.tensor(scratch, dtype=torch.float64)
    if accuracy > scratch[-1]:
        return torch.tensor(torch.inf)
    i = int(torch.searchsorted(scratch, torch.tensor(accuracy, dtype=torch.float64)).clamp(1, len(scratch) - 1))
    share = (accuracy - scratch[i - 1]) / (scratch[i] - scratch[i - 1])
    return torch.lerp(labels[i - 1].log(), labels[i].log(), share).exp()


def straight(labels, scratch, accuracy):
    return float("inf") if accuracy > scratch[-1] else np.interp(accuracy, scratch, labels)


WORTH = {
    "right": [by_interp, by_loop, in_torch],
    "wrong": [
        (straight, "interpolate log(labels)"),
        (lambda n, a, x: float(np.exp(np.interp(x, a, np.log(n)))), "above the whole curve"),
        (lambda n, a, x: float(np.log10(by_interp(n, a, x))), "logarithm of the number"),
        (lambda n, a, x: next((float(m) for m, b in zip(n, a, strict=True) if b >= x), math.inf), "the next number"),
    ],
}

ANSWERS = {"11-cut": CUT, "11-histogram": HISTOGRAM, "11-light": LIGHT, "11-worth": WORTH}
