"""The folder of one run: settings, history, weights, results and figures.

settings.json         the DataSource and the whole Config
history.json          loss, √d·std, lr and τ of every step; kNN checks; changes
checkpoint.pt         all that Trainer.resume needs
encoder.safetensors   the weights of f alone, for load_encoder or a plain torchvision ResNet
results.json          verdict; accuracies of raw pixels, random encoder and trained encoder; results of protocols
figures/              views, curves, nearest neighbours
"""

import json
import math
from pathlib import Path
from typing import Any

from .._version import __version__
from ..config.config import Config
from ..config.errors import RunError
from ..runtime.files import PART, write_atomically
from ..train.trainer import Trainer
from .data_source import DataSource, Images


def new_path(name: str, parent: str = "runs") -> Path:
    """Return the first of PARENT/NAME-001, PARENT/NAME-002, ... that does not exist.

    Characters other than letters, digits, - and _ become - in the name.
    """
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in name).strip("-") or "run"
    k = 1
    while (path := Path(parent) / f"{name}-{k:03d}").exists():
        k += 1
    return path


def check_free(path: Path) -> None:
    """Raise RunError if `path` is a file, or a folder that is not empty."""
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise RunError(f"run folder {str(path)!r} exists: choose another --out, or remove it")


def create(path: Path) -> None:
    """Create the run folder.

    Raises:
        RunError: it is not free, or cannot be written.
    """
    check_free(path)
    try:
        (path / "figures").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"run folder {str(path)!r} cannot be written ({error.strerror}): choose another --out"
        ) from error


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write the content as JSON, in UTF-8, whole or not at all."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    write_atomically(path, lambda file: file.write(text.encode()))


def write_settings(path: Path, config: Config, source: DataSource) -> None:
    """Write settings.json: the version of the library, the images and the Config."""
    content = {"version": __version__, "data": source.absolute().to_dict(), "config": config.to_dict()}
    write_json(path / "settings.json", content)


def read_source(path: Path) -> DataSource:
    """Return the images that the settings.json of a run names.

    Raises:
        RunError: the folder is not that of a run, or its settings.json is damaged.
    """
    file = path / "settings.json"
    if not file.is_file():
        what = "is not a run folder: it has no settings.json" if path.exists() else "does not exist"
        raise RunError(f"run folder {str(path)!r} {what}; name one that 'byol-tutorial train' wrote")
    try:
        return DataSource.from_dict(json.loads(file.read_text("utf-8"))["data"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise RunError(f"{str(file)!r} is damaged ({error}): train again, or restore it") from error


def save_state(path: Path, trainer: Trainer) -> None:
    """Write history, checkpoint and encoder, each whole or not at all. Only the main process writes."""
    if not trainer.process.is_main:
        return
    trainer.save(path / "checkpoint.pt")
    trainer.save_encoder(path / "encoder.safetensors")
    history = {name: _strict(values) for name, values in trainer.history.to_dict().items()}
    write_json(path / "history.json", history)


def _strict(values: Any) -> Any:
    """Return a list with None for what is not finite, such as the norm of a gradient that overflowed: JSON has no NaN."""
    if not isinstance(values, list):
        return values
    return [None if isinstance(value, float) and not math.isfinite(value) else value for value in values]


def remove_parts(path: Path) -> None:
    """Remove the half-written files of a run that was killed."""
    for file in path.rglob(f".*{PART}"):
        file.unlink(missing_ok=True)


def open_run(
    path: Path, device: str, data_options: dict[str, Any] | None = None, changes: dict[str, Any] | None = None
) -> tuple[Trainer, Images, Images | None]:
    """Return the Trainer as it was saved, and its train and test images.

    Args:
        path: the run folder.
        device: as for Trainer.
        data_options: fields of DataSource that the run must have.
        changes: fields of Config that the run must have.

    Raises:
        RunError: this is not a run folder, or its run has other images than `data_options`.
        ConfigError: its run has another Config than `changes`.
        DataError, CheckpointError: its images or its checkpoint cannot be read.
    """
    source, options = read_source(path), data_options or {}
    for name in source.differences(options):
        raise RunError(
            f"run {str(path)!r} has {name}={getattr(source, name)!r}, not {options[name]!r}: "
            "leave it out, or start a new run"
        )
    train, test = source.load()
    return Trainer.resume(path / "checkpoint.pt", train, test, device, changes), train, test
