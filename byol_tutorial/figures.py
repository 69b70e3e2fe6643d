"""Functions from data to a matplotlib Figure. They keep no state and use no pyplot, so any thread may call them."""

import base64
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from torch import Tensor

from .data.colours import false_colour, in_colours
from .runtime.markup import encodable, escaped

# The palette of figures and panels: readers with protanopia, deuteranopia or tritanopia can distinguish all ten colours
# too, on white and on dark grounds; tests/widgets/test_palette.py computes this.
BLUE, ROSE, GREEN, PURPLE, SKY, RED = "#486CFA", "#FE368B", "#4D9300", "#C845A4", "#0490BB", "#FF3100"
COLOURS = (BLUE, ROSE, GREEN, PURPLE, SKY, RED, "#978041", "#A057D4", "#A66959", "#7B7D7F")
# The mark of each colour on maps: corners, radius of the points between them, angle of the first corner in degrees.
MARKS = (
    (8, 1.0, 0), (3, 0.5, -90), (4, 0.71, 45), (5, 0.4, -90), (4, 0.3, 45),
    (3, 0.5, 90), (3, 0.5, 180), (3, 0.5, 0), (4, 0.5, -90), (4, 0.3, 0),
)  # fmt: skip
LONGEST = 60  # characters of a line in a figure
EAST_ASIAN = ("Noto Sans CJK JP", "Noto Sans CJK SC", "Hiragino Sans", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic",
              "WenQuanYi Zen Hei", "Arial Unicode MS")  # fmt: skip
INK, GRID = "#222222", "#dddddd"

# On a dark page a picture has no background of its own, and what is drawn is drawn light: black becomes white, and each
# colour keeps its hue. Photographs stay as they are. JupyterLab, the book, Colab and VS Code say that a page is dark;
# elsewhere, and where a page removes styles, a picture stays on white.
DARK = ':is([data-jp-theme-light="false"],[data-theme="dark"],[theme="dark"],.vscode-dark)'
STYLE = (
    f"<style>{DARK} .bt-picture{{background:none!important}}"
    f"{DARK} .bt-ink{{filter:invert(1) hue-rotate(180deg)}}</style>"
)


class Picture(Figure):
    """A matplotlib Figure that shows itself in a notebook, with alt text, in the colours of a light or a dark page.

    math: whether $...$ in its texts is a formula. Otherwise texts are shown as they are, because names of classes and
        files come from users; see `readable`.
    """

    def __init__(self, width: float, height: float, alt: str, math: bool = False) -> None:
        super().__init__(figsize=(width, height), layout="constrained", facecolor="white")
        self.alt, self.math = alt, math

    def png(self, dpi: int = 110) -> bytes:
        """Return the picture as a PNG file."""
        return self._as("png", dpi)

    def _as(self, kind: str, dpi: int, transparent: bool = False) -> bytes:
        if not self.math:
            self._show_texts_as_they_are()
        buffer = io.BytesIO()
        lossless = {"lossless": True} if kind == "webp" else {}
        self.savefig(buffer, format=kind, dpi=dpi, transparent=transparent, pil_kwargs=lossless)
        return buffer.getvalue()

    def _layers(self, kind: str, dpi: int) -> list[tuple[str, bytes]]:
        """Return (class in the page, file) of the transparent layers: photographs, if there are any, and what is drawn."""
        photographs: list[Artist] = [image for axes in self.axes for image in axes.images]
        if not photographs:
            return [("bt-ink", self._as(kind, dpi, transparent=True))]
        drawn = [artist for axes in self.axes for artist in axes.get_children() if artist not in photographs]
        drawn += [artist for artist in self.get_children() if artist not in self.axes]
        with self._laid_out():
            layers = []
            for name, hidden in (("bt-photographs", drawn), ("bt-ink", photographs)):
                with _hiding(hidden):
                    layers.append((name, self._as(kind, dpi, transparent=True)))
        return layers

    @contextmanager
    def _laid_out(self) -> Iterator[None]:
        """Keep everything in its place, which would depend on what is visible."""
        if not self.math:
            self._show_texts_as_they_are()
        engine = self.get_layout_engine()
        self.draw_without_rendering()
        self.set_layout_engine("none")
        try:
            yield
        finally:
            self.set_layout_engine(engine)

    def _show_texts_as_they_are(self) -> None:
        for text in self.findobj(Text):
            text.set_parse_math(False)
            text.set_fontfamily(_fonts())
            text.set_text(readable(text.get_text()))

    def _repr_html_(self) -> str:
        width = int(self.get_size_inches()[0] * 100)
        # WebP has the same pixels in three fifths of the bytes, and a page of the book has many pictures.
        kind = "webp" if os.environ.get("BYOL_STATIC") else "png"
        shown, alt = "", self.alt
        for name, layer in self._layers(kind, dpi=160):
            data = base64.b64encode(layer).decode()
            shown += (
                f'<img alt="{escaped(alt)}" class="{name} dark-light" style="grid-area:1/1;width:100%;height:auto" '
                f'src="data:image/{kind};base64,{data}">'
            )
            alt = ""  # one layer speaks for all
        # Without the class "dark-light" the book's theme would change the pictures itself.
        style = f"display:grid;width:{width}px;max-width:100%;background:#fff;border-radius:6px"
        return f'{STYLE}<div class="bt-picture" style="{style}">{shown}</div>'


