"""Start a run from existing weights instead of random ones: those of another run, or of an encoder file.

A run whose schedule has ended, with τ = 1 and a learning rate of 0, is trained longer in this way; so is an encoder on
images of another kind.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..config.config import Config
from ..config.errors import CheckpointError
from ..methods.base import Objective
from . import checkpoint
from .encoder_file import load_encoder
from .state import check

OWN = ("pixel_mean", "pixel_std")  # buffers of the encoder that belong to the images, not to the weights
ENCODER = ("encoder", "width", "patch_size", "norm", "view_size")  # fields of Config that decide the encoder's shape


@torch.no_grad()
def take_weights(model: Objective, config: Config, path: str | Path) -> dict[str, str]:
    """Give a model that has made no step the weights in a file; return what became of each part, in words.

    The encoder must fit. Heads (projector, predictor) are taken where all their tensors fit, and stay random where not.
    A target network that follows the online one begins as its copy; a fixed random target stays random. Mean and standard
    deviation of the pixels stay those of the new images.

    Args:
        path: a run folder, a checkpoint that `Trainer.save` wrote, or an encoder.safetensors.

    Raises:
        CheckpointError: the file is missing, damaged or of another kind; its encoder has another shape.
    """
    path = Path(path)
    file = path / "checkpoint.pt" if path.is_dir() else path
    if file.suffix == ".safetensors":
        weights = {f"online.encoder.{name}": value for name, value in load_encoder(file).state_dict().items()}
        theirs = None
    else:
        state = checkpoint.load(file)
        check(file, state)
        weights, theirs = state["model"], Config.from_dict(state["config"])
    mean = model.online.encoder.pixel_mean
    own, other = len(mean), len(weights.get("online.encoder.pixel_mean", mean))
    if own != other:
        raise CheckpointError(
            f"the encoder in {str(file)!r} is made for images of {other} channels, and these have {own}: read them with "
            f"channels={other}, or start from other weights"
        )
    found = {"encoder": _fit(model.online.encoder, weights, "online.encoder.")}
    if found["encoder"]:
        shape = lambda c: ", ".join(f"{name}={getattr(c, name)!r}" for name in ENCODER)  # noqa: E731
        has = f"; it has {shape(theirs)}" if theirs is not None else ""
        raise CheckpointError(
            f"the encoder in {str(file)!r} does not fit a run with {shape(config)} ({found['encoder']}){has}: give the "
            "run the same encoder"
        )
    found["projector"] = _fit(model.online.projector, weights, "online.projector.")
    if isinstance(predictors := getattr(model, "predictors", None), nn.Module):
        found["predictor"] = _fit(predictors, weights, "predictors.")
    target = getattr(model, "target", None)
    if target is not None and config.target != "random":
        target.load_state_dict(model.online.state_dict())
    return {part: f"stays random: {reason}" if reason else "taken" for part, reason in found.items()}


def _fit(part: nn.Module, weights: Mapping[str, Tensor], prefix: str) -> str:
    """Load the tensors of one part if they all fit; else return why they do not, and leave the part as it is."""
    own = {name: value for name, value in part.state_dict().items() if name not in OWN}
    theirs = {n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)}
    theirs = {name: value for name, value in theirs.items() if name not in OWN}
    if not theirs:
        return "" if not own else "the file has none"
    for name, value in own.items():
        if name not in theirs:
            return f"the file has no {name}"
        if theirs[name].shape != value.shape:
            return f"{name} is {tuple(theirs[name].shape)} in the file and {tuple(value.shape)} here"
    if more := theirs.keys() - own.keys():
        return f"the file also has {min(more)}"
    for name, value in own.items():
        value.copy_(theirs[name])
    return ""
