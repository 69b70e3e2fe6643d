"""The state of a run: all that is needed to continue it, from a Trainer into a dict for checkpoint.py, and back."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..config.checks import (
    FLOATS,
    Refused,
    anything,
    bounded,
    fields,
    list_of,
    mapping_of,
    negative_variances,
    number,
    one_of,
    shown,
    tensor,
    text,
    tuple_of,
    whole,
)
from ..config.config import OWN, Config
from ..config.errors import CheckpointError, ConfigError, DataError
from ..runtime.seeding import random_states, restore_random_states
from .history import History

if TYPE_CHECKING:
    from .trainer import Trainer


def state_of(trainer: "Trainer") -> dict[str, Any]:
    """Collect model, target, optimiser, loss scale, steps done, history, config, the images' fingerprint, random states.

    The position in the data and the views of every step follow from (seed, step) and need not be saved.
    """
    return {
        "config": trainer.config.to_dict(),
        "data": trainer.fingerprint,
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "scaler": trainer.computation.scaler.state_dict(),
        "steps_done": trainer.steps_done,
        "history": trainer.history.to_dict(),
        "random": random_states(),
        "transform": None if trainer.transform is None else trainer.transform.name,
    }


def _weights(value: Any, at: str) -> None:
    """Refuse what is no tensor of finite numbers, unless a module of the user keeps a state of its own kind there."""
    if not at.endswith("_extra_state']"):
        tensor()(value, at)


# What each entry may be. The weights are compared with the networks themselves, in `restore`.
STATE = fields({
    "config": mapping_of(anything),
    "data": fields({"name": text(), "images": whole(1)}, {"pixels": list_of(whole(1, 2**20), 2, 2)}),
    "model": mapping_of(_weights),
    "optimizer": fields({"state": mapping_of(mapping_of(anything), int), "param_groups": list_of(mapping_of(anything))}),
    "scaler": mapping_of(number(0)),
    "steps_done": whole(0),
    "history": fields(
        {"loss": list_of(number(finite=False))},
        {name: list_of(number(finite=False))
         for name in ("std", "lr", "tau", "gradient_norm", "positive", "negative")}
        | {"knn": list_of(tuple_of(whole(0), number(0, 1))), "seconds": number(0),
           "knn_balanced": list_of(tuple_of(whole(0), number(0, 1))),
           "changes": list_of(tuple_of(whole(0), mapping_of(anything))),
           "threads": list_of(tuple_of(whole(0), whole(1)))},
    ),
    "random": mapping_of(anything),
})  # fmt: skip


def check(path: str | Path, state: dict[str, Any]) -> None:
    """Raise CheckpointError if an entry of what `state_of` returns is missing, or is not what it may be.

    Raises ConfigError, with the name of the file, if the config in it is none.
    """
    try:
        bounded(state)
        STATE(state, "")
        steps, history = state["steps_done"], state["history"]
        for name, values in history.items():
            if (
                isinstance(values, list)
                and name not in ("knn", "knn_balanced", "changes", "threads")
                and len(values) > steps
            ):
                raise Refused(f"history.{name} has {len(values)} entries after {steps} steps")
        if len(history["loss"]) < steps:
            raise Refused(f"history.loss has {len(history['loss'])} entries after {steps} steps")
    except Refused as error:
        raise _incomplete(path, error) from error
    try:
        Config.from_dict(state["config"])
    except ConfigError as error:
        raise ConfigError(f"checkpoint {str(path)!r}: {error}") from error


def _refuse_other_tensors(where: str, saved: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Raise Refused if a tensor in the file has another dtype or shape than that of the network, or is not finite."""
    for name, own in here.items():
        if isinstance(own, torch.Tensor) and name in saved:
            tensor([own.dtype], own.shape)(saved[name], f"{where}[{name!r}]")


