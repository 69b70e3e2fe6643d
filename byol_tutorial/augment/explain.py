"""How one view is made from its image, operation by operation, in pictures and in words."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..config.config import Config
from .operations import COLOUR_OPERATIONS, Draw, apply, as_float


@dataclass(frozen=True)
class Stage:
    """One operation of the chain and the picture after it.

    name     "image", then crop, flip (with vertical flips and turns, where there are any), the four colour operations in the
             order drawn, grayscale, blur, solarize
    words    what was drawn for it: "62 % of the area, at (3, 8)", "+0.31 of a circle", "skipped (p = 0.3)"
    done     whether it was carried out
    picture  the picture after it: float (3, s, s) in [0, 1]; for "image" (3, H, W)
    """

    name: str
    words: str
    done: bool
    picture: Tensor


def chain(image: Tensor, drawn: Draw, config: Config, side: int = 0) -> list[Stage]:
    """Return the stages of one view. The last picture is the view itself, not yet normalised.

    image: uint8, or float in [0, 1], (3, H, W). drawn: one row of a Draw from Views(config). side: 0 if that row was
    drawn from T, 1 if from T′.
    """
    image = as_float(image)
    _, height, width = image.shape
    steps = stages(image, drawn, config.view_size or height, config.colour_form)
    return [Stage("image", f"{width} × {height} px", True, image)] + [
        Stage(name, *in_words(name, drawn, config, side, (height, width)), picture) for name, picture in steps
    ]


def in_words(name: str, drawn: Draw, config: Config, side: int, source: tuple[int, int]) -> tuple[str, bool]:
    """Say what was drawn for this operation, and whether it changes the picture. source: height, width of the image."""
    if name == "crop":
        top, left, height, width = (float(getattr(drawn, key)) for key in ("top", "left", "height", "width"))
        area = height * width / (source[0] * source[1])
        return f"{area * 100:.0f} % of the area, at ({left:.0f}, {top:.0f})", area < 1

    if name == "flip":
        return _flips_in_words(drawn, config, side)
    switch = "jitter" if name in COLOUR_OPERATIONS else name
    p = getattr(config, f"{switch}_p")[side]
    label = "jitter p" if switch == "jitter" else "p"
    if p == 0:
        return f"off ({label} = 0)", False
    if not getattr(drawn, switch):
        return f"skipped ({label} = {p:g})", False
    if switch == "jitter":
        if getattr(config, name)[side] == 0:
            return "no change (strength 0)", False
        factor = float(drawn.factors[0, COLOUR_OPERATIONS.index(name)])
        if name == "hue":
            return f"{signed(factor)} of a circle", True
        if name == "brightness" and config.colour_form == "authors":
            return signed(factor - 1), True
        return f"× {factor:.2f}", True
    done = {
        "grayscale": "grey",
        "blur": f"σ = {float(drawn.sigma):.2f} px",
        "solarize": "1 − x where x ≥ 0.5",
    }
    return done[name], True


def _flips_in_words(drawn: Draw, config: Config, side: int) -> tuple[str, bool]:
    """Say which flips and turns were drawn, and whether they change the picture."""
    chances = {"p": config.flip_p, "vertical": config.vertical_flip_p, "turn": config.quarter_turn_p}
    used = {name: pair[side] for name, pair in chances.items() if pair[side] > 0 or name == "p"}
    turns = int(drawn.quarter_turns)
    done = [
        *(["flipped"] if drawn.flip else []),
        *(["flipped vertically"] if drawn.vertical_flip else []),
        *([f"turned by {90 * turns}°"] if turns else []),
    ]
    if not done:
        off = max(used.values()) == 0
        return f"{'off' if off else 'not flipped'} ({', '.join(f'{name} = {p:g}' for name, p in used.items())})", False
    same = bool(drawn.flip) and bool(drawn.vertical_flip) and turns == 2  # together they are no change
    return ", ".join(done), not same


def signed(x: float) -> str:
    """Format x with its sign and two decimals, such as "+0.31" or "−0.20"."""
    return f"{x:+.2f}".replace("-", "−")


def stages(image: Tensor, drawn: Draw, size: int, colour_form: str = "torchvision") -> list[tuple[str, Tensor]]:
    """Return the name of each operation and the picture after it, in the drawn order.

    Row k of a batch carries out only the first k + 1 operations of the Draw, so all these pictures come from `apply`,
    and the last is the view. An operation that was not drawn repeats the picture before it.

    image: float (3, H, W) in [0, 1]. drawn: one row. Pictures: float (3, size, size) in [0, 1].
    """
    names = ["crop", "flip", *(COLOUR_OPERATIONS[k] for k in drawn.order[0]), "grayscale", "blur", "solarize"]
    n = len(names)

    def done(name: str) -> Tensor:
        return torch.arange(n, device=image.device) >= names.index(name)

    part = drawn[torch.zeros(n, dtype=torch.long, device=image.device)]
    coloured = torch.stack([done(name) for name in COLOUR_OPERATIONS], 1)
    nothing = torch.tensor([1.0, 1.0, 1.0, 0.0], device=image.device)
    part.factors = torch.where(coloured, part.factors, nothing)
    part.jitter = part.jitter & coloured.any(1)
    for name in ("flip", "grayscale", "blur", "solarize"):
        setattr(part, name, getattr(part, name) & done(name))
    part.vertical_flip, part.quarter_turns = part.vertical_flip & done("flip"), part.quarter_turns * done("flip")
    return list(zip(names, apply(image.expand(n, -1, -1, -1), part, size, colour_form), strict=True))
