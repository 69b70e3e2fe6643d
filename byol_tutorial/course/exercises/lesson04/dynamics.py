"""Exercise 04-dynamics, “How one direction moves”."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..record import Exercise, Mistake

Number = float | Tensor


def _velocity(p: Number, s: Number, tau: float, eta: float, alpha: float, noise: float) -> tuple[Number, Number]:
    pull = tau - (1 + noise) * p
    return alpha * s * pull - eta * p, 2 * p * s * pull - 2 * eta * s


def _with(change: Callable) -> Callable:
    """Return the velocity whose arguments were first changed by `change`."""
    return lambda *args: _velocity(*change(*args))


def _no_two(p: Number, s: Number, tau: float, eta: float, alpha: float, noise: float) -> tuple[Number, Number]:
    pull = tau - (1 + noise) * p
    return alpha * s * pull - eta * p, p * s * pull - eta * s


def _eta_once(p: Number, s: Number, tau: float, eta: float, alpha: float, noise: float) -> tuple[Number, Number]:
    pull = tau - (1 + noise) * p
    return alpha * s * pull - eta * p, 2 * p * s * pull - eta * s


def _no_p(p: Number, s: Number, tau: float, eta: float, alpha: float, noise: float) -> tuple[Number, Number]:
    pull = tau - (1 + noise) * p
    return alpha * s * pull - eta * p, 2 * s * pull - 2 * eta * s


def _growing(p: Number, s: Number, tau: float, eta: float, alpha: float, noise: float) -> tuple[Number, Number]:
    pull = tau - (1 + noise) * p
    return alpha * s * pull + eta * p, 2 * p * s * pull + 2 * eta * s


def _noise_on_target(p: Number, s: Number, tau: float, eta: float, alpha: float, noise: float) -> tuple[Number, Number]:
    pull = tau * (1 + noise) - p
    return alpha * s * pull - eta * p, 2 * p * s * pull - 2 * eta * s


def _alpha_on_both(p: Number, s: Number, tau: float, eta: float, alpha: float, noise: float) -> tuple[Number, Number]:
    dp, _ = _velocity(p, s, tau, eta, alpha, noise)
    return dp, 2 * alpha * p * s * (tau - (1 + noise) * p) - 2 * eta * s


DYNAMICS = Exercise(
    id="04-dynamics",
    title="How one direction moves",
    kind="implement",
    difficulty=1,
    minutes=6,
    core=False,
    hints=(
        "Both contain the same bracket. Compute it once.",
        (
            "pull = τ̂ − (1 + noise)·p stands in both. The first equation has α before it, the second 2 p; weight "
            "decay is η p in the first and 2 η s in the second, both with a minus."
        ),
        (
            "pull = tau - (1 + noise) * p\n"
            "dp = alpha * s * pull - eta * p\n"
            "# ds: the factor 2 stands before both of its terms"
        ),
    ),
    cases=lambda: [
        (0.3, 0.8, 1.0, 0.05, 1.0, 0.1),
        (0.9, 0.2, 0.7, 0.2, 5.0, 0.5),
        (torch.linspace(0, 1, 4), torch.full((4,), 0.5), 1.0, 0.1, 2.0, 0.2),
    ],
    observe=lambda velocity, *args: list(velocity(*args)),
    reference=_velocity,
    mistakes=(
        Mistake("no factor 2", _no_two, "dp/dt is right; ds/dt has a factor 2 before both of its terms."),
        Mistake("weight decay once", _eta_once, "the weight decay of s is 2 η s: s is quadratic in the weights."),
        Mistake("without p", _no_p, "the pull on s is multiplied by p: where nothing is predicted, nothing grows."),
        Mistake("weight decay that grows", _growing, "weight decay pulls towards 0: both its terms have a minus."),
        Mistake(
            "noise on the target",
            _noise_on_target,
            "the noise σ² belongs to p, not to τ̂: it makes the input of the predictor larger than what can be predicted.",
        ),
        Mistake(
            "the noise is missing",
            _with(lambda p, s, tau, eta, alpha, noise: (p, s, tau, eta, alpha, 0.0)),
            "the bracket is τ̂ − (1 + σ²) p; σ² was not used.",
        ),
        Mistake("α on both", _alpha_on_both, "α is the predictor's rate: it stands before the change of p only."),
        Mistake(
            "the other way round",
            lambda *args: _velocity(*args)[::-1],
            "the two are exchanged: first the change of p, then that of s.",
        ),
    ),
    praise="right. Where does s stand still, if it is not 0?",
)
