"""Files with an encoder alone, for use elsewhere: safetensors with the names of torchvision's ResNet."""

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..config.checks import (
    Refused,
    fields,
    list_of,
    negative_variances,
    number,
    one_of,
    or_none,
    parse_json,
    range_of,
    tensor,
    text,
    whole,
)
from ..config.config import Config
from ..config.errors import CheckpointError, ConfigError
from ..networks.backbones import check_name
from ..networks.encoders import SMALL_STEM_UP_TO, build_encoder
from ..networks.normalization import is_standardised, standardise
from ..runtime.files import ENCODER_FORMAT
from . import checkpoint
from .checkpoint import refuse_unreadable, write_or_explain
from .state import refuse_other_encoder, refuse_wrong_module

SIDE = whole(1, 4096)  # pixels
NETWORK = ("encoder", "width", "patch_size", "norm", "projection_shortcut")  # fields of Config that build the encoder


ABOUT = fields(
    {"encoder": text(200), "view_size": SIDE, "pixel_mean": list_of(number(-1e6, 1e6), 1, 1024)}
    | {"pixel_std": list_of(number(1e-9, 1e6), 1, 1024)},
    {"width": whole(1, 4096), "patch_size": SIDE, "norm": text(100), "steps": whole(0, or_none=True)}
    | {
        "projection_shortcut": one_of(True, False),
        "bits": one_of(8, 16, None),
        "value_range": or_none(range_of(one_of(True, False))),
    },
)


def save_encoder(
    path: str | Path,
    encoder: nn.Module,
    config: Config,
    view_size: int,
    bits: int = 8,
    value_range: tuple[float, float, bool] | None = None,
    steps: int | None = None,
) -> None:
    """Write the encoder's weights as safetensors.

    Names and shapes are those of torchvision's ResNet without `fc`, or of timm's VisionTransformer without `head`.
    Standardised weights (norm gn_ws) are written after standardisation, so a plain convolution computes the same. The
    file's metadata holds all that is needed to build the network and to prepare its input: encoder, width, patch_size,
    norm, projection_shortcut, view_size, stem, pixel_mean and pixel_std, which have a number for each channel of the
    images.

    >>> resnet = torchvision.models.resnet18()
    >>> resnet.load_state_dict(safetensors.torch.load_file(path), strict=False)    # only fc is missing

    A network that timm or torchvision built by its name, and a module of yours, keep the names of their own.

    A ResNet for views up to 64 px has another stem; change that of the plain ResNet first:

    >>> resnet.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
    >>> resnet.maxpool = torch.nn.Identity()

    With projection_shortcut a ResNet-18 or -34 has one more shortcut; add it to the plain ResNet first:

    >>> shortcut = torch.nn.Conv2d(64, 64, 1, bias=False), torch.nn.BatchNorm2d(64)
    >>> resnet.layer1[0].downsample = torch.nn.Sequential(*shortcut)

    Args:
        bits: depth of the images, also in the metadata.
        value_range: the values of their files that became black and white, with whether 8-bit files were scaled too, as
            in data.ValueRange; None if no file was scaled. It is in the metadata, too.
        steps: the number of steps that the run had made, also in the metadata.

    Raises:
        CheckpointError: the file cannot be written; a file that was there is as before.
    """
    from safetensors.torch import save as to_bytes

    # copies, because the format refuses tensors that share memory, as tied weights do
    state = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in encoder.state_dict().items()
    }
    for name, module in encoder.named_modules():
        if is_standardised(module):
            state[f"{name}.weight"] = standardise(state[f"{name}.weight"])
    about = {
        "encoder": config.encoder,
        "width": config.width,
        "patch_size": config.patch_size,
        "norm": config.norm,
        "projection_shortcut": config.projection_shortcut,
        "view_size": view_size,
        "stem": "its own"
        if config.foreign_encoder
        else "3x3"
        if view_size <= SMALL_STEM_UP_TO or config.encoder == "small"
        else "7x7",
        "pixel_mean": state.pop("pixel_mean").tolist(),
        "pixel_std": state.pop("pixel_std").tolist(),
        "bits": bits,
        "value_range": value_range,
        "steps": steps,
    }
    metadata = {"format": ENCODER_FORMAT} | {name: json.dumps(value) for name, value in about.items()}
    content = to_bytes(state, metadata)
    write_or_explain(path, lambda file: file.write(content))


