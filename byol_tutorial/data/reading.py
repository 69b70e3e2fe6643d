"""Reading: what the pixels of a file become. And the choice of it for a whole folder, from the headers of its files."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from ..config.errors import DataError
from .bands import MOST_CHANNELS, can_become
from .headers import Header, choose_range
from .value_range import Scale, ValueRange


@dataclass(frozen=True)
class Reading:
    """What every file becomes: (channels, size, size), of uint8 or uint16.

    size         pixels a side
    channels     1: grey; 3: red, green, blue; otherwise the bands of the files
    bits         8 or 16
    value_range  the values that become 0 and the greatest number; None: those of the file's own depth
    """

    size: int
    channels: int = 3
    bits: int = 8
    value_range: ValueRange | None = None

    @property
    def dtype(self) -> torch.dtype:
        """The type of the pixels."""
        return torch.uint8 if self.bits == 8 else torch.uint16

    @property
    def bytes(self) -> int:
        """The memory that one image takes."""
        return self.channels * self.size * self.size * self.bits // 8


class TooFewChannels(DataError):
    """The error of files that have fewer channels than asked for.

    wanted  the channels that were asked for
    words   how many files have how many channels
    """

    def __init__(self, wanted: int, words: str, least: int) -> None:
        super().__init__(
            f"channels={wanted}, but {words}: give at most {least}, or leave it out to keep the files' own"
        )
        self.wanted, self.words = wanted, words


@contextmanager
def channels_of_an_encoder() -> Iterator[None]:
    """Say that an encoder is made for the channels, and not that an option asks for them, if files have too few.

    Raises:
        DataError: files with too few channels.
    """
    try:
        yield
    except TooFewChannels as error:
        raise DataError(
            f"the encoder is made for {error.wanted} channels, and {error.words}: choose other images"
        ) from error


def choose_reading(
    headers: Sequence[Header], size: int, channels: int | None, bits: int | None, value_range: Scale
) -> Reading:
    """Return how files with these headers are read; of `channels` and `bits`, None lets the files decide.

    Grey and coloured files become three channels, and files with other bands keep them. Files deeper than 8 bits keep 16.

    Raises:
        DataError: files whose channels differ.
        TooFewChannels: files that have fewer than asked for.
    """
    kinds = Counter(h.channels for h in headers)
    if channels is None:
        if len(kinds) > 1 and not kinds.keys() <= {1, 3}:
            raise DataError(
                f"{in_words(headers)}: separate them, or give channels={min(kinds)}, which takes the first of those "
                "that have more"
            )
        channels = 3 if kinds.keys() <= {1, 3} else next(iter(kinds))
    elif not all(can_become(h.channels, channels, h.pages) for h in headers):
        raise TooFewChannels(channels, in_words(headers), min(kinds))
    if bits is None:
        bits = 16 if any(h.deep for h in headers) else 8
    return Reading(
        size, channels, bits, choose_range(value_range, [h for h in headers if bits == 16 or not h.deep_colour])
    )


def in_words(headers: Sequence[Header]) -> str:
    """Say how many of the files have how many channels, each with an example."""
    example = {h.channels: os.path.basename(os.fsdecode(h.file)) for h in reversed(headers)}
    counts = Counter(h.channels for h in headers)
    parts = [
        f"{n:,} file{'s'[: n > 1]} {'have' if n > 1 else 'has'} {kind} ({example[kind]})"
        for kind, n in sorted(counts.items())
    ]
    return ", ".join(parts).replace(" (", " channels (" if min(counts) > 1 else " channel (", 1)


def check_channels(channels: object, bits: object) -> None:
    """Raise DataError for numbers of channels or bits that do not exist."""
    if channels is not None and (
        isinstance(channels, bool) or not isinstance(channels, int) or not 1 <= channels <= MOST_CHANNELS
    ):
        raise DataError(
            f"channels={channels!r}: give a whole number from 1 to {MOST_CHANNELS}, or None to keep the files' own"
        )
    if bits not in (None, 8, 16) or isinstance(bits, bool):
        raise DataError(f"bits={bits!r}: choose 8 or 16, or None to let the depth of the files decide")
