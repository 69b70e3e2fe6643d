"""BYOL, the algorithm: start reading here.

Two views of an image go through two networks. The online network (parameters θ) must predict the projection that the
target network (parameters ξ) makes of the other view:

    v = t(x)    y = f(v)       z = g(y)         p = q(z)      online, θ
    v′ = t′(x)                 z′ = g(f(v′))                  target, ξ

    L = ‖ p/‖p‖ − z′/‖z′‖ ‖²,   plus the same with v and v′ exchanged
    θ ← optimiser(θ, ∇_θ L)     no gradient reaches ξ
    ξ ← τ ξ + (1 − τ) θ

A constant z would make L zero, and nothing in L forbids it. The paper's finding is that the networks do not end there.
The switches of Config show which parts are needed for that.
"""

import copy
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config.config import Config
from ..networks.encoders import Branch
from ..networks.heads import OptimalPredictor, build_predictor
from ..runtime.distributed import all_rows, process
from .base import Objective, Output, correlation


def byol_loss(p: Tensor, z: Tensor, normalization: str = "l2") -> Tensor:
    """Return the mean of ‖ p/‖p‖ − z/‖z‖ ‖² = 2 − 2 cos(p, z) over the batch: a scalar in [0, 4] (paper, equation 2).

    Args:
        p: predictions of the online network, float (N, D).
        z: projections of the target network, float (N, D). The caller stops its gradient.
        normalization: "l2" as above, or one from the paper's ablation: "layernorm", "batchnorm" or "none"; see
            `normalise`. With the last two the loss has no upper bound.
    """
    return (normalise(p, normalization) - normalise(z, normalization)).square().sum(dim=-1).mean()


def normalise(x: Tensor, kind: str) -> Tensor:
    """Bring the rows of x, (N, D), to a common length, in float32 or better.

    "l2": x / ‖x‖. "layernorm": each row gets mean 0 and variance 1 and is divided by √D, so its length is 1.
    "batchnorm": each column gets mean 0 and variance 1 and is divided by √D, so the mean square length of rows is 1.
    "none": x.
    """
    x = x if x.dtype == torch.float64 else x.float()
    match kind:
        case "l2":
            return F.normalize(x, dim=-1)
        case "layernorm":
            return F.layer_norm(x, x.shape[-1:]) / x.shape[-1] ** 0.5
        case "batchnorm":
            return F.batch_norm(x, None, None, training=True) / x.shape[-1] ** 0.5
        case "none":
            return x
    raise ValueError(f"normalization={kind!r}: choose l2, layernorm, batchnorm or none")


def negatives_term(p: Tensor, own: Tensor, other: Tensor, temperature: float, first_row: int = 0) -> Tensor:
    """Return 2α · mean_i ln( Σ_{j≠i} exp(cos(p_i, own_j)/α) + Σ_j exp(cos(p_i, other_j)/α) ), a scalar.

    This is the part of InfoNCE that pushes images apart (paper, appendix on the relation to contrastive methods). In
    byol_loss(p, other) + β · this, β = 0 gives BYOL, and β = 1 gives 2 + 2α · NT-Xent of SimCLR.

    Args:
        p: float (N, D), predictions for this process's views.
        own, other: float (M, D), projections of the views of all processes: of the view of p, and of the other one.
        first_row: position of the first row of p among the M.
    """
    p, own, other = (normalise(x, "l2") for x in (p, own, other))
    with torch.autocast(
        p.device.type, enabled=False
    ):  # half precision would round the cosines, and α enlarges the error
        to_own, to_other = p @ own.T / temperature, p @ other.T / temperature  # (N, M)
    row = torch.arange(len(p), device=p.device)
    itself = first_row + row[:, None] == torch.arange(len(own), device=p.device)
    scores = torch.cat((to_own.masked_fill(itself, -torch.inf), to_other), dim=1)
    return 2 * temperature * scores.logsumexp(dim=1).mean()


def tau_at(step: int, total_steps: int, tau_base: float) -> float:
    """Return τ_k = 1 − (1 − τ_base)(cos(πk/K) + 1)/2, the decay rate: τ_base at k = 0, 1 at k = K (section 3.3).

    k counts the updates that came before, as the global step in the authors' code does. So the first update of a run uses
    τ_0 = τ_base, and the last of its K updates uses τ_{K−1}, which is a little below 1.

    Args:
        step: k, in [0, K].
        total_steps: K, at least 1.
        tau_base: τ_0, in [0, 1].
    """
    # the formula with its terms in another order, so that rounding leaves exactly τ_base at k = 0 and 1 at k = K
    return tau_base + (1 - tau_base) * (1 - math.cos(math.pi * step / total_steps)) / 2


