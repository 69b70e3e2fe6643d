"""Exercises of lesson 03, BYOL built in one notebook."""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...methods.byol import byol_loss, tau_at
from .record import Exercise, Mistake

# --- the loss -----------------------------------------------------------------------------------


def _two_batches() -> list[tuple]:
    g = torch.Generator().manual_seed(3)
    return [tuple(3 * torch.randn(2, n, d, generator=g) + 0.5) for n, d in ((8, 16), (5, 64))]


def _unit(x: Tensor) -> Tensor:
    return F.normalize(x, dim=-1)


LOSS = Exercise(
    id="03-loss",
    title="The loss",
    kind="implement",
    difficulty=1,
    minutes=8,
    hints=(
        "Only directions count. How does a row get length 1?",
        (
            "F.normalize(x, dim=-1) gives each row length 1. Then: difference, square, sum over the dimensions of "
            "a row (dim=-1), mean over the rows."
        ),
        (
            "p, z = F.normalize(p, dim=-1), F.normalize(z, dim=-1)\n"
            "per_image = (p - z).square().sum(dim=-1)  # (N,)\n"
            "# the loss is one number for the whole batch"
        ),
    ),
    cases=_two_batches,
    reference=byol_loss,
    trains={"p": 0},
    mistakes=(
        Mistake(
            "no normalisation",
            lambda p, z: (p - z).square().sum(-1).mean(),
            "the rows keep their lengths. Divide each row of p and of z by its own length first: the loss looks at "
            "directions only.",
        ),
        Mistake(
            "only one side normalised",
            lambda p, z: (p - _unit(z)).square().sum(-1).mean(),
            "only z′ has length 1. Both p and z′ are divided by their lengths.",
        ),
        Mistake(
            "normalised over the batch",
            lambda p, z: (F.normalize(p, dim=0) - F.normalize(z, dim=0)).square().sum(-1).mean(),
            "normalised along the wrong dimension: each image's vector, a row, gets length 1, not each column.",
        ),
        Mistake(
            "mean instead of sum over dimensions",
            lambda p, z: F.mse_loss(_unit(p), _unit(z)),
            "too small by the number of dimensions: ‖·‖² is a sum over the dimensions, and only over the batch a mean. "
            "F.mse_loss averages over both.",
        ),
        Mistake(
            "sum over the batch",
            lambda p, z: (_unit(p) - _unit(z)).square().sum(),
            "too large by the batch size: take the mean over the images, or the learning rate would depend on the batch.",
        ),
        Mistake(
            "no mean",
            lambda p, z: (_unit(p) - _unit(z)).square().sum(-1),
            "one number per image: take their mean, since an optimiser needs one number.",
        ),
        Mistake(
            "not squared",
            lambda p, z: (_unit(p) - _unit(z)).norm(dim=-1).mean(),
            "the distance, not its square. Without the square the gradient has length 1 however near p already is.",
        ),
        Mistake(
            "negative cosine",
            lambda p, z: -F.cosine_similarity(p, z, dim=-1).mean(),
            "this is −cos, SimSiam's form: the same up to a constant and a factor. Here 2 − 2 cos is asked for, so that "
            "the loss is a squared distance; half the size would be half the learning rate.",
        ),
        Mistake(
            "half of it",
            lambda p, z: (1 - F.cosine_similarity(p, z, dim=-1)).mean(),
            "this is 1 − cos, half of what is asked for: ‖a − b‖² of two vectors of length 1 is 2 − 2 cos.",
        ),
        Mistake(
            "the sign",
            lambda p, z: (2 + 2 * F.cosine_similarity(p, z, dim=-1)).mean(),
            "the sign is turned: this is smallest where p points away from z′.",
        ),
        Mistake(
            "plain mean squared error",
            F.mse_loss,
            "lengths count here, and the sum over dimensions is a mean: give each row length 1 first, sum its squares, and "
            "only then take the mean over the images.",
        ),
        Mistake(
            "the batch as one vector",
            lambda p, z: 2 - 2 * F.cosine_similarity(p.flatten(), z.flatten(), dim=0),
            "the whole batch was taken as one long vector. Each row is an image and has a cosine of its own.",
        ),
        Mistake(
            "length of the whole batch",
            lambda p, z: (p / p.norm() - z / z.norm()).square().sum(-1).mean(),
            "p.norm() without dim is the length of the whole batch: each row is divided by its own, dim=-1 and keepdim=True.",
        ),
        Mistake(
            "absolute values",
            lambda p, z: (_unit(p) - _unit(z)).abs().sum(-1).mean(),
            "the differences are taken by their absolute value; they are squared: ‖·‖² is the sum of squares.",
        ),
        Mistake(
            "softmax",
            lambda p, z: (p.softmax(-1) - z.softmax(-1)).square().sum(-1).mean(),
            "a softmax makes rows that sum to 1. Here a row gets *length* 1: its squares sum to 1.",
        ),
        Mistake(
            "every pair of images",
            lambda p, z: 2 - 2 * (_unit(p) @ _unit(z).T).mean(),
            "p @ z.T compares each image with all of the batch: only row i of p and row i of z belong together.",
        ),
        Mistake(
            "one cosine too few",
            lambda p, z: 2 - F.cosine_similarity(p, z, dim=-1).mean(),
            "this is 2 − cos: the cosine has a factor 2.",
        ),
    ),
    praise="right: 2 − 2 cos(p, z′), in [0, 4]. What is it for two unrelated directions?",
)


