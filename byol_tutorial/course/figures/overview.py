"""BYOL on one page: where the data flow, which network the gradient reaches, and which one follows by averaging.

The picture is figure 2 of Grill et al. 2020 in this course's symbols, with real views of a real image.
"""

import torch

from ...augment.views import Views
from ...config.config import Config
from ...config.presets import preset
from ...data.image_set import ImageSet
from ...data.loading import load
from ...figures import BLUE, GREEN, INK, RED, Picture

ONLINE, TARGET, GRADIENT = BLUE, GREEN, RED
TOP, BOTTOM = 3.05, 0.95  # the heights at which the two networks are drawn


def overview(images: ImageSet | None = None, index: int = 8, config: Config | None = None, seed: int = 1) -> Picture:
    """Draw BYOL's data flow (black), gradient (red) and moving average (dashed), for one image and two views of it."""
    images = images or load("shapes", limit=64)
    views = Views(config or preset("shapes"), (0.0,), (1.0,), torch.Generator().manual_seed(seed))
    v1, v2 = views(images.images[index : index + 1])
    picture = Picture(
        10.8,
        4.6,
        "Diagram of BYOL: from one image two views; the online network turns the first into representation y, projection "
        "z and prediction p; the target network turns the second into y prime and z prime, where the gradient stops; the "
        "loss compares the directions of p and z prime; the gradient goes back through the online network only, and the "
        "target network follows it by a moving average",
        math=True,
    )
    picture.set_layout_engine("none")
    axes = picture.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0.1, 10.9), ylim=(0, 4.6))
    axes.axis("off")

    def image(x: float, y: float, picture_of: torch.Tensor, name: str) -> None:
        axes.imshow(picture_of.permute(1, 2, 0).numpy(), extent=(x - 0.45, x + 0.45, y - 0.45, y + 0.45), aspect="auto")
        axes.text(x, y - 0.62, name, ha="center", va="center", fontsize=13, color=INK)

    def part(x: float, y: float, name: str, what: str, colour: str) -> None:
        box = {"boxstyle": "round,pad=0.45", "facecolor": "white", "edgecolor": colour, "linewidth": 2}
        axes.text(x, y, name, ha="center", va="center", fontsize=17, color=INK, bbox=box)
        axes.text(x, y - 0.55, what, ha="center", va="center", fontsize=10, color=colour)

    def arrow(a: tuple, b: tuple, colour: str = INK, style: str = "-", bend: float = 0.0, width: float = 1.6) -> None:
        shape = {"arrowstyle": "-|>", "color": colour, "linestyle": style, "linewidth": width,
                 "connectionstyle": f"arc3,rad={bend}", "shrinkA": 0, "shrinkB": 0}  # fmt: skip
        axes.annotate("", xy=b, xytext=a, arrowprops=shape)

    def along(x0: float, x1: float, y: float, name: str) -> None:
        arrow((x0, y), (x1, y))
        axes.text((x0 + x1) / 2, y + 0.2, name, ha="center", va="center", fontsize=14, color=INK, style="italic")

    image(0.75, 2.0, images.images[index], "image x")
    image(2.55, TOP, v1[0], "view v = t(x)")
    image(2.55, BOTTOM, v2[0], "view v′ = t′(x)")
    arrow((1.28, 2.25), (2.0, TOP - 0.2))
    arrow((1.28, 1.75), (2.0, BOTTOM + 0.2))
    for y, greek, prime, colour in ((TOP, "θ", "", ONLINE), (BOTTOM, "ξ", "′", TARGET)):
        part(4.1, y, f"$f_{{{greek}}}$", "encoder", colour)
        part(5.9, y, f"$g_{{{greek}}}$", "projector", colour)
        along(3.08, 3.68, y, "")
        along(4.52, 5.48, y, f"y{prime}")
    part(7.7, TOP, "$q_{θ}$", "predictor", ONLINE)
    along(6.32, 7.28, TOP, "z")
    axes.text(9.9, 2.0, "loss\n$2 - 2\\,\\cos(p, z′)$", ha="center", va="center", fontsize=14, color=INK,
              bbox={"boxstyle": "round,pad=0.5", "facecolor": "#F3F4F6", "edgecolor": INK})  # fmt: skip
    arrow((8.12, TOP), (9.35, 2.5))
    axes.text(8.85, TOP - 0.02, "p", fontsize=14, color=INK, style="italic")
    arrow((6.32, BOTTOM), (9.3, 1.5))
    axes.text(7.9, BOTTOM - 0.08, "z′", fontsize=14, color=INK, style="italic")
    axes.text(8.05, 1.37, "sg", ha="center", va="center", fontsize=12, color=INK,
              bbox={"boxstyle": "square,pad=0.25", "facecolor": "white", "edgecolor": INK})  # fmt: skip
    arrow((9.9, 2.62), (3.95, TOP + 0.55), GRADIENT, bend=0.28, width=2.2)
    axes.text(7.2, 4.32, "gradient: moves θ only", ha="center", va="center", fontsize=12, color=GRADIENT)
    for x in (4.1, 5.9):
        arrow((x, TOP - 0.78), (x, BOTTOM + 0.42), TARGET, style="--", width=2)
    axes.text(5.0, 2.0, "$ξ ← τ ξ + (1 - τ)\\,θ$", ha="center", va="center", fontsize=13, color=TARGET,
              bbox={"facecolor": "white", "edgecolor": "none", "pad": 3})  # fmt: skip
    axes.text(3.35, 4.25, "online network θ", ha="left", va="center", fontsize=12, color=ONLINE, weight="bold")
    axes.text(3.35, 0.12, "target network ξ", ha="left", va="center", fontsize=12, color=TARGET, weight="bold")
    return picture
