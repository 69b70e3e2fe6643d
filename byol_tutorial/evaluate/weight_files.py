"""Files of weights that others wrote, for networks that they fit: found in whatever wraps them, never executed."""

import argparse
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..config.errors import WeightsError
from ..runtime.files import ENCODER_FORMAT, FORMAT

# Where a training checkpoint keeps them, the most wanted first: a moving average before what it follows.
NESTED = ("state_dict_ema", "model_ema", "teacher", "target_encoder", "state_dict", "model", "student", "encoder")
WRAPPERS = {"_orig_mod", "module", "model", "net", "backbone", "encoder", "base_encoder", "encoder_q", *NESTED}
HEADS = ("head", "fc", "classif", "last_linear", "proj", "predict", "aux", "mask_token")  # no part of an encoder


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of one by torch.save, by name, on the CPU. Code in it is refused, not run.

    Raises:
        WeightsError: no such file; damaged, or with more than weights in it; none in it; an encoder of this library.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"weights {str(path)!r} do not exist: name a .safetensors or .pth file")
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, "pt") as file:
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
                kind = (file.metadata() or {}).get("format")
        else:
            with torch.serialization.safe_globals([argparse.Namespace]):  # of options: names and values
                state = torch.load(path, map_location="cpu", weights_only=True)
            kind = state.get("format") if isinstance(state, Mapping) else None
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"weights {str(path)!r} are refused: the file is damaged, or holds more than tensors, which could be code; "
            "give a state dict, as torch.save(model.state_dict(), FILE) writes it"
        ) from error
    except Exception as error:  # whatever a damaged file provokes in its reader
        raise WeightsError(
            f"weights {str(path)!r} cannot be read: the file is damaged, or no .safetensors or .pth file; fetch it anew"
        ) from error
    if kind in (FORMAT, ENCODER_FORMAT):
        raise WeightsError(
            f"{str(path)!r} is of a run of this library: bt.load_encoder reads its encoder.safetensors, "
            "and 'byol-tutorial evaluate RUN' judges it"
        )
    while isinstance(state, Mapping) and (inner := [k for k in NESTED if isinstance(state.get(k), Mapping)]):
        state = state[inner[0]]
    found = state if isinstance(state, Mapping) else {}
    tensors = {name: value for name, value in found.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not tensors:
        holds = f"its entries are {', '.join(map(str, list(found)[:8]))}" if found else "it holds no named tensors"
        raise WeightsError(f"weights {str(path)!r} have no state dict: {holds}; save model.state_dict() alone")
    return tensors


def unwrap(state: dict[str, Tensor], expected: set[str]) -> dict[str, Tensor]:
    """The part of a state dict whose names, without what wraps them ("module.", "teacher.backbone."), fit best."""
    prefixes = {""}
    for name in state:
        parts = name.split(".")[:-1]
        while parts and not set(parts) <= WRAPPERS:
            parts.pop()
        prefixes |= {".".join(parts[: i + 1]) + "." for i in range(len(parts))}

    def inside(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}

    def fits(prefix: str) -> tuple:
        part = inside(prefix)
        return len(part.keys() & expected), "teacher" in prefix, len(part), len(prefix), prefix

    return inside(max(prefixes, key=fits))


def adopt(net: nn.Module, state: dict[str, Tensor], convert: Callable, who: str, file) -> None:
    """Load weights into a network without a classifier; other heads in them are left out, all else must fit exactly.

    convert: brings the names in the file to those of the network.

    Raises:
        WeightsError: a value missing, of another shape or not finite; a part that the network does not have.
    """
    expected = net.state_dict()
    advice = f"give the weights of this very architecture to guest {who!r}"
    try:
        state = convert(unwrap(state, expected.keys()))
    except Exception as error:  # it has looked for names that are not there
        raise WeightsError(f"weights {str(file)!r} are another network's ({error!r}): {advice}") from error
    missing = [k for k in expected if k not in state and not k.endswith("num_batches_tracked")]
    shared = [k for k in expected if k in state]
    faults = {
        f"lacks {len(missing)} of {len(expected)} values": missing,
        "has others": [k for k in state if k not in expected and not any(h in k.split(".")[0].lower() for h in HEADS)],
        "has other shapes": [
            f"{k} {tuple(state[k].shape)} for {tuple(expected[k].shape)}"
            for k in shared
            if state[k].shape != expected[k].shape
        ],
        "is not finite": [k for k in shared if not state[k].isfinite().all()],
    }
    if any(faults.values()):
        named = (f"{what} ({', '.join(k[:3])}{', …' if len(k) > 3 else ''})" for what, k in faults.items() if k)
        raise WeightsError(f"weights {str(file)!r} do not fit: the file {'; '.join(named)}: {advice}")
    expected.update((k, state[k]) for k in shared)
    net.load_state_dict(expected)
