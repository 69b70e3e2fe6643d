"""Files with an encoder alone, for use elsewhere: safetensors with the names of torchvision's ResNet."""

import json
from pathlib import Path

from torch import nn

from ..config.config import Config
from ..config.errors import CheckpointError
from ..networks.encoders import SMALL_STEM_UP_TO, build_encoder
from ..networks.normalization import is_standardised, standardise
from ..runtime.files import ENCODER_FORMAT
from .checkpoint import write_or_explain


def save_encoder(
    path: str | Path,
    encoder: nn.Module,
    config: Config,
    view_size: int,
    bits: int = 8,
    value_range: tuple[float, float, bool] | None = None,
) -> None:
    """Write the encoder's weights as safetensors.

    Names and shapes are those of torchvision's ResNet without `fc`, or of timm's VisionTransformer without `head`.
    Standardised weights (norm gn_ws) are written after standardisation, so a plain convolution computes the same. The
    file's metadata holds all that is needed to build the network and to prepare its input: encoder, width, patch_size,
    norm, view_size, stem, pixel_mean and pixel_std, which have a number for each channel of the images.

    bits, value_range: depth of the images; and the values of their files that became black and white, with whether 8-bit
        files were scaled too, as in data.ValueRange; None if no file was scaled. The metadata names them too.

    >>> resnet = torchvision.models.resnet18()
    >>> resnet.load_state_dict(safetensors.torch.load_file(path), strict=False)    # only fc is missing

    An encoder for views up to 64 px has another stem; change that of the plain ResNet first:

    >>> resnet.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
    >>> resnet.maxpool = torch.nn.Identity()

    Raises:
        CheckpointError: the file cannot be written; a file that was there is as before.
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
        "bits": bits,
        "value_range": value_range,
    }
    metadata = {"format": ENCODER_FORMAT} | {name: json.dumps(value) for name, value in about.items()}
    content = to_bytes(state, metadata)
    write_or_explain(path, lambda file: file.write(content))


def load_encoder(path: str | Path) -> nn.Module:
    """Read the encoder that `save_encoder` wrote: in evaluation mode, on the CPU.

    Its attributes `bits` and `value_range` say how its images were read; `bt.embed_images` reads others in the same way.

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
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (the file is no mapping)
        about = {name: json.loads(value) for name, value in metadata.items()}
        network = {name: about[name] for name in ("encoder", "width", "patch_size", "norm") if name in about}
        config = Config(**network)
        encoder = build_encoder(config, about["view_size"], about["pixel_mean"], about["pixel_std"])
        encoder.load_state_dict(state | {name: getattr(encoder, name) for name in ("pixel_mean", "pixel_std")})
        scale = about.get("value_range")
        vars(encoder).update(bits=about.get("bits"), value_range=None if scale is None else tuple(scale))
    except SafetensorError as error:
        raise CheckpointError(f"encoder {str(path)!r} cannot be read ({error}): it is damaged") from error
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(foreign) from error
    return encoder.eval()