def load_encoder(path: str | Path, encoder: nn.Module | None = None) -> nn.Module:
    """Read the encoder that `save_encoder` wrote: in evaluation mode, on the CPU.

    Its attributes `bits` and `value_range` say how its images were read; `bt.embed_images` reads others in the same way.

    encoder: for the encoder of a run that trained a module of yours, a module of the same layers. A copy of it gets the
        weights.

    Raises:
        CheckpointError: the file is missing, damaged, or not an encoder of this library; it is of another module.
        ConfigError: timm or torchvision no longer have the network that it names.
    """
    about, state = read_encoder_file(path)
    try:
        network = {name: about[name] for name in NETWORK if name in about}
        config, shape = Config(**network), (about["view_size"], about["pixel_mean"], about["pixel_std"])
    except (KeyError, TypeError, ValueError) as error:
        raise _foreign(path) from error
    refuse_wrong_module(path, config, encoder)
    check_name(config.encoder)
    try:
        built = build_encoder(config, *shape, encoder)
        whole = state | {name: getattr(built, name) for name in ("pixel_mean", "pixel_std")}
        if config.foreign_encoder:
            refuse_other_encoder(path, whole, built)
        for name, own in built.state_dict().items():
            if isinstance(own, Tensor) and name in whole:
                tensor([own.dtype], own.shape)(whole[name], name)
        for name in negative_variances(built, whole):
            raise Refused(f"{name}: a variance cannot be below 0")
        built.load_state_dict(whole)
        scale = about.get("value_range")
        vars(built).update(bits=about.get("bits"), value_range=None if scale is None else tuple(scale))
    except (CheckpointError, ConfigError):
        raise
    except Refused as error:
        raise CheckpointError(f"encoder {str(path)!r} is damaged: {error}") from error
    except Exception as error:  # names of another network can make the loader raise anything
        raise _foreign(path) from error
    _warn_of_another_moment(Path(path), about.get("steps"))
    return built.eval()


def read_encoder_file(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what the metadata says, and the weights by name, without mean and standard deviation of the pixels.

    Raises:
        CheckpointError: the file is missing, damaged, or not an encoder of this library.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise CheckpointError(f"encoder {str(path)!r} does not exist: name the encoder.safetensors of a run folder")
    try:
        # safetensors hides the number of the system's error, and maps the file: a drive that fails then ends the process
        with open(path, "rb") as content:
            while content.read(1 << 20):
                pass
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.pop("format", None) != ENCODER_FORMAT:
                raise _foreign(path)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (the file is no mapping)
        about = {name: parse_json(value) for name, value in metadata.items()}
        ABOUT(about, "")
        if len(about["pixel_mean"]) != len(about["pixel_std"]):
            raise Refused("pixel_mean and pixel_std are not of the same number of channels")
    except SafetensorError as error:
        _refuse_checkpoint(Path(path))
        raise CheckpointError(f"encoder {str(path)!r} cannot be read ({error}): it is damaged") from error
    except Refused as error:
        raise CheckpointError(f"encoder {str(path)!r} is damaged: {error}") from error
    except CheckpointError:
        raise
    except Exception as error:  # a damaged file can make its reader raise anything
        refuse_unreadable("encoder", path, error)
        raise _foreign(path) from error
    return about, state


def _refuse_checkpoint(path: Path) -> None:
    """Raise CheckpointError if this file is a checkpoint; the message names the encoder beside it."""
    try:
        checkpoint.load(path, mmap=True)
    except CheckpointError:
        return
    beside = path.with_name(path.name.replace("checkpoint", "encoder", 1)).with_suffix(".safetensors")
    others = sorted(path.parent.glob("encoder*.safetensors"))
    names = [beside] if beside in others else others
    advice = (
        f"name {' or '.join(repr(str(p)) for p in names)}" if names else "name the encoder.safetensors of a run folder"
    )
    if beside not in others:
        advice += f", or write this one's with bt.Trainer.resume({str(path)!r}, images).save_encoder(FILE)"
    raise CheckpointError(f"{str(path)!r} is a checkpoint, the whole state of a run, and no encoder file: {advice}")


def _foreign(path: str | Path) -> CheckpointError:
    return CheckpointError(
        f"{str(path)!r} is not an encoder of byol_tutorial: name the encoder.safetensors of a run folder"
    )


def steps_of(path: str | Path) -> int | None:
    """Return how many steps the run of an encoder file had made; None where the file does not say it or cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            steps = json.loads((file.metadata() or {}).get("steps", "null"))
    except (SafetensorError, OSError, ValueError, RecursionError):
        return None
    return steps if isinstance(steps, int) else None


def _warn_of_another_moment(path: Path, steps: int | None) -> None:
    """Warn where a run folder has a checkpoint of another step beside its encoder, as a process that was killed leaves it."""
    beside = path.with_name(path.name.replace("encoder", "checkpoint", 1)).with_suffix(".pt")
    if steps is None or beside == path or not beside.is_file():
        return
    try:
        there = checkpoint.load(beside, mmap=True).get("steps_done")
    except CheckpointError:
        return
    if there != steps:
        warnings.warn(
            f"{str(path)!r} is of step {steps}, and the checkpoint beside it of step {there}: "
            f"'byol-tutorial evaluate {path.parent}' writes it again",
            stacklevel=3,
        )
