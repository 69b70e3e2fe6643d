"""Exercise 03-stop-gradient, “Two directions and a stop-gradient”."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ....methods.byol import byol_loss
from ..record import Exercise, Mistake


def _tiny() -> list[tuple]:
    """(online, predictor, target, v1, v2): linear maps, and two batches (6, 5)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        online, predictor, target = nn.Linear(5, 4), nn.Linear(4, 4), nn.Linear(5, 4)
        return [(online, predictor, target, torch.randn(6, 5), torch.randn(6, 5))]


def _loss_and_gradients(
    loss: Callable, online: nn.Module, predictor: nn.Module, target: nn.Module, v1: Tensor, v2: Tensor
) -> dict:
    value = loss(online, predictor, target, v1, v2)
    if isinstance(value, torch.Tensor) and value.requires_grad:
        value.backward()
    size = lambda net: sum(float(w.grad.norm()) for w in net.parameters() if w.grad is not None)  # noqa: E731
    return {
        "loss": value,
        "gradient of the online network": size(online),
        "gradient of the predictor": size(predictor),
        "gradient of the target": size(target),
    }


def _both(online: nn.Module, predictor: nn.Module, target: nn.Module, v1: Tensor, v2: Tensor) -> Tensor:
    p1, p2 = predictor(online(v1)), predictor(online(v2))
    with torch.no_grad():
        t1, t2 = target(v1), target(v2)
    return byol_loss(p1, t2) + byol_loss(p2, t1)


def _gradient_into_target(online: nn.Module, predictor: nn.Module, target: nn.Module, v1: Tensor, v2: Tensor) -> Tensor:
    p1, p2 = predictor(online(v1)), predictor(online(v2))
    return byol_loss(p1, target(v2)) + byol_loss(p2, target(v1))


def _averaged(*nets_and_views: Any) -> Tensor:
    return _both(*nets_and_views) / 2


def _one_direction(online: nn.Module, predictor: nn.Module, target: nn.Module, v1: Tensor, v2: Tensor) -> Tensor:
    return byol_loss(predictor(online(v1)), target(v2).detach())


def _same_view(online: nn.Module, predictor: nn.Module, target: nn.Module, v1: Tensor, v2: Tensor) -> Tensor:
    p1, p2 = predictor(online(v1)), predictor(online(v2))
    return byol_loss(p1, target(v1).detach()) + byol_loss(p2, target(v2).detach())


def _no_predictor(online: nn.Module, predictor: nn.Module, target: nn.Module, v1: Tensor, v2: Tensor) -> Tensor:
    return byol_loss(online(v1), target(v2).detach()) + byol_loss(online(v2), target(v1).detach())


def _predictor_on_both(online: nn.Module, predictor: nn.Module, target: nn.Module, v1: Tensor, v2: Tensor) -> Tensor:
    with torch.no_grad():
        t1, t2 = predictor(target(v1)), predictor(target(v2))
    return byol_loss(predictor(online(v1)), t2) + byol_loss(predictor(online(v2)), t1)


def _target_unused(online: nn.Module, predictor: nn.Module, target: nn.Module, v1: Tensor, v2: Tensor) -> Tensor:
    return _both(online, predictor, online, v1, v2)


def _no_gradient(online: nn.Module, predictor: nn.Module, target: nn.Module, v1: Tensor, v2: Tensor) -> float:
    return _both(online, predictor, target, v1, v2).item()


def _prediction_stopped(online: nn.Module, predictor: nn.Module, target: nn.Module, v1: Tensor, v2: Tensor) -> Tensor:
    p1, p2 = predictor(online(v1)).detach(), predictor(online(v2)).detach()
    return byol_loss(p1, target(v2)) + byol_loss(p2, target(v1))


STOP_GRADIENT = Exercise(
    id="03-stop-gradient",
    title="Two directions and a stop-gradient",
    kind="implement",
    difficulty=2,
    minutes=12,
    hints=(
        (
            "Four answers are needed: a prediction and a target for each of the two views. Which prediction "
            "belongs to which target?"
        ),
        (
            "p1 = predictor(online(v1)) must be near target(v2), and p2 near target(v1). Compute the target's "
            "answers inside `with torch.no_grad():`, then add the two losses."
        ),
        (
            "p1, p2 = predictor(online(v1)), predictor(online(v2))\n"
            "with torch.no_grad():\n"
            "    t1, t2 = target(v1), target(v2)\n"
            "# loss(p1, ...) + loss(p2, ...): which t for which p?"
        ),
    ),
    cases=_tiny,
    observe=_loss_and_gradients,
    reference=_both,
    mistakes=(
        Mistake(
            "missing stop-gradient",
            _gradient_into_target,
            "the value is right, but the gradient reaches the target network. Put the target's forward passes under "
            "torch.no_grad(), or .detach() their results.",
        ),
        Mistake(
            "stop-gradient on the prediction",
            _prediction_stopped,
            "the stop is on the wrong side: the prediction is detached, so the online network gets no gradient and the "
            "target gets one.",
        ),
        Mistake(
            "no gradient",
            _no_gradient,
            "the value is right, but there is no gradient for any network: float(), .item(), a torch.no_grad() around "
            "everything or NumPy cut it. Only the target's answers are to be without gradient.",
        ),
        Mistake(
            "the target is not used",
            _target_unused,
            "the target network is not used: what is to be predicted is target(v), not the online network's own answer.",
        ),
        Mistake(
            "average instead of sum",
            _averaged,
            "half of it: the two directions are added, not averaged. (Averaging halves the gradient, and with it the "
            "learning rate.)",
        ),
        Mistake(
            "one direction only",
            _one_direction,
            "one direction of two: also predict the target's answer for v from the view v′.",
        ),
        Mistake(
            "same view on both sides",
            _same_view,
            "each prediction is compared with the target's answer for the *same* view: then nothing has to be common to "
            "the two views. Cross them.",
        ),
        Mistake(
            "no predictor",
            _no_predictor,
            "the predictor is not used: the online side is predictor(online(v)).",
        ),
        Mistake(
            "predictor on both sides",
            _predictor_on_both,
            "the predictor is on both sides: only the online side has one; the target's answer is target(v).",
        ),
    ),
    praise="right: in [0, 8], and the gradient reaches the online network and the predictor only.",
)