def _refuse_other_optimizer(saved: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
    """Raise Refused if the optimiser's state in the file does not fit: its numbers, and a tensor for each parameter."""
    here = optimizer.state_dict()["param_groups"]
    list_of(anything, len(here), len(here))(saved["param_groups"], "optimizer.param_groups")
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for k, (theirs, own) in enumerate(zip(saved["param_groups"], here, strict=True)):
        at = f"optimizer.param_groups[{k}]"
        tuple_of(*(one_of(number) for number in own["params"]))(theirs.get("params"), f"{at}.params")
        for name, value in theirs.items():
            if name != "params":
                list_of(number())(value, f"{at}.{name}") if isinstance(value, (list, tuple)) else _refuse_no_scalar(
                    value, f"{at}.{name}"
                )
    for index, entry in saved["state"].items():
        whole(0, len(parameters) - 1)(index, "a key of optimizer.state")
        for name, value in entry.items():
            at = f"optimizer.state[{index}].{name}"
            if isinstance(value, torch.Tensor) and value.dim():
                tensor([parameters[index].dtype], parameters[index].shape)(value, at)
            else:
                _refuse_no_scalar(value, at)


def _refuse_no_scalar(value: Any, at: str) -> None:
    """Refuse what is neither a finite number, a tensor of one, a short text, None, nor True or False."""
    if isinstance(value, torch.Tensor):
        tensor(FLOATS, ())(value, at)
    elif not (value is None or isinstance(value, bool)):
        (text(100) if isinstance(value, str) else number())(value, at)


def _incomplete(path: str | Path, what: object) -> CheckpointError:
    """Return the error that says what is wrong with a checkpoint's content."""
    return CheckpointError(
        f"checkpoint {str(path)!r} is not one of a whole run ({what}): name a file that Trainer.save wrote"
    )


def restore(path: str | Path, trainer: "Trainer", state: dict[str, Any]) -> None:
    """Put a new Trainer of the same config and images into the state that `state_of` collected.

    Raises:
        CheckpointError: the state does not fit; its message names the file at `path`.
    """
    try:
        _refuse_other_tensors("model", state["model"], trainer.model.state_dict())
        for name in negative_variances(trainer.model, state["model"]):
            raise Refused(f"model[{name!r}]: a variance cannot be below 0")
        _refuse_other_optimizer(state["optimizer"], trainer.optimizer)
        for name, value in state["model"].items():
            if name.endswith("pixel_std") and not (value > 0).all():
                raise Refused(f"model[{name!r}] is not above 0")
        trainer.model.load_state_dict(state["model"])
        for saved, here in zip(state["optimizer"]["param_groups"], trainer.optimizer.param_groups, strict=True):
            # how the update is computed depends on the device, not on the run
            saved.update({name: here[name] for name in ("fused", "foreach") if name in here})
        trainer.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:  # empty if the run was on a device where its precision needs no loss scaling
            trainer.computation.scaler.load_state_dict(state["scaler"])
        trainer.steps_done = state["steps_done"]
        trainer.history = History(**state["history"])
        encoder = trainer.model.encoder
        trainer.mean, trainer.std = encoder.pixel_mean.tolist(), encoder.pixel_std.tolist()
        restore_random_states(state["random"])
    except Exception as error:  # a damaged file can make the loaders of torch, NumPy and Python raise anything
        raise _incomplete(path, " ".join(str(error).split())[:200]) from error


def is_finite(state: dict[str, Any]) -> bool:
    """Return whether all numbers of model and optimiser are finite."""
    parts = [state["model"], *state["optimizer"]["state"].values()]
    return all(torch.isfinite(x).all() for part in parts for x in part.values() if isinstance(x, torch.Tensor))


def refuse_other_config(path: str | Path, saved: Config, given: Config) -> None:
    """Raise ConfigError if the configs differ; the message names the fields."""
    if given != saved:
        raise ConfigError(
            f"checkpoint {str(path)!r} was written with another config: "
            f"{_differences(saved.to_dict(), given.to_dict())}; resume without them, or start a new run"
        )


def refuse_other_channels(path: str | Path, state: dict[str, Any], here: int) -> None:
    """Raise DataError if the encoder of a run is made for images of another number of channels than `here`."""
    mean = state["model"].get("online.encoder.pixel_mean")
    if mean is not None and len(mean) != here:
        raise DataError(
            f"checkpoint {str(path)!r} is that of a run on images of {len(mean)} channels, and these have {here}: read "
            f"them with channels={len(mean)}, or start a new run"
        )


def refuse_wrong_module(path: str | Path, saved: Config, module: nn.Module | None) -> None:
    """Raise CheckpointError unless a module is given exactly where the run, or the encoder, is of a user's module."""
    if saved.encoder == OWN and module is None:
        raise CheckpointError(
            f"{str(path)!r} is of a run that trains a module of its own: give one of the same layers as encoder=, as in "
            "Trainer.resume(path, images, encoder=Net()) or load_encoder(path, encoder=Net())"
        )
    if saved.encoder != OWN and module is not None:
        raise CheckpointError(
            f"{str(path)!r} has encoder={saved.encoder!r}, which is built by its name: leave encoder= out"
        )


def refuse_other_transform(path: str | Path, saved: str | None, here: str | None) -> None:
    """Raise CheckpointError unless the run's own transform is given again, by its name; see own_transform.described."""
    if saved != here:
        there, now = ("no transform of its own" if t is None else f"the transform {t}" for t in (saved, here))
        raise CheckpointError(
            f"{str(path)!r} is of a run with {there}, and here is {now}: give transform= as the run was made with"
        )


def refuse_other_encoder(path: str | Path, weights: Mapping[str, torch.Tensor], encoder: nn.Module) -> None:
    """Raise CheckpointError if the weights of an encoder in a file are not those of this one, by names and shapes."""
    if reason := mismatch(encoder.state_dict(), weights):
        raise CheckpointError(
            f"{str(path)!r} was written with another encoder than this {type(encoder).__name__} ({reason}): give the "
            "module that the run was made with, or the versions of the libraries"
        )


def part_of(weights: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return the weights whose names begin with the prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def mismatch(own: Mapping[str, torch.Tensor], theirs: Mapping[str, torch.Tensor]) -> str:
    """Return why the tensors in a file cannot be those of a network, or an empty text where all names and shapes fit."""
    for name, value in own.items():
        if name not in theirs:
            return f"the file has no {name}"
        if theirs[name].shape != value.shape:
            return f"{name} is {tuple(theirs[name].shape)} in the file and {tuple(value.shape)} here"
    more = theirs.keys() - own.keys()
    return f"the file also has {min(more)}" if more else ""


def refuse_other_images(path: str | Path, saved: dict[str, Any], here: dict[str, Any]) -> None:
    """Raise DataError if the fingerprints differ. Names are not compared, because a folder may have been moved."""
    here = {name: here[name] for name in saved if name in here}  # fingerprints of earlier versions have fewer entries
    there = saved | {"name": here["name"]}
    if here != there:
        raise DataError(
            f"checkpoint {str(path)!r} was written with other images: {_differences(there, here)}; "
            f"resume with those of {saved['name']!r}"
        )


def _differences(saved: dict[str, Any], here: dict[str, Any]) -> str:
    """List the entries that differ, with both values."""
    return ", ".join(
        f"{name} {shown(saved[name])} (here {shown(here.get(name))})" for name in saved if saved[name] != here.get(name)
    )
