"""The MLP that serves as projector g and as predictor q, and the other predictors."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config.config import Config
from .normalization import StandardisedLinear, build_norm

# --- projector and predictor --------------------------------------------------------------------


class MLP(nn.Sequential):
    """Linear(→ hidden) → BatchNorm → ReLU → Linear(→ out): (N, in) -> (N, out).

    Projector and predictor of the paper, section 3.3: no BatchNorm on the output. As in the authors'
    code, a hidden layer has a bias and the output layer none. `depth` counts the linear layers: 1 is
    one linear map, 3 has two hidden layers (appendix, depth of projector and predictor).
    """

    def __init__(
        self, in_dim: int, hidden_dim: int, out_dim: int, depth: int = 2, norm: str = "bn", output_norm: bool = False
    ):
        linear = StandardisedLinear if norm == "gn_ws" else nn.Linear
        layers: list[nn.Module] = []
        for _ in range(depth - 1):
            layers += [linear(in_dim, hidden_dim), build_norm(norm, hidden_dim, 1), nn.ReLU(inplace=True)]
            in_dim = hidden_dim
        layers.append(nn.Linear(in_dim, out_dim, bias=False))
        if output_norm:
            layers.append(build_norm(norm, out_dim, 1))
        super().__init__(*layers)


class OptimalPredictor(nn.Module):
    """The linear predictor that the projections call for, set anew at every step instead of learned.

    DirectPred (Tian et al. 2021, arXiv 2102.06810, section 5): the correlation of the online projections is
    averaged over steps, F ← ρF + (1 − ρ) E[z zᵀ], and W gets its eigenvectors, with eigenvalues
    p_j = √(s_j / max s) + ε. Under gradient descent a linear predictor would align with them in time.

    Buffers: correlation F and weight W, float32 (d, d).
    """

    def __init__(self, dim: int, rho: float = 0.3, epsilon: float = 0.1):
        super().__init__()
        self.rho, self.epsilon = rho, epsilon
        self.register_buffer("correlation", torch.zeros(dim, dim))
        self.register_buffer("weight", torch.eye(dim))

    @torch.no_grad()
    def update(self, correlation: Tensor) -> None:
        """Take in this step's E[z zᵀ], (d, d), and set W. The first one is taken whole.

        Nothing changes where it is not finite: the run has diverged, and its loss says so. That is decided on the device,
        because Python would have to wait for it.
        """
        finite, started = torch.isfinite(correlation).all(), self.correlation.any()
        correlation = torch.where(finite, correlation.float(), self.correlation)
        self.correlation.lerp_(correlation, torch.where(started, 1 - self.rho, 1.0))
        s, u = torch.linalg.eigh(self.correlation)
        s = s.clamp(min=0)
        p = (s / s[-1].clamp(min=1e-12)).sqrt() + self.epsilon
        self.weight.copy_(torch.where(finite, (u * p) @ u.T, self.weight))

    def forward(self, z: Tensor) -> Tensor:
        return F.linear(z, self.weight)


def build_predictor(config: Config) -> nn.ModuleDict:
    """Every predictor q that `Config.predictor` can name, so that a running Trainer can exchange them."""
    d, hidden = config.projection_dim, config.predictor_hidden_dim or config.hidden_dim

    def mlp() -> MLP:
        return MLP(d, hidden, d, config.predictor_depth, config.norm)

    predictors = OrderedDict(mlp=mlp(), linear=nn.Linear(d, d, bias=False), identity=nn.Identity())
    return nn.ModuleDict(predictors | {"fixed": mlp().requires_grad_(False), "optimal": OptimalPredictor(d)})
