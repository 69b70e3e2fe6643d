"""Images that stay on disk, for folders too large for memory, and are decoded while training.

A StreamedSet knows the names of its files. What it hands out is what the same folder loaded into memory would,
bit for bit, but for one thing: a JPEG at least twice as large as wanted is decoded at a half, a quarter or an
eighth of its size, which is faster and changes pixels by some levels of 255.

Decoding takes far longer than a step of a small network, so `loader` leaves it to worker processes. They are
told positions and answer with pixels; everything random stays in the process that trains.
"""

import multiprocessing
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from multiprocessing.connection import wait
from types import ModuleType

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..config.errors import DataError
from .decode import UNREADABLE, open_picture, to_tensor
from .image_set import ImageSet, draw_positions, statistics, statistics_rows

MOST_WORKERS = 8
SUBSTITUTES = 100  # files after an unreadable one that are tried in its place


@dataclass(frozen=True, eq=False)
class StreamedSet:
    """Images on disk, with labels where they are known.

    files     absolute paths, encoded: bytes (N,); the most compact way to hand millions of them to a process
    size      pixels a side that they are brought to
    labels    int64 (N,), or None
    classes   name of each label; empty without labels
    corrupt   an unreadable file is a DataError ("refuse"), or the next readable one takes its place ("skip")
    """

    name: str
    split: str
    files: np.ndarray
    size: int
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    corrupt: str = "refuse"
    _unreadable: dict[str, str] = field(default_factory=dict, repr=False)  # with the reason; shared with all parts

    factors = None  # as an ImageSet of files has none

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index) -> "StreamedSet":
        """The images at this index: a slice, or a tensor of positions or of truth values."""
        labels = None if self.labels is None else self.labels[index]
        return replace(self, files=self.files[index if isinstance(index, slice) else np.asarray(index)], labels=labels)

    def __repr__(self) -> str:
        labels = f"{len(self.classes)} classes" if self.labels is not None else "no labels"
        skipped = f", {len(self.skipped)} unreadable files so far" if self.skipped else ""
        return (
            f"StreamedSet({self.name!r}, {self.split}: {len(self)} images of {self.size}×{self.size} px, "
            f"read from disk, {labels}{skipped})"
        )

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.size, self.size

    @property
    def skipped(self) -> tuple[str, ...]:
        """Files found unreadable so far, by this set or a part of it."""
        return tuple(self._unreadable)

    def sample(self, n: int, seed: int = 0) -> ImageSet:
        """n images in memory, drawn without repetition, the same for the same seed; all if there are no more.

        Unreadable ones are left out, with "skip", and listed in `skipped`.
        """
        part = self[draw_positions(len(self), n, seed)]
        images, kept = torch.empty(len(part), 3, self.size, self.size, dtype=torch.uint8), []
        read = _Reader(part.files, part.size)  # without substitutes, so that every image has its own label
        with ThreadPoolExecutor() as pool:
            for i, (image, unreadable) in enumerate(pool.map(read, range(len(part)))):
                self._note(unreadable)
                if image is not None:
                    images[i] = image
                    kept.append(i)
        if not kept:
            raise _nothing_readable(unreadable)
        labels = None if part.labels is None else part.labels[kept]
        skipped = tuple(map(os.fsdecode, np.delete(part.files, kept)))
        return ImageSet(self.name, self.split, images[kept], labels, self.classes, skipped=skipped)

    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel, of values in [0, 1]; from at most 4,096 images, read once."""
        return self._statistics

    @cached_property
    def _statistics(self) -> tuple[list[float], list[float]]:
        return statistics(self[statistics_rows(len(self))].batches())

    def batches(self, batch_size: int = 512) -> Iterator[Tensor]:
        """All images in order, uint8 (b, 3, H, W) at a time, decoded by the threads of this process.

        With "skip", the place of an unreadable image is taken by the one that follows it, mostly of the same class.
        """
        read = self._reader()
        with ThreadPoolExecutor() as pool:
            for positions in torch.arange(len(self)).split(batch_size):
                yield torch.stack([self._accept(*result) for result in pool.map(read, positions.tolist())])

    def loader(
        self, index_batches: Iterable, workers: int | None = None, pin_memory: bool = False
    ) -> "Iterable[Tensor]":
        """The images of each batch of positions, uint8 (b, 3, H, W), decoded ahead of their use.

        Workers start with each iter() of what is returned. They stop when that iterator ends, is closed, or is no
        longer referred to.

        Args:
            index_batches: int64 tensors or lists of positions. It is read as the images are, some batches ahead, and
                may be endless.
            workers: processes that decode; 0 for none. Default: as `set_workers` has it, else one less than
                cores, from 1 to 8.
            pin_memory: put the batches where a GPU can fetch them without waiting.

        Raises, while iterating:
            DataError: an image cannot be read; a worker has died.
        """
        workers = default_workers() if workers is None else workers
        if not isinstance(workers, int) or isinstance(workers, bool) or workers < 0:
            raise DataError(f"workers={workers!r}: give a whole number, at least 0")
        return _Loader(self, index_batches, workers, pin_memory)

    def _reader(self) -> "_Reader":
        return _Reader(self.files, self.size, SUBSTITUTES if self.corrupt == "skip" else 0)

    def _accept(self, images: Tensor | None, unreadable: dict[str, str]) -> Tensor:
        """What a reader returned, once the files that it could not read are noted; or DataError."""
        self._note(unreadable)
        if images is None:
            raise _nothing_readable(unreadable)
        return images

    def _note(self, unreadable: dict[str, str]) -> None:
        """One warning for each file that was not known to be unreadable; with "refuse", DataError."""
        for file, reason in unreadable.items():
            if self.corrupt == "refuse":
                raise DataError(
                    f"image {file!r} cannot be read ({reason}): mend or remove it and load the folder again, "
                    "or choose corrupt='skip'"
                )
            if file not in self._unreadable:
                self._unreadable[file] = reason
                warnings.warn(f"image {file!r} cannot be read ({reason}) and is skipped", stacklevel=3)


def _nothing_readable(unreadable: dict[str, str]) -> DataError:
    file, reason = next(iter(unreadable.items()))
    return DataError(
        f"{len(unreadable)} images in a row cannot be read, first {file!r} ({reason}): see whether their folder is "
        "there, and mend or remove them"
    )


_workers: int | None = None


def set_workers(n: int | None) -> None:
    """How many processes decode, for every loader from now on that is not told; None: `default_workers` decides."""
    global _workers
    _workers = n


def default_workers() -> int:
    """Processes that decode for one that trains: a core each, and one is left to the training."""
    if _workers is not None:
        return _workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    training = int(os.environ.get("LOCAL_WORLD_SIZE", 1))  # torchrun's processes on this machine share them
    return max(1, min(MOST_WORKERS, cores // training - 1))


class _Reader(Dataset):
    """Decodes files. This is all that a worker is given, so it holds no more than names."""

    def __init__(self, files: np.ndarray, size: int, substitutes: int = 0):
        self.files, self.size, self.substitutes = files, size, substitutes

    def __call__(self, position: int) -> tuple[Tensor | None, dict[str, str]]:
        """uint8 (3, H, W), of this file or else of the first of its substitutes; and what could not be read, why."""
        unreadable = {}
        for k in range(min(1 + self.substitutes, len(self.files))):
            file = os.fsdecode(self.files[(position + k) % len(self.files)])
            try:
                return to_tensor(open_picture(file, least=self.size), self.size), unreadable
            except UNREADABLE as error:
                unreadable[file] = getattr(error, "strerror", None) or str(error).split("\n")[0] or repr(error)
        return None, unreadable

    def __getitem__(self, positions: np.ndarray) -> tuple[Tensor | None, dict[str, str]]:
        """uint8 (b, 3, H, W), or None if an image has no substitute; and what could not be read, with the reason.

        Nothing is raised: an exception would reach the training process as the text of a traceback.
        """
        images, unreadable = torch.empty(len(positions), 3, self.size, self.size, dtype=torch.uint8), {}
        for row, position in enumerate(positions):
            image, bad = self(int(position))
            unreadable |= bad
            if image is None:
                return None, bad
            images[row] = image
        return images, unreadable


class _Loader:
    """Batches decoded by worker processes; see StreamedSet.loader."""

    def __init__(self, images: StreamedSet, index_batches: Iterable, workers: int, pin_memory: bool):
        self.images, self.index_batches, self.workers = images, index_batches, workers
        self._loader = DataLoader(
            images._reader(),
            batch_size=None,  # a batch is one item to it: all its positions together
            sampler=_Positions(index_batches),
            num_workers=workers,
            multiprocessing_context=_context() if workers else None,
            pin_memory=pin_memory,
            generator=torch.Generator(),  # else it draws from the global one, and disturbs the run's random numbers
        )

    def __len__(self) -> int:
        return len(self.index_batches)

    def __iter__(self) -> Iterator[Tensor]:
        with _without_main():
            batches = iter(self._loader)
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
                            f"a process that decodes images of {self.images.name!r} died ({death}), mostly for want of "
                            "memory: free some (in a container shared memory too, --shm-size), or give fewer workers "
                            f"than {self.workers} or smaller batches; then resume from the last checkpoint"
                        ) from error
                    raise
                yield self.images._accept(images, unreadable)
        finally:  # also where the iterator is closed or dropped
            if processes:
                batches._shutdown_workers()  # an exception's traceback may keep it alive for long


class _Positions:
    """Batches of positions as arrays. A tensor would be sent to a worker as shared memory, all it is a view of."""

    def __init__(self, index_batches: Iterable):
        self.index_batches = index_batches

    def __iter__(self) -> Iterator[np.ndarray]:
        return (np.asarray(positions, dtype=np.int64).copy() for positions in self.index_batches)


def _context():
    """How workers start: never as a fork of the training process, whose threads and CUDA do not survive that.

    On Linux they are forks of a server that has only imported this module, so that the import is waited for once.
    macOS's libraries do not allow even that.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


@contextmanager
def _without_main():
    """Start processes that do not import the user's script: they need nothing of it, and without an
    `if __name__ == "__main__"` it would train in each of them."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _death(processes: list) -> str:
    """How one of these processes ended, if one has; its last message may arrive before the news of its end."""
    if not processes or not wait([process.sentinel for process in processes], timeout=2):
        return ""
    code = next(process.exitcode for process in processes if process.exitcode is not None)
    return f"killed by signal {-code}" if code < 0 else f"exit status {code}"
