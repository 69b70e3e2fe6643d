"""Projections of three dimensions on their sphere, through training: frames side by side, one row for each run."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from matplotlib.path import Path
from torch import Tensor

from ...evaluate.diagnose import spread
from ...figures import INK, Picture, mark

PANEL = 1.5  # inches, each side
AREA = 9.0  # area of a dot, in square points


def show_spheres(rows: dict[str, Tensor], frames: Sequence[str], colours: Sequence[str], alt: str = "") -> Picture:
    """Draw how the directions z/‖z‖ move over the sphere. Points on its far side are pale.

    The orientation of a sphere has no meaning, so all frames of a row are turned in the same way, such that the middle of its
    last frame faces the reader. The number below a sphere is the spread √d·std, with d = 3.

    Args:
        rows: name of a run -> unit vectors, float (T, N, 3), one entry for each frame.
        frames: the titles of the T columns.
        colours: N colours, as `maps.by_class` returns them; each has its own mark.
        alt: what is drawn, in words. The spreads follow it.
    """
    picture = Picture(PANEL * len(frames) + 0.3, PANEL * len(rows) + 0.2, "")  # four rows fit on a screen
    grid = picture.subplots(len(rows), len(frames), squeeze=False)
    marks = [Path(mark(colour) / 2) for colour in colours]
    said = []
    for row, (name, points) in zip(grid, rows.items(), strict=True):
        turn = facing(points[-1])
        spreads = [float(spread(frame)) for frame in points]
        said.append(f"{name}: spread " + ", ".join(f"{s:.2f}" for s in spreads))
        for axes, frame, number in zip(row, points, spreads, strict=True):
            _sphere(axes)
            seen = frame @ turn.T
            for near, alpha in ((seen[:, 2] < 0, 0.16), (seen[:, 2] >= 0, 0.9)):
                at = near.nonzero()[:, 0].tolist()
                dots = axes.scatter(
                    seen[at, 0], seen[at, 1], s=AREA, c=[colours[i] for i in at], linewidths=0, alpha=alpha
                )
                dots.set_paths([marks[i] for i in at])
            axes.text(0, -1.2, f"{number:.2f}", ha="center", va="center", fontsize=8, color=INK)
        row[0].set_ylabel(name, fontsize=9.5, color=INK)
    for axes, title in zip(grid[0], frames, strict=True):
        axes.set_title(title, fontsize=9.5, color=INK)
    picture.alt = f"{alt or f'{len(rows)} runs on the sphere, at {len(frames)} moments'}. {'; '.join(said)}"
    return picture


def facing(points: Tensor) -> Tensor:
    """Return the rotation whose rows are the directions right, up and towards the reader, float (3, 3).

    The mean of the points (N, 3) comes to lie towards the reader, and their widest direction across it to the right.
    """
    towards = F.normalize(points.mean(0), dim=0)
    across = points - (points @ towards)[:, None] * towards
    right = torch.linalg.svd(across, full_matrices=False).Vh[0]
    right = F.normalize(right - (right @ towards) * towards, dim=0)
    return torch.stack((right, torch.linalg.cross(towards, right), towards))


def _sphere(axes: Axes) -> None:
    """Draw the ball and three of its great circles, without a frame."""
    axes.add_patch(Circle((0, 0), 1, facecolor="#f3f4f6", edgecolor="#aaaaaa", linewidth=0.8, zorder=0))
    angle = torch.linspace(0, 2 * torch.pi, 100)
    flat = torch.stack((angle.cos(), angle.sin(), torch.zeros(100)))
    tilt = torch.linalg.qr(torch.tensor([[0.9, -0.25, 0.35], [0.1, 0.9, 0.45], [-0.45, -0.3, 0.85]])).Q
    for axis in range(3):
        circle = tilt @ flat.roll(axis, 0)
        circle[:, circle[2] < 0] = torch.nan
        axes.plot(circle[0], circle[1], color="#d4d4d8", linewidth=0.7, zorder=0.5)
    axes.set(xlim=(-1.32, 1.32), ylim=(-1.32, 1.12), aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
