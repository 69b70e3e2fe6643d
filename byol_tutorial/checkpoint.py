"""Save and load the state of a run: atomically, and without executing anything that was loaded."""

import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from zipfile import BadZipFile

import torch

from .config import UserError

FORMAT, VERSION = "byol_tutorial checkpoint", 1


class CheckpointError(UserError):
    """A file that is no usable checkpoint."""


def write_atomically(path: str | Path, write: Callable) -> None:
    """Call write(binary file) on a temporary file beside `path`, fsync it, then rename it into place.

    At every moment `path` holds either what it held before or all of the new content.
    """
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def save(path: str | Path, state: dict) -> None:
    """Write a dict of tensors, numbers, strings, lists and dicts."""
    content = {"format": FORMAT, "version": VERSION} | state
    write_atomically(path, lambda file: torch.save(content, file))


def load(path: str | Path) -> dict:
    """Read what `save` wrote, on the CPU. Pickled code in the file is refused, not run.

    Raises:
        CheckpointError: the file is missing, damaged, foreign, or of another version.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"checkpoint {str(path)!r} does not exist: name a file that Trainer.save wrote")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, BadZipFile, ValueError, KeyError) as error:
        raise CheckpointError(
            f"checkpoint {str(path)!r} cannot be read: it is damaged, or not a file that Trainer.save wrote"
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(
            f"{str(path)!r} is not a checkpoint of byol_tutorial: name a file that Trainer.save wrote"
        )
    if state["version"] != VERSION:
        raise CheckpointError(
            f"checkpoint {str(path)!r} has version {state['version']}, this library reads {VERSION}: "
            "use the release that wrote it"
        )
    return state
