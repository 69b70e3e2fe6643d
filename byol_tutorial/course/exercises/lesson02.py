"""Exercises of lesson 02, views and what they share."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...augment.shared_cues import shares
from ...config.config import Config
from ...config.presets import preset
from ...data.loading import load
from .record import Exercise, Mistake, UnusableError
from .values import kind

# --- solarize -----------------------------------------------------------------------------------

SOLARIZE = Exercise(
    id="02-solarize",
    title="Solarize",
    kind="implement",
    difficulty=1,
    minutes=5,
    hints=(
        "Two kinds of values are treated differently. Does any value need to know its neighbours?",
        "torch.where(condition, this, that) chooses for each value.",
        ("light = x >= 0.5\n# torch.where(light, what a light value becomes, what a dark one becomes)"),
    ),
    cases=lambda: [(torch.linspace(0, 1, 24).view(2, 3, 2, 2),), (torch.tensor([[[[0.2]], [[0.5]], [[0.9]]]]),)],
    reference=lambda x: torch.where(x >= 0.5, 1 - x, x),
    mistakes=(
        Mistake("everything inverted", lambda x: 1 - x, "that is a negative: values below 0.5 stay as they are."),
        Mistake(
            "the dark half",
            lambda x: torch.where(x < 0.5, 1 - x, x),
            "the dark values are inverted, not the light ones.",
        ),
        Mistake(
            "on bytes",
            lambda x: torch.where(x >= 128, 255 - x, x),
            "these are values of bytes, 0 ... 255. The pictures here are float in [0, 1], so nothing changes.",
        ),
        Mistake(
            "mirrored at the threshold's height",
            lambda x: torch.where(x >= 0.5, x - 0.5, x),
            "light values become 1 − x; you subtract 0.5, so a white pixel becomes grey.",
        ),
        Mistake(
            "cut off",
            lambda x: x.clamp(max=0.5),
            "light values are cut off at 0.5. They become 1 − x: the lighter, the darker.",
        ),
        Mistake("set to black", lambda x: torch.where(x >= 0.5, 0.0, x), "light values become 1 − x, not 0."),
        Mistake(
            "dark values lost",
            lambda x: torch.where(x >= 0.5, 1 - x, 0.0),
            "the light values are right, but the dark ones became 0: they stay as they are.",
        ),
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


def _per_column(x: Tensor, strength: float) -> Tensor:
    return (x * (1 + strength * (2 * torch.rand(x.shape[-1]) - 1))).clamp(0, 1)


def _per_channel(x: Tensor, strength: float) -> Tensor:
    return (x * (1 + strength * (2 * torch.rand(len(x), 3, 1, 1) - 1))).clamp(0, 1)


def _darker(x: Tensor, strength: float) -> Tensor:
    return (x * (1 - strength * torch.rand(len(x), 1, 1, 1))).clamp(0, 1)


def _added(x: Tensor, strength: float) -> Tensor:
    return (x + strength * (2 * torch.rand(len(x), 1, 1, 1) - 1)).clamp(0, 1)


def _one_sided(x: Tensor, strength: float) -> Tensor:
    return (x * (1 + strength * torch.rand(len(x), 1, 1, 1))).clamp(0, 1)


def _draws(jitter: Callable) -> dict[str, bool]:
    x = torch.full((200, 3, 4, 4), 0.5)
    y = torch.as_tensor(jitter(x.clone(), 0.4))
    if y.shape != x.shape:
        raise UnusableError(
            f"your function returns {kind(y)} for a batch of shape {tuple(x.shape)}: the shape must stay."
        )
    factor = y / x  # (200, 3, 4, 4)
    alike = lambda part: bool(torch.allclose(factor, part.expand_as(factor)))  # noqa: E731
    first = factor[:, :1, :1, :1]
    return {
        "one factor for all pixels of a picture": alike(first),
        "one factor for all pixels of a channel": alike(factor[:, :, :1, :1]),
        "no stripes": alike(first) or not alike(factor[:1, :1, :1]),
        "factors differ between pictures": bool(first.std() > 0.05),
        "some become darker": bool(first.min() < 0.9),
        "some become lighter": bool(first.max() > 1.1),
        "black stays black": not torch.as_tensor(jitter(torch.zeros(50, 3, 2, 2), 0.4)).any(),
        "all within 1 ± strength": bool((factor > 0.599).all() and (factor < 1.401).all()),
    }


BATCH = Exercise(
    id="02-batch",
    title="One draw for the whole batch",
    kind="find the bug",
    difficulty=2,
    minutes=8,
    hints=(
        "How many random numbers are drawn for a batch of 200 pictures?",
        (
            "The factor needs one number for each picture, in a shape that is repeated over channels, rows and "
            "columns: (N, 1, 1, 1)."
        ),
        "factor = 1 + strength * (2 * torch.rand(len(x), 1, 1, 1) - 1)",
    ),
    observe=_draws,
    reference=_brightness,
    mistakes=(
        Mistake(
            "unchanged",
            _with_bug,
            "in one call all pictures become darker together, or lighter together.",
        ),
        Mistake("a draw for each pixel", _per_pixel, "each pixel has its own factor: that is noise, not brightness."),
        Mistake(
            "a draw for each channel",
            _per_channel,
            "each channel has its own factor, which changes the colour as well: a factor for the whole picture has the shape (N, 1, 1, 1).",
        ),
        Mistake(
            "a draw for each column",
            _per_column,
            "each column of pixels has its own factor: numbers of shape (n,) are laid along the last dimension. They belong to "
            "the pictures, the first one.",
        ),
        Mistake("darker only", _darker, "pictures only become darker: the factor lies in 1 ± strength."),
        Mistake(
            "added",
            _added,
            "a random number is added to the picture; brightness is a factor, so that black stays black.",
        ),
        Mistake("lighter only", _one_sided, "pictures only become lighter: the factor lies in 1 ± strength."),
        Mistake(
            "normal numbers",
            lambda x, strength: (x * (1 + strength * torch.randn(len(x), 1, 1, 1))).clamp(0, 1),
            "each picture has its own factor, but some factors lie outside of 1 ± strength: torch.randn has no bounds, torch.rand lies in [0, 1).",
        ),
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
    hints=(
        ("Look at the bars above: what do two views share then that they did not share before, and how plainly?"),
        (
            "The network learns the simplest thing that is enough to predict the other view. Without jitter, one "
            "glance at the colour is enough. What then happens to what it no longer needs?"
        ),
        (
            'without = bt.preset("shapes", jitter_p=0.0, grayscale_p=0.0)\n'
            'for c in (bt.preset("shapes"), without):\n'
            "    print({name: s.same for name, s in bt.augment.shares(train, c).items()})"
        ),
    ),
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
        Mistake(
            "hue falls",
            {"hue": "falls"},
            "hue: with jitter, the hue was useless for the prediction; without it, the hue alone predicts the other view. Why should "
            "the network drop it?",
        ),
        Mistake(
            "one does not replace the other",
            {"shape": "stays", "hue": "rises"},
            "shape: once the hue is enough to predict the other view, nothing pushes the network to find the shape.",
        ),
        Mistake(
            "hue comes for nothing",
            {"hue": "stays"},
            "hue: the views now share it, and it is simple, so it is what is learned.",
        ),
    ),
    praise="right: it takes the shortcut.",
)


# --- views for another question -----------------------------------------------------------------


def _hue_not_shape(config: Config) -> str | None:
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
    minutes=10,
    core=False,
    hints=(
        'Which operations change the hue? Which hide the shape? Start from bt.preset("shapes", ...).',
        (
            "Leave alone what must be kept: jitter_p=0, grayscale_p=0. And destroy the shape: what does a small "
            "crop show of it?"
        ),
        (
            'bt.preset("shapes", jitter_p=0.0, grayscale_p=0.0, crop_area=(low, high))\n'
            "# low and high: which share of the picture does a view show? 1.0 is all of it"
        ),
    ),
    reference=preset("shapes", jitter_p=0.0, grayscale_p=0.0, crop_area=(0.05, 0.2)),
    accept=_hue_not_shape,
    mistakes=(
        Mistake(
            "colours still change",
            preset("shapes", crop_area=(0.05, 0.2)),
            "the colours still change, so the hue is not shared. It is the class now: leave it alone in both views.",
            when=lambda seen, wanted: max(seen[0].jitter_p) > 0 and max(seen[0].hue) > 0,
        ),
        Mistake(
            "grey views",
            preset("shapes", jitter_p=0.0, grayscale_p=1.0, crop_area=(0.05, 0.2)),
            "some views are grey: they show no hue. Which field makes them grey?",
            when=lambda seen, wanted: max(seen[0].grayscale_p) > 0,
        ),
        Mistake(
            "the shape is still there",
            preset("shapes", jitter_p=0.0, grayscale_p=0.0),
            "the hue is shared now, but so is the shape. Which operation hides the shape, and how strong must it be?",
            when=lambda seen, wanted: seen[0].crop_area[1] > 0.4,
        ),
    ),
    praise="right: T and T′ are where you say what counts. Nothing in BYOL itself says that it is the shape.",
)

EXERCISES = (SOLARIZE, BATCH, SHORTCUT, COLOUR_CLASS)
