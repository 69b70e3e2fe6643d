"""BYOL, the algorithm: start reading here.

Two views of an image go through two networks. The online network (parameters θ) must predict what
the target network (parameters ξ) makes of the other view:

    v = t(x)    y = f(v)       z = g(y)         p = q(z)      online, θ
    v′ = t′(x)                 z′ = g(f(v′))                  target, ξ

    L = ‖ p/‖p‖ − z′/‖z′‖ ‖²,   plus the same with v and v′ exchanged
    θ ← optimiser(θ, ∇_θ L)     no gradient reaches ξ
    ξ ← τ ξ + (1 − τ) θ

A constant z would make L zero. Nothing in L forbids it: that the networks do not find it is the
paper's finding, and which parts are needed for it is what the switches of Config are for.
"""

import copy
import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import Config
from .networks import Branch, build_predictor


def byol_loss(p: Tensor, z: Tensor) -> Tensor:
    """‖ p/‖p‖ − z/‖z‖ ‖² = 2 − 2 cos(p, z), mean over the batch: a scalar in [0, 4] (paper, equation 2).

    Args:
        p: predictions of the online network, float (N, D).
        z: projections of the target network, float (N, D). The caller stops its gradient.
    """
    p, z = F.normalize(p, dim=-1), F.normalize(z, dim=-1)
    return (2 - 2 * (p * z).sum(dim=-1)).mean()


def tau_at(step: int, total_steps: int, tau_base: float) -> float:
    """Decay rate τ_k = 1 − (1 − τ_base)(cos(πk/K) + 1)/2: from τ_base at k = 0 to 1 at k = K (section 3.3)."""
    return 1 - (1 - tau_base) * (math.cos(math.pi * step / total_steps) + 1) / 2


class Output(NamedTuple):
    """One step's loss, and the online network's projections z of the first views, (N, D), detached."""

    loss: Tensor
    z: Tensor


class BYOL(nn.Module):
    """Online network, predictor and target network.

    The target starts as a copy of the online network; with `target="random"` as another random one.
    Both networks normalise with their own batch's statistics, the target too, as in the authors' code.
    Only parameters are averaged: BatchNorm's running statistics follow each network's own batches.
    """

    def __init__(self, config: Config, view_size: int, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)):
        super().__init__()
        self.config = config
        self.online = Branch(config, view_size, mean, std)
        self.predictors = build_predictor(config)
        random = config.target == "random"
        self.target = Branch(config, view_size, mean, std) if random else copy.deepcopy(self.online)

    @property
    def encoder(self) -> nn.Module:
        """f, which training is for: carry it elsewhere."""
        return self.online.encoder

    @property
    def projector(self) -> nn.Module:
        return self.online.projector

    @property
    def predictor(self) -> nn.Module:
        return self.predictors[self.config.predictor]

    def project_target(self, v: Tensor) -> Tensor:
        """z′ of the other view: the target network's, without gradient.

        With `target="online"` the online network's own, without gradient. With `stop_gradient` off the online
        network's own, with its gradient: θ descends the loss through both branches (SimSiam, section 4.1).
        """
        if not self.config.stop_gradient:
            return self.online(v)
        with torch.no_grad():
            return (self.online if self.config.target == "online" else self.target)(v)

    def forward(self, v1: Tensor, v2: Tensor) -> Output:
        """The loss of a batch of view pairs, each (N, 3, H, W): in [0, 8], or [0, 4] if not symmetric.

        The two directions are added, not averaged: averaging would halve the learning rate.
        """
        z1 = self.online(v1)
        loss = byol_loss(self.predictor(z1), self.project_target(v2))
        if self.config.symmetric:
            z2 = self.online(v2)
            loss = loss + byol_loss(self.predictor(z2), self.project_target(v1))
        return Output(loss, z1.detach())

    @torch.no_grad()
    def update_target(self, tau: float) -> None:
        """ξ ← τ ξ + (1 − τ) θ, once per optimiser step. τ = 1 leaves the target as it is."""
        torch._foreach_lerp_(list(self.target.parameters()), list(self.online.parameters()), 1 - tau)
