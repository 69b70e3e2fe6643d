"""Networks as a ladder: each stands as high as its accuracy, with pictures and what it takes for similar to them."""

from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor

from ...figures import BLUE, GREEN, INK, RED, Picture

WIDE, HIGH = 1.95, 4.7  # inches: from rung to rung, and of the picture
LEFT, RIGHT, BELOW, ABOVE = 0.62, 0.1, 0.42, 0.08  # inches around the axes
TOP = 1.75  # top of the axis, an accuracy; a rung at 1 leaves room for its pictures
SIDE = 0.82  # side of the pictures, in steps from rung to rung
GAP = 3  # pixels between the query and what was found


@dataclass(frozen=True)
class Rung:
    """A network of the ladder.

    accuracy   in [0, 1]; how high it stands
    queries    pictures, uint8 (Q, C, H, W)
    found      for each query the K pictures that the network finds most similar, uint8 (Q, K, C, H, W)
    right      whether a found picture has the query's class, bool (Q, K)
    """

    accuracy: float
    queries: Tensor
    found: Tensor
    right: Tensor


def show_ladder(rungs: dict[str, Rung], ylabel: str = "kNN accuracy", chance: float | None = None) -> Picture:
    """Draw a rung for each network, at the height of its accuracy, the first network first.

    Above each rung there are its queries, one in a row, followed by the pictures that the network finds most similar: with
    a green frame where they have the query's class, with a dashed red one where not. An arrow goes from each network to the
    next one, which was trained to predict it. `chance` draws a line at this accuracy.
    """
    said = ", ".join(
        f"{name} {r.accuracy:.2f} with {int(r.right.sum())} of {r.right.numel()} found pictures right"
        for name, r in rungs.items()
    )
    width, height = WIDE * len(rungs) + LEFT + RIGHT, HIGH
    picture = Picture(width, height, f"A ladder of networks, each with pictures and their neighbours; {ylabel}: {said}")
    picture.set_layout_engine("none")
    across, up = width - LEFT - RIGHT, height - BELOW - ABOVE  # inches of the axes
    axes = picture.add_axes((LEFT / width, BELOW / height, across / width, up / height))
    axes.set(xlim=(-0.5, len(rungs) - 0.5), ylim=(0, TOP), yticks=[0, 0.2, 0.4, 0.6, 0.8, 1], ylabel=ylabel)
    axes.yaxis.set_label_coords(-0.42 / across, 0.5 / TOP)
    axes.set_xticks(range(len(rungs)), list(rungs))
    axes.spines[["top", "right"]].set_visible(False)
    if chance is not None:
        axes.axhline(chance, color=INK, linewidth=1, linestyle="--")
        axes.annotate("chance", (1, chance), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8)
    before = None
    for i, rung in enumerate(rungs.values()):
        a = rung.accuracy
        axes.plot((i - SIDE / 2, i + SIDE / 2), (a, a), color=BLUE, linewidth=5, solid_capstyle="butt")
        axes.text(i - SIDE / 2, a - 0.03, f"{a:.2f}", ha="left", va="top", fontsize=10, color=INK)
        q, k = rung.right.shape
        wide = SIDE * WIDE
        tall = wide * q / (k + 1)
        shown = picture.add_axes((
            (LEFT + (i + 0.5 - SIDE / 2) * WIDE) / width, (BELOW + (a + 0.02) / TOP * up) / height, wide / width, tall / height,
        ))  # fmt: skip
        _neighbours(shown, rung)
        if before is not None:
            shape = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.3, "connectionstyle": "arc3,rad=0.3"}
            axes.annotate("", xy=(i - 0.15, a - 0.02), xytext=(i - 1 + 0.05, before - 0.03), arrowprops=shape)
            axes.text(i - 0.44, min(a, before) - 0.13, "is predicted by", ha="center", va="top", fontsize=8, color=INK)
        before = a
    return picture


def _neighbours(axes: Axes, rung: Rung) -> None:
    """Draw the queries and what was found as one picture, with frames around what was found."""
    (q, k), (c, h, w) = rung.right.shape, rung.queries.shape[1:]
    whole = torch.full((q * h, (k + 1) * w + GAP, c), 255, dtype=torch.uint8)
    for row in range(q):
        y = slice(row * h, (row + 1) * h)
        whole[y, :w] = rung.queries[row].permute(1, 2, 0)
        for column in range(k):
            x = w + GAP + column * w
            whole[y, x : x + w] = rung.found[row, column].permute(1, 2, 0)
            corner, size = (x + 0.5, row * h + 0.5), (w - 2, h - 2)
            if rung.right[row, column]:
                axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=GREEN, linewidth=1.8))
            else:
                dashes = (0, (1.5, 1))
                axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=RED, linewidth=1.8, linestyle=dashes))
    axes.imshow(whole.numpy(), interpolation="nearest", aspect="auto")
    axes.axis("off")
