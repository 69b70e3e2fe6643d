"""Files that are written whole or not at all, and the names of this project's formats."""

import errno
import io
import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from ..config.errors import WriteError
from .locks import NoLocksError, try_lock

FORMAT, VERSION = "byol_tutorial checkpoint", 2
ENCODER_FORMAT = "byol_tutorial encoder"
PART = ".part"  # the end of a file's name while it is written

# Errors of a drive, not of the user. Systems have some of these numbers and lack others.
QUOTA = getattr(errno, "EDQUOT", -1)
OF_NETWORKS = {
    getattr(errno, name, -1)
    for name in ("ETIMEDOUT", "ENOTCONN", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "ESHUTDOWN",
                 "ECONNRESET", "ECONNABORTED")
} - {-1}  # fmt: skip
NO_ANSWER = {getattr(errno, name, -1) for name in ("EIO", "ESTALE", "ENXIO", "ENODEV", "EREMOTEIO")} - {
    -1
} | OF_NETWORKS  # where a drive is on a network
RECONNECT = (
    "its drive does not answer as it should: see to it that it is connected and sound, then give the command again"
)


def write_atomically(path: str | Path, write: Callable[[Any], object]) -> None:
    """Call write(file) with a temporary binary file beside `path`, fsync it, then rename it to `path`.

    At every moment `path` has either its old content or all of the new content. The temporary file is locked while it is
    written, so that `remove_dead_parts` leaves it alone.

    Raises:
        WriteError: the disk is full, the folder no longer exists, or the place cannot be written; the message says how much is
            needed and what to do. A file that was there is as before.
    """
    path, temporary = Path(path), None
    try:
        temporary, file = _temporary_beside(path)
        with file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            if os.name != "nt":  # Windows renames no file that is open
                os.replace(temporary, path)
        if os.name == "nt":
            os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()
        # torch's writer raises RuntimeError on a full disk
        cause = error.__context__ if isinstance(error, RuntimeError) else error
        if isinstance(cause, OSError) or isinstance(error, RuntimeError):
            raise WriteError(_explained(path, cause if isinstance(cause, OSError) else error, write)) from error
        raise


def remove_dead_parts(folder: Path) -> None:
    """Remove the half-written files, below this folder, of processes that were killed; leave those of living ones."""
    for file in folder.rglob(f".*{PART}"):
        if file.is_symlink():  # no process of this library writes one, and what it leads to is another's
            continue
        with suppress(OSError):  # also where the file system has no locks, by which a living process would be found
            if os.name == "nt":
                file.unlink()  # this fails while another process has it open
                continue
            with file.open("r+b") as opened:
                if try_lock(opened):
                    file.unlink()


def _temporary_beside(path: Path) -> tuple[Path, BinaryIO]:
    """Create a file beside `path`, and lock it."""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{PART}")
        file = temporary.open("xb")
        with suppress(NoLocksError):
            if os.name != "nt" and not (try_lock(file) and os.fstat(file.fileno()).st_nlink):
                file.close()  # between its creation and its lock, another process took it for a leftover
                continue
        return temporary, file


# --- what to do about a file that cannot be written -----------------------------------------------


class _Counter(io.RawIOBase):
    """A file that only counts the bytes that are written to it."""

    def __init__(self) -> None:
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        n = memoryview(data).nbytes
        self.size += n
        return n


def _size_of(write: Callable[[Any], object]) -> int | None:
    """Return how many bytes are written in all, or None if that cannot be found out."""
    counter = _Counter()
    try:
        write(counter)
    except Exception:
        return None
    return counter.size


def _explained(path: Path, error: BaseException, write: Callable[[Any], object]) -> str:
    """Return in words which file could not be written, why, how much is needed, and what to do."""
    number = getattr(error, "errno", None)
    folder = path.parent
    start = f"{str(path)!r} could not be written ({getattr(error, 'strerror', None) or error}): "
    untouched = "what was there before is untouched; "
    if number in (errno.ENOENT, errno.ENOTDIR) or not folder.is_dir():
        return f"{start}there is no folder {str(folder)!r} (any more): put it back where it was moved, or create it"
    if number in (errno.ENOSPC, QUOTA, errno.EFBIG):
        needed = _size_of(write)
        facts = [] if needed is None else [f"it needs {in_words(needed)}"]
        if number == errno.EFBIG:
            facts.append("and files may not be so large here (ulimit -f)")
        elif number == QUOTA:  # how much the whole disk has free does not help
            facts.append("and what you may use there is used up")
        else:
            with suppress(OSError):
                facts.append(f"and {in_words(shutil.disk_usage(folder).free)} are free there")
        return f"{start}{' '.join(facts).removeprefix('and ')}; {untouched}{remedy(number)}"
    return f"{start}{untouched}{remedy(number, 'give yourself the permission to write there, or choose another place')}"


def remedy(number: int | None, otherwise: str = "") -> str:
    """Return what to do about an error of the system by its number; `otherwise` where a drive is not the cause."""
    if number in (errno.ENOSPC, errno.EFBIG):
        return "make room, or choose another place"
    if number == QUOTA:
        return "remove files of yours there, or choose another place"
    if number == errno.EROFS:
        return "nothing can be written to this drive: choose another place"
    return RECONNECT if number in NO_ANSWER else otherwise


def explained(error: OSError) -> str:
    """Return an error of the system in words, with what to do about it where its number tells.

    An error of the network is one of a drive only if it names a file; others are of a download.
    """
    advice = "" if error.errno in OF_NETWORKS and error.filename is None else remedy(error.errno)
    return f"{error}: {advice}" if advice else str(error)


def in_words(size: int) -> str:
    """Return a number of bytes in kB or MB, with three digits."""
    if size < 1e6:
        return f"{size / 1e3:.3g} kB"
    return f"{size / 1e6:.3g} MB" if size < 1e9 else f"{size / 1e6:,.0f} MB"
