"""One owner a run: the folder of a run belongs to one process at a time, which has locked the file RESERVED in it.

`reserve` makes the folder of a new run, and `owned` opens that of an earlier one. The system gives the lock back when
its process ends, also by a crash or kill -9.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from click import get_current_context

from ..config.errors import RunError
from ..data.tree import RESERVED
from ..runtime.files import PART, remedy, remove_dead_parts
from ..runtime.locks import HeldError, Lock
from . import run_folder
from .console import console
from .moment import bring_together

# what a run writes before and with its first state, in this order: without a checkpoint there is nothing to go on from
FIRST = ("settings.json", "checkpoint.pt", "encoder.safetensors", "history.json")


@dataclass
class Claim:
    """A folder that this process alone may write to. `created`: the folders that were made for it, the deepest first."""

    path: Path
    lock: Lock
    created: list[Path]

    def keep_until_the_end(self) -> None:
        """Give the folder free for other processes when the command ends."""
        get_current_context().with_resource(self.lock)

    def undo(self) -> None:
        """Remove what a run has written of its first state, and the folders that were created for it."""
        with suppress(OSError):
            for name in FIRST:
                (self.path / name).unlink(missing_ok=True)  # left by a state that could not be written completely
            remove_dead_parts(self.path)
            if (self.path / "figures").exists():
                (self.path / "figures").rmdir()
        self.lock.give_back()
        with suppress(OSError):
            for folder in self.created:
                folder.rmdir()  # raises where another run or the user has put something there


@contextmanager
def owned(path: Path) -> Iterator[None]:
    """Own the folder of an earlier run within the context; leftovers of processes that were killed are removed.

    Raises:
        RunError, WriteError: another process works in it, it cannot be written, or it has a link where a run writes.
    """
    try:
        lock = _lock(path)
    except HeldError as error:
        raise RunError(
            f"run folder {str(path)!r} is in use by {error}: wait until it ends, or copy the folder and use the copy"
        ) from error
    except OSError as error:
        raise RunError(
            f"run folder {str(path)!r} cannot be written ({error.strerror}): "
            + remedy(error.errno, "make it writable, or use a copy of it")
        ) from error
    with lock:
        remove_dead_parts(path)
        yield


def own_until_the_end(path: Path) -> None:
    """Own the folder of an earlier run until the command ends, as `owned` does, and make its files of one moment."""
    run_folder.read_source(path)  # refuses a folder that is not a run's before anything is written there
    get_current_context().with_resource(owned(path))
    bring_together(path)


def own_place_of(file: Path, already: Path | None = None) -> None:
    """Own the run folder that this file will be written into, if it is one and not `already` owned."""
    for folder in file.absolute().parents:
        if (folder / "settings.json").is_file() and (folder / "checkpoint.pt").is_file():
            if already is None or not folder.samefile(already):
                own_until_the_end(folder)
            return


def reserve(path: Path | None, name: str, parent: str = "runs") -> Claim:
    """Create the folder of a new run, before anything that takes long, for this process alone.

    Two runs that start at the same moment never get the same folder. A folder in which a run was killed before it had
    written its first checkpoint is taken over.

    Args:
        path: the folder, which must not exist or be empty. Default: the first of PARENT/NAME-001, PARENT/NAME-002, ...
            that does not exist.
        name: see `plain_name`.

    Raises:
        RunError: the folder exists and is not empty, is another run's, or cannot be written.
    """
    try:
        if path is not None:
            return _reserve_named(path)
        above = _create(Path(parent))
        for k in count(1):
            path = Path(parent) / f"{plain_name(name)}-{k:03d}"
            with suppress(FileExistsError, HeldError):  # another run has it, perhaps since a moment ago
                path.mkdir()
                return Claim(path, _lock(path), [path, *above])
    except FileExistsError as error:
        raise _taken(path or Path(parent)) from error
    except HeldError as error:
        raise RunError(f"run folder {str(path)!r} is in use by {error}: choose another --out") from error
    except OSError as error:
        raise RunError(
            f"run folder {str(path or parent)!r} cannot be written ({error.strerror}): "
            + remedy(error.errno, "choose another --out")
        ) from error
    raise AssertionError("count never ends")


def plain_name(name: str) -> str:
    """Return a name for files: characters other than letters, digits, - and _ become -, and it is cut after 80."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)[:80].strip("-") or "run"


def _reserve_named(path: Path) -> Claim:
    created = _create(path)
    names = {entry.name for entry in path.iterdir()}
    if names and RESERVED not in names:
        raise _taken(path)
    claim = Claim(path, _lock(path), created)
    if any(not _is_of_a_start(entry) for entry in path.iterdir()):
        claim.lock.give_back()
        raise _taken(path)
    (path / "settings.json").unlink(missing_ok=True)
    remove_dead_parts(path)
    return claim


def _is_of_a_start(entry: Path) -> bool:
    """Return whether a run writes this before its first checkpoint."""
    if entry.name == "figures":
        return entry.is_dir() and not any(entry.iterdir())
    return entry.name in (RESERVED, "settings.json") or entry.name.endswith(PART)


def _create(path: Path) -> list[Path]:
    """Create a folder and those above it; return those that were not there, the deepest first."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    return missing


def _lock(path: Path) -> Lock:
    """Lock the folder of a run, in which no folder that a run writes into may be a link: it would lead elsewhere.

    Raises:
        RunError: there is such a link.
        HeldError, WriteError, OSError: as `Lock.take`.
    """
    for folder in (
        path / "figures",
        path / "tensorboard",
        *path.glob("checkpoint-*"),
        *path.glob("checkpoint-*/figures"),
    ):
        if folder.is_symlink() and not folder.is_file():
            raise RunError(f"{str(folder)!r} is a link to another folder, so nothing was written there: remove it")
    lock = Lock.take(path / RESERVED)
    if lock.warning:
        console.print(f"warning: {lock.warning}")
    return lock


def _taken(path: Path) -> RunError:
    return RunError(f"run folder {str(path)!r} exists: choose another --out, or remove it")