@contextmanager
def _hiding(artists: Sequence[Artist]) -> Iterator[None]:
    shown = [artist for artist in artists if artist.get_visible()]
    for artist in shown:
        artist.set_visible(False)
    try:
        yield
    finally:
        for artist in shown:
            artist.set_visible(True)


def readable(text: str, longest: int = LONGEST) -> str:
    """Return a text that the fonts here can show: long lines shortened in the middle, other characters as their codes."""
    lines = encodable(text).split("\n")
    half = longest // 2
    lines = [line if len(line) <= longest else f"{line[:half]}…{line[-half:]}" for line in lines]
    return "\n".join("".join(c if _has_glyph(c) else f"\\u{ord(c):04x}" for c in line) for line in lines)


@cache
def _fonts() -> list[str]:
    """Return matplotlib's own font, and those of EAST_ASIAN that are installed, which it takes glyphs from."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in EAST_ASIAN if name in installed)]


@cache
def _has_glyph(character: str) -> bool:
    if character.isascii():
        return character.isprintable()
    files = (font_manager.findfont(name) for name in _fonts())
    return any(font_manager.get_font(file).get_char_index(ord(character)) for file in files)


def mark(colour: str) -> np.ndarray:
    """Return the corners (N, 2) of a colour's mark, about as large as a disc of radius 1; y points upwards.

    A colour that is not in COLOURS has the mark of the first.
    """
    n, inner, turn = MARKS[COLOURS.index(colour) if colour in COLOURS else 0]
    size = (3 / (n * inner * np.sin(np.pi / n))) ** 0.4
    angles = np.deg2rad(turn) + np.arange(2 * n) * np.pi / n
    radii = size * np.where(np.arange(2 * n) % 2, inner, 1.0)
    return np.stack((radii * np.cos(angles), -radii * np.sin(angles)), axis=1)


def _tell_false_colour(figure: "Picture", images: Tensor) -> None:
    """Write below the figure, and into its alt text, that the colours are false, if they are."""
    if words := false_colour(images.shape[-3]):
        figure.alt += f", in {words}"
        figure.supxlabel(words, fontsize=8, color=INK)


def _show(axes: Axes, image: Tensor, title: str = "", frame: str | None = None) -> None:
    """Draw one picture, uint8, uint16 or float in [0, 1], (C, H, W)."""
    axes.imshow(in_colours(image).permute(1, 2, 0).numpy(), interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=frame is not None, color=frame, linewidth=3)
        spine.set_linestyle((0, (1.5, 1)) if frame == RED else "-")
    if title:
        axes.set_title(readable(title, 16), fontsize=9, color=INK)


def _ends(values: Sequence[float] | np.ndarray, at: Sequence[float] | None = None) -> str:
    """Say in words where a curve begins and ends, and between which values it runs."""
    y = np.asarray(values, dtype=float)
    if not len(y):
        return "no values"
    x = [""] * len(y) if at is None else [f" at {place:.3g}" for place in np.asarray(at, dtype=float)]
    text = f"{y[0]:.3g}{x[0]}" if len(y) == 1 else f"from {y[0]:.3g}{x[0]} to {y[-1]:.3g}{x[-1]}"
    least, most = y.min(), y.max()
    return text if {least, most} <= {y[0], y[-1]} else f"{text}, between {least:.3g} and {most:.3g}"


def _plain(axes: Axes, title: str = "", xlabel: str = "", ylabel: str = "") -> None:
    """Give the axes the common style and these words."""
    axes.grid(True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize=11, loc="left", color=INK)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)


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


def curves(runs: dict[str, dict[str, Any]], steps_per_epoch: int = 1) -> Picture:
    """Draw loss, √d·std and kNN accuracy of one or more runs over training. The alt text has the numbers of each.

    The kNN accuracy is the quick one of History.knn, on fewer images than in a table. A dashed line is the balanced accuracy,
    which a history has where classes are not equally frequent.

    runs: name -> History.to_dict(), or `loss`, `std` and `knn` of a History in a dict.
    """
    has_knn = any(run.get("knn") for run in runs.values())
    said = []
    for name, run in runs.items():
        parts = [f"loss {_ends(smooth(run['loss']))}", f"√d·std {_ends(smooth(run['std']))}"]
        parts += [f"quick kNN accuracy {_ends([accuracy for _, accuracy in run['knn']])}"] if run.get("knn") else []
        balanced = [accuracy for _, accuracy in run.get("knn_balanced", ())]
        parts += [f"balanced {_ends(balanced)}"] if balanced else []
        said.append(f"{name}: {'; '.join(parts)}")
    figure = Picture(9.5 if has_knn else 7, 2.9, f"Curves over training. {'. '.join(said)}")
    panels = figure.subplots(1, 3 if has_knn else 2)
    unit = "step" if steps_per_epoch == 1 else "epoch"
    for (name, run), colour in zip(runs.items(), COLOURS * 2, strict=False):
        at = (np.arange(len(run["loss"])) + 1) / steps_per_epoch
        for axes, key in zip(panels, ("loss", "std"), strict=False):
            axes.plot(at, run[key], color=colour, alpha=0.25, linewidth=0.8)
            axes.plot(at, smooth(run[key]), color=colour, linewidth=1.8, label=name)
        if run.get("knn"):
            steps, accuracy = zip(*run["knn"], strict=True)
            panels[2].plot(np.array(steps) / steps_per_epoch, accuracy, color=colour, marker="o", markersize=3.5)
        if run.get("knn_balanced"):
            steps, accuracy = zip(*run["knn_balanced"], strict=True)
            style: dict[str, Any] = {"color": colour, "marker": "o", "markersize": 2.5, "linestyle": "--"}
            panels[2].plot(np.array(steps) / steps_per_epoch, accuracy, **style)
    for axes, title in zip(panels, ("loss", "spread √d·std of z", "quick kNN accuracy"), strict=False):
        _plain(axes, title, xlabel=unit)
        axes.set_ylim(
            bottom=min(0, *(min(run["loss"], default=0) for run in runs.values()))
        )  # SimSiam's loss falls to −1
    panels[1].set_ylim(0, 1.05)
    if has_knn:
        panels[2].set_ylim(0, 1.02)
    if any(run.get("knn_balanced") for run in runs.values()):
        handles = panels[2].plot([], [], color=INK, linestyle="--", label="balanced accuracy")
        panels[2].legend(handles=handles, frameon=False, fontsize=9)
    if len(runs) > 1:
        panels[0].legend(frameon=False, fontsize=9)
    return figure


def lines(
    series: dict[str, tuple[Sequence[float], Sequence[float]]],
    xlabel: str,
    ylabel: str,
    title: str = "",
    alt: str = "",
    marker: str | None = None,
) -> Picture:
    """Draw curves in one panel: name -> (x, y).

    `alt` says in words what is drawn; the ends of each curve follow it, so that it need not say what comes out.
    """
    ends = "; ".join(f"{name}: {_ends(y, x)}" for name, (x, y) in series.items())
    figure = Picture(5.6, 2.9, f"{alt or f'{ylabel} over {xlabel}'}. {ends}")
    axes = figure.subplots()
    for (name, (x, y)), colour in zip(series.items(), COLOURS * 2, strict=False):
        axes.plot(x, y, color=colour, linewidth=1.8, label=name, marker=marker, markersize=4)
    _plain(axes, title, xlabel, ylabel)
    if len(series) > 1:
        axes.legend(frameon=False, fontsize=9)
    return figure


def smooth(values: Sequence[float], window: int = 25) -> np.ndarray:
    """Return the means over the last `window` values, over fewer at the start: float64, as long as `values`."""
    total = np.cumsum(np.concatenate(([0.0], np.asarray(values, dtype=float))))
    end = np.arange(1, len(total))
    start = np.maximum(end - window, 0)
    return (total[end] - total[start]) / (end - start)


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


def bars(groups: dict[str, dict[str, float]], ylabel: str = "accuracy", chance: float | None = None) -> Picture:
    """Draw bars side by side: groups -> series -> value in [0, 1]; `chance` adds a line. The alt text has the values."""
    series = list(dict.fromkeys(name for values in groups.values() for name in values))
    said = [
        f"{g}: " + ", ".join(f"{name} {value:.2f}" for name, value in values.items()) for g, values in groups.items()
    ]
    figure = Picture(max(5.0, 1.1 * len(groups) + 1.5), 2.9, f"{ylabel or 'values'} as bars. {'; '.join(said)}")
    axes = figure.subplots()
    width = 0.8 / len(series)
    for i, (name, colour) in enumerate(zip(series, COLOURS, strict=False)):
        at = np.arange(len(groups)) + (i - (len(series) - 1) / 2) * width
        values = [group.get(name, np.nan) for group in groups.values()]
        for bar, value in zip(axes.bar(at, values, width * 0.92, color=colour, label=name), values, strict=True):
            axes.annotate(
                f"{value:.2f}", (bar.get_x() + bar.get_width() / 2, value), ha="center", va="bottom", fontsize=8
            )
    _plain(axes, ylabel=ylabel)
    axes.grid(False, axis="x")
    axes.set_xticks(range(len(groups)), [readable(name, 20) for name in groups])
    axes.set_ylim(0, 1.08)
    if chance is not None:
        axes.axhline(chance, color=INK, linewidth=1, linestyle="--")
        axes.annotate("chance", (1, chance), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8)
    # above the axes, where no bar ends
    axes.legend(
        frameon=False, fontsize=9, ncols=len(series), loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2
    )
    return figure
