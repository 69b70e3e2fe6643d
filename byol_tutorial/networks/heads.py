"""The MLP, which is projector g and predictor q, and the other predictors."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config.config import Config
from .normalization import StandardisedLinear, build_norm

# --- projector and predictor --------------------------------------------------------------------


class MLP(nn.Sequential):
    """Linear(→ hidden) → BatchNorm → ReLU → Linear(→ out): (N, in) -> (N, out).

    It is the projector and the predictor of the paper, section 3.3: there is no BatchNorm on the output. As in the
    authors' code (networks.py, MLP), a hidden layer has a bias and the output layer has none. `build_projector` and
    `build_predictor` say where SimSiam's differ.

    Args:
        depth: number of linear layers: 1 is one linear map, 3 has two hidden layers (appendix, depth of the heads).
        output_norm: whether the output is normalised.
        hidden_bias, output_bias: whether these linear layers have a bias.
        output_affine: whether the normalisation of the output has a scale and a shift that are learned.
    """

    def __init__(
        self,
        in_dim: int,
        hidden_dim: int,
        out_dim: int,
        depth: int = 2,
        norm: str = "bn",
        output_norm: bool = False,
        *,
        hidden_bias: bool = True,
        output_bias: bool = False,
        output_affine: bool = True,
    ) -> None:
        linear = StandardisedLinear if norm == "gn_ws" else nn.Linear
        layers: list[nn.Module] = []
        for _ in range(depth - 1):
            hidden = linear(in_dim, hidden_dim, bias=hidden_bias)
            layers += [hidden, build_norm(norm, hidden_dim, 1), nn.ReLU(inplace=True)]
            in_dim = hidden_dim
        layers.append(nn.Linear(in_dim, out_dim, bias=output_bias))
        if output_norm:
            layers.append(build_norm(norm, out_dim, 1, affine=output_affine))
        super().__init__(*layers)


class OptimalPredictor(nn.Module):
    """The linear predictor that is computed from the projections after every step instead of learned.

    DirectPred (Tian et al. 2021, arXiv 2102.06810, section 4) averages the correlation of the online projections over
    steps, F ← ρF + (1 − ρ) E[z zᵀ]. W gets the eigenvectors of F, with eigenvalues p_j = √(s_j / max s) + ε. A linear
    predictor that is learned by gradient descent aligns with them in time.

    The paper does not say whether W is set before or after the step. Here it is set after the optimiser's step, as in the
    authors' code, so the next step is the first that predicts with it; at the first step W is the identity. The division
    by max s is theirs, too. Equation 18 of the paper, √s_j + ε max s, is the same where max s = 1. ρ = 0.3 and ε = 0.1
    are the paper's (the best of table 6, and those of table 8); the command in the authors' README has ε = 0.01.

    Buffers: correlation F and weight W, float32 (d, d).
    """

    correlation: Tensor
    weight: Tensor

    def __init__(self, dim: int, rho: float = 0.3, epsilon: float = 0.1) -> None:
        super().__init__()
        self.rho, self.epsilon = rho, epsilon
        self.register_buffer("correlation", torch.zeros(dim, dim))
        self.register_buffer("weight", torch.eye(dim))

    @torch.no_grad()
    def observe(self, correlation: Tensor) -> None:
        """Average this pass's E[z zᵀ], float32 (d, d), into F. At the first pass F is that E[z zᵀ].

        If it is not finite, nothing changes: the run has diverged, and its loss shows it. The device decides that,
        because Python would have to wait for the number.
        """
        finite, started = torch.isfinite(correlation).all(), self.correlation.any()
        correlation = torch.where(finite, correlation, self.correlation)
        self.correlation.lerp_(correlation, torch.where(started, 1 - self.rho, 1.0))

    @torch.no_grad()
    def set_weight(self) -> None:
        """Set W by the eigenvectors and eigenvalues of F."""
        s, u = torch.linalg.eigh(self.correlation)
        s = s.clamp(min=0)
        p = (s / s[-1].clamp(min=1e-12)).sqrt() + self.epsilon
        self.weight.copy_((u * p) @ u.T)

    def forward(self, z: Tensor) -> Tensor:
        """Return p = W z for each row: (N, d) -> (N, d)."""
        return F.linear(z, self.weight)


def build_projector(config: Config, in_dim: int) -> MLP:
    """Build the projector g: y, (N, in_dim) -> z, (N, projection_dim).

    With heads "simsiam" its layers are those of Chen & He's code, simsiam/builder.py: no hidden bias, because the
    BatchNorm that follows would subtract it, and no scale and shift in the BatchNorm of the output. Their last linear layer
    has a bias that is never trained and that the BatchNorm subtracts; here it has none, which is the same function.
    """
    c, byol = config, config.heads == "byol"
    return MLP(
        in_dim, c.hidden_dim, c.projection_dim, c.projector_depth, c.norm, c.output_norm,
        hidden_bias=byol, output_affine=byol,
    )  # fmt: skip


def build_predictor(config: Config) -> nn.ModuleDict:
    """Build every predictor q that `Config.predictor` can name, so that a running Trainer can exchange them.

    With heads "simsiam" the MLP is that of Chen & He's code: no hidden bias, and one on the output.
    """
    d, hidden, byol = config.projection_dim, config.predictor_hidden_dim or config.hidden_dim, config.heads == "byol"

    def mlp() -> MLP:
        return MLP(d, hidden, d, config.predictor_depth, config.norm, hidden_bias=byol, output_bias=not byol)

    predictors: dict[str, nn.Module] = {
        "mlp": mlp(),
        "linear": nn.Linear(d, d, bias=False),
        "identity": nn.Identity(),
        "fixed": mlp().requires_grad_(False),
        "optimal": OptimalPredictor(d),
    }
    return nn.ModuleDict(predictors)
