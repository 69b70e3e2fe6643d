"""Save and load the state of a run: a file is written completely or not at all, and nothing in it is executed.

The state is a torch file, for `Trainer.resume`. encoder_file.py writes an encoder alone, for use elsewhere.
"""

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import torch

from ..config.checks import shown
from ..config.errors import CheckpointError, WriteError
from ..runtime.files import FORMAT, NO_ANSWER, VERSION, remedy, write_atomically


def save(path: str | Path, state: dict) -> None:
    """Write a dict of tensors, numbers, strings, lists and dicts to a file.

    Raises:
        CheckpointError: the disk is full, or the place cannot be written; a file that was there is as before.
    """
    content = {"format": FORMAT, "version": VERSION} | state
    write_or_explain(path, lambda file: torch.save(content, file))


def write_or_explain(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Call write(binary file) so that `path` holds all of it or is unchanged; raise CheckpointError where that fails."""
    try:
        write_atomically(path, write)
    except WriteError as error:
        raise CheckpointError(str(error)) from error


def load(path: str | Path, mmap: bool = False) -> dict:
    """Read what `save` wrote, with all tensors on the CPU. Pickled code in the file is refused and not run.

    mmap: read tensors only when they are used, where little of the file is needed.

    Raises:
        CheckpointError: the file is missing, damaged, no checkpoint of this library, or of another version.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"checkpoint {str(path)!r} does not exist: name a file that Trainer.save wrote")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:  # a damaged file can make its reader raise anything
        refuse_unreadable("checkpoint", path, error)
        raise CheckpointError(
            f"checkpoint {str(path)!r} cannot be read: it is damaged, or not a file that Trainer.save wrote"
        ) from error
    if not isinstance(state, dict) or not (isinstance(found := state.get("format"), str) and found == FORMAT):
        raise CheckpointError(
            f"{str(path)!r} is not a checkpoint of byol_tutorial: name a file that Trainer.save wrote"
        )
    version = state.get("version")
    if type(version) is not int or version != VERSION:
        raise CheckpointError(
            f"checkpoint {str(path)!r} has version {shown(version)}, this library reads {VERSION}: use the release that wrote it"
        )
    return state


class UnreadableError(CheckpointError):
    """A file that the system did not let us read, and that may be whole."""


def refuse_unreadable(what: str, path: str | Path, error: Exception) -> None:
    """Raise UnreadableError if this error is one of the drive or of its permissions, and not of what the file holds."""
    if isinstance(error, OSError) and (isinstance(error, PermissionError) or error.errno in NO_ANSWER):
        advice = remedy(error.errno, "give yourself the permission to read it, or use a copy")
        raise UnreadableError(f"{what} {str(path)!r} cannot be read ({error.strerror or error}): {advice}") from error
