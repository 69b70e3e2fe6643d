"""All that a run must remember to go on: from a Trainer into a dict that checkpoint.py writes, and back into one."""

import random
import zlib

import numpy as np
import torch

from .config import Config
from .data import DataError, ImageSet, StreamedSet
from .history import History
from .option import ConfigError

FINGERPRINT = 64  # images by which a resumed run recognises its data


def state_of(trainer) -> dict:
    """Model, target, optimiser, loss scale, steps done, history, config, the images' fingerprint, random states.

    The place in the data and the views of every step follow from (seed, step), and need no state of their own.
    """
    return {
        "config": trainer.config.to_dict(),
        "data": trainer.fingerprint,
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "scaler": trainer.scaler.state_dict(),
        "steps_done": trainer.steps_done,
        "history": trainer.history.to_dict(),
        "random": random_states(),
    }


def restore(trainer, state: dict) -> None:
    """Put a new Trainer of the same config and images into the state that `state_of` took."""
    trainer.model.load_state_dict(state["model"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    trainer.scaler.load_state_dict(state["scaler"])
    trainer.steps_done = state["steps_done"]
    trainer.history = History(**state["history"])
    trainer.mean, trainer.std = trainer.model.encoder.pixel_mean.tolist(), trainer.model.encoder.pixel_std.tolist()
    restore_random_states(state["random"])


def fingerprint(images: ImageSet | StreamedSet) -> dict:
    """What a resumed run's images must have in common with these."""
    return {
        "name": images.name,
        "images": len(images),
        "pixels": list(images.image_size),
        "content": zlib.crc32(images.sample(FINGERPRINT).images.numpy().tobytes()),
    }


def refuse_other_config(path, saved: Config, given: Config) -> None:
    """Raise ConfigError, naming the fields that differ."""
    if given != saved:
        raise ConfigError(
            f"checkpoint {str(path)!r} was written with another config: "
            f"{_differences(saved.to_dict(), given.to_dict())}; resume without them, or start a new run"
        )


def refuse_other_images(path, saved: dict, here: dict) -> None:
    """Raise DataError if the fingerprints differ. A folder may have moved: the name does not count."""
    there = saved | {"name": here["name"]}
    if here != there:
        raise DataError(
            f"checkpoint {str(path)!r} was written with other images: {_differences(there, here)}; "
            f"resume with those of {saved['name']!r}"
        )


def _differences(saved: dict, here: dict) -> str:
    return ", ".join(f"{name} {saved[name]!r} (here {here[name]!r})" for name in saved if saved[name] != here[name])


def random_states() -> dict:
    """The global random states, for code around the run; the run itself needs none of them."""
    version, numbers, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002  (the global state is what is asked for)
    return {
        "python": [version, torch.tensor(numbers), gauss],
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        # of a process that has not used a GPU there is none, and to ask would take some of the GPU's memory
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def restore_random_states(states: dict) -> None:
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers.tolist()), gauss))
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
