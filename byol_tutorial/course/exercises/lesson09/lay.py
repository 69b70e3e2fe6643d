"""Exercise 09-lay, “New pictures on an old map”."""

import torch
from torch import Tensor

from ..record import Exercise, Mistake


def _pairs_of_maps() -> list[tuple]:
    g = torch.Generator().manual_seed(3)
    new = torch.randn(30, 2, generator=g) + 2
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    mirror = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    common = torch.arange(20)
    noise = 0.1 * torch.randn(20, 2, generator=g)
    return [(new, (new[:20] - 1) @ turn + noise, common), (new, 0.5 * new[:20] @ mirror + 1, common)]


def _lay(
    new: Tensor,
    old: Tensor,
    common: Tensor,
    mirror: bool = True,
    scale: bool = False,
    middle: str = "common",
    all_points: bool = False,
) -> Tensor:
    known = new[common]
    a, b = known - known.mean(0), old - old.mean(0)
    u, s, v = torch.linalg.svd(a.T @ b)
    if not mirror and torch.det(u @ v) < 0:
        u = u * torch.tensor([1.0, -1.0])
    turn = u @ v * (s.sum() / a.square().sum() if scale else 1.0)
    if all_points:
        return a @ turn + old.mean(0)
    centre = known.mean(0) if middle == "common" else new.mean(0)
    return (new - centre) @ turn + old.mean(0)


def _shifted_only(new: Tensor, old: Tensor, common: Tensor) -> Tensor:
    return new - new[common].mean(0) + old.mean(0)


def _turned_back(new: Tensor, old: Tensor, common: Tensor) -> Tensor:
    known = new[common]
    u, _, v = torch.linalg.svd((known - known.mean(0)).T @ (old - old.mean(0)))
    return (new - known.mean(0)) @ (u @ v).T + old.mean(0)


def _any_linear_map(new: Tensor, old: Tensor, common: Tensor) -> Tensor:
    known = new[common]
    a, b = known - known.mean(0), old - old.mean(0)
    return (new - known.mean(0)) @ torch.linalg.lstsq(a, b).solution + old.mean(0)


LAY = Exercise(
    id="09-lay",
    title="New pictures on an old map",
    kind="extend",
    difficulty=3,
    minutes=15,
    core=False,
    hints=(
        (
            "Which turn brings the common points of the new map to their old places? Find it from them alone, "
            "then move everything."
        ),
        (
            "Find the rotation R from the common points alone, both sets centred: R = U Vᵀ with U S Vᵀ = AᵀB. "
            "Then move all points: take the common points' mean away, turn, add the old map's mean."
        ),
        (
            "known = new[common]\n"
            "a, b = known - known.mean(0), old - old.mean(0)\n"
            "u, s, vt = torch.linalg.svd(a.T @ b)\n"
            "turn = u @ vt  # allows a mirror image as well; now move *all* of new by it"
        ),
    ),
    cases=_pairs_of_maps,
    reference=_lay,
    mistakes=(
        Mistake(
            "scaled",
            lambda new, old, common: _lay(new, old, common, scale=True),
            "the new map was made smaller or larger as well. Then a collapse could not be seen any more: turn, mirror, shift.",
        ),
        Mistake(
            "no mirror",
            lambda new, old, common: _lay(new, old, common, mirror=False),
            "this is right for a turned map, but a mirrored map stays mirrored. U Vᵀ, used as it is, allows both.",
        ),
        Mistake(
            "the wrong middle",
            lambda new, old, common: _lay(new, old, common, middle="all"),
            "the middle that goes to the old map's middle is that of the common points, not of all.",
        ),
        Mistake(
            "not shifted back",
            lambda new, old, common: _lay(new, old, common) - old.mean(0),
            "the map is turned, but it lies around 0: add the old map's mean.",
        ),
        Mistake(
            "shifted only",
            _shifted_only,
            "the map is shifted, but not turned.",
        ),
        Mistake(
            "turned the wrong way",
            _turned_back,
            "the map is turned by the same angle the wrong way: the rotation is transposed.",
        ),
        Mistake(
            "any linear map",
            _any_linear_map,
            "least squares over all matrices also scales and shears. Only turns and mirrors are allowed: U Vᵀ.",
        ),
        Mistake(
            "the common points only",
            lambda new, old, common: _lay(new, old, common, all_points=True),
            "the points that the old map lacks are missing: find the turn from the common points, and apply it to all.",
        ),
    ),
    praise="right: this is Procrustes on the points that both maps have. `embed.align` is the case in which both have the same points.",
)
