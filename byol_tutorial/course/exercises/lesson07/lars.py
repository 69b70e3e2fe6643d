"""Exercise 07-lars, “A step of LARS”."""

from functools import partial

import torch
from torch import Tensor

from ..record import Exercise, Mistake


def _layers() -> list[tuple]:
    g = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=g)  # noqa: E731
    return [
        (3 * draw(4, 5), draw(4, 5), draw(4, 5), 0.5, 0.9, 0.1, 0.02),
        (draw(6, 3), 0.01 * draw(6, 3), torch.zeros(6, 3), 2.0, 0.9, 0.0, 0.001),
        (draw(7), draw(7), draw(7), 0.5, 0.9, 0.1, 0.02),
    ]


def _lars(
    w: Tensor,
    g: Tensor,
    m: Tensor,
    lr: float,
    momentum: float,
    weight_decay: float,
    eta: float,
    decay: str = "inside",
    late: bool = True,
    upside_down: bool = False,
    all_alike: bool = False,
    trust: bool = True,
    dampened: bool = False,
) -> tuple[Tensor, Tensor]:
    u = g
    if w.ndim > 1 or all_alike:
        u = g + weight_decay * w if decay in ("inside", "sum of lengths") else g
        length = g.norm() + weight_decay * w.norm() if decay == "sum of lengths" else u.norm()
        ratio = eta * length / w.norm() if upside_down else eta * w.norm() / length
        u = u * (ratio if trust else 1) + (weight_decay * w if decay == "after" else 0)
    u = u * (1 - momentum) if dampened else u
    m = momentum * m + (u if late else lr * u)
    return w - (lr * m if late else m), m


def _lars_by_gradient(
    w: Tensor, g: Tensor, m: Tensor, lr: float, momentum: float, weight_decay: float, eta: float
) -> tuple[Tensor, Tensor]:
    if w.ndim == 1:
        return _lars(w, g, m, lr, momentum, weight_decay, eta)
    m = momentum * m + (g + weight_decay * w) * eta * w.norm() / g.norm()
    return w - lr * m, m


LARS = Exercise(
    id="07-lars",
    title="A step of LARS",
    kind="implement",
    difficulty=2,
    minutes=15,
    core=False,
    hints=(
        "Two kinds of parameters, by their number of dimensions: what is u for each?",
        (
            "For w.ndim > 1: u = g + λw, then u = u · η‖w‖/‖u‖. For w.ndim == 1: u = g. Then m = μm + u and w − "
            "lr·m, for both."
        ),
        (
            "u = g\n"
            "if w.ndim > 1:\n"
            "    u = g + weight_decay * w\n"
            "    u = u * eta * w.norm() / u.norm()\n"
            "# momentum and step are the same for both"
        ),
    ),
    cases=_layers,
    reference=_lars,
    mistakes=(
        Mistake(
            "weight decay after the ratio",
            partial(_lars, decay="after"),
            "the weight decay is added after the scaling; in the paper it is a part of what is scaled.",
        ),
        Mistake(
            "no weight decay",
            partial(_lars, decay="none"),
            "where is the weight decay? λw belongs to u, before its length is measured.",
        ),
        Mistake(
            "the ratio of You et al.",
            partial(_lars, decay="sum of lengths"),
            "this is the ratio as You et al. 2017 write it, η‖w‖/(‖g‖ + λ‖w‖). BYOL's code, which we follow here, divides by "
            "‖g + λw‖.",
        ),
        Mistake(
            "LARS as You et al. write it",
            partial(_lars, decay="sum of lengths", late=False),
            "this is LARS as You et al. 2017 write it, with η‖w‖/(‖g‖ + λ‖w‖) and the learning rate inside the momentum. "
            "BYOL's code, which we follow here, divides by ‖g + λw‖, and its learning rate multiplies after the momentum.",
        ),
        Mistake(
            "biases like weights",
            partial(_lars, all_alike=True),
            "right for matrices. Parameters of one dimension, biases and those of normalisation, have neither trust ratio nor "
            "weight decay.",
        ),
        Mistake(
            "ratio upside down",
            partial(_lars, upside_down=True),
            "the ratio is upside down: a layer with large weights may move far, one with a large gradient need not.",
        ),
        Mistake(
            "the length of the gradient",
            _lars_by_gradient,
            "the ratio divides by ‖g‖. It divides by ‖u‖, the length of what is scaled, with the weight decay in it.",
        ),
        Mistake(
            "no trust ratio",
            partial(_lars, trust=False),
            "this is SGD with momentum: the step of a matrix is not yet scaled to its own length, by η‖w‖/‖u‖.",
        ),
        Mistake(
            "dampened momentum",
            partial(_lars, dampened=True),
            "the new step is multiplied by 1 − μ, as in a moving average. Here m = μm + u: the momentum adds up.",
        ),
        Mistake(
            "uphill",
            lambda w, *a: (2 * w - _lars(w, *a)[0], _lars(w, *a)[1]),
            "the step goes uphill: w − lr·m.",
        ),
        Mistake(
            "exchanged",
            lambda *a: _lars(*a)[::-1],
            "the two are exchanged: first the new w, then the new m.",
        ),
        Mistake(
            "without what was",
            lambda w, g, m, lr, momentum, weight_decay, eta: _lars(w, g, 0 * m, lr, momentum, weight_decay, eta),
            "the old momentum is not used: m = μm + u.",
        ),
        Mistake(
            "learning rate inside the momentum",
            partial(_lars, late=False),
            "the learning rate is inside the momentum. It multiplies after it: w − lr·m, so that a change of lr acts at once.",
        ),
        Mistake(
            "plain descent",
            lambda w, g, m, lr, *others: (w - lr * g, m),
            "this is plain gradient descent: neither momentum nor, for matrices, weight decay and trust ratio are used.",
        ),
    ),
    praise="right. Whatever the scale of the loss, a matrix moves by about lr · η of its own length: the loss may be halved, "
    "and only biases and normalisation notice.",
)
