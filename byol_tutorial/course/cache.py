"""What takes long is computed once: results on disk, by a key of everything that decides them.

An entry is one file, KEY.pt, in the folder $BYOL_CACHE (default ~/.cache/byol_tutorial/runs): a checksum, then
what torch.save made of tensors, numbers, strings, lists and dicts. Nothing in it is executed. A file that is damaged
counts as missing and is made anew. Deleting the folder is always safe.
"""

import ast
import hashlib
import inspect
import io
import json
import os
import pickle
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from zipfile import BadZipFile

import torch

from .._version import __version__
from ..config.config import Config
from ..data.loading import kept_folder
from ..runtime.files import write_atomically
from .scale import scale

PACKAGE = Path(__file__).parents[1]
# what only shows, asks or writes about results; all other code can decide them
SHOWS = ("widgets", "cli", "figures.py", "__main__.py", "course/exercises", "course/editions.py",
         "course/board.py", "course/figures", "course/ledger/claims.py", "course/ledger/inequality.py")  # fmt: skip


def folder() -> Path:
    """Where results are kept: $BYOL_CACHE, else ~/.cache/byol_tutorial/runs."""
    return Path(os.environ.get("BYOL_CACHE") or kept_folder() / "runs")


def deciding() -> dict[str, Path]:
    """Name below the package -> file of every module that can decide what a run or a lesson's computation gives.

    A module is left out by being named in SHOWS, never by being overlooked: a new one counts.
    """
    files = {file.relative_to(PACKAGE).as_posix(): file for file in sorted(PACKAGE.rglob("*.py"))}
    return {name: file for name, file in files.items() if not name.startswith(SHOWS)}


@cache
def library() -> str:
    """Version of the library, and a digest of the code that decides runs; comments and docstrings do not count."""
    digest = hashlib.sha256()
    for name, file in deciding().items():
        digest.update(name.encode())
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
                value = body[0].value
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    value.value = ""
        digest.update(ast.unparse(tree).encode())
    return f"{__version__}+{digest.hexdigest()[:12]}"


def fingerprint(images) -> dict | None:
    """What tells one set of images from another: name, number, size, and checksums of pixels and labels.

    Of a streamed set, which is on disk, a sample of 64 images stands for all.
    """
    if images is None:
        return None
    pixels = images.images if hasattr(images, "images") else images.sample(64).images
    labels = images.labels
    return {
        "name": images.name,
        "images": len(images),
        "size": list(images.image_size),
        "pixels": zlib.crc32(pixels.contiguous().numpy()),
        "labels": None if labels is None else zlib.crc32(labels.contiguous().numpy()),
    }


def describe(value):
    """The value as JSON can hold it: a Config by its fields, images by their fingerprint, a FinishedRun by its key.

    Raises:
        TypeError: something that cannot be told apart from others of its kind.
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
        return zlib.crc32(value.detach().cpu().contiguous().numpy())
    if hasattr(value, "key"):
        return value.key
    if hasattr(value, "labels"):
        return fingerprint(value)
    raise TypeError(f"{value!r} cannot decide a cache key: give numbers, strings, a Config, images or a FinishedRun")


def key_of(**parts) -> str:
    """64 hexadecimal digits for these parts, the current scale and the library."""
    text = json.dumps(describe(parts | {"scale": scale(), "library": library()}), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _path(key: str) -> Path:
    return folder() / f"{key[:32]}.pt"


def keep(name: str, key: str, state: dict) -> None:
    """Write an entry, whole or not at all. A folder that cannot be written costs the time of the next run only."""
    buffer = io.BytesIO()
    torch.save(state | {"key": key}, buffer)
    content = buffer.getvalue()
    try:
        folder().mkdir(parents=True, exist_ok=True)
        write_atomically(_path(key), lambda f: f.write(hashlib.sha256(content).digest() + content))
    except OSError as error:
        import warnings

        warnings.warn(f"{name!r} could not be kept in {folder()} ({error}); set BYOL_CACHE to another", stacklevel=3)


def kept(key: str) -> dict | None:
    """The entry of this key; None where there is none, or the file is damaged."""
    try:
        content = _path(key).read_bytes()
    except OSError:
        return None
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        return None
    try:
        state = torch.load(io.BytesIO(content[32:]), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, BadZipFile, ValueError, KeyError):
        return None
    return state if isinstance(state, dict) and state.get("key") == key else None


def cached(name: str, compute: Callable[[], dict], **depends_on) -> dict:
    """compute(), or what it gave last time for the same name, source text, `depends_on`, scale and library.

    For what `run` cannot do: a loop of the lesson's own, a UMAP, a supervised baseline.

    >>> maps = cached("09-maps", lambda: {"umap": torch.tensor(...)}, features=y, seed=0)

    Args:
        compute: gives a dict of tensors, numbers, strings, lists and dicts.
        depends_on: all that decides the outcome besides the text of `compute`: numbers, strings, tensors, Configs,
            images, FinishedRuns, or lists and dicts of them.
    """
    try:
        source = inspect.getsource(compute)
    except (OSError, TypeError):
        source = ""
    key = key_of(name=name, source=source, depends_on=depends_on)
    state = kept(key)
    if state is None:
        state = {"value": compute()}
        keep(name, key, state)
    return state["value"]
