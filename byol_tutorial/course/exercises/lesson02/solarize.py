"""Exercise 02-solarize, “Solarize”."""

import torch

from ..record import Exercise, Mistake

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
