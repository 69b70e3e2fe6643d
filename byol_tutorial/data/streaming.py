"""Images that stay on disk, because their folder is too large for memory, and are decoded while training.

A StreamedSet holds the names of its files. It gives the same pixels, bit for bit, as the same folder loaded into
memory, with one exception: a JPEG at least twice as large as wanted is decoded at a half, a quarter or an eighth of its
size, which is faster and changes pixels by a few of their 255 levels.

Decoding takes far longer than a step of a small network, so `loader` leaves it to worker processes. They get positions
and return pixels; everything random stays in the process that trains.
"""

import multiprocessing
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..config.errors import DataError
from .decode import open_picture, to_tensor
from .formats import reason_of
from .found import Found
from .image_set import ImageSet, Index, draw_positions, kind_in_words, statistics, statistics_rows
from .reading import Reading
from .value_range import ValueRange

Positions = Tensor | Sequence[int]  # the positions of one batch's images
MOST_WORKERS = 8
SUBSTITUTES = 100  # so many files after an unreadable one are tried in its place


@dataclass(frozen=True, eq=False)
class StreamedSet:
    """Images on disk, with labels where they are known.

    files     absolute paths, encoded: bytes (N,), the most compact way to send millions of them to a process
    size      pixels a side that the images are brought to
    labels    int64 (N,), or None
    classes   the name of each label; empty without labels
    corrupt   "refuse": an unreadable file raises DataError; "skip": the next readable file takes its place
    value_range  the values that become black and white, see value_range.py, or None
    channels, bits  of the images, see reading.py
    found     what the folder holds, or None
    """

    name: str
    split: str
    files: np.ndarray
    size: int
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    corrupt: str = "refuse"
    value_range: ValueRange | None = None
    channels: int = 3
    bits: int = 8
    found: Found | None = field(default=None, repr=False, compare=False)
    _unreadable: dict[str, str] = field(
        default_factory=dict, repr=False
    )  # file: reason; shared with all parts of this set

    factors = None  # images from files have none; here because an ImageSet has the attribute

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Index) -> "StreamedSet":
        """Return the images at this index: a slice, or a tensor of positions or of truth values."""
        labels = None if self.labels is None else self.labels[index]
        return replace(self, files=self.files[index if isinstance(index, slice) else np.asarray(index)], labels=labels)

    def __repr__(self) -> str:
        labels = f"{len(self.classes)} classes" if self.labels is not None else "no labels"
        skipped = f", {len(self.skipped)} unreadable files so far" if self.skipped else ""
        return (
            f"StreamedSet({self.name!r}, {self.split}: {len(self)} images of {self.size}×{self.size} px"
            f"{kind_in_words(self.channels, self.bits)}, read from disk, {labels}{skipped})"
        )

    @property
    def image_size(self) -> tuple[int, int]:
        """The height and width in pixels."""
        return self.size, self.size

    @property
    def skipped(self) -> tuple[str, ...]:
        """The files that this set, or a part of it, has found unreadable so far."""
        return tuple(self._unreadable)

    @property
    def unreadable(self) -> Mapping[str, str]:
        """The same files, with the reason."""
        return self._unreadable

    def sample(self, n: int, seed: int = 0) -> ImageSet:
        """Draw n images into memory without repetition, the same for the same seed; all of them if there are no more.

        With "skip", unreadable ones are left out and listed in `skipped`.
        """
        part = self[draw_positions(len(self), n, seed)]
        read = _Reader(part.files, self.reading)  # without substitutes, so that every image keeps its own label
        images, kept = read.empty(len(part)), []
        reasons: dict[str, str] = {}
        with ThreadPoolExecutor() as pool:
            for i, (image, unreadable) in enumerate(pool.map(read, range(len(part)))):
                self._note(unreadable)
                reasons |= unreadable
                if image is not None:
                    images[i] = image
                    kept.append(i)
        if not kept:
            raise _nothing_readable(unreadable)
        labels = None if part.labels is None else part.labels[kept]
        return ImageSet(
            self.name, self.split, images[kept], labels, self.classes, unreadable=reasons, files=part.files[kept]
        )

    def statistics(self) -> tuple[list[float], list[float]]:
        """Compute mean and standard deviation of each channel, in [0, 1], from at most 4,096 images, read once."""
        return self._statistics

    @cached_property
    def _statistics(self) -> tuple[list[float], list[float]]:
        return statistics(self[statistics_rows(len(self))].batches())

    def batches(self, batch_size: int = 512) -> Iterator[Tensor]:
        """Iterate over all images in order, in batches (b, C, H, W), decoded by threads of this process.

        With "skip", the image that follows an unreadable one takes its place; mostly it is of the same class.
        """
        read = self._reader()
        with ThreadPoolExecutor() as pool:
            for positions in torch.arange(len(self)).split(batch_size):
                yield torch.stack([self._accept(*result) for result in pool.map(read, positions.tolist())])

    def loader(
        self, index_batches: Iterable[Positions], workers: int | None = None, pin_memory: bool = False
    ) -> "_Loader":
        """Return an iterable over the images of each batch of positions: (b, C, H, W), decoded in advance.

        Each iter() of it starts its own workers. They stop when that iterator ends, is closed, or is deleted.

        Args:
            index_batches: int64 tensors or lists of positions. They are read some batches ahead of the images, and may
                be endless.
            workers: processes that decode; 0 decodes in this process. Default: the number given to `set_workers`, else
                one less than the cores, from 1 to 8.
            pin_memory: put the batches into memory that a GPU can copy from while it computes.

        Raises, while iterating:
            DataError: an image cannot be read; a worker has died.
        """
        workers = default_workers() if workers is None else workers
        if not isinstance(workers, int) or isinstance(workers, bool) or workers < 0:
            raise DataError(f"workers={workers!r}: give a whole number, at least 0")
        return _Loader(self, index_batches, workers, pin_memory)

    def _reader(self) -> "_Reader":
        return _Reader(self.files, self.reading, SUBSTITUTES if self.corrupt == "skip" else 0)

    @property
    def reading(self) -> Reading:
        """What every file becomes."""
        return Reading(self.size, self.channels, self.bits, self.value_range)

    def _accept(self, images: Tensor | None, unreadable: dict[str, str]) -> Tensor:
        """Note the files that a reader could not read, and return its images; raise DataError if it has none."""
        self._note(unreadable)
        if images is None:
            raise _nothing_readable(unreadable)
        return images

    def _note(self, unreadable: dict[str, str]) -> None:
        """Warn once of each unreadable file; with "refuse", raise DataError for the first."""
        for file, reason in unreadable.items():
            if self.corrupt == "refuse":
                raise DataError(
                    f"image {file!r} cannot be read ({reason}): replace or remove it and load the folder again, "
                    "or choose corrupt='skip'"
                )
            if file not in self._unreadable:
                self._unreadable[file] = reason
                warnings.warn(f"image {file!r} cannot be read ({reason}) and is skipped", stacklevel=3)


