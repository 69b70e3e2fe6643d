"""The frame of every method: a network that learns, a loss for some views, and perhaps a target that follows.

BYOL and its relatives differ in nothing else. Views, batches, optimiser, checkpoints, diagnosis, evaluation, panels
and command line are the same for all methods; registry.py lists them.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..config.config import Config
from ..config.errors import TrainingError
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..networks.encoders import Branch, Encoder, instead, replaces
from ..runtime.distributed import mean_over_processes


def correlation(z: Tensor) -> Tensor:
    """Return E[z zᵀ] over the rows of all processes, without gradient. z: (N, d) -> float32 (d, d)."""
    z = z.detach().float()
    with torch.autocast(z.device.type, enabled=False):  # half precision would round a sum of many products
        return mean_over_processes(z.T @ z / len(z))


class Output(NamedTuple):
    """The result of one forward pass. All but the loss are of the first direction, detached, float32 (N, D).

    loss     a scalar
    z        projections of the online network
    p        what the loss compares with the other view: predictions, or z where there is no predictor
    target   what p is compared with
    """

    loss: Tensor
    z: Tensor
    p: Tensor
    target: Tensor


class Objective(nn.Module):
    """The frame of a method. A subclass has `online`, and `forward(v1, v2, *local_crops) -> Output`.

    The attributes and methods below are all that a run needs from its method, so that the trainer names none of them.
    """

    online: Branch
    target: Branch  # only in methods whose target network follows the online one
    predicts = False  # whether a predictor stands between the two sides of the loss
    # fields of Config that change the scale of the loss: when they change, its rise or fall says nothing about the run
    scales: frozenset[str] = frozenset()
    epoch: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        # target and online network, and the parameters of both; see _followed
        self._pair: tuple[nn.Module, nn.Module, list[Tensor], list[Tensor]] | None = None
        # epochs since the start; a tensor, because a number that changes would make compiled and recorded steps stale
        self.register_buffer("epoch", torch.zeros(()), persistent=False)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; raise TrainingError for a network, because the optimiser would not train the new one.

        A target may be exchanged, because only the moving average changes it.
        """
        if isinstance(getattr(type(self), name, None), property) or (name != "target" and replaces(self, name, value)):
            raise TrainingError(
                f"model.{name} cannot be exchanged, because the run would not train it: {instead(name)}"
            )
        super().__setattr__(name, value)

    @classmethod
    def check_images(cls, config: Config, images: ImageSet | StreamedSet) -> None:
        """Raise ConfigError if the method cannot learn from these images with this config."""

    def tau(self, step: int, total_steps: int) -> float:
        """Return the decay rate τ, in [0, 1], of the update after `step` of `total_steps`; 0 where nothing follows."""
        return 0.0

    @property
    def local_crops(self) -> int:
        """The number of small views of each image that the loss takes besides the two large ones."""
        return 0

    def one_direction(self) -> Config:
        """Return the config whose loss compares v with v′ in one direction only, to inspect p and its target."""
        return self.config

    @property
    def scale_settles(self) -> float:
        """The number of epochs from the start in which the loss also moves with a schedule of its own."""
        return 0.0

    @property
    def encoder(self) -> Encoder:
        """The encoder f, the result of training, which other tasks use."""
        return self.online.encoder

    @property
    def projector(self) -> nn.Module:
        """The projector g of the online network."""
        return self.online.projector

    def learned(self) -> dict[str, nn.Module]:
        """Return the modules that the optimiser moves. Only "predictor" has a learning rate of its own."""
        return {"online": self.online}

    def draw(self, n: int, generator: torch.Generator) -> Tensor | None:
        """Draw what else is random in the loss of n images, a row for each; `forward` gets the rows as `drawn`."""
        return None

    def begin_step(self) -> None:
        """Prepare for the forward passes of an optimiser step. It is not called where a recorded step is replayed."""

    def update_target(self, tau: float) -> None:
        """Update the target, ξ ← τ ξ + (1 − τ) θ, once per optimiser step; do nothing where there is no target.

        It is not recorded in a CUDA graph, so it may wait for numbers; `forward` may not.
        """

    def _followed(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return the parameters ξ and θ in the same order.

        They are looked up once for each pair of networks, because to find them takes longer than to average them on a
        GPU.
        """
        if self._pair is None or self._pair[0] is not self.target or self._pair[1] is not self.online:
            self._pair = (self.target, self.online, list(self.target.parameters()), list(self.online.parameters()))
        return self._pair[2], self._pair[3]

    @torch.no_grad()
    def follow(self, tau: float) -> None:
        """Update ξ ← τ ξ + (1 − τ) θ, in a method that has a target. τ = 1 leaves the target as it is."""
        xi, theta = self._followed()
        torch._foreach_lerp_(xi, theta, 1 - tau)
