"""Files of weights that others wrote: read without running anything in them, unwrapped, and checked to be complete."""

import argparse
import pickle
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook

from ..config.checks import Refused, bounded, negative_variances
from ..config.errors import WeightsError
from ..runtime.files import ENCODER_FORMAT, FORMAT, remedy

# Entries under which a training checkpoint keeps its weights. The first one found is taken, so a moving average stands
# before the network that it follows.
NESTED = ("state_dict_ema", "model_ema", "teacher", "target_encoder", "state_dict", "model", "student", "encoder")
WRAPPERS = {"_orig_mod", "module", "model", "net", "backbone", "encoder", "base_encoder", "encoder_q", *NESTED}
HEADS = ("head", "fc", "classif", "last_linear", "proj", "predict", "aux", "mask_token")  # no part of an encoder


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read the named tensors of a .safetensors file, or of a file by torch.save. Code in it is refused and not run.

    Returns name -> tensor, on the CPU, with the dtypes of the file.

    Raises:
        WeightsError: the file does not exist, is damaged, holds more than weights, holds none, or is a file of this
            library.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"weights {str(path)!r} do not exist: name a .safetensors or .pth file")
    content, file_format = _open(path)
    try:
        bounded(content)
    except Refused as error:
        raise WeightsError(f"weights {str(path)!r} are refused ({error}): save model.state_dict() alone") from error
    if isinstance(file_format, str) and file_format in (FORMAT, ENCODER_FORMAT):
        raise WeightsError(
            f"{str(path)!r} is of a run of this library: bt.load_encoder reads its encoder.safetensors, "
            "and 'byol-tutorial evaluate RUN' judges it"
        )
    while isinstance(content, Mapping) and (inner := [k for k in NESTED if isinstance(content.get(k), Mapping)]):
        content = content[inner[0]]
    found = content if isinstance(content, Mapping) else {}
    tensors = {name: value for name, value in found.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not tensors:
        holds = (
            f"its entries are {', '.join(map(str, list(found)[:8]))[:300]}" if found else "it holds no named tensors"
        )
        raise WeightsError(f"weights {str(path)!r} have no state dict: {holds}; save model.state_dict() alone")
    return tensors


def _open(path: Path) -> tuple[object, object]:
    """Return what the file holds, and the format that it names, if any; raise WeightsError for code or damage."""
    try:
        with path.open("rb") as file:  # the readers of the formats hide the system's error, or take it for damage
            file.read(1)
    except OSError as error:
        advice = remedy(error.errno, "give yourself the permission to read it, or use a copy")
        raise WeightsError(f"weights {str(path)!r} cannot be read ({error.strerror or error}): {advice}") from error
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, "pt") as file:
                names = file.keys()
                return {name: file.get_tensor(name) for name in names}, (file.metadata() or {}).get("format")
        with torch.serialization.safe_globals([argparse.Namespace]):  # options of a run: names and values, no code
            content = torch.load(path, map_location="cpu", weights_only=True)
        return content, content.get("format") if isinstance(content, Mapping) else None
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"weights {str(path)!r} are refused: the file is damaged, or holds more than tensors, which could be code; "
            "give a state dict, as torch.save(model.state_dict(), FILE) writes it"
        ) from error
    except Exception as error:  # a damaged file can make its reader raise anything
        raise WeightsError(
            f"weights {str(path)!r} cannot be read: the file is damaged, or no .safetensors or .pth file; fetch it again"
        ) from error


