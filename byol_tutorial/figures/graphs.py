"""Graphs of numbers: training curves, lines and bars. The alt text of each has the numbers in words."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .fonts import readable
from .palette import COLOURS, GRID, INK
from .picture import Picture


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


def smooth(values: Sequence[float], window: int = 25) -> np.ndarray:
    """Return the means over the last `window` values, over fewer at the start: float64, as long as `values`."""
    total = np.cumsum(np.concatenate(([0.0], np.asarray(values, dtype=float))))
    end = np.arange(1, len(total))
    start = np.maximum(end - window, 0)
    return (total[end] - total[start]) / (end - start)


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