def scheduled_tau(config: Config, step: int, total_steps: int) -> float:
    """Return the decay rate of the update that `step` others came before, by `Config.tau_schedule`; see `tau_at`."""
    if config.tau_schedule == "constant":
        return config.tau_base
    return tau_at(min(step, total_steps), total_steps, config.tau_base)


class BYOL(Objective):
    """Online network, predictor and target network.

    The target starts as a copy of the online network; with `target="random"` it is another random one. Each network
    normalises with the statistics of its own batch, the target too, as in the authors' code. Only parameters are
    averaged: BatchNorm's running statistics follow each network's own batches.
    """

    predicts = True
    scales = frozenset({"symmetric", "negatives_weight", "temperature", "loss_normalization", "stop_gradient"})

    def __init__(
        self,
        config: Config,
        view_size: int,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.25, 0.25, 0.25),
        own: nn.Module | None = None,
    ) -> None:
        super().__init__(config)
        self.online = Branch(config, view_size, mean, std, own)
        self.predictors = build_predictor(config)
        random = config.target == "random"
        self.target = Branch(config, view_size, mean, std, own) if random else copy.deepcopy(self.online)
        self.target.requires_grad_(False)

    @property
    def predictor(self) -> nn.Module:
        """The predictor q that `Config.predictor` names."""
        return self.predictors[self.config.predictor]

    def learned(self) -> dict[str, nn.Module]:
        """Return the modules that the optimiser moves: the online network and all predictors."""
        return {"online": self.online, "predictor": self.predictors}

    def tau(self, step: int, total_steps: int) -> float:
        """Return τ by the schedule; 0 if the online network is its own target, 1 if the target is random (table 5a)."""
        if self.config.target == "online" or not self.config.stop_gradient:
            return 0.0
        return 1.0 if self.config.target == "random" else scheduled_tau(self.config, step, total_steps)

    def one_direction(self) -> Config:
        """Return the config without the exchanged views and without negatives."""
        return self.config.replace(negatives_weight=0.0, symmetric=False)

    def project_target(self, v: Tensor, z: Tensor | None) -> Tensor:
        """Return z′, the target network's projection of v, (N, D), without gradient.

        With `target="online"` it is the projection of the online network, without gradient. With `stop_gradient` off it
        is that of the online network with its gradient: θ descends the loss through both branches (SimSiam, section
        4.1).

        z: the online network's projection of v, if it is known.
        """
        if self.config.stop_gradient and self.config.target != "online":
            with torch.no_grad():
                return self.target(v)
        with torch.set_grad_enabled(not self.config.stop_gradient and torch.is_grad_enabled()):
            z = self.online(v) if z is None else z
        return z.detach() if self.config.stop_gradient else z

    def forward(self, v1: Tensor, v2: Tensor) -> Output:
        """Compute the loss of a batch of view pairs, each (N, 3, H, W): in [0, 8], or [0, 4] if not symmetric.

        The two directions are added, not averaged, because averaging would halve the learning rate. Negatives add to
        the loss, and without a normalisation to unit length it has no upper bound.
        """
        c = self.config
        z1 = self.online(v1)
        z2 = self.online(v2) if c.symmetric else None
        predictor = self.predictor
        if isinstance(predictor, OptimalPredictor) and self.training:
            predictor.observe(correlation(z1 if z2 is None else torch.cat((z1, z2))))
        p1, t2 = predictor(z1), self.project_target(v2, z2)
        loss = byol_loss(p1, t2, c.loss_normalization)
        if c.symmetric or c.negatives_weight > 0:
            t1 = self.project_target(v1, z1)
        if c.symmetric:
            p2 = predictor(z2)
            loss = loss + byol_loss(p2, t1, c.loss_normalization)
        if c.negatives_weight > 0:
            all1, all2, first = all_rows(t1), all_rows(t2), process().rank * len(v1)
            negatives = negatives_term(p1, all1, all2, c.temperature, first)
            if c.symmetric:
                negatives = negatives + negatives_term(p2, all2, all1, c.temperature, first)
            loss = loss + c.negatives_weight * negatives
        return Output(loss, z1.detach().float(), p1.detach().float(), t2.detach().float())

    def update_target(self, tau: float) -> None:
        """Update ξ ← τ ξ + (1 − τ) θ, once per optimiser step; τ = 1 leaves the target as it is. Set DirectPred's W."""
        if isinstance(self.predictor, OptimalPredictor):
            self.predictor.set_weight()
        self.follow(tau)