def unwrap(state: dict[str, Tensor], expected: Collection[str]) -> dict[str, Tensor]:
    """Return the part of a state dict that belongs to a network, without the prefix of its names.

    A prefix is made of WRAPPERS, such as "module." or "teacher.backbone.". The right one is followed by the most expected
    names. Among several such prefixes a teacher's goes before all others, then the one of most values, then the longest.
    """
    prefixes = [""]
    for name in state:
        prefix = ""
        for word in name.split(".")[:-1]:
            if word not in WRAPPERS:
                break
            prefix += f"{word}."
            prefixes.append(prefix)
    longest_first = sorted(dict.fromkeys(prefixes), key=len, reverse=True)
    parts = {
        prefix: {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        for prefix in longest_first
    }
    most = max(len(part.keys() & expected) for part in parts.values())
    best = {prefix: part for prefix, part in parts.items() if len(part.keys() & expected) == most}
    of_teachers = {prefix: part for prefix, part in best.items() if "teacher" in prefix}
    return max((of_teachers or best).values(), key=len)


def load_complete(
    net: nn.Module, state: dict[str, Tensor], convert: Callable[[dict], dict], who: str, file: str | Path | None
) -> None:
    """Load weights into a network without classifier. Heads in the state are left out; all else must fit exactly.

    Args:
        convert: brings the names in the file to those of the network.
        who, file: the network's and the file's name, for messages.

    Raises:
        WeightsError: a value is missing, has another shape, is not finite, or is a variance below 0; or the network lacks a
            part of the state.
    """
    expected = net.state_dict()
    try:
        state = convert(unwrap(state, expected.keys()))
    except Exception as error:  # names that `convert` expects are not in the file
        raise other_network(error, who, file) from error
    shared = [name for name in expected if name in state]
    fitting = {name: state[name] for name in shared if state[name].shape == expected[name].shape}
    other_shapes = [f"{k} {tuple(state[k].shape)} for {tuple(expected[k].shape)}" for k in shared if k not in fitting]
    expected.update(fitting)  # the network's own state dict also holds the versions of its layers, which MNASNet checks
    net.load_state_dict(expected)
    missing, unexpected = [k for k in expected if k not in state], [k for k in state if k not in expected]
    refuse_incomplete(net, missing, unexpected, who, file, other_shapes)


def refuse_incomplete(
    net: nn.Module,
    missing: Sequence[str],
    unexpected: Sequence[str],
    who: str,
    file: str | Path | None,
    other_shapes: Sequence[str] = (),
) -> None:
    """Raise WeightsError if a file has not given a network all its values, or holds parts that the network does not have.

    Args:
        net: the network after loading. Its values must be finite, and its running variances not below 0.
        missing, unexpected: the names that `load_state_dict` returned. Heads and BatchNorm's counts of batches may differ.
        other_shapes: descriptions of values that were not loaded because their shapes differ.
    """
    state = net.state_dict()
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    faults = {
        f"lacks {len(missing)} of {len(state)} values": missing,
        "has others": [name for name in unexpected if not any(head in name.split(".")[0].lower() for head in HEADS)],
        "has other shapes": other_shapes,
        "is not finite": [name for name, value in state.items() if not value.isfinite().all()],
        "has variances below 0": negative_variances(net, state),
    }
    if any(faults.values()):
        named = (f"{what} ({', '.join(k[:3])}{', …' if len(k) > 3 else ''})" for what, k in faults.items() if k)
        raise WeightsError(f"weights {str(file)!r} do not fit: the file {'; '.join(named)}: {_advice(who)}")


@contextmanager
def watch_loading() -> Iterator[list[tuple[list[str], list[str]]]]:
    """Collect the names that `load_state_dict` finds missing and unexpected in networks that this thread builds meanwhile.

    timm builds a network and loads it in one call, and does not return these names. The last entry is the whole network's.
    """
    loads: list[tuple[list[str], list[str]]] = []
    hooks, thread = [], threading.get_ident()

    def on_submodule(module: nn.Module, name: str, submodule: nn.Module | None) -> None:
        if threading.get_ident() == thread:
            hooks.append(module.register_load_state_dict_post_hook(lambda _, keys: loads.append(tuple(keys))))

    hooks.append(register_module_module_registration_hook(on_submodule))
    try:
        yield loads
    finally:
        for hook in hooks:
            hook.remove()


def other_network(error: Exception, who: str, file: str | Path | None) -> WeightsError:
    """Return the error that says that the file's weights belong to another network."""
    reason = " ".join(str(error).split())[:300]
    return WeightsError(
        f"weights {str(file)!r} are another network's ({type(error).__name__}: {reason}): {_advice(who)}"
    )


def _advice(who: str) -> str:
    return f"give the weights of this very architecture to guest {who!r}"
