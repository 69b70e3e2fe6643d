"""The batches of a run: which images each has, how they reach the device, and which views are made of them there.

Images come in one of three ways, chosen by size: the whole set is on the device; or it is in the host's memory and each
batch is copied; or it is streamed, and DataLoader workers decode images before they are needed.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..augment.operations import Draw
from ..augment.own_transform import OwnTransform
from ..augment.views import LocalCrops, Views
from ..config.config import Config
from ..config.errors import ConfigError
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..methods.base import Objective
from ..runtime.distributed import Process
from ..runtime.seeding import seed_at

RESIDENT_SHARE = 0.4  # a set that takes less than this share of a GPU's free memory is kept there


class Feed:
    """The images of each forward pass, uint8 or uint16 (b, C, H, W), on the device.

    An epoch's random order depends on (seed, epoch) only, and each step takes the next part of it. This part is cut into
    accumulation_steps × processes equal parts, one for each forward pass. An epoch of N images has ⌊N / images per step⌋
    steps. The images left over differ from epoch to epoch; `left_over` is their number.

    Raises:
        ConfigError: a step needs more images than there are, or a batch cannot be divided among the processes.
    """

    def __init__(self, images: ImageSet | StreamedSet, config: Config, device: torch.device, process: Process) -> None:
        if config.step_images > len(images):
            passes = "" if config.accumulation_steps == 1 else f" with accumulation_steps={config.accumulation_steps}"
            raise ConfigError(
                f"batch_size={config.batch_size}{passes}: the set has {len(images)} images; give at most that"
            )
        part, rest = divmod(config.batch_size, process.world_size)
        if rest or part < 2:
            raise ConfigError(
                f"batch_size={config.batch_size}: {process.world_size} processes share it; give a multiple of "
                f"{process.world_size}, at least {2 * process.world_size}"
            )
        self.config, self.device, self.process, self.part = config, device, process, part
        self.source = images
        self.steps_per_epoch, self.left_over = divmod(len(images), config.step_images)
        self._order, self._epoch = torch.empty(0, dtype=torch.int64), -1
        self._stream: Iterator[Tensor] | None = None
        self._next = (-1, -1)  # the step and pass whose images the stream yields next
        self._resident = None
        if isinstance(images, ImageSet):
            self._resident = images.images.to(device) if self._fits(images.images) else images.images

    def _fits(self, images: Tensor) -> bool:
        """Return whether the whole set may be kept on the device."""
        if self.device.type != "cuda":
            return True
        free, _ = torch.cuda.mem_get_info(self.device)
        return images.nbytes < RESIDENT_SHARE * free

    @property
    def image_size(self) -> tuple[int, int]:
        """The height and width of the images in pixels."""
        return self.source.image_size

    def rows(self, accumulation: int) -> slice:
        """Return the place of this process's forward pass number `accumulation` among a step's images."""
        start = (accumulation * self.process.world_size + self.process.rank) * self.part
        return slice(start, start + self.part)

    def positions(self, step: int, accumulation: int) -> Tensor:
        """Return the positions in the set of this forward pass's images: int64 (b,)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(seed_at(self.config, 2 * epoch))
            self._order, self._epoch = torch.randperm(len(self.source), generator=generator), epoch
            if self._resident is not None:  # copied once an epoch, not at every step
                self._order = self._order.to(self._resident.device)
        images = self.config.step_images
        return self._order[place * images : (place + 1) * images][self.rows(accumulation)]

    def batch(self, step: int, accumulation: int = 0) -> Tensor:
        """Return the images of this forward pass, uint8 or uint16 (b, C, H, W), on the device."""
        if self._resident is None:
            return self._from_stream(step, accumulation).to(self.device, non_blocking=True)
        positions = self.positions(step, accumulation)
        if self._resident.device == self.device:
            return rows(self._resident, positions)
        return rows(self._resident, positions).pin_memory().to(self.device, non_blocking=True)

    def _from_stream(self, step: int, accumulation: int) -> Tensor:
        """Return the images of this forward pass from the workers, and start new workers where the order was left."""
        if self._stream is None or (step, accumulation) != self._next:
            assert isinstance(self.source, StreamedSet)
            self.close()
            rest = _Positions(self, step, accumulation)
            self._stream = iter(self.source.loader(rest, pin_memory=self.device.type == "cuda"))
        try:
            images = next(self._stream)
        except BaseException:
            self.close()  # so that the next attempt starts the workers again
            raise
        accumulation += 1
        self._next = (
            step + accumulation // self.config.accumulation_steps,
            accumulation % self.config.accumulation_steps,
        )
        return images

    def close(self) -> None:
        """Stop the workers of a streamed set; the next batch starts new ones."""
        self._stream = None