# --- both directions, and where the gradient may go ---------------------------------------------


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


# --- the moving average -------------------------------------------------------------------------


def _two_nets() -> list[tuple]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return [(nn.Linear(3, 2).requires_grad_(False), nn.Linear(3, 2), tau) for tau in (0.9, 0.3)]


def _after(update: Callable, target: nn.Module, online: nn.Module, tau: float) -> dict[str, Any]:
    update(target, online, tau)
    flat = lambda net: torch.cat([w.detach().flatten() for w in net.parameters()])  # noqa: E731
    return {
        "target": flat(target),
        "online network": flat(online),
        "the target is free of gradients": not any(w.requires_grad for w in target.parameters()),
    }


@torch.no_grad()
def _ema(target: nn.Module, online: nn.Module, tau: float) -> None:
    for xi, theta in zip(target.parameters(), online.parameters(), strict=True):
        xi.lerp_(theta, 1 - tau)


def _with_gradient(target: nn.Module, online: nn.Module, tau: float) -> None:
    for xi, theta in zip(target.parameters(), online.parameters(), strict=True):
        xi.mul_(tau).add_(theta, alpha=1 - tau)


def _wrong_way_round(target: nn.Module, online: nn.Module, tau: float) -> None:
    _ema(target, online, 1 - tau)


def _moves_online(target: nn.Module, online: nn.Module, tau: float) -> None:
    _ema(online, target, tau)


def _copies(target: nn.Module, online: nn.Module, tau: float) -> None:
    _ema(target, online, 0.0)


def _not_in_place(target: nn.Module, online: nn.Module, tau: float) -> nn.Module:
    xi: Tensor
    for xi, theta in zip(target.parameters(), online.parameters(), strict=True):
        xi = tau * xi + (1 - tau) * theta
    return target


@torch.no_grad()
def _first_only(target: nn.Module, online: nn.Module, tau: float) -> None:
    xi, theta = next(target.parameters()), next(online.parameters())
    xi.lerp_(theta, 1 - tau)


@torch.no_grad()
def _adds(target: nn.Module, online: nn.Module, tau: float) -> None:
    for xi, theta in zip(target.parameters(), online.parameters(), strict=True):
        xi.add_((1 - tau) * theta)


@torch.no_grad()
def _shrinks(target: nn.Module, online: nn.Module, tau: float) -> None:
    for xi in target.parameters():
        xi.mul_(tau)


EMA = Exercise(
    id="03-ema",
    title="The moving average",
    kind="implement",
    difficulty=2,
    minutes=10,
    hints=(
        (
            "Two networks have the same parameters in the same order. Each of the target's is to be changed where "
            "it is, not replaced."
        ),
        (
            "Under torch.no_grad(), walk through zip(target.parameters(), online.parameters()) and change the "
            "target's tensors in place: xi.mul_(tau).add_(theta, alpha=...)."
        ),
        (
            "with torch.no_grad():\n"
            "    for xi, theta in zip(target.parameters(), online.parameters()):\n"
            "        xi.mul_(tau)  # what stays of the old; and now add the share of theta"
        ),
    ),
    cases=_two_nets,
    observe=_after,
    in_place=True,
    reference=_ema,
    mistakes=(
        Mistake(
            "the wrong way round",
            _wrong_way_round,
            "the wrong way round: τ is the share of the old target that *stays*; with τ = 0.99 the target moves by a "
            "hundredth of the way.",
        ),
        Mistake(
            "the online network moved",
            _moves_online,
            "the online network was changed. It learns by gradient; only the target follows.",
        ),
        Mistake("a copy", _copies, "the target is now a copy of the online network, since τ was not used."),
        Mistake(
            "not in place",
            _not_in_place,
            "the target has not moved: `xi = ...` gives the name to a new tensor and leaves the network's own tensor as "
            "it was. Change it in place: xi.mul_(...).add_(...), or xi.copy_(...).",
        ),
        Mistake(
            "first parameter only", _first_only, "only the first parameter moved: go through all of them, in pairs."
        ),
        Mistake("not shrunk", _adds, "(1 − τ) θ was added, but ξ itself was not multiplied by τ."),
        Mistake(
            "with gradient",
            _with_gradient,
            "the numbers are right, but autograd follows the update, so the target now depends on the online network and "
            "asks for a gradient. Do it under torch.no_grad().",
        ),
        Mistake(
            "only shrunk",
            _shrinks,
            "ξ was multiplied by τ, but (1 − τ) θ was not added: the target shrinks to 0.",
        ),
    ),
    praise="right. Note that no gradient and no optimiser is involved.",
)


