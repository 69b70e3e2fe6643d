"""Pictures of images: in rows, above their views, and beside their nearest neighbours."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from torch import Tensor

from ..data.colours import false_colour, in_colours
from .fonts import readable
from .palette import GREEN, INK, RED
from .picture import Picture


def image_grid(images: Tensor, columns: int = 10, titles: Sequence[str] = ()) -> Picture:
    """Draw pictures in rows. images: uint8, uint16 or float in [0, 1], (N, C, H, W)."""
    rows = -(-len(images) // columns)
    figure = Picture(0.82 * columns, (0.98 if titles else 0.82) * rows, f"{len(images)} pictures in {rows} rows")
    for i, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.axis("off")
        if i < len(images):
            _show(axes, images[i], titles[i] if i < len(titles) else "")
    _tell_false_colour(figure, images)
    return figure


def view_pairs(images: Tensor, v1: Tensor, v2: Tensor) -> Picture:
    """Draw each image above its two views v and v′; all uint8, uint16 or float in [0, 1], (N, C, H, W)."""
    n = len(images)
    figure = Picture(0.95 * n + 0.5, 3.0, f"{n} images, each with two random views below it")
    grid = figure.subplots(3, n, squeeze=False)
    for row, (name, pictures) in enumerate((("image x", images), ("view v", v1), ("view v′", v2))):
        for axes, picture in zip(grid[row], pictures, strict=True):
            _show(axes, picture)
        grid[row][0].set_ylabel(name, color=INK)
    _tell_false_colour(figure, images)
    return figure


def neighbours(queries: Tensor, results: dict[str, Tensor], right: dict[str, Tensor] | None = None) -> Picture:
    """Draw for each query its nearest images under several encoders, side by side.

    queries: (Q, C, H, W). results: name -> (Q, K, C, H, W). right: name -> bool (Q, K): an image gets a green frame
    where it is true, and a dashed red one where it is false.
    """
    q, k = next(iter(results.values())).shape[:2]
    alt = f"{q} queries and their {k} nearest images under {', '.join(results)}"
    if right is not None:
        alt += ". Right are " + ", ".join(f"{int(r.sum())} of {r.numel()} under {name}" for name, r in right.items())
    figure = Picture(0.62 * (1 + len(results) * (k + 0.4)) + 0.3, 0.66 * q + 0.35, alt)
    widths = [1.0]
    for _ in results:
        widths += [0.4] + [1.0] * k
    grid = figure.subplots(q, len(widths), squeeze=False, width_ratios=widths)
    for axes in grid.flat:
        axes.axis("off")
    for row in range(q):
        grid[row][0].axis("on")
        _show(grid[row][0], queries[row], "query" if row == 0 else "")
        for block, (name, found) in enumerate(results.items()):
            for i in range(k):
                axes = grid[row][2 + block * (k + 1) + i]
                axes.axis("on")
                frame = None if right is None else (GREEN if right[name][row, i] else RED)
                _show(axes, found[row, i], name if row == 0 and i == k // 2 else "", frame)
    _tell_false_colour(figure, queries)
    return figure


def _show(axes: Axes, image: Tensor, title: str = "", frame: str | None = None) -> None:
    """Draw one picture, uint8, uint16 or float in [0, 1], (C, H, W)."""
    axes.imshow(in_colours(image).permute(1, 2, 0).numpy(), interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=frame is not None, color=frame, linewidth=3)
        spine.set_linestyle((0, (1.5, 1)) if frame == RED else "-")
        spine.set_capstyle("butt")  # other ends would fill the gaps between the dashes
    if title:
        axes.set_title(readable(title, 16), fontsize=9, color=INK)


def _tell_false_colour(figure: Picture, images: Tensor) -> None:
    """Write below the figure, and into its alt text, that the colours are false, if they are."""
    if words := false_colour(images.shape[-3]):
        figure.alt += f", in {words}"
        figure.supxlabel(words, fontsize=8, color=INK)