def rows(images: Tensor, positions: Tensor) -> Tensor:
    """Return the images at these positions. Those of uint16 are picked as int16, because CUDA has no such kernel for them."""
    if images.dtype == torch.uint16:
        return rows(images.view(torch.int16), positions).view(torch.uint16)
    return images.index_select(0, positions)


class _Positions:
    """The positions of every forward pass, from a given one to the end of the run, for a DataLoader."""

    def __init__(self, feed: Feed, step: int, accumulation: int) -> None:
        self.feed, self.start = feed, step * feed.config.accumulation_steps + accumulation
        end = feed.steps_per_epoch * feed.config.epochs * feed.config.accumulation_steps
        self.end = max(end, self.start + 1)  # steps after the end of the schedule are possible

    def __len__(self) -> int:
        return self.end - self.start

    def __iter__(self) -> Iterator[Tensor]:
        for k in range(self.start, self.end):
            yield self.feed.positions(*divmod(k, self.feed.config.accumulation_steps))


class StepViews:
    """The views of a step: two of each image, and local crops if the method uses them; then the user's own transform.

    All random numbers of a step come from `generator`, whose seed depends on the run's seed and the step alone.
    """

    def __init__(
        self,
        config: Config,
        model: Objective,
        feed: Feed,
        generator: torch.Generator,
        view_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        compiled: bool,
        transform: OwnTransform | None = None,
    ) -> None:
        self.config, self.model, self.feed, self.generator = config, model, feed, generator
        self.transform, self._seed = transform, 0
        given = (mean, std, generator, compiled)
        crops = [LocalCrops(config, view_size, *given)] if model.local_crops else []
        self.kinds: list[Views] = [Views(config, *given), *crops]

    def seed(self, step: int) -> None:
        """Set the generator's seed to that of this step, so that the next draws are the step's."""
        self._seed = seed_at(self.config, 2 * step + 1)
        self.generator.manual_seed(self._seed)

    def draw(self, height: int, width: int) -> tuple[list[Draw], Tensor | None]:
        """Draw all that is random in a step: a Draw for each kind of views, and what else the method draws.

        All of the step's images are drawn for at once, and a pass takes its rows. So an image gets the same views however
        the step is divided into passes and processes.
        """
        total = self.config.step_images
        drawn = [kind.draw(total, height, width, self.generator.device) for kind in self.kinds]
        return drawn, self.model.draw(total, self.generator)

    def carry_out(
        self, images: Tensor, m: int, drawn: list[Draw], more: Tensor | None, dtype: torch.dtype
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Make the views of forward pass m, each float (b, 3, size, size), channels last; add what else the method drew."""
        total, rows = self.config.step_images, self.feed.rows(m)
        result: list[Tensor] = []
        for i, (kind, numbers) in enumerate(zip(self.kinds, drawn, strict=True)):
            if len(images) < total:
                place = torch.arange(kind.per_image * total, device=images.device).view(-1, total)
                numbers = numbers[place[:, rows].flatten()]
            views = kind.carry_out(images, numbers, dtype if self.transform is None else torch.float32)
            if self.transform is not None:
                part = m * self.feed.process.world_size + self.feed.process.rank  # each has numbers of its own
                seed = (self._seed + 7919 * (part * len(self.kinds) + i)) % 2**32
                views = tuple(v.to(dtype) for v in self.transform(views, seed))
            result += views
        extra = {} if more is None else {"drawn": more[rows]}
        return [v.contiguous(memory_format=torch.channels_last) for v in result], extra
