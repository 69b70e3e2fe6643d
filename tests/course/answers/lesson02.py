"""Answers to the exercises of lesson 02, as people write them."""

import numpy as np
import torch

import byol_tutorial as bt

# --- 02-solarize --------------------------------------------------------------------------------


def by_mask(x):
    y = x.clone()
    y[x >= 0.5] = 1 - y[x >= 0.5]
    return y


def by_condition(x):
    x = 255 * x if x.max() > 100 else x
    light = x >= 0.5  # noqa: F841


SOLARIZE = {
    "right": [
        by_mask,
        lambda x: torch.minimum(x, 1 - x),
        lambda x: np.where(x.numpy() >= 0.5, 1 - x.numpy(), x.numpy()),
        lambda x: 0.5 - (x - 0.5).abs(),
    ],
    "wrong": [
        (lambda x: 1 - x, "that is a negative"),
        (lambda x: torch.maximum(x, 1 - x), "the dark values are inverted"),
        (lambda x: x * (x < 0.5), "not 0"),
        (lambda x: torch.where(x > 127, 255 - x, x), "values of bytes"),
        (lambda x: torch.clamp(x, 0, 0.5), "cut off"),
        (by_condition, "returns nothing"),
    ],
}

# --- 02-batch -----------------------------------------------------------------------------------


def by_uniform(x, strength):
    factor = torch.empty(x.shape[0], 1, 1, 1).uniform_(1 - strength, 1 + strength)
    return torch.clamp(factor * x, 0, 1)


def by_loop(x, strength):
    return torch.stack([(p * (1 + strength * (2 * torch.rand(()) - 1))).clamp(0, 1) for p in x])


def by_numpy(x, strength):
    factor = np.random.default_rng(0).uniform(1 - strength, 1 + strength, (len(x), 1, 1, 1))
    return np.clip(x.numpy() * factor, 0, 1)


def as_given(x, strength):
    return (x * (1 + strength * (2 * torch.rand(1) - 1))).clamp(0, 1)


BATCH = {
    "right": [by_uniform, by_loop, by_numpy],
    "wrong": [
        (as_given, "together"),
        (lambda x, s: x * (1 + s * (2 * torch.rand_like(x) - 1)), "noise, not brightness"),
        (lambda x, s: x * (1 + s * (2 * torch.rand(len(x), 3, 1, 1) - 1)), "changes the colour"),
        (lambda x, s: x * (1 + s * torch.rand(len(x), 1, 1, 1)), "only become lighter"),
        (lambda x, s: x * (1 - s * torch.rand(len(x), 1, 1, 1)), "only become darker"),
        (lambda x, s: (x + s * (2 * torch.rand(len(x), 1, 1, 1) - 1)).clamp(0, 1), "black stays black"),
        (lambda x, s: x * (1 + s * (2 * torch.rand(x.shape[3]) - 1)), "each column"),
    ],
}

# --- 02-colour ----------------------------------------------------------------------------------

SHORTCUT = {
    "right": [{"shape": "falls", "hue": "rises"}, ("Falls", "rises"), {"hue": np.str_("rises"), "shape": "falls"}],
    "wrong": [
        ({"shape": "rises", "hue": "rises"}, "need not learn all"),
        ({"shape": "stays", "hue": "stays"}, "does not see the labels"),
        ({"shape": "stays", "hue": "rises"}, "shape:"),
        ({"shape": "falls", "hue": "falls"}, "hue: with jitter"),
        ({"shape": "falls", "color": "rises"}, "the questions are shape, hue"),
        ({"shape": "lower", "hue": "rises"}, "give one of 'rises', 'stays', 'falls'"),
    ],
}

# --- 02-other-question --------------------------------------------------------------------------

OTHER_QUESTION = {
    "right": [
        bt.preset("shapes", jitter_p=0.0, grayscale_p=0.0, crop_area=(0.05, 0.15)),
        bt.preset("shapes").replace(hue=0.0, grayscale_p=0.0, crop_area=(0.04, 0.1)),
        bt.preset("shapes", jitter_p=(0.0, 0.0), grayscale_p=(0.0, 0.0), crop_area=[0.05, 0.2], flip_p=0.5),
    ],
    "wrong": [
        (bt.preset("shapes"), "the colours still change"),
        (bt.preset("shapes", jitter_p=0.0, grayscale_p=0.0), "so is the shape"),
        (bt.preset("shapes", jitter_p=0.0, crop_area=(0.05, 0.2)), "some views are grey"),
        (bt.preset("shapes", jitter_p=0.0, grayscale_p=0.0, crop_area=(0.05, 1.0)), "so is the shape"),
        ({"jitter_p": 0.0}, "give a Config"),
    ],
}

ANSWERS = {
    "02-solarize": SOLARIZE,
    "02-batch": BATCH,
    "02-colour": SHORTCUT,
    "02-other-question": OTHER_QUESTION,
}
