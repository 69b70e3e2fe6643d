"""Exercise 02-batch, “One draw for the whole batch”."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..record import Exercise, Mistake, UnusableError
from ..values import kind


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
