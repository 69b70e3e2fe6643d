"""Maps as a lesson shows them: several side by side, in the same colours as the embedding film."""

from collections.abc import Sequence

import torch
from matplotlib.path import Path
from torch import Tensor

from ...data.shapes import tint
from ...figures import COLOURS, Picture, mark, readable

PANEL = 1.85  # inches, each side of a panel
AREA = 7.0  # area of a dot, in square points


def by_class(labels: Tensor) -> list[str]:
    """Return a colour for each label, int64 (N,)."""
    return [COLOURS[c % len(COLOURS)] for c in labels.tolist()]


def by_hue(hue: Tensor) -> Tensor:
    """Return the tint with which "shapes" draws each hue in [0, 1), float (N,): (N, 3) in [0, 1]."""
    return tint(hue, luma=0.5).clamp(0, 1)


def show_maps(
    rows: Sequence[dict[str, Tensor]],
    colours: Sequence,
    classes: Sequence[str] = (),
    headings: Sequence[str] = (),
    same_unit: Sequence[bool] = (),
    alt: str = "",
    inches: float = PANEL,
) -> Picture:
    """Draw maps in rows and columns.

    Args:
        rows: for each row, title -> points (N, 2).
        colours: one entry for all rows, or one for each row, as by_class or by_hue returns it.
        classes: names for a legend of COLOURS and their marks.
        headings: a text to the left of each row.
        same_unit: for each row, whether its panels share their unit of length, for maps that have one, as PCA's do.
            Default: each map fills its panel.
        alt: a description of the picture for readers who cannot see it.
        inches: the length of a panel's side.
    """
    per_row = colours if len(colours) == len(rows) else [colours[0]] * len(rows)
    columns = max(len(row) for row in rows)
    titles = ", ".join(dict.fromkeys(name for row in rows for name in row))
    picture = Picture(
        inches * columns + (0.3 if headings else 0) + (1.0 if classes else 0), (inches + 0.2) * len(rows),
        alt or f"Maps in {len(rows)} rows: {titles}",
    )  # fmt: skip
    grid = picture.subplots(len(rows), columns, squeeze=False)
    for i, row in enumerate(rows):
        shared = i < len(same_unit) and same_unit[i]
        reach = [float((m - middle(m)).abs().max()) for m in row.values()]
        for axes in grid[i][len(row) :]:
            axes.set_visible(False)
        for axes, (title, points), own in zip(grid[i], row.items(), reach, strict=False):
            half = 1.08 * max(reach if shared else [own])
            x, y = middle(points).tolist()
            dots = axes.scatter(points[:, 0], points[:, 1], s=AREA, c=per_row[i], linewidths=0)
            if isinstance(per_row[i], list):  # each point gets the mark of its colour
                dots.set_paths([Path(mark(colour) / 2) for colour in per_row[i]])
            axes.set(xlim=(x - half, x + half), ylim=(y - half, y + half), aspect="equal", xticks=[], yticks=[])
            axes.spines[:].set_color("#bbbbbb")
            axes.set_title(title, fontsize=9)
        if i < len(headings):
            grid[i][0].set_ylabel(headings[i], fontsize=9)
    if classes:
        from matplotlib.lines import Line2D

        keys = [
            Line2D([], [], marker=Path(mark(colour)), linestyle="", markersize=7, color=colour)
            for colour in by_class(torch.arange(len(classes)))
        ]
        picture.legend(
            keys, [readable(name, 24) for name in classes], loc="outside right center", frameon=False, fontsize=8
        )
    return picture


def middle(points: Tensor) -> Tensor:
    """Return the centre of the box around points (N, 2)."""
    return (points.amax(0) + points.amin(0)) / 2


def class_centres(points: Tensor, labels: Tensor) -> Tensor:
    """Return the mean of each class: (N, D), int64 (N,) -> (classes, D)."""
    return torch.stack([points[labels == c].mean(0) for c in labels.unique()])


def class_radius(points: Tensor, labels: Tensor, c: int) -> float:
    """Return the median distance of the points of class c from their mean."""
    own = points[labels == c]
    return float((own - own.mean(0)).norm(dim=1).median())