def _nothing_readable(unreadable: dict[str, str]) -> DataError:
    file, reason = next(iter(unreadable.items()))
    return DataError(
        f"{len(unreadable)} images in a row cannot be read, first {file!r} ({reason}): check that their folder is "
        "there, and replace or remove them"
    )


_workers: int | None = None


def set_workers(n: int | None) -> None:
    """Set how many processes decode for every later loader that gets no number; None: `default_workers` decides."""
    global _workers
    _workers = n


def default_workers() -> int:
    """Return how many processes decode for one that trains: one for each core but one, which is left to training."""
    if _workers is not None:
        return _workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    training = int(os.environ.get("LOCAL_WORLD_SIZE", 1))  # the processes that torchrun started here share the cores
    return max(1, min(MOST_WORKERS, cores // training - 1))


class _Reader(Dataset[tuple[Tensor | None, dict[str, str]]]):
    """A decoder of files. It is all that a worker gets, so it holds nothing but names."""

    def __init__(self, files: np.ndarray, how: Reading, substitutes: int = 0):
        self.files, self.how, self.substitutes = files, how, substitutes

    def empty(self, n: int) -> Tensor:
        """Return memory for n images."""
        return torch.empty(n, self.how.channels, self.how.size, self.how.size, dtype=self.how.dtype)

    def __call__(self, position: int) -> tuple[Tensor | None, dict[str, str]]:
        """Decode this file or, if that fails, the first readable substitute.

        Returns (C, H, W), or None if no file could be read; and the files that could not be read, with reasons.
        """
        unreadable: dict[str, str] = {}
        for k in range(min(1 + self.substitutes, len(self.files))):
            file = os.fsdecode(self.files[(position + k) % len(self.files)])
            try:
                return to_tensor(open_picture(file, self.how.size, self.how), self.how), unreadable
            except Exception as error:  # a decoder may raise any kind
                unreadable[file] = reason_of(error)
        return None, unreadable

    def __getitem__(self, positions: np.ndarray) -> tuple[Tensor | None, dict[str, str]]:
        """Decode a batch.

        Returns (b, C, H, W), or None if one image has no substitute; and the files that could not be read, with
        the reason. Nothing is raised, because an exception would reach the training process as the text of a traceback.
        """
        images = self.empty(len(positions))
        unreadable: dict[str, str] = {}
        for row, position in enumerate(positions):
            image, bad = self(int(position))
            unreadable |= bad
            if image is None:
                return None, bad
            images[row] = image
        return images, unreadable


class _Loader:
    """Batches decoded by worker processes; see StreamedSet.loader."""

    def __init__(self, images: StreamedSet, index_batches: Iterable[Positions], workers: int, pin_memory: bool):
        self.images, self.index_batches, self.workers = images, index_batches, workers
        self._loader = DataLoader(
            images._reader(),
            batch_size=None,  # a batch is one item to the DataLoader: all its positions together
            sampler=_Positions(index_batches),
            num_workers=workers,
            multiprocessing_context=_context() if workers else None,
            pin_memory=pin_memory,
            generator=torch.Generator(),  # without it the DataLoader draws from the global one, and disturbs the run
        )

    def __len__(self) -> int:
        return len(cast(Sized, self.index_batches))  # TypeError for an endless iterator, as for any other

    def __iter__(self) -> Iterator[Tensor]:
        with _without_main():
            batches: Any = iter(self._loader)  # Any, because its workers are private to torch
        processes = getattr(batches, "_workers", [])
        try:
            while True:
                try:
                    images, unreadable = next(batches)
                except StopIteration:
                    return
                except (RuntimeError, OSError, EOFError) as error:
                    if death := _death(processes):
                        raise DataError(
                            f"a process that decodes images of {self.images.name!r} died ({death}), most likely "
                            "because memory ran out: free some (in a container shared memory too, --shm-size), or "
                            f"give fewer workers than {self.workers} or smaller batches; then resume from the last "
                            "checkpoint"
                        ) from error
                    raise
                yield self.images._accept(images, unreadable)
        finally:  # this also runs when the iterator is closed or deleted
            if processes:
                batches._shutdown_workers()  # the traceback of an exception may keep `batches` alive for long


class _Positions:
    """Batches of positions as arrays. A tensor would be sent to a worker as shared memory, with all it is a view of."""

    def __init__(self, index_batches: Iterable[Positions]):
        self.index_batches = index_batches

    def __iter__(self) -> Iterator[np.ndarray]:
        return (np.asarray(positions, dtype=np.int64).copy() for positions in self.index_batches)


def _context() -> BaseContext:
    """Return how workers start: never as a fork of the training process, whose threads and CUDA would not survive it.

    On Linux they are forks of a server that has only imported this module, so that only the first worker waits for the
    import. The libraries of macOS do not allow even that.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the user's script from processes that start within this context.

    They need nothing of it, and a script without `if __name__ == "__main__"` would train in each of them.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _death(processes: list[BaseProcess]) -> str:
    """Describe how one of these processes ended; return "" if none has.

    It waits two seconds for that, because the last message of a process may arrive before its end is seen.
    """
    if not processes or not wait([process.sentinel for process in processes], timeout=2):
        return ""
    code = next(process.exitcode for process in processes if process.exitcode is not None)
    return f"killed by signal {-code}" if code < 0 else f"exit status {code}"
