"""Exercises of lesson 02, views and what they share."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...augment.shared_cues import shares
from ...config.config import Config
from ...config.presets import preset
from ...data.loading import load
from .record import Exercise, Mistake

# --- solarize -----------------------------------------------------------------------------------

SOLARIZE = Exercise(
    id="02-solarize",
    title="Solarize",
    kind="implement",
    difficulty=1,
    minutes=4,
    hint="torch.where(condition, this, that) chooses for each value.",
    cases=lambda: [(torch.linspace(0, 1, 24).view(2, 3, 2, 2),), (torch.tensor([[[[0.2]], [[0.5]], [[0.9]]]]),)],
    reference=lambda x: torch.where(x >= 0.5, 1 - x, x),
    mistakes=(
        Mistake("everything inverted", lambda x: 1 - x, "that is a negative: values below 0.5 stay as they are."),
        Mistake(
            "the dark half",
            lambda x: torch.where(x < 0.5, 1 - x, x),
            "the dark values are inverted, not the light ones.",
        ),
        Mistake("set to black", lambda x: torch.where(x >= 0.5, 0.0, x), "light values become 1 − x, not 0."),
    ),
    praise="right: nothing is lighter than 0.5 afterwards, and edges stay where they were.",
)


# --- one draw per image -------------------------------------------------------------------------


def _with_bug(x: Tensor, strength: float) -> Tensor:
    factor = 1 + strength * (2 * torch.rand(1) - 1)
    return (x * factor).clamp(0, 1)


def _brightness(x: Tensor, strength: float) -> Tensor:
    factor = 1 + strength * (2 * torch.rand(len(x), 1, 1, 1) - 1)
    return (x * factor).clamp(0, 1)


def _per_pixel(x: Tensor, strength: float) -> Tensor:
    return (x * (1 + strength * (2 * torch.rand_like(x) - 1))).clamp(0, 1)


def _one_sided(x: Tensor, strength: float) -> Tensor:
    return (x * (1 + strength * torch.rand(len(x), 1, 1, 1))).clamp(0, 1)


def _draws(jitter: Callable) -> dict[str, bool]:
    x = torch.full((200, 3, 4, 4), 0.5)
    y = jitter(x, 0.4)
    factor = y / x
    first = factor[:, :1, :1, :1]
    return {
        "the shape stays": y.shape == x.shape,
        "one factor for all pixels of a picture": bool(torch.allclose(factor, first.expand_as(factor))),
        "factors differ between pictures": bool(first.std() > 0.05),
        "some darker, some lighter": bool(first.min() < 0.9 and first.max() > 1.1),
        "all within 1 ± strength": bool((factor > 0.599).all() and (factor < 1.401).all()),
    }


BATCH = Exercise(
    id="02-batch",
    title="One draw for the whole batch",
    kind="find the bug",
    difficulty=2,
    minutes=6,
    hint="How many random numbers are drawn for a batch of 200 pictures? Which shape would give each picture one of its own?",
    observe=_draws,
    reference=_brightness,
    mistakes=(
        Mistake(
            "unchanged",
            _with_bug,
            "in one call all pictures become darker together, or lighter together.",
        ),
        Mistake("a draw for each pixel", _per_pixel, "each pixel has its own factor: that is noise, not brightness."),
        Mistake("lighter only", _one_sided, "pictures only become lighter: the factor lies in 1 ± strength."),
    ),
    praise="right: one number per picture. With one per batch, views of different pictures would share it.",
)


# --- the shortcut -------------------------------------------------------------------------------

SHORTCUT = Exercise(
    id="02-colour",
    title="Without a change of colour",
    kind="predict",
    difficulty=2,
    minutes=3,
    hint="Look at the bars above: what do two views share then that they did not share before, and how plainly?",
    questions={"shape": ("rises", "stays", "falls"), "hue": ("rises", "stays", "falls")},
    reference={"shape": "falls", "hue": "rises"},
    mistakes=(
        Mistake(
            "more to learn from",
            {"shape": "rises", "hue": "rises"},
            "the network need not learn all that two views share. What is plainest is enough to predict, and then nothing "
            "pushes it to find the rest.",
        ),
        Mistake(
            "colour does not matter",
            {"shape": "stays", "hue": "stays"},
            "the labels do not mention the colour, but the network does not see the labels.",
        ),
    ),
    praise="right: it takes the shortcut.",
)


# --- views for another question -----------------------------------------------------------------


def _hue_not_shape(config: Any) -> str | None:
    if not isinstance(config, Config):
        return f"give a Config, not {type(config).__name__}"
    found = shares(load("shapes", limit=256), config)
    hue, shape = found["hue"].same, found["shape"].same
    if hue < 0.9:
        return f"two views share {hue:.2f} of the hue: at least 0.9 is asked for"
    if shape > 0.5:
        return f"two views share {shape:.2f} of the shape: at most 0.5 is asked for"
    return None


COLOUR_CLASS = Exercise(
    id="02-other-question",
    title="Views for another question",
    kind="extend",
    difficulty=2,
    minutes=8,
    hint="Leave alone what must be kept: jitter_p=0, grayscale_p=0. And destroy the shape: what does a small crop show of it?",
    reference=preset("shapes", jitter_p=0.0, grayscale_p=0.0, crop_area=(0.05, 0.2)),
    accept=_hue_not_shape,
    mistakes=(
        Mistake(
            "colours still change",
            preset("shapes", crop_area=(0.05, 0.2)),
            "the colours still change, so the hue is not shared. It is the class now: leave it alone in both views.",
            when=lambda seen, wanted: max(seen[0].jitter_p) > 0 or max(seen[0].grayscale_p) > 0,
        ),
        Mistake(
            "the shape is still there",
            preset("shapes", jitter_p=0.0, grayscale_p=0.0),
            "the hue is shared now, but so is the shape. Which operation hides the shape, and how strong must it be?",
            when=lambda seen, wanted: seen[0].crop_area[0] >= 0.5,
        ),
    ),
    praise="right: T and T′ are where you say what counts. Nothing in BYOL itself says that it is the shape.",
)

EXERCISES = (SOLARIZE, BATCH, SHORTCUT, COLOUR_CLASS)
