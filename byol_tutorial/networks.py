"""The networks of BYOL: encoders f, and the MLP that serves as projector g and as predictor q."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import Config
from .vit import vit

SMALL_STEM_UP_TO = 64  # views up to this many pixels a side get the 3×3 stem


# --- normalisation: bn, gn_ws or none -----------------------------------------------------------


def build_norm(kind: str, channels: int, dims: int = 2) -> nn.Module:
    """BatchNorm ("bn"), GroupNorm ("gn_ws") or nothing ("none"), for pictures (dims = 2) or vectors (1).

    PyTorch's BatchNorm momentum 0.1 is the authors' decay 0.9. GroupNorm has 16 groups as in Richemond et
    al. 2020 (arXiv 2010.10241), fewer where a group would have under four channels.
    """
    if kind == "bn":
        return nn.BatchNorm2d(channels) if dims == 2 else nn.BatchNorm1d(channels)
    if kind == "gn_ws":
        groups = next(g for g in (16, 8, 4, 2, 1) if (channels % g == 0 and channels >= 4 * g) or g == 1)
        return nn.GroupNorm(groups, channels)
    return nn.Identity()


def standardise(weight: Tensor) -> Tensor:
    """Weights of each output with mean 0 and variance 1 / inputs: (out, ...) -> the same shape.

    Weight standardisation (Qiao et al. 2019, arXiv 1903.10520). Together with GroupNorm it replaces
    BatchNorm without looking at other images of the batch.
    """
    flat = weight.flatten(1)
    centred = flat - flat.mean(1, keepdim=True)
    return (centred / (centred.norm(dim=1, keepdim=True) + 1e-8)).view_as(weight)


class StandardisedConv2d(nn.Conv2d):
    """A convolution by its standardised weight."""

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, standardise(self.weight), self.bias)


class StandardisedLinear(nn.Linear):
    """A linear map by its standardised weight."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, standardise(self.weight), self.bias)


def is_standardised(module: nn.Module) -> bool:
    return isinstance(module, (StandardisedConv2d, StandardisedLinear))


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


# --- encoders -----------------------------------------------------------------------------------


class SmallEncoder(nn.Sequential):
    """Four 3×3 convolutions, pooled: (N, 3, H, W) -> (N, 4 · width). Enough for small pictures on a laptop.

    Each convolution halves the picture, except the last.
    """

    def __init__(self, width: int, norm: str = "bn"):
        conv = StandardisedConv2d if norm == "gn_ws" else nn.Conv2d
        layers, channels = [], 3
        for out, stride in ((width, 2), (2 * width, 2), (4 * width, 2), (4 * width, 1)):
            layers += [conv(channels, out, 3, stride, padding=1, bias=False), build_norm(norm, out), nn.ReLU(True)]
            channels = out
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.feature_dim = channels


def resnet(name: str, view_size: int, norm: str = "bn") -> nn.Module:
    """torchvision's ResNet without its classifier: (N, 3, H, W) -> (N, 512 or 2048).

    For views up to 64 px the 7×7 stem of stride 2 and the max-pool, made for 224 px, give way to one
    3×3 convolution of stride 1, as peers do on CIFAR-10.
    """
    from torchvision.models import get_model  # here, since it takes longer to import than torch itself

    net = get_model(name, weights=None, norm_layer=lambda channels: build_norm(norm, channels))
    net.feature_dim = net.fc.in_features
    net.fc = nn.Identity()
    if view_size <= SMALL_STEM_UP_TO:
        net.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
        net.maxpool = nn.Identity()
    if norm == "gn_ws":
        for module in net.modules():
            if type(module) is nn.Conv2d:
                module.__class__ = StandardisedConv2d  # the same parameters, another forward
    return net


def build_encoder(config: Config, view_size: int, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)) -> nn.Module:
    """The encoder f of this Config: normalised images (N, 3, H, W) -> y, (N, feature_dim).

    It carries the statistics its input was normalised with, as buffers `pixel_mean` and `pixel_std`,
    so that whoever uses it later need not know the data it was trained on; and `view_size`.
    """
    if config.encoder == "small":
        encoder = SmallEncoder(config.width, config.norm)
    elif config.encoder.startswith("vit"):
        encoder = vit(config.encoder, view_size, config.patch_size)  # it has LayerNorm, whatever config.norm
    else:
        encoder = resnet(config.encoder, view_size, config.norm)
    encoder.view_size = view_size
    encoder.register_buffer("pixel_mean", torch.tensor(mean, dtype=torch.float32))
    encoder.register_buffer("pixel_std", torch.tensor(std, dtype=torch.float32))
    return encoder


class Branch(nn.Module):
    """Encoder f and projector g in a row, x → y → z: the part that online and target networks share."""

    def __init__(self, config: Config, view_size: int, mean, std):
        super().__init__()
        c = config
        self.encoder = build_encoder(c, view_size, mean, std)
        self.projector = MLP(
            self.encoder.feature_dim, c.hidden_dim, c.projection_dim, c.projector_depth, c.norm, c.output_norm
        )

    def forward(self, v: Tensor) -> Tensor:
        y = self.encoder(v)  # (N, feature_dim), the representation
        return self.projector(y)  # (N, projection_dim)