# --- its decay rate -----------------------------------------------------------------------------

TAU = Exercise(
    id="03-tau",
    title="The decay rate",
    kind="implement",
    difficulty=1,
    minutes=6,
    hints=(
        "Put in k = 0 and k = K: which two values must come out? Only then write the middle.",
        "At k = 0 the cosine is 1, and the bracket (cos + 1)/2 is 1; at k = K it is −1, and the bracket is 0.",
        (
            "bracket = (math.cos(math.pi * k / K) + 1) / 2  # 1 at the start, 0 at the end\n"
            "# how far from 1 is τ at the start?"
        ),
    ),
    cases=lambda: [(k, 100, base) for base in (0.9, 0.996) for k in (0, 25, 50, 100)],
    reference=tau_at,
    mistakes=(
        Mistake("constant", lambda k, K, base: base, "constant: τ starts at tau_base, but rises to 1 at the end."),
        Mistake(
            "upside down",
            lambda k, K, base: 1 - (1 - base) * (1 - math.cos(math.pi * k / K)) / 2,
            "upside down: this begins at 1 and ends at tau_base. At k = 0 the bracket is 1.",
        ),
        Mistake(
            "no half",
            lambda k, K, base: 1 - (1 - base) * (math.cos(math.pi * k / K) + 1),
            "twice as far from 1 as it should be: the bracket is (cos + 1)/2, from 1 to 0.",
        ),
        Mistake(
            "linear",
            lambda k, K, base: base + (1 - base) * k / K,
            "a straight line from tau_base to 1: right at both ends and in the middle, but the paper's is a cosine.",
        ),
        Mistake(
            "whole turn",
            lambda k, K, base: 1 - (1 - base) * (math.cos(2 * math.pi * k / K) + 1) / 2,
            "the cosine makes a whole turn, so τ falls back to tau_base at the end: use π k/K, half a turn.",
        ),
        Mistake(
            "ends at the base",
            lambda k, K, base: base * (math.cos(math.pi * k / K) + 1) / 2,
            "this falls from tau_base to 0, like a learning rate; τ rises from tau_base to 1.",
        ),
        Mistake(
            "no π",
            lambda k, K, base: 1 - (1 - base) * (math.cos(k / K) + 1) / 2,
            "the angle is π k/K: without π the cosine only falls to 0.54, and τ does not reach 1.",
        ),
        Mistake(
            "a sine",
            lambda k, K, base: 1 - (1 - base) * (math.sin(math.pi * k / K) + 1) / 2,
            "a sine begins and ends at 0, so τ would be the same at both ends. A cosine goes from 1 to −1.",
        ),
        Mistake(
            "one update too far",
            lambda k, K, base: tau_at(k + 1, K, base),
            "one update too far: k counts the updates made before, so the first has k = 0 and uses tau_base itself.",
        ),
    ),
    praise="right: the target follows fast while the online network is still poor, and stands still at the end.",
)


# --- predict ------------------------------------------------------------------------------------


def _first_and_last(answer: dict) -> str | None:
    if abs(answer["first"] - 4) > 1:
        return "first: think of two directions that have nothing to do with each other. What is their cosine, in many dimensions?"
    if answer["last"] < 0.1:
        return "last: training lowers the loss; but what would a loss of 0 mean?"
    if answer["last"] > 2.5:
        return "last: after training, how well can one view predict what the target says of the other?"
    return None


