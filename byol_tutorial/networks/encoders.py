"""The encoders f, and Branch: encoder and projector in a row, the part that online and target networks share."""

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..config.config import OWN, RESIDUAL, Config
from ..config.errors import ConfigError, TrainingError
from .backbones import library_encoder, own_encoder
from .heads import build_projector
from .normalization import StandardisedConv2d, build_norm
from .vit import vit

NEEDS_MODULE = "a module of your own must be given as encoder=, to Trainer, Trainer.resume, Session or load_encoder"
SMALL_STEM_UP_TO = 64  # views up to this many pixels a side get the 3×3 stem


# --- encoders -----------------------------------------------------------------------------------


class Encoder(nn.Module):
    """The type of an encoder f, for type checkers: a module (N, C, H, W) -> (N, feature_dim) with these attributes.

    `build_encoder` returns modules that have them; those of torchvision and timm are no instances of this class.
    """

    feature_dim: int
    view_size: int
    fixed_size: bool  # whether it takes images of view_size alone
    pixel_mean: Tensor
    pixel_std: Tensor


class SmallEncoder(nn.Sequential):
    """Four 3×3 convolutions, pooled: (N, C, H, W) -> (N, 4 · width). It suffices for small pictures on a laptop.

    Each convolution halves the picture, except the last.
    """

    def __init__(self, width: int, norm: str = "bn", channels: int = 3) -> None:
        conv = StandardisedConv2d if norm == "gn_ws" else nn.Conv2d
        layers: list[nn.Module] = []
        for out, stride in ((width, 2), (2 * width, 2), (4 * width, 2), (4 * width, 1)):
            layers += [conv(channels, out, 3, stride, padding=1, bias=False), build_norm(norm, out), nn.ReLU(True)]
            channels = out
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.feature_dim = channels


def resnet(
    name: str,
    view_size: int,
    norm: str = "bn",
    channels: int = 3,
    zero_init_residual: bool = False,
    projection_shortcut: bool = False,
) -> Encoder:
    """Build torchvision's ResNet without its classifier: (N, C, H, W) -> (N, 512 or 2048).

    For views up to 64 px one 3×3 convolution of stride 1 replaces the 7×7 stem of stride 2 and the max-pool, which are
    made for 224 px. Other libraries do the same on CIFAR-10.

    Args:
        zero_init_residual: start the scale γ of the last normalisation of each residual block at 0, so that the block
            begins as its shortcut (Goyal et al. 2017, arXiv 1706.02677, section 5.1). The authors' code does so in
            ResNet-50, by Haiku's BlockV1, and not in ResNet-18. Their README says that the paper's results were obtained
            without it, and that it changes nothing in the accuracy of this network.
        projection_shortcut: put a 1×1 convolution and a normalisation into the shortcut of the first group of ResNet-18
            and -34 too, as in the authors' networks.py. All other groups, and ResNet-50, have them anyway.
    """
    from torchvision.models import get_model  # here, because it takes longer to import than torch itself

    # the network keeps norm_layer; unlike a lambda, a partial can be pickled with it
    make_norm = partial(build_norm, norm)
    net: Any = get_model(name, weights=None, norm_layer=make_norm, zero_init_residual=zero_init_residual)
    net.feature_dim = net.fc.in_features
    net.fc = nn.Identity()
    if view_size <= SMALL_STEM_UP_TO:
        net.conv1 = nn.Conv2d(channels, 64, 3, stride=1, padding=1, bias=False)
        net.maxpool = nn.Identity()
    elif channels != 3:
        net.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's own
    if projection_shortcut and net.layer1[0].downsample is None:
        projection = nn.Conv2d(64, 64, 1, bias=False)
        nn.init.kaiming_normal_(projection.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's own
        net.layer1[0].downsample = nn.Sequential(projection, make_norm(64))
    if norm == "gn_ws":
        for module in net.modules():
            if type(module) is nn.Conv2d:
                module.__class__ = StandardisedConv2d  # the same parameters, another forward
    return cast(Encoder, net)


def build_encoder(
    config: Config,
    view_size: int,
    mean: Sequence[float] = (0.5, 0.5, 0.5),
    std: Sequence[float] = (0.25, 0.25, 0.25),
    own: nn.Module | None = None,
) -> Encoder:
    """Build the encoder f of this Config: normalised images (N, C, H, W) -> y, (N, feature_dim).

    It has `view_size`, and the statistics by which its input is normalised as buffers `pixel_mean` and `pixel_std`. So
    it can be used later without the data that it was trained on. The number of channels C is that of the statistics.

    own: the module of which the encoder is a copy if config.encoder is "own".

    Raises:
        ConfigError: a network that timm or torchvision do not have, or a module that cannot be an encoder.
    """
    encoder: nn.Module
    channels = len(mean)
    if (own is None) == (config.encoder == OWN):
        raise ConfigError(
            f"encoder={config.encoder!r}: {NEEDS_MODULE}"
            if own is None
            else f"encoder={config.encoder!r} in the config, and a module too: leave one of them out"
        )
    if own is not None:
        encoder = own_encoder(own, view_size, channels)
    elif ":" in config.encoder:  # its layers are those of the library, whatever config.norm is
        encoder = library_encoder(config.encoder, view_size, channels)
    elif config.encoder == "small":
        encoder = SmallEncoder(config.width, config.norm, channels)
    elif config.encoder.startswith("vit"):
        encoder = vit(
            config.encoder, view_size, config.patch_size, channels
        )  # it has LayerNorm, whatever config.norm is
    else:
        residual = {name: getattr(config, name) for name in RESIDUAL}
        encoder = resnet(config.encoder, view_size, config.norm, channels, **residual)
    encoder = cast(Encoder, encoder)
    encoder.view_size = view_size
    encoder.fixed_size = getattr(encoder, "fixed_size", False)
    encoder.register_buffer("pixel_mean", torch.tensor(mean, dtype=torch.float32))
    encoder.register_buffer("pixel_std", torch.tensor(std, dtype=torch.float32))
    return encoder


def replaces(module: nn.Module, name: str, value: object) -> bool:
    """Return whether to set this attribute would put another network in the place of one that the module has."""
    return isinstance(value, nn.Module) and module._modules.get(name, value) is not value


def instead(name: str) -> str:
    """Return what to do instead of exchanging a part of a model that is being trained."""
    if name.startswith("predictor"):
        return "trainer.change(predictor=...) chooses another"
    return "Trainer(config, images, encoder=...) trains a module of your own, and init=... begins with its weights"


class Branch(nn.Module):
    """Encoder f and projector g in a row, x → y → z: the part that online and target networks share."""

    def __init__(
        self,
        config: Config,
        view_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        own: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.encoder = build_encoder(config, view_size, mean, std, own)
        self.projector = build_projector(config, self.encoder.feature_dim)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; raise TrainingError for another network, which neither the optimiser nor the target would use."""
        if replaces(self, name, value):
            raise TrainingError(
                f"online.{name} cannot be exchanged, because the run would not train it: {instead(name)}"
            )
        super().__setattr__(name, value)

    def forward(self, v: Tensor) -> Tensor:
        """Return z = g(f(v)), (N, projection_dim), of views (N, C, H, W)."""
        y = self.encoder(v)  # (N, feature_dim), the representation
        return self.projector(y)  # (N, projection_dim)
