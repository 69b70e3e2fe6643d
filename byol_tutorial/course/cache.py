"""Keeps on disk what takes long to compute, under a key made of everything that decides the result.

An entry is one file, KEY.pt, in the folder $BYOL_CACHE (default ~/.cache/byol_tutorial/runs): a checksum, then
tensors, numbers, strings, lists and dicts as torch.save writes them. Nothing in the file is executed. A damaged file
counts as missing, and the result is computed again. Deleting the folder is always safe.

Several processes and users may share the folder: an entry appears whole under a name that its content decides, so
whichever of two that compute the same thing comes last replaces it by its equal. To save time, a process that needs what
another one is computing waits for it; see `alone`. Who may only read the folder gets the entries of others and keeps none.
While a process computes, KEY.lock stands beside its entry.
"""

import ast
import hashlib
import inspect
import io
import json
import os
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch

from .._version import __version__
from ..config.config import Config
from ..config.errors import WriteError
from ..data.image_set import ImageSet
from ..data.loading import kept_folder
from ..data.streaming import StreamedSet
from ..runtime.files import remove_dead_parts, write_atomically
from ..runtime.locks import HeldError, Lock, UncertainHolderError, holder_in_words, remove_left_locks
from ..runtime.progress import hidden, say
from .scale import scale

PACKAGE = Path(__file__).parents[1]
# Code that only shows results, asks about them or writes about them. All other code can decide a result.
SHOWS = ("widgets", "cli", "figures/", "__main__.py", "course/exercises", "course/editions.py",
         "course/board.py", "course/figures", "course/ledger/claims.py", "course/ledger/inequality.py")  # fmt: skip
LOOK_EVERY = 0.2  # seconds, while another process computes what this one needs
_told: set[Path] = set()  # folders of which was said that nothing can be kept there


def folder() -> Path:
    """Return the folder of kept results: $BYOL_CACHE, or ~/.cache/byol_tutorial/runs where that is not set."""
    return Path(os.environ.get("BYOL_CACHE") or kept_folder() / "runs")


def deciding() -> dict[str, Path]:
    """Return name -> file, for every module that can decide what a run or a lesson's computation gives.

    Names are relative to the package. Only modules named in SHOWS are left out, so a new module counts by itself.
    """
    files = {file.relative_to(PACKAGE).as_posix(): file for file in sorted(PACKAGE.rglob("*.py"))}
    return {name: file for name, file in files.items() if not name.startswith(SHOWS)}


@cache
def library() -> str:
    """Return the library's version and a digest of the code that decides runs, without comments and docstrings."""
    digest = hashlib.sha256()
    for name, file in deciding().items():
        digest.update(name.encode())
        digest.update(_code(file.read_text(encoding="utf-8")).encode())
    return f"{__version__}+{digest.hexdigest()[:12]}"


@cache
def _code(text: str) -> str:
    """Return the code of a module without comments and docstrings."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                value.value = ""
    return ast.unparse(tree)


def fingerprint(images: ImageSet | StreamedSet | None) -> dict | None:
    """Return what tells one set of images from another: name, number, size, and checksums of pixels and labels.

    A streamed set is on disk, so a sample of 64 of its images stands for all.
    """
    if images is None:
        return None
    pixels = images.images if isinstance(images, ImageSet) else images.sample(64).images
    return {
        "name": images.name,
        "images": len(images),
        "size": list(images.image_size),
        "pixels": checksum(pixels),
        "labels": None if images.labels is None else checksum(images.labels),
    }


def checksum(values: torch.Tensor) -> int:
    """Return the CRC-32 of a tensor's values."""
    return zlib.crc32(values.detach().cpu().contiguous().numpy().data)