LOSS_VALUES = Exercise(
    id="03-loss-values",
    title="The loss, first and last",
    kind="predict",
    difficulty=1,
    minutes=3,
    hints=(
        (
            "At first the predictor is random, so p points anywhere. At the end, can one view tell everything "
            "that the target sees in the other?"
        ),
        (
            "Each half of the loss is 2 − 2 cos. What is the cosine of two unrelated directions in 64 dimensions? "
            "There are two halves."
        ),
        ("a, b = torch.randn(2, 1000, 64)\nprint(2 * float(bt.byol_loss(a, b)))  # two unrelated halves: the start"),
    ),
    questions={"first": (0.0, 8.0), "last": (0.0, 8.0)},
    reference={"first": 4.0, "last": 1.0},
    accept=_first_and_last,
    mistakes=(
        Mistake(
            "zero at first, since the target is a copy",
            {"first": 0.0},
            "the target starts as a copy, but a random predictor stands between: p points elsewhere, so the first loss is "
            "not 0. And a loss of 0 in the end would mean that nothing is left to tell two views apart, nor two images.",
            when=lambda seen, wanted: seen[0]["first"] < 1,
        ),
        Mistake(
            "the maximum at first",
            {"first": 8.0},
            "first: 8 would mean opposite directions for every image. Unrelated directions are orthogonal, not opposite.",
            when=lambda seen, wanted: seen[0]["first"] > 5,
        ),
        Mistake(
            "one direction only at first",
            {"first": 2.0},
            "first: that is one half of the loss. Both directions are added.",
            when=lambda seen, wanted: seen[0]["first"] < 3,
        ),
        Mistake(
            "zero in the end",
            {"first": 4.0, "last": 0.0},
            "last: 0 would mean that every prediction is perfect, whatever was cropped away: that is easy only if the answer is "
            "always the same.",
            when=lambda seen, wanted: seen[0]["last"] < 0.1,
        ),
        Mistake(
            "hardly lower in the end",
            {"first": 4.0, "last": 3.9},
            "last: the two views show the same picture, and a trained network finds much of what they share, so far more than "
            "half of the loss goes away.",
            when=lambda seen, wanted: seen[0]["last"] > 2.5,
        ),
    ),
    praise="right: unrelated directions in many dimensions are nearly orthogonal, so each half of the loss starts near 2.",
)


# --- find the bug -------------------------------------------------------------------------------


def _with_bug(online: nn.Module) -> nn.Module:
    target = online
    for w in target.parameters():
        w.requires_grad_(False)
    return target


def _built(build: Callable, online: nn.Module) -> dict[str, bool]:
    target = build(online)
    inner, outer = list(target.parameters()), list(online.parameters())
    return {
        "the target is another network": target is not online,
        "the target starts equal": all(torch.equal(a, b) for a, b in zip(inner, outer, strict=True)),
        "parameters are its own": not {w.data_ptr() for w in inner} & {w.data_ptr() for w in outer},
        "the online network can learn": all(w.requires_grad for w in outer),
        "the target cannot": not any(w.requires_grad for w in inner),
    }


def _target_of(online: nn.Module) -> nn.Module:
    return copy.deepcopy(online).requires_grad_(False)


BUG = Exercise(
    id="03-bug",
    title="A loss that stands still",
    kind="find the bug",
    difficulty=2,
    minutes=8,
    core=False,
    hints=(
        "How many networks are there after `target = online`? Print `target is online`.",
        (
            "An assignment gives a second name to the same network. A second network with the same numbers needs "
            "a copy of everything inside: the module `copy` makes one."
        ),
        ("target = copy.deepcopy(online)\n# and its parameters are to have no gradient"),
    ),
    cases=lambda: [(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)),)],
    observe=_built,
    reference=_target_of,
    mistakes=(
        Mistake(
            "unchanged",
            _with_bug,
            "this is the code as it was given: after it, nothing is left that learns. Which of the online network's own "
            "parameters still ask for a gradient?",
        ),
        Mistake(
            "still one network",
            lambda online: online,
            "the online network can learn again, but target and online are still one network: nothing moves slowly.",
        ),
        Mistake(
            "a shallow copy",
            copy.copy,
            "copy.copy makes a second shell around the *same* parameters: they still move together. Which function of the "
            "module `copy` also copies what is inside?",
            when=lambda seen, wanted: (
                seen[0]["the target is another network"] and not seen[0]["parameters are its own"]
            ),
        ),
        Mistake(
            "other numbers",
            lambda online: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).requires_grad_(False),
            "this is another network with other weights; the target starts *equal* to the online network.",
            when=lambda seen, wanted: not seen[0]["the target starts equal"],
        ),
        Mistake(
            "both frozen",
            lambda online: copy.deepcopy(online.requires_grad_(False)),
            "two networks now, and the target has no gradient. But the online network has none either, so nothing learns: "
            "take the gradient from the copy only.",
        ),
        Mistake(
            "the target can learn",
            copy.deepcopy,
            "two networks now. But the target still asks for gradients: an optimiser that is given all parameters would "
            "train it.",
        ),
    ),
    praise="right: a deep copy, without gradient.",
)


