"""What a run asks of its method: a network that learns, a loss for some views, perhaps a target that follows.

BYOL and its relatives differ in nothing else. Views, batches, optimiser, checkpoints, diagnosis, evaluation, panels
and command line are the same for all; methods.py names them.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .config import Config
from .networks import Branch


class Output(NamedTuple):
    """What one forward pass gives: the loss, and of the first direction, detached, float (N, D), the online
    network's projections z, what it compares with the other view (predictions p, where there is a predictor), and
    what that is compared with."""

    loss: Tensor
    z: Tensor
    p: Tensor
    target: Tensor


class Objective(nn.Module):
    """The frame of a method. A subclass has `online`, and `forward(v1, v2, *local_crops) -> Output`."""

    online: Branch

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        # a tensor, so that a compiled model does not notice when it moves on
        self.register_buffer("epoch", torch.zeros(()), persistent=False)

    @property
    def encoder(self) -> nn.Module:
        """f, which training is for; carry it elsewhere."""
        return self.online.encoder

    @property
    def projector(self) -> nn.Module:
        return self.online.projector

    def learned(self) -> dict[str, nn.Module]:
        """What the optimiser moves. Only "predictor" has a learning rate of its own."""
        return {"online": self.online}

    def draw(self, n: int, generator: torch.Generator) -> Tensor | None:
        """What else is random in the loss of n images, a row for each; forward gets its rows as `drawn`."""
        return None

    def begin_step(self, epoch: float) -> None:
        """Called before the forward passes of an optimiser step, `epoch` epochs into the run."""
        self.epoch.fill_(epoch)

    def update_target(self, tau: float) -> None:
        """ξ ← τ ξ + (1 − τ) θ, once per optimiser step; nothing where there is no target."""
