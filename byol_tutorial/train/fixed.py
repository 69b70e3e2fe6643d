"""What of a Trainer cannot be exchanged: a run is built with it, and would not use what takes its place."""

from ..config.config import FIELDS, LIVE
from ..config.errors import TrainingError

FIXED = {  # attributes that a run is built with, and how to have others
    "config": "trainer.change(...) changes live fields, and a new Trainer takes another config",
    "model": "Trainer(config, images, encoder=...) trains a module of your own",
    "train": "Trainer(config, images, init=...) starts a new run from the weights of this one",
    "optimizer": "Config.optimizer names it, and trainer.change(lr=..., weight_decay=...) changes it",
    "device": "Trainer(config, images, device=...), or Trainer.resume(path, images, device=...), chooses it",
    "feed": "a new Trainer takes other images",
    "view_size": "a new Trainer takes it from its config",
    "precision": "a new Trainer takes it from its config",
    "compiled": "a new Trainer takes it from its config",
    "transform": "Trainer(config, images, transform=...) takes it",
}


def refuse_exchange(name: str, built: bool) -> None:
    """Raise TrainingError for an attribute of a Trainer whose new value the run would not use.

    built: whether the Trainer has the attribute already.
    """
    if name in FIXED and built:
        raise TrainingError(f"trainer.{name} cannot be exchanged, because the run would not use it: {FIXED[name]}")
    if name in FIELDS and name not in FIXED:
        how = f"trainer.change({name}=...)" if name in LIVE else f"a new Trainer with config.replace({name}=...)"
        raise TrainingError(f"trainer.{name} has no effect: use {how}")
