"""The folder of one run: settings, history, weights, results and figures.

settings.json         the DataSource, what its folder holds, and the whole Config
history.json          loss, √d·std, lr and τ of every step; kNN checks; changes
checkpoint.pt         all that Trainer.resume needs
encoder.safetensors   the weights of f alone, for load_encoder or a plain torchvision ResNet
metrics.csv           the same measures, a row for each step; see records.py, also for checkpoints that are kept
results.json          verdict; accuracies of raw pixels, random encoder and trained encoder; results of protocols
figures/              views, curves, nearest neighbours

One process at a time works in it, see run_lock.py. Its files are of one moment, see moment.py.
"""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from .._version import __version__
from ..config.checks import (
    Refused,
    anything,
    fields,
    mapping_of,
    number,
    one_of,
    or_none,
    parse_json,
    range_of,
    text,
    whole,
)
from ..config.config import Config
from ..config.errors import ConfigError, DataError, RunError
from ..data.value_range import Scale, ValueRange
from ..runtime.files import write_atomically
from ..train.initial_weights import absolute
from ..train.trainer import Trainer
from .data_source import DataSource, Images

LARGEST = 2**14  # pixels a side to which images are resized
SIZE = whole(1, LARGEST, or_none=True)
CHANNELS, BITS, RANGE = whole(1, 1024, or_none=True), one_of(8, 16, None), range_of()


def scale_or_none(value: Any, at: str) -> None:
    """Refuse what is no value_range of DataSource."""
    if value is not None and value != "depth":
        RANGE(value, at)


SETTINGS = fields(
    {"data": fields(
        {"name": text()},
        {"size": SIZE, "limit": whole(1, or_none=True), "corrupt": text(100), "stream": one_of(True, False, None),
         "labels": text(100), "holdout": number(0, 1), "channels": CHANNELS, "bits": BITS,
         "value_range": scale_or_none},
    )},
    {"version": text(100), "config": mapping_of(anything), "init": text(or_none=True),
     "found": or_none(fields({}, {"size": SIZE, "channels": CHANNELS, "bits": BITS, "deep": whole(0), "value_range": or_none(RANGE)})),
     "records": fields({}, {"keep_every": whole(0), "keep_best": one_of(True, False), "tensorboard": one_of(True, False)})},
)  # fmt: skip


