"""Request: what `load` was asked for, with every value checked."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..config.errors import DataError
from .image_set import ImageSet
from .reading import check_channels
from .streaming import StreamedSet
from .value_range import Scale, check_scale

SPLITS = ("train", "test")
LABELS = ("auto", "folders", "none")
HOLDOUT = 0.2  # share of the images that a source without a split of its own keeps for tests


@dataclass(frozen=True)
class Request:
    """The arguments of one call of `load`, which explains them.

    Raises:
        DataError: a value that is not allowed.
    """

    name: str
    split: str
    size: int | None
    limit: int | None
    seed: int
    corrupt: str
    root: Path
    stream: bool | None
    labels: str = "auto"
    holdout: float = HOLDOUT
    value_range: Scale = None
    channels: int | None = None
    bits: int | None = None

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise DataError(f"split={self.split!r}: choose one of {', '.join(SPLITS)}")
        if self.corrupt not in ("refuse", "skip"):
            raise DataError(f"corrupt={self.corrupt!r}: choose refuse or skip")
        if self.size is not None:
            check_whole("size", self.size, 8)
        if self.limit is not None:
            check_whole("limit", self.limit, 2)
        check_whole("seed", self.seed, 0)
        if self.stream not in (None, True, False):
            raise DataError(f"stream={self.stream!r}: choose True or False, or None to let the size decide")
        if self.labels not in LABELS:
            raise DataError(f"labels={self.labels!r}: choose one of {', '.join(LABELS)}")
        if isinstance(self.holdout, bool) or not isinstance(self.holdout, int | float) or not 0 <= self.holdout < 1:
            raise DataError(f"holdout={self.holdout!r}: give the share of images kept for tests, from 0 to below 1")
        check_scale(self.value_range)
        check_channels(self.channels, self.bits)
        for name, value, usual in (
            ("labels", self.labels, "auto"),
            ("holdout", self.holdout, HOLDOUT),
            ("value_range", self.value_range, None),
            ("channels", self.channels, None),
            ("bits", self.bits, None),
        ):
            if value != usual and not self.name.startswith("folder:"):
                raise DataError(f"{name}={value!r}: it is for folder:PATH; {self.name!r} has its own, leave it out")


Source = Callable[[Request], ImageSet | StreamedSet]


def in_memory(make: Callable[[Request], ImageSet]) -> Source:
    """Return a source that makes its images in memory, and draws `limit` of them.

    `make` may draw the same ones itself, where that spares it work. The source refuses stream=True with DataError.
    """

    def source(request: Request) -> ImageSet:
        if request.stream:
            raise DataError(f"stream=True: {request.name!r} is kept in memory; leave stream out, or give folder:PATH")
        images = make(request)
        return images if request.limit is None else images.sample(request.limit, request.seed)

    return source


def check_whole(name: str, value: object, least: int) -> None:
    """Raise DataError unless the value is a whole number of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**63:
        raise DataError(f"{name}={value!r}: give a whole number, at least {least}")
