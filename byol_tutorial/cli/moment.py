"""A run folder is of one moment: checkpoint.pt is the truth, and what differs from it is written again from it.

A run writes its checkpoint first, then encoder and history, each whole. A process that is killed in between leaves an
encoder or a history of an earlier moment. No list of what belongs together is kept, because it would be one more file
that can be of another moment; the checkpoint holds all that the others do.

What takes long to make is left as it is, and names its own moment: results.json and the files of embed have the number of
steps in them, and checkpoints that are kept have the epoch in their name.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..config.config import Config
from ..config.errors import CheckpointError, ConfigError
from ..networks.encoders import build_encoder
from ..train import checkpoint, state
from ..train.encoder_file import save_encoder, steps_of
from ..train.history import History
from . import run_folder
from .console import console
from .metrics import write_rows

ENCODER = "online.encoder."  # a checkpoint has the weights of f under this prefix


def bring_together(path: Path) -> None:
    """Write what is of another moment than its checkpoint in a run folder again: encoders, history, measures, config.

    Prints what was written. Nothing happens where a checkpoint cannot be read: the function that needs it raises the error.

    Raises:
        CheckpointError, WriteError: a file cannot be written.
    """
    written = []
    for end in ("", "-best"):
        file, encoder = path / f"checkpoint{end}.pt", path / f"encoder{end}.safetensors"
        try:
            whole = checkpoint.load(file, mmap=True)
            state.check(file, whole)
            config = Config.from_dict(whole["config"])
        except (CheckpointError, ConfigError):
            continue
        steps, there = whole["steps_done"], steps_of(encoder)
        if there != steps and (there is not None or not encoder.exists()):
            try:
                _write_encoder(encoder, whole, config)
                written.append(encoder.name)
            except (
                ConfigError,
                RuntimeError,
                LookupError,
                TypeError,
            ) as error:  # for example, the network is not in the config
                console.print(
                    f"{path}: {encoder.name} is of step {there}, {file.name} of step {steps} ({error}): "
                    "Trainer.save_encoder writes it again"
                )
        if not end:
            written += _write_the_rest(path, whole, config)
    if written:
        console.print(f"{path}: {', '.join(written)} of another moment, written again from the checkpoint")


def name_earlier_maps(path: Path) -> None:
    """Print which files of embed in a run folder are of another step than their encoders; embed alone makes them again."""
    for file in sorted(path.glob("embeddings*.npz")):
        steps, name = _moment_of_map(file)
        now = None if name is None else steps_of(path / name)
        if None not in (steps, now) and steps != now:
            run = path if name == "encoder.safetensors" else path / str(name)
            console.print(
                f"{file} is of step {steps}, and its encoder is of step {now}: 'byol-tutorial embed {run}' makes such a "
                "file again"
            )


def _moment_of_map(file: Path) -> tuple[int | None, str | None]:
    """Return the steps and the file name of the encoder of a file of embed; None where they are not known, as of a guest."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return int(arrays["steps"]), Path(str(arrays["encoder_file"])).name
    except Exception:  # a damaged file can make its reader raise anything
        return None, None


def _write_the_rest(path: Path, whole: dict[str, Any], config: Config) -> list[str]:
    """Write history, measures and config again where they differ from the last checkpoint; return the files' names."""
    steps, written = whole["steps_done"], []
    if _steps_of_history(path / "history.json") != steps:
        run_folder.write_history(path, whole["history"])
        written.append("history.json")
    table = path / "metrics.csv"
    if table.exists() and table.read_bytes().count(b"\n") != steps + 1:
        write_rows(table, History(**whole["history"]), max(1, whole["data"]["images"] // config.step_images))
        written.append(table.name)
    if run_folder.config_differs(path, config):
        run_folder.rewrite_config(path, config)
        written.append("settings.json")
    return written


def _write_encoder(file: Path, whole: dict[str, Any], config: Config) -> None:
    weights = {n.removeprefix(ENCODER): x for n, x in whole["model"].items() if n.startswith(ENCODER)}
    size = config.view_size or min(whole["data"]["pixels"])
    encoder = build_encoder(config, size, weights["pixel_mean"].tolist(), weights["pixel_std"].tolist())
    encoder.load_state_dict(weights)
    bits, scale = whole["data"].get("bits", 8), run_folder.scale_of_files(file.parent)
    save_encoder(file, encoder, config, size, bits, scale, whole["steps_done"])


def _steps_of_history(file: Path) -> int | None:
    """Return how many steps a history has; None where there is none that can be read."""
    try:
        return len(json.loads(file.read_text("utf-8"))["loss"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
