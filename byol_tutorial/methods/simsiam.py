"""SimSiam (Chen & He 2020, arXiv 2011.10566): BYOL without a target network, guarded by the stop-gradient.

    v = t(x)    z = g(f(v))     p = q(z)
    v′ = t′(x)  z′ = g(f(v′))   p′ = q(z′)        one network for both

    L = ½ D(p, sg z′) + ½ D(p′, sg z),   D(p, z) = −cos(p, z)

sg (stop-gradient): no gradient passes. Without it, or without the predictor q, every z becomes the same.

The layers of g and q are those of Config. `preset("simsiam")` has the authors' heads; networks/heads.py says what these are.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config.config import Config
from ..networks.encoders import Branch
from ..networks.heads import OptimalPredictor, build_predictor
from .base import Objective, Output, correlation


def negative_cosine(p: Tensor, z: Tensor) -> Tensor:
    """Return D = −mean cos(p, z), a scalar in [−1, 1] (equation 1). p, z: float (N, D)."""
    return -F.cosine_similarity(p.float(), z.float(), dim=1).mean()


class SimSiam(Objective):
    """Encoder, projector and predictor, and one network for both views."""

    predicts = True
    scales = frozenset({"stop_gradient"})

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

    @property
    def predictor(self) -> nn.Module:
        """The predictor q that `Config.predictor` names."""
        return self.predictors[self.config.predictor]

    def learned(self) -> dict[str, nn.Module]:
        """Return the modules that the optimiser moves: the online network and all predictors."""
        return {"online": self.online, "predictor": self.predictors}

    def forward(self, v1: Tensor, v2: Tensor) -> Output:
        """Compute the loss of a batch of view pairs, each (N, 3, H, W): in [−1, 1]."""
        z1, z2 = self.online(v1), self.online(v2)
        if isinstance(self.predictor, OptimalPredictor) and self.training:
            self.predictor.observe(correlation(torch.cat((z1, z2))))
        p1, p2 = self.predictor(z1), self.predictor(z2)
        t1, t2 = (z1.detach(), z2.detach()) if self.config.stop_gradient else (z1, z2)
        loss = (negative_cosine(p1, t2) + negative_cosine(p2, t1)) / 2
        return Output(loss, z1.detach().float(), p1.detach().float(), t2.detach().float())

    def update_target(self, tau: float) -> None:
        """Set DirectPred's W, once per optimiser step. There is no target network."""
        if isinstance(self.predictor, OptimalPredictor):
            self.predictor.set_weight()