def begin(path: Path, config: Config, source: DataSource, trainer: Trainer, init: Path | None = None) -> None:
    """Write settings and the state at step 0, so that a run that is killed before its first epoch ends can be resumed.

    init: the weights that the run started from.
    """
    (path / "figures").mkdir(exist_ok=True)
    write_settings(path, config, source, trainer.train, init)
    save_state(path, trainer)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write the content as JSON, in UTF-8, whole or not at all.

    Names of files that are not valid Unicode are written as escapes, which json.loads turns into the same names.
    """
    text = json.dumps(content, indent=1, ensure_ascii=False)
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        encoded = json.dumps(content, indent=1).encode()
    write_atomically(path, lambda file: file.write(encoded))


def write_settings(
    path: Path, config: Config, source: DataSource, images: Images, init: str | Path | None = None
) -> None:
    """Write settings.json: version of the library, images, what their folder holds, Config, weights it started from."""
    content = {"version": __version__, "data": source.absolute().to_dict(), "config": config.to_dict()}
    if images.found is not None:
        content["found"] = images.found.to_dict()
    if init is not None:
        content["init"] = absolute(init)
    write_json(path / "settings.json", content)


def folder_and_checkpoint(run: Path) -> tuple[Path, str]:
    """Return the folder of a run and the name of the checkpoint that `run` names: the last one, or that file.

    Raises:
        RunError: it is a file that is not in a run folder.
    """
    if not run.is_file():
        return run, "checkpoint.pt"
    if not (run.parent / "settings.json").is_file():
        raise RunError(f"{str(run)!r} is not a run folder, nor in one; name one that 'byol-tutorial train' wrote")
    return run.parent, run.name


def folder_and_encoder(run: Path) -> tuple[Path, Path]:
    """Return the folder of a run and the encoder file that `run` names: that of the last state, or that file.

    Raises:
        RunError: it is a file that is not in a run folder.
    """
    folder, name = folder_and_checkpoint(run)
    return folder, folder / ("encoder.safetensors" if folder == run else name)


def remember(path: Path, records: dict[str, Any]) -> None:
    """Write to settings.json what a run keeps besides its state; see records.py."""
    write_json(path / "settings.json", _settings(path) | {"records": records})


def remembered(path: Path) -> dict[str, Any]:
    """Return what `remember` wrote; an empty dict for runs that keep nothing."""
    found = _settings(path).get("records", {})
    if not isinstance(found, dict):
        raise _damaged(path, TypeError("records is not a JSON object"))
    return found


def config_differs(path: Path, config: Config) -> bool:
    """Return whether settings.json names another config than this one."""
    try:
        return Config.from_dict(_settings(path)["config"]) != config
    except (ConfigError, KeyError, TypeError):
        return True


def rewrite_config(path: Path, config: Config) -> None:
    """Write the config in settings.json again, and leave the rest as it is."""
    write_json(path / "settings.json", _settings(path) | {"config": config.to_dict()})


def read_source(path: Path) -> DataSource:
    """Return the images that the settings.json of a run names.

    Raises:
        RunError: the folder is not that of a run, or its settings.json is damaged.
    """
    try:
        return DataSource.from_dict(_settings(path)["data"])
    except (KeyError, TypeError) as error:
        raise _damaged(path, error) from error


def initial_weights(path: Path) -> str | None:
    """Return where the weights of a run are from; None for random ones."""
    return _settings(path).get("init")


def image_size(path: Path) -> int | None:
    """Return the side in pixels of the images that a run was trained on; None where its settings do not tell."""
    return read_source(path).size or _found(path).get("size")


def scale(path: Path) -> Scale:
    """Return how the images were scaled that a run was trained on, so that others are scaled in the same way.

    Runs of versions that recorded nothing divided by what the files could hold: "depth".
    """
    source, settings = read_source(path), _settings(path)
    if source.value_range is not None or not source.name.startswith("folder:"):
        return source.value_range
    if "found" not in settings:
        return "depth"
    try:
        pair = _found(path).get("value_range")
        return None if pair is None else ValueRange(float(pair[0]), float(pair[1]))
    except (TypeError, ValueError, IndexError) as error:
        raise _damaged(path, error) from error


def reading(path: Path) -> dict[str, Any]:
    """Return channels, bits and value_range of the images that a run was trained on, as fields of DataSource."""
    source, found = read_source(path), _found(path)
    if not source.name.startswith("folder:"):
        return {}
    channels, bits = source.channels or found.get("channels"), source.bits or found.get("bits")
    return {"channels": channels, "bits": bits, "value_range": scale(path)}


def scale_of_files(path: Path) -> tuple[float, float, bool] | None:
    """Return the values that became black and white, and whether 8-bit files were scaled too; None if none were."""
    found = _found(path)
    ends = found.get("value_range")
    return None if ends is None else (float(ends[0]), float(ends[1]), found.get("deep") == 0)


def _found(path: Path) -> dict[str, Any]:
    found = _settings(path).get("found") or {}
    if not isinstance(found, dict):
        raise _damaged(path, TypeError("found is not a JSON object"))
    return found


def _settings(path: Path) -> dict[str, Any]:
    file = path / "settings.json"
    if not file.is_file():
        what = "is not a run folder: it has no settings.json" if path.exists() else "does not exist"
        raise RunError(f"run folder {str(path)!r} {what}; name one that 'byol-tutorial train' wrote")
    try:
        content = parse_json(file.read_bytes())
        SETTINGS(content, "")
    except Refused as error:
        raise _damaged(path, error) from error
    return content


def _damaged(path: Path, error: Exception) -> RunError:
    return RunError(f"{str(path / 'settings.json')!r} is damaged ({error}): train again, or restore it")


def save_state(path: Path, trainer: Trainer) -> None:
    """Write history, checkpoint and encoder, each whole or not at all. Only the main process writes."""
    if not trainer.process.is_main:
        return
    trainer.save(path / "checkpoint.pt")
    trainer.save_encoder(path / "encoder.safetensors")
    write_history(path, trainer.history.to_dict())


def write_history(path: Path, history: dict[str, Any]) -> None:
    """Write history.json."""
    write_json(path / "history.json", {name: _strict(values) for name, values in history.items()})


def _strict(values: Any) -> Any:
    """Return a list with None for what is not finite, such as the norm of a gradient that overflowed: JSON has no NaN."""
    if not isinstance(values, list):
        return values
    return [None if isinstance(value, float) and not math.isfinite(value) else value for value in values]


def _load_as_before(source: DataSource) -> tuple[Images, Images | None]:
    """Load the images of a run. A layout that is refused today, but was read as classes when the run began, is read so."""
    try:
        return source.load()
    except DataError:
        if source.labels != "auto":
            raise
        try:
            return replace(source, labels="folders").load()
        except DataError:
            pass
        raise


def open_run(
    path: Path,
    device: str,
    data_options: dict[str, Any] | None = None,
    changes: dict[str, Any] | None = None,
    same_images: bool = True,
    checkpoint: str = "checkpoint.pt",
) -> tuple[Trainer, Images, Images | None]:
    """Return the Trainer as it was saved, and its train and test images.

    Args:
        path: the run folder.
        device: as for Trainer.
        data_options: fields of DataSource that the run must have; `name` and `corrupt` replace those of the run, because
            a folder may have moved and a file may have been damaged since.
        changes: fields of Config that the run must have.
        same_images: whether the images must be those that the run was trained on.
        checkpoint: the name of the file in the folder, such as "checkpoint-0010.pt".

    Raises:
        RunError: this is not a run folder, or its run has other images than `data_options`.
        ConfigError: its run has another Config than `changes`.
        DataError, CheckpointError: its images or its checkpoint cannot be read, or are not the same images.
    """
    source, options = read_source(path), data_options or {}
    source = replace(source, **{name: options[name] for name in ("name", "corrupt") if name in options})
    for name in source.differences(options):
        raise RunError(
            f"run {str(path)!r} has {name}={getattr(source, name)!r}, not {options[name]!r}: "
            "leave it out, or start a new run"
        )
    try:
        how = reading(path) if source.name.startswith("folder:") else {}  # a known set of images has its own
        train, test = _load_as_before(replace(source, **how))
    except DataError as error:
        if "name" in options or not source.name.startswith("folder:"):
            raise
        raise DataError(f"{error}; if the images have moved, name their new place with --data") from error
    trainer = Trainer.resume(path / checkpoint, train, test, device, changes, same_images)
    return trainer, train, test