def describe(value: Any) -> Any:
    """Turn a value into JSON: a Config into its fields, images into their fingerprint, a FinishedRun into its key.

    Raises:
        TypeError: the value is of a kind that cannot be described.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Config):
        return value.to_dict()
    if isinstance(value, dict):
        return {str(name): describe(v) for name, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(v) for v in value]
    if isinstance(value, torch.Tensor):
        return checksum(value)
    if hasattr(value, "key"):
        return value.key
    if hasattr(value, "labels"):
        return fingerprint(value)
    raise TypeError(f"{value!r} cannot decide a cache key: give numbers, strings, a Config, images or a FinishedRun")


def key_of(**parts: Any) -> str:
    """Return 64 hexadecimal digits that stand for these parts, the current scale and the library's code."""
    text = json.dumps(describe(parts | {"scale": scale(), "library": library()}), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _path(key: str) -> Path:
    return folder() / f"{key[:32]}.pt"


def keep(name: str, key: str, state: dict) -> None:
    """Write an entry, whole or not at all. Where the folder cannot be written, warn once, and go on."""
    buffer = io.BytesIO()
    torch.save(state | {"key": key}, buffer)
    content = buffer.getvalue()
    try:
        folder().mkdir(parents=True, exist_ok=True)
        remove_dead_parts(folder())
        remove_left_locks(folder())
        write_atomically(_path(key), lambda f: f.write(hashlib.sha256(content).digest() + content))
    except (OSError, WriteError) as error:
        if folder() not in _told:  # once, not for every run
            _told.add(folder())
            text = f"results are not kept in {folder()} ({name!r}: {error}); set BYOL_CACHE to a folder of yours"
            warnings.warn(text, stacklevel=_level())


def _level() -> int:
    """Return the `stacklevel` by which a warning of this function's caller names the line that called this library."""
    level, frame = 0, sys._getframe(1)
    while frame.f_back is not None and Path(frame.f_code.co_filename).is_relative_to(PACKAGE):
        level, frame = level + 1, frame.f_back
    return level + 1


def kept(key: str) -> dict | None:
    """Return the entry of this key, or None where there is none or its file is damaged."""
    try:
        content = _path(key).read_bytes()
    except OSError:
        return None
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        return None
    try:
        state = torch.load(io.BytesIO(content[32:]), map_location="cpu", weights_only=True)
    except Exception:  # a damaged file can make its reader raise anything
        return None
    return state if isinstance(state, dict) and state.get("key") == key else None


@contextmanager
def alone(key: str) -> Iterator[bool]:
    """Give whether this process alone computes the entry of this key in this context; False at once where another does.

    A lock on a file beside the entry marks this. The system removes the lock when the process ends, even if it is killed.
    Where there can be no lock, because the folder may only be read or its file system has none, or where another user's
    killed process has left its file or a living one has a file that only that user may read, the answer is True, without a
    lock: the entry may then be computed twice.
    """
    lock, mine = None, True
    try:
        folder().mkdir(parents=True, exist_ok=True)
        lock = Lock.take(_path(key).with_suffix(".lock"))
    except (OSError, WriteError, UncertainHolderError):
        pass
    except HeldError:
        mine = False
    try:
        yield mine
    finally:
        if lock is not None:
            lock.give_back()


def other(key: str) -> str:
    """Return which other process computes the entry of this key, in words for a line that says why nothing happens."""
    return f"another notebook or program ({holder_in_words(_path(key).with_suffix('.lock'))})"


def kept_or_computed(name: str, key: str, compute: Callable[[], dict], progress: bool = True) -> tuple[dict, bool]:
    """Return the entry of this key, and whether it was kept; where it is not, compute it and keep it.

    Where another process is computing it, this one waits, and computes it itself if the other stops without a result. With
    `progress`, a line says which process that is.
    """
    from tqdm.auto import tqdm

    line = None
    try:
        while (state := kept(key)) is None:
            with alone(key) as mine:
                if mine and (state := kept(key)) is None:  # it may have been kept since the last look
                    state = compute()
                    keep(name, key, state)
                    return state, False
            if not mine:
                if line is None:
                    line = tqdm(bar_format="{desc}", leave=False, disable=hidden(progress))
                say(line, f"{name}: {other(key)} computes it; if that stops, this one does")
                time.sleep(LOOK_EVERY)
    finally:
        if line is not None:
            line.close()
    return state, True


def cached(name: str, compute: Callable[[], dict], **depends_on: Any) -> dict:
    """Return compute(), or its kept result for the same name, source text, `depends_on`, scale and library.

    It keeps what `run` does not: the result of a lesson's own loop, or of a UMAP.

    >>> maps = cached("09-maps", lambda: {"umap": torch.tensor(...)}, features=y, seed=0)

    Args:
        name: a name for the result; part of the key.
        compute: returns a dict of tensors, numbers, strings, lists and dicts.
        depends_on: everything that decides the result besides the text of `compute`: numbers, strings, tensors,
            Configs, images, FinishedRuns, or lists and dicts of these.

    Raises:
        TypeError: a value in `depends_on` is of another kind.
    """
    try:
        source = inspect.getsource(compute)
    except (OSError, TypeError):
        source = ""
    key = key_of(name=name, source=source, depends_on=depends_on)
    state, _ = kept_or_computed(name, key, lambda: {"value": compute()})
    return state["value"]
