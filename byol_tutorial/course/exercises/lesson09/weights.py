"""Exercise 09-weights, “A unit of its own for every point”."""

import torch
from torch import Tensor

from ..record import Exercise, Mistake


def _distances() -> list[tuple]:
    g = torch.Generator().manual_seed(1)
    d = torch.rand(6, 5, generator=g).sort(dim=1).values
    return [(d, torch.full((6,), 0.3)), (d + 2.0, 0.1 + torch.rand(6, generator=g))]


def _membership(d: Tensor, sigma: Tensor) -> Tensor:
    return torch.exp(-(d - d[:, :1]).clamp(min=0) / sigma[:, None])


MEMBERSHIP = Exercise(
    id="09-weights",
    title="A unit of its own for every point",
    kind="implement",
    difficulty=2,
    minutes=8,
    hints=(
        ("Each row has a ρ and a σ of its own: what shape must they have, so that they fit the columns of the row?"),
        ("ρ is each row's first entry, kept as a column: d[:, :1]. σ is needed as a column, too: sigma[:, None]."),
        (
            "rho = d[:, :1]  # (N, 1): the nearest of each point\n"
            "exponent = -(d - rho).clamp(min=0)  # still to be divided by each row's own σ"
        ),
    ),
    cases=_distances,
    reference=_membership,
    mistakes=(
        Mistake(
            "without ρ",
            lambda d, sigma: torch.exp(-d / sigma[:, None]),
            "the nearest neighbour must weigh 1, however far it is: what counts is how much farther away the others are.",
        ),
        Mistake(
            "σ squared",
            lambda d, sigma: torch.exp(-((d - d[:, :1]) ** 2) / sigma[:, None] ** 2),
            "that is a Gaussian, which t-SNE uses. UMAP's weights fall exponentially: (d − ρ)/σ, not squared.",
        ),
        Mistake(
            "one ρ for all",
            lambda d, sigma: torch.exp(-(d - d.min()) / sigma[:, None]),
            "ρ is the same for all points here. Each point has its own: the distance of *its* nearest neighbour.",
        ),
        Mistake(
            "ρ of the first point",
            lambda d, sigma: torch.exp(-(d - d[:1]).clamp(min=0) / sigma[:, None]),
            "d[:1] is the first *row*, the distances of the first point. ρ is the first entry of each row: d[:, :1].",
        ),
        Mistake(
            "no σ",
            lambda d, sigma: torch.exp(-(d - d[:, :1])),
            "σ is not used: each point has a unit of length of its own.",
        ),
        Mistake(
            "times σ",
            lambda d, sigma: torch.exp(-(d - d[:, :1]) * sigma[:, None]),
            "the distances are multiplied by σ. It is a unit of length, so they are divided by it.",
        ),
        Mistake(
            "rows that sum to 1",
            lambda d, sigma: _membership(d, sigma) / _membership(d, sigma).sum(1, keepdim=True),
            "each row sums to 1 now, as in t-SNE. UMAP does not divide by the sum: the nearest weighs 1.",
        ),
        Mistake(
            "the sign",
            lambda d, sigma: torch.exp((d - d[:, :1]) / sigma[:, None]),
            "the weights grow with the distance.",
        ),
        Mistake(
            "distances alone",
            lambda d, sigma: torch.exp(-d),
            "neither ρ nor σ is used: each row has its own nearest distance and its own unit.",
        ),
    ),
    praise="right. Twice all distances, twice all σ: the weights are the same. That is why a map by UMAP has no unit.",
)