# --- extend -------------------------------------------------------------------------------------


def _batches_of_views() -> list[tuple]:
    g = torch.Generator().manual_seed(11)
    return [(list(torch.randn(v, 6, 8, generator=g)), list(torch.randn(v, 6, 8, generator=g))) for v in (2, 4)]


def _all_pairs(ps: list[Tensor], ts: list[Tensor], itself: bool = False, scale: bool = True) -> Tensor:
    n = len(ps)
    total = torch.stack([byol_loss(ps[i], ts[j]) for i in range(n) for j in range(n) if itself or i != j]).sum()
    return total * 2 / (n * (n - 1)) if scale else total


def _half_of_the_pairs(ps: list[Tensor], ts: list[Tensor], first: Callable = lambda i, j: i < j) -> Tensor:
    n = len(ps)
    pairs = [(i, j) for i in range(n) for j in range(n) if first(i, j)]
    return sum((byol_loss(ps[i], ts[j]) for i, j in pairs), torch.zeros(())) * 2 / (n * (n - 1))


def _is_half(seen: list, wanted: list) -> bool:
    """Return whether two views gave one of the two directions, times any usual factor."""
    p, t = _batches_of_views()[0]
    found = float(seen[0])
    halves = [float(byol_loss(p[0], t[1])), float(byol_loss(p[1], t[0]))]
    return any(math.isclose(found, half * factor, rel_tol=1e-4) for half in halves for factor in (0.5, 1, 2))


MANY_VIEWS = Exercise(
    id="03-many-views",
    title="More than two views",
    kind="extend",
    difficulty=3,
    minutes=15,
    core=False,
    hints=(
        "How many ordered pairs i ≠ j are there with two views, and how many with V?",
        (
            "Two loops, over i and over j ≠ i. With two views there are two such pairs and the loss is their sum; "
            "with V views there are V(V − 1), so the sum over all pairs is multiplied by 2/(V(V − 1))."
        ),
        (
            "pairs = [(i, j) for i in range(V) for j in range(V) if i != j]\n"
            "total = sum(loss(ps[i], ts[j]) for i, j in pairs)\n"
            "# total is right for two views; scale it so that it is in [0, 8] for any V"
        ),
    ),
    cases=_batches_of_views,
    reference=_all_pairs,
    trains={"ps": 0},
    mistakes=(
        Mistake(
            "half of the pairs",
            _half_of_the_pairs,
            "each pair of views was taken in one direction only, i < j or i > j. View j is to predict view i as well: all "
            "ordered pairs i ≠ j.",
            when=_is_half,
        ),
        Mistake(
            "a view with itself",
            lambda ps, ts: _all_pairs(ps, ts, itself=True),
            "pairs of a view with itself are included: they ask for nothing that two views have in common.",
        ),
        Mistake(
            "grows with the number of views",
            lambda ps, ts: _all_pairs(ps, ts, scale=False),
            "right for two views; with more it grows with the number of pairs, V(V − 1), and so would the learning rate. "
            "Keep its range at [0, 8].",
        ),
        Mistake(
            "mean over pairs",
            lambda ps, ts: _all_pairs(ps, ts) / 2,
            "the mean over the pairs is half of BYOL's loss, which is the *sum* of two. Two views must give the same as "
            "before.",
        ),
        Mistake(
            "neighbours only",
            lambda ps, ts: sum(byol_loss(ps[i], ts[i - 1]) for i in range(len(ps))) * 2 / len(ps),
            "each view predicts one other view only; take all ordered pairs i ≠ j.",
        ),
        Mistake(
            "mean over all V²",
            lambda ps, ts: (
                sum(byol_loss(p, t) for i, p in enumerate(ps) for j, t in enumerate(ts) if i != j) * 2 / len(ps) ** 2
            ),
            "the pairs are right, but they are divided as if there were V² of them: without i = j there are V(V − 1).",
        ),
        Mistake(
            "matching views only",
            lambda ps, ts: sum(map(byol_loss, ps, ts)),
            "each prediction is compared with the target of its *own* view only: nothing has to be common to two views.",
        ),
    ),
    praise="right. SwAV and DINO gain much from this (multi-crop): small extra crops are cheap.",
)


EXERCISES = (LOSS, BUG, STOP_GRADIENT, EMA, TAU, LOSS_VALUES, MANY_VIEWS)
