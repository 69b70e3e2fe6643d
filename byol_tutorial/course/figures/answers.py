"""The plane of course/best_prediction.py: views in the colour of the online network's answer, and the best predictions."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...figures import COLOURS, INK, Picture
from ..best_prediction import REACH, answers, best_predictor, conditional_variance, lines

SHOWN = 220  # points in a panel
PANEL = 2.3  # inches, each side


def show_answers(v: Tensor, target: Tensor, collapse: Sequence[float]) -> Picture:
    """Draw what the online network knows about the target's views, in a panel for each value of `collapse`.

    A coloured point is the target z′ of one picture; its colour is the online network's answer z. A black dot is the best
    prediction for an answer, and a thin line goes from it to each of its points: the mean of their squared lengths is the
    conditional variance, in the title.

    Args:
        v, target: the online network's views and z′, float (N, 2) each.
        collapse: one or more values in [0, 1], see `lines`.
    """
    picture = Picture(PANEL * len(collapse), PANEL + 0.45, "")
    said = []
    for axes, amount in zip(picture.subplots(1, len(collapse), squeeze=False)[0], collapse, strict=True):
        at = lines(amount)
        z = answers(v, at)
        q, variance, given = best_predictor(z, target), conditional_variance(z, target), z.unique()
        said.append(f"collapse {amount:g}: answers {len(given)}, conditional variance {variance:.2f}")
        for k in given[torch.isin(given, z[:SHOWN])].tolist():
            own, colour = target[:SHOWN][z[:SHOWN] == k], COLOURS[(k + k // 4) % len(COLOURS)]
            for point in own:
                axes.plot(*torch.stack((q[k], point)).T, color=colour, linewidth=0.6, alpha=0.6)
            axes.scatter(own[:, 0], own[:, 1], s=9, color=colour, linewidths=0)
        axes.scatter(q[given, 0], q[given, 1], s=26, color=INK, zorder=3)
        for place in at[at < REACH].tolist():
            axes.axvline(place, color="#999999", linewidth=0.8, linestyle="--")
            axes.axhline(place, color="#999999", linewidth=0.8, linestyle="--")
        axes.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), aspect="equal", xticks=[], yticks=[])
        axes.spines[:].set_color("#bbbbbb")
        axes.set_title(f"{len(given)} answer{'s' * (len(given) > 1)}, variance {variance:.2f}", fontsize=10, color=INK)
    picture.alt = (
        f"The target's views as points in a plane, in the colours of the online network's answers, joined by lines to the "
        f"best prediction for each answer. {'; '.join(said)}"
    )
    return picture
