"""Save and load the state of a run: atomically, and without executing anything that was loaded.

The state of a whole run is a torch file, for `Trainer.resume`. An encoder alone, to carry elsewhere, is a
safetensors file with the names of torchvision's own ResNet.
"""

import json
import os
import pickle
import secrets
from collections.abc import Callable
from pathlib import Path
from zipfile import BadZipFile

import torch
from torch import nn

from .config import Config
from .networks import SMALL_STEM_UP_TO, build_encoder, is_standardised, standardise
from .option import UserError

FORMAT, VERSION = "byol_tutorial checkpoint", 2
ENCODER_FORMAT = "byol_tutorial encoder"
PART = ".part"  # at the end of a file's name while it is written


class CheckpointError(UserError):
    """A file that is no usable checkpoint, or that cannot be written."""


def write_atomically(path: str | Path, write: Callable) -> None:
    """Call write(binary file) on a temporary file beside `path`, fsync it, then rename it into place.

    At every moment `path` holds either what it held before or all of the new content.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{PART}")
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def save(path: str | Path, state: dict) -> None:
    """Write a dict of tensors, numbers, strings, lists and dicts.

    Raises:
        CheckpointError: the disk is full, or the place cannot be written; what was there is as before.
    """
    content = {"format": FORMAT, "version": VERSION} | state
    _write(path, lambda file: torch.save(content, file))


def _write(path: str | Path, write: Callable) -> None:
    try:
        write_atomically(path, write)
    except (OSError, RuntimeError) as error:  # RuntimeError: torch's own writer, when the file takes no more
        cause = error if isinstance(error, OSError) else error.__context__
        reason = getattr(cause, "strerror", None) or str(error)
        raise CheckpointError(
            f"{str(path)!r} could not be written ({reason}): what was there before is untouched; "
            "make room, or choose another place"
        ) from error


def load(path: str | Path) -> dict:
    """Read what `save` wrote, on the CPU. Pickled code in the file is refused, not run.

    Raises:
        CheckpointError: the file is missing, damaged, foreign, or of another version.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"checkpoint {str(path)!r} does not exist: name a file that Trainer.save wrote")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, BadZipFile, ValueError, KeyError) as error:
        raise CheckpointError(
            f"checkpoint {str(path)!r} cannot be read: it is damaged, or not a file that Trainer.save wrote"
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(
            f"{str(path)!r} is not a checkpoint of byol_tutorial: name a file that Trainer.save wrote"
        )
    version = state.get("version")
    if version != VERSION:
        raise CheckpointError(
            f"checkpoint {str(path)!r} has version {version}, this library reads {VERSION}: use the release that wrote it"
        )
    return state


# --- an encoder alone ---------------------------------------------------------------------------


def save_encoder(path: str | Path, encoder: nn.Module, config: Config, view_size: int) -> None:
    """Write the encoder's weights as safetensors: names and shapes of torchvision's ResNet without `fc`, or of timm's
    VisionTransformer without `head`.

    Standardised weights (norm gn_ws) are written as they act, so a plain convolution computes the same.
    The file's metadata has what it takes to build the network and to prepare its input: encoder, width,
    patch_size, norm, view_size, pixel_mean and pixel_std.

    >>> resnet = torchvision.models.resnet18()
    >>> resnet.load_state_dict(safetensors.torch.load_file(path), strict=False)    # only fc is missing

    An encoder for views up to 64 px has another stem, which that plain ResNet must be given first:

    >>> resnet.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
    >>> resnet.maxpool = torch.nn.Identity()

    Raises:
        CheckpointError: the file cannot be written; what was there is as before.
    """
    from safetensors.torch import save as to_bytes

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    for name, module in encoder.named_modules():
        if is_standardised(module):
            state[f"{name}.weight"] = standardise(state[f"{name}.weight"])
    about = {
        "encoder": config.encoder,
        "width": config.width,
        "patch_size": config.patch_size,
        "norm": config.norm,
        "view_size": view_size,
        "stem": "3x3" if view_size <= SMALL_STEM_UP_TO or config.encoder == "small" else "7x7",
        "pixel_mean": state.pop("pixel_mean").tolist(),
        "pixel_std": state.pop("pixel_std").tolist(),
    }
    metadata = {"format": ENCODER_FORMAT} | {name: json.dumps(value) for name, value in about.items()}
    content = to_bytes(state, metadata)
    _write(path, lambda file: file.write(content))


def load_encoder(path: str | Path) -> nn.Module:
    """The encoder that `save_encoder` wrote, in evaluation mode, on the CPU.

    Raises:
        CheckpointError: the file is missing, damaged, or not an encoder of this library.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise CheckpointError(f"encoder {str(path)!r} does not exist: name the encoder.safetensors of a run folder")
    foreign = f"{str(path)!r} is not an encoder of byol_tutorial: name the encoder.safetensors of a run folder"
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.pop("format", None) != ENCODER_FORMAT:
                raise CheckpointError(foreign)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
        about = {name: json.loads(value) for name, value in metadata.items()}
        network = {name: about[name] for name in ("encoder", "width", "patch_size", "norm") if name in about}
        config = Config(**network)
        encoder = build_encoder(config, about["view_size"], about["pixel_mean"], about["pixel_std"])
        encoder.load_state_dict(state | {name: getattr(encoder, name) for name in ("pixel_mean", "pixel_std")})
    except SafetensorError as error:
        raise CheckpointError(f"encoder {str(path)!r} cannot be read ({error}): it is damaged") from error
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(foreign) from error
    return encoder.eval()
