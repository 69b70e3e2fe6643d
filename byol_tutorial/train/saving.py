"""Save a run and go on with it: what Trainer.save, Trainer.save_encoder and Trainer.resume do."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..augment.own_transform import Transforms
from ..config.config import Config
from ..config.errors import DivergedError
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from . import checkpoint, encoder_file
from .state import (
    check,
    is_finite,
    part_of,
    refuse_other_channels,
    refuse_other_config,
    refuse_other_encoder,
    refuse_other_images,
    refuse_other_transform,
    refuse_wrong_module,
    restore,
    state_of,
)

if TYPE_CHECKING:
    from .trainer import Trainer


def save(trainer: "Trainer", path: str | Path) -> None:
    """Write the state of the run, see state.py, unless its weights are not finite. Only the main process writes."""
    if not trainer.process.is_main:
        return
    state = state_of(trainer)
    if not is_finite(state):
        raise DivergedError(
            f"the weights are not finite after step {trainer.steps_done}, so {str(path)!r} was not written: train again "
            "with a lower lr, or Trainer.resume an earlier checkpoint and change(lr=...)"
        )
    checkpoint.save(path, state)


def save_encoder(trainer: "Trainer", path: str | Path) -> None:
    """Write the encoder, and how its images were scaled. Only the main process writes."""
    if not trainer.process.is_main:
        return
    images, found = trainer.train, trainer.train.found
    ends = None if found is None else found.value_range
    scale = (
        None if ends is None or found is None else (*ends, found.deep == 0)
    )  # a range for 8-bit files was given by hand
    encoder_file.save_encoder(
        path, trainer.model.encoder, trainer.config, trainer.view_size, images.bits, scale, trainer.steps_done
    )


def resume(
    kind: type["Trainer"],
    path: str | Path,
    train: ImageSet | StreamedSet,
    test: ImageSet | StreamedSet | None,
    device: str | torch.device,
    config: Config | dict[str, Any] | None,
    same_images: bool,
    encoder: nn.Module | None,
    transform: Transforms | None,
) -> "Trainer":
    """Build a Trainer as the run in the file was built, and put it into the state that the file has.

    All that is given here must be what the run was made with; what differs is refused before anything is changed.
    """
    state = checkpoint.load(path)
    check(path, state)
    saved = Config.from_dict(state["config"])
    config = saved.replace(**config) if isinstance(config, dict) else config or saved
    refuse_other_config(path, saved, config)
    refuse_other_channels(path, state, train.channels)
    refuse_wrong_module(path, saved, encoder)
    trainer = kind(saved, train, test, device, encoder=encoder, transform=transform)
    if saved.foreign_encoder:
        refuse_other_encoder(path, part_of(state["model"], "online.encoder."), trainer.model.encoder)
    if same_images:
        refuse_other_transform(path, state.get("transform"), trainer.transform.name if trainer.transform else None)
        refuse_other_images(path, state["data"], trainer.fingerprint)
    restore(path, trainer, state)
    return trainer
