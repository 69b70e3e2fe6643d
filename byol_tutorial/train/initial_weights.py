"""Start a run from existing weights instead of random ones: those of another run, of an encoder file, or of a library.

A run whose schedule has ended, with τ = 1 and a learning rate of 0, is trained longer in this way; so is an encoder on
images of another kind.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..config.checks import negative_variances
from ..config.config import Config
from ..config.errors import CheckpointError, UserError
from ..config.user_text import user_path
from ..evaluate.pretrained import guest
from ..methods.base import Objective
from ..networks.backbones import LIBRARIES
from ..networks.encoders import Encoder
from . import checkpoint
from .encoder_file import read_encoder_file
from .state import check, mismatch, part_of

PIXELS = ("pixel_mean", "pixel_std")  # buffers of the encoder that belong to the images, not to the weights
# fields of Config that decide the encoder's shape
ENCODER = ("encoder", "width", "patch_size", "norm", "view_size", "projection_shortcut")
SETTLED = 1000  # batches after which nothing is left of the initial values in BatchNorm's running averages


def library_and_file(init: str | Path) -> tuple[str, Path | None] | None:
    """Return name and file of "timm:NAME=FILE" or "torchvision:NAME=FILE", the file None without "="; None for a path."""
    name, given, file = str(init).partition("=")
    if name.partition(":")[0] not in LIBRARIES or ":" not in name:
        return None
    return name, user_path(file) if given else None


def absolute(init: str | Path) -> str:
    """Return the same place of weights, readable from any folder."""
    library = library_and_file(init)
    if library is None:
        return str(Path(init).absolute())
    name, file = library
    return name if file is None else f"{name}={file.absolute()}"


@torch.no_grad()
def take_weights(model: Objective, config: Config, init: str | Path) -> dict[str, str]:
    """Give a model that has made no step existing weights; return what became of each part, in words.

    The encoder must fit. Heads (projector, predictor) are taken where all their tensors fit, and stay random where not.
    A target network that follows the online one begins as its copy; a fixed random target stays random. Mean and standard
    deviation of the pixels stay those of the new images.

    Args:
        init: a run folder, a checkpoint that `Trainer.save` wrote, or an encoder.safetensors. Or "timm:NAME=FILE" or
            "torchvision:NAME=FILE", weights of that network in a file as `evaluate.pretrained.guest` reads it; without
            "=FILE" the library fetches those that it publishes, or takes them from its cache. Of a library's network the
            first convolution stays random where it has another shape here, as the 3×3 stem of our ResNets has.

    Raises:
        CheckpointError: the file is missing, damaged or of another kind; its encoder has another shape; weights cannot be
            fetched.
    """
    library, theirs = library_and_file(init), None
    if library is not None:
        weights, spared = _of_library(*library, model.online.encoder), _first_convolution(model.online.encoder)
    else:
        path, spared = Path(init), None
        file = path / "checkpoint.pt" if path.is_dir() else path
        if file.suffix == ".safetensors":
            about, tensors = read_encoder_file(file)
            weights = {f"online.encoder.{name}": value for name, value in tensors.items()}
            weights["online.encoder.pixel_mean"] = torch.tensor(about.get("pixel_mean", [0.5] * 3))
        else:
            state = checkpoint.load(file)
            check(file, state)
            weights, theirs = state["model"], Config.from_dict(state["config"])
    mean = model.online.encoder.pixel_mean
    own, other = len(mean), len(weights.get("online.encoder.pixel_mean", mean))
    if own != other:
        raise CheckpointError(
            f"the encoder in {str(init)!r} is made for images of {other} channels, and these have {own}: read them with "
            f"channels={other}, or start from other weights"
        )
    for name in negative_variances(model, weights):
        raise CheckpointError(f"the weights in {str(init)!r} are damaged: {name}: a variance cannot be below 0")
    reason, left = _fit(model.online.encoder, weights, "online.encoder.", spared)
    if reason:
        shape = lambda c: ", ".join(f"{name}={getattr(c, name)!r}" for name in ENCODER)  # noqa: E731
        has = f"; it has {shape(theirs)}" if theirs is not None else ""
        raise CheckpointError(
            f"the encoder in {str(init)!r} does not fit a run with {shape(config)} ({reason}){has}: give the "
            "run the same encoder"
        )
    found = {"encoder": f"taken, except {left} here, which stays random" if left else "taken"}
    heads: dict[str, tuple[nn.Module, str]] = {"projector": (model.online.projector, "online.projector.")}
    if isinstance(predictors := getattr(model, "predictors", None), nn.Module):
        heads["predictor"] = (predictors, "predictors.")
    for name, head in heads.items():
        reason, _ = _fit(head[0], weights, head[1])
        found[name] = f"stays random: {reason}" if reason else "taken"
    if library is not None:
        for layer in model.online.encoder.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.num_batches_tracked is not None:
                layer.num_batches_tracked.clamp_(min=SETTLED)  # older files lack it, but not the averages
    target = getattr(model, "target", None)
    if target is not None and config.target != "random":
        target.load_state_dict(model.online.state_dict())
    return found


def _of_library(name: str, file: Path | None, encoder: Encoder) -> dict[str, Tensor]:
    """Return the weights of a network of timm or torchvision, with the names that they have in a model here."""
    try:
        theirs = guest(name, file, download=file is None, size=encoder.view_size)
    except UserError as error:
        reason = " ".join(str(error).split())
        how = f"; where no network is reached, fetch the file elsewhere and give {name}=FILE" if file is None else ""
        raise CheckpointError(f"init={name!r}: {reason}{how}") from error
    return {f"online.encoder.{key}": value for key, value in theirs.body.state_dict().items()}


def _first_convolution(encoder: nn.Module) -> str | None:
    """Return the name of the weight of the encoder's first convolution; None if it has none."""
    return next((f"{name}.weight" for name, m in encoder.named_modules() if isinstance(m, nn.Conv2d)), None)


def _fit(part: nn.Module, weights: Mapping[str, Tensor], prefix: str, spared: str | None = None) -> tuple[str, str]:
    """Load the tensors of one part if they all fit; else return why they do not, and leave the part as it is.

    spared: the name of a tensor that may have another shape. Then it stays as it is, and what differs is returned second.
    """
    own = {name: value for name, value in part.state_dict().items() if name not in PIXELS}
    theirs = {name: value for name, value in part_of(weights, prefix).items() if name not in PIXELS}
    if not theirs:
        return ("" if not own else "the file has none"), ""
    left = ""
    if spared in own and spared in theirs and (left := mismatch({spared: own[spared]}, {spared: theirs[spared]})):
        del own[spared], theirs[spared]
    if reason := mismatch(own, theirs):
        return reason, ""
    for name, value in own.items():
        value.copy_(theirs[name])
    return "", left.removesuffix(" here")
