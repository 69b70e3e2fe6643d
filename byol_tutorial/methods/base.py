"""What a run asks of its method: a network that learns, a loss for some views, perhaps a target that follows.

BYOL and its relatives differ in nothing else. Views, batches, optimiser, checkpoints, diagnosis, evaluation, panels
and command line are the same for all; registry.py names them.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..config.config import Config
from ..networks.encoders import Branch


class Output(NamedTuple):
    """What one forward pass gives: the loss, and of the first direction, detached, float (N, D), the online
    network's projections z, what it compares with the other view (predictions p, where there is a predictor), and
    what that is compared with."""

    loss: Tensor
    z: Tensor
    p: Tensor
    target: Tensor


class Objective(nn.Module):
    """The frame of a method. A subclass has `online`, and `forward(v1, v2, *local_crops) -> Output`.

    What else a run has to know of its method it asks here, so that the trainer names none: see the attributes, and
    `check_images`, `tau`, `local_crops`, `one_direction`, `scale_settles`, `can_be_recorded`.
    """

    online: Branch
    predicts = False  # whether a predictor stands between the two sides of its loss
    # fields of Config by which its loss becomes another one: its rise or fall at their change says nothing of the run
    scales: frozenset[str] = frozenset()

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self._pair: tuple | None = None  # target, online, and their parameters; see _followed
        # epochs into the run; a tensor, so that compiled and recorded steps do not notice when it moves on
        self.register_buffer("epoch", torch.zeros(()), persistent=False)

    @classmethod
    def check_images(cls, config: Config, images) -> None:
        """Raise ConfigError if the method cannot learn from these images (an ImageSet or StreamedSet) by this config."""

    def tau(self, step: int, total_steps: int) -> float:
        """Return the decay rate τ, in [0, 1], of update number `step` of `total_steps`; 0 where nothing follows."""
        return 0.0

    @property
    def local_crops(self) -> int:
        """How many small views of each image the loss takes besides the two large ones."""
        return 0

    def one_direction(self) -> Config:
        """Return the config whose loss compares v with v′ once, for a look at p and what it is compared with."""
        return self.config

    @property
    def scale_settles(self) -> float:
        """Epochs from the start within which the loss moves with a schedule of its own."""
        return 0.0

    @property
    def can_be_recorded(self) -> bool:
        """Whether a forward pass starts the same kernels each time and waits for no number; see train/cuda_graph.py."""
        return True

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

    def begin_step(self) -> None:
        """Called before the forward passes of an optimiser step, but not where a recorded step is replayed."""

    def update_target(self, tau: float) -> None:
        """ξ ← τ ξ + (1 − τ) θ, once per optimiser step; nothing where there is no target."""

    def _followed(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """The parameters ξ and θ in the same order. They are looked up once for each pair of networks, because finding
        them takes longer than averaging them on a GPU."""
        if self._pair is None or self._pair[0] is not self.target or self._pair[1] is not self.online:
            self._pair = (self.target, self.online, list(self.target.parameters()), list(self.online.parameters()))
        return self._pair[2:]

    @torch.no_grad()
    def follow(self, tau: float) -> None:
        """ξ ← τ ξ + (1 − τ) θ, for a method that has a target. τ = 1 leaves the target as it is."""
        torch._foreach_lerp_(*self._followed(), 1 - tau)
