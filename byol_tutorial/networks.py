"""The networks of BYOL: encoders f, and the MLP that serves as projector g and as predictor q."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from .config import Config

SMALL_STEM_UP_TO = 64  # views up to this many pixels a side get the 3×3 stem


class MLP(nn.Sequential):
    """Linear(→ hidden) → BatchNorm → ReLU → Linear(→ out): (N, in) -> (N, out).

    Projector and predictor of the paper, section 3.3: no BatchNorm on the output. As in the authors'
    code, the hidden layer has a bias and the output layer none. PyTorch's BatchNorm momentum 0.1 is
    their decay 0.9.
    """

    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int):
        super().__init__(
            nn.Linear(in_dim, hidden_dim),
            nn.BatchNorm1d(hidden_dim),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_dim, out_dim, bias=False),
        )


class SmallEncoder(nn.Sequential):
    """Four 3×3 convolutions, pooled: (N, 3, H, W) -> (N, 4 · width). Enough for small pictures on a laptop.

    Each convolution halves the picture, except the last.
    """

    def __init__(self, width: int):
        layers, channels = [], 3
        for out, stride in ((width, 2), (2 * width, 2), (4 * width, 2), (4 * width, 1)):
            layers += [nn.Conv2d(channels, out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(True)]
            channels = out
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.feature_dim = channels


def resnet(name: str, view_size: int) -> nn.Module:
    """torchvision's ResNet without its classifier: (N, 3, H, W) -> (N, 512 or 2048).

    For views up to 64 px the 7×7 stem of stride 2 and the max-pool, made for 224 px, give way to one
    3×3 convolution of stride 1, as peers do on CIFAR-10.
    """
    from torchvision.models import get_model  # here, since it takes longer to import than torch itself

    net = get_model(name, weights=None)
    net.feature_dim = net.fc.in_features
    net.fc = nn.Identity()
    if view_size <= SMALL_STEM_UP_TO:
        net.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
        net.maxpool = nn.Identity()
    return net


def build_encoder(config: Config, view_size: int, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)) -> nn.Module:
    """The encoder f of this Config: normalised images (N, 3, H, W) -> y, (N, feature_dim).

    It carries the statistics its input was normalised with, as buffers `pixel_mean` and `pixel_std`,
    so that whoever uses it later need not know the data it was trained on.
    """
    encoder = SmallEncoder(config.width) if config.encoder == "small" else resnet(config.encoder, view_size)
    encoder.register_buffer("pixel_mean", torch.tensor(mean, dtype=torch.float32))
    encoder.register_buffer("pixel_std", torch.tensor(std, dtype=torch.float32))
    return encoder


class Branch(nn.Module):
    """Encoder f and projector g in a row, x → y → z: the part that online and target networks share."""

    def __init__(self, config: Config, view_size: int, mean, std):
        super().__init__()
        self.encoder = build_encoder(config, view_size, mean, std)
        self.projector = MLP(self.encoder.feature_dim, config.hidden_dim, config.projection_dim)

    def forward(self, v: Tensor) -> Tensor:
        y = self.encoder(v)  # (N, feature_dim), the representation
        return self.projector(y)  # (N, projection_dim)


def build_predictor(config: Config) -> nn.ModuleDict:
    """Every predictor q that `Config.predictor` can name, so that a running Trainer can exchange them."""
    d = config.projection_dim
    return nn.ModuleDict(
        OrderedDict(mlp=MLP(d, config.hidden_dim, d), linear=nn.Linear(d, d, bias=False), identity=nn.Identity())
    )
