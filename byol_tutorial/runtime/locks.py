"""Locks on files that the system gives back by itself when their process ends, however it ends: also after kill -9.

A process that works in a folder locks a file there, which holds who it is. The file disappears when the lock is given
back; one that a killed process has left is not locked, so the next process takes it over.
"""

import json
import os
import platform
import stat
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Self

from ..config.errors import WriteError

BEYOND = 1 << 30  # on Windows a lock hides the bytes it covers, so it covers one that is never written
PATIENCE = 1.0  # seconds until a holder has certainly written who it is


class NoLocksError(OSError):
    """The file system has no locks, as some network file systems."""


class HeldError(Exception):
    """Another process has the lock; the message says which."""


class UncertainHolderError(HeldError):
    """The file system has no locks, and the process named in the file may have ended."""


def try_lock(file: IO[bytes]) -> bool:
    """Lock an open file until it is closed, and return whether that succeeded: not where another process has the lock.

    Another `open` of the same file in this process counts as another process does.

    Raises:
        NoLocksError: the file system has no locks.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(BEYOND)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        raise NoLocksError(*error.args) from error
    return True


@dataclass
class Lock:
    """A file that this process has locked, with its name in it.

    path     the file
    warning  why the file is not locked in truth, in words; "" where it is
    """

    path: Path
    file: IO[bytes]
    warning: str = ""

    @classmethod
    def take(cls, path: Path) -> Self:
        """Create and lock the file, and write into it who has it; take it over from a process that was killed.

        Where the file system has no locks, the process that is named in the file counts as its holder until it is known
        to have ended, and `warning` says so.

        Raises:
            HeldError: another process has it, perhaps one of another user, whose file this one may only read.
            WriteError: there is a link, a folder or a pipe of this name; what it leads to is untouched.
            OSError: the file cannot be written.
        """
        while True:
            file = _open(path)
            try:
                warning = _own(path, file)
                if warning is None:
                    file.close()  # the holder has removed the file meanwhile
                    continue
                me = {"pid": os.getpid(), "host": platform.node(), "since": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}
                with suppress(OSError):  # a full disk has no room for the name, but the lock holds
                    file.seek(0)
                    file.truncate()
                    file.write(json.dumps(me).encode())
            except BaseException:
                file.close()
                raise
            return cls(path, file, warning)

    def give_back(self) -> None:
        """Remove the file and with it the lock, unless that is done already."""
        if self.file.closed:
            return
        with suppress(OSError):  # its folder may have been moved; Windows removes no file that is open
            if _is_at(self.path, self.file):
                self.path.unlink()
        self.file.close()
        if os.name == "nt":
            with suppress(OSError):
                self.path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()


def _open(path: Path) -> IO[bytes]:
    """Open a file to read and write, and create it where there is none; never through a link, which leads elsewhere.

    A folder that was downloaded can hold a link of this name to any file of its reader, who would then lose that file.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    refused = WriteError(f"{str(path)!r} is a link or no plain file, so nothing was written there: remove it")
    if path.is_symlink():  # also on Windows, which has no O_NOFOLLOW
        raise refused
    try:
        number = os.open(path, flags, 0o666)
    except OSError as error:
        if isinstance(error, PermissionError):
            _raise_if_held(path)
        if path.is_symlink() or path.is_dir():
            raise refused from None
        raise
    found = os.fstat(number)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:  # 0 where its holder has just removed it
        os.close(number)
        raise refused
    return os.fdopen(number, "r+b", buffering=0)


def _raise_if_held(path: Path) -> None:
    """Raise HeldError if another process has locked this file, which may only be read here, as another user's."""
    with suppress(OSError):
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(number, "rb", buffering=0) as file:
            if not try_lock(file):
                raise HeldError(holder_in_words(path))


def remove_left_locks(folder: Path) -> None:
    """Remove the lock files (*.lock) in this folder that killed processes have left; leave those that a process has locked."""
    for path in folder.glob("*.lock"):
        with suppress(OSError):  # another user's, or the file system has no locks
            if path.is_symlink() or not path.is_file():
                continue
            if os.name == "nt":
                path.unlink()  # this fails while another process has it open
                continue
            with path.open("rb") as file:
                if try_lock(file) and _is_at(path, file):
                    path.unlink()


def _own(path: Path, file: IO[bytes]) -> str | None:
    """Lock the file at `path`; return the warning to give, or None if the file is not there any more.

    Raises:
        HeldError: another process has it.
    """
    warning = ""
    try:
        if not try_lock(file):
            raise HeldError(holder_in_words(path))
    except NoLocksError:
        holder = read_holder(path)
        if holder and not _has_ended(holder):
            text = f"{_words(holder)}, which may have ended: if so, remove {str(path)!r}"
            raise UncertainHolderError(text) from None
        warning = f"the file system of {str(path.parent)!r} has no locks: see to it that one process alone works there"
    return warning if _is_at(path, file) else None


def read_holder(path: Path) -> dict[str, Any]:
    """Return pid, host and since of the process that is named in a lock's file; an empty dict where there is none."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def holder_in_words(path: Path) -> str:
    """Return who has the lock. A holder writes its name right after it has locked, so this waits a moment for it."""
    until = time.monotonic() + PATIENCE
    while not (holder := read_holder(path)) and path.exists() and time.monotonic() < until:
        time.sleep(0.01)
    return _words(holder) if holder else "another process"


def _words(holder: dict[str, Any]) -> str:
    return f"process {holder.get('pid')} on {holder.get('host')} since {holder.get('since')}"


def _has_ended(holder: dict[str, Any]) -> bool:
    """Return whether the process is known to have ended, which can be found out on its own machine alone."""
    if os.name != "posix" or holder.get("host") != platform.node() or not isinstance(holder.get("pid"), int):
        return False
    try:
        os.kill(holder["pid"], 0)  # sends nothing
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass  # another user's
    return False


def _is_at(path: Path, file: IO[bytes]) -> bool:
    """Return whether this open file is the one at `path`, and no other of the same name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False
