"""Views: the distributions T and T′ of the paper. They draw the random numbers of a view; operations.py uses them."""

import math
import warnings
from enum import IntEnum
from itertools import permutations
from pickle import UnpicklingError

import torch
from torch import Tensor

from ..config.config import Config
from .operations import HUE, Device, Draw, Statistics, apply, as_float, constant, normalise

ORDERS = tuple(permutations(range(4)))
CROP_TRIES = 10  # as in torchvision: an area and ratio that do not fit are drawn again
# numba is missing or not made for this NumPy; its machine code cannot be written to the disk; a file of it is damaged
UNUSABLE = (ImportError, OSError, EOFError, UnpicklingError)


class Column(IntEnum):
    """The columns of a view's random numbers, uniform in [0, 1), named for what they decide."""

    FLIP = 0
    JITTER = 1
    GRAYSCALE = 2
    BLUR = 3
    SOLARIZE = 4
    BRIGHTNESS = 5
    CONTRAST = 6
    SATURATION = 7
    HUE = 8
    ORDER = 9
    SIGMA = 10
    VERTICAL_FLIP = 11


SWITCHES = slice(Column.FLIP, Column.SOLARIZE + 1)
FACTORS = slice(Column.BRIGHTNESS, Column.HUE + 1)


class Views:
    """Two random views of each image: v = t(x), v′ = t′(x) with t ~ T, t′ ~ T′.

    >>> v1, v2 = Views(config)(images)

    Args:
        config: probabilities and strengths for T and T′.
        mean, std: statistics of each channel of the data, for normalisation; one number serves all channels.
        generator: the source of randomness, on the device of the images. Default: torch's global generator.
        compiled: use torch.compile where neither numba nor Triton carries the views out.
    """

    compiled = True  # used on CPUs, until numba fails
    triton = True  # used on CUDA, until Triton fails

    def __init__(
        self,
        config: Config,
        mean: Statistics = (0.5,),
        std: Statistics = (0.25,),
        generator: torch.Generator | None = None,
        compiled: bool = False,
    ) -> None:
        self.config, self.mean, self.std, self.generator = config, mean, std, generator
        # below, a row for each column of SWITCHES, then for vertical flips and turns, or for each column of FACTORS; in it one
        # number for T and one for T′
        c = config
        device = generator.device if generator else None
        switches = [c.flip_p, c.jitter_p, c.grayscale_p, c.blur_p, c.solarize_p]
        self._chances = torch.tensor([*switches, c.vertical_flip_p, c.quarter_turn_p], device=device)
        self._strengths = torch.tensor([c.brightness, c.contrast, c.saturation, c.hue], device=device)
        # compiled, because its hundreds of small operations take a GPU longer to start than to do
        self._apply = torch.compile(apply) if compiled else apply

    @property
    def per_image(self) -> int:
        """The number of views that each image gets."""
        return self._chances.shape[1]

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        """Draw and carry out the views v, v′ of each image.

        images: uint8, uint16, or float in [0, 1], (N, C, H, W). Returns float32 (N, C, size, size) each, normalised.

        Raises:
            ConfigError: operations on colours, and images whose channels are not red, green and blue.
        """
        n, _, height, width = images.shape
        return self.carry_out(images, self.draw(n, height, width, images.device))

    def carry_out(self, images: Tensor, drawn: Draw, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
        """Make the views of n images from a Draw of 2n rows, first those of v, then those of v′.

        A CPU makes them picture by picture (numba_kernels.py), CUDA in one kernel for images and views up to 64 px
        (triton_kernels.py); all else is done by `apply`. All three agree up to rounding. Where numba or Triton cannot
        be used there is one warning, and `apply` takes their place.

        dtype: the type of the views on CUDA, for a network in half precision; elsewhere they are float32.

        Returns v and v′, float (n, C, size, size) each, normalised.
        """
        self.config.check_channels(images.shape[1])
        size = self.config.view_size or min(images.shape[2:])
        if (
            images.device.type == "cuda"
            and Views.triton
            and (both := self._by_triton(images, drawn, size, dtype)) is not None
        ):
            return both.split(len(images))
        if images.device.type == "cpu" and not images.requires_grad and Views.compiled:
            try:
                from . import numba_kernels  # here, because numba takes half a second to load

                both = numba_kernels.views(images, drawn, size, self.config.colour_form, self.mean, self.std)
                return both.split(len(images))
            except UNUSABLE as error:
                Views.compiled = False
                warnings.warn(f"views take several times longer, because numba cannot be used: {error!r}", stacklevel=2)
        both = as_float(images).repeat(self.per_image, 1, 1, 1)
        both = self._apply(both, drawn, size, self.config.colour_form)
        return normalise(both, self.mean, self.std).split(len(images))

    def _by_triton(self, images: Tensor, drawn: Draw, size: int, dtype: torch.dtype) -> Tensor | None:
        """Make all views by one kernel; return None where it is not made for such images or cannot be used here."""
        try:
            from . import triton_kernels  # here, because torch brings Triton along with CUDA only

            if not triton_kernels.fits(images, size):
                return None
            return triton_kernels.views(images, drawn, size, self.config.colour_form, self.mean, self.std, dtype)
        except (torch.OutOfMemoryError, torch.AcceleratorError, ValueError):
            raise  # too little memory, an earlier kernel that failed, wrong arguments: `apply` would fail as well
        except Exception as error:  # no Triton, no C compiler, an unsupported GPU: each raises an error of its own
            Views.triton = False
            warnings.warn(f"views take several times longer, because Triton cannot be used: {error!r}", stacklevel=3)
            return None

    def draw(self, n: int, height: int, width: int, device: Device = "cpu") -> Draw:
        """Draw the random numbers of 2n views of n images: the first n rows from T, the other n from T′."""
        views = self.per_image * n
        u = torch.rand(views, len(Column), generator=self.generator, device=device)
        chances = self._chances.to(device).T.repeat_interleave(n, 0)
        strengths = self._strengths.to(device).T.repeat_interleave(n, 0)
        flip, jitter, grayscale, blur, solarize = (u[:, SWITCHES] < chances[:, :-2]).unbind(1)
        factors = (2 * u[:, FACTORS] - 1) * strengths
        factors[:, :HUE] += 1
        order = constant(ORDERS, device)[(u[:, Column.ORDER] * len(ORDERS)).long()]
        low, high = self.config.blur_sigma
        sigma = low + u[:, Column.SIGMA] * (high - low)
        crop = self._draw_crop(views, height, width, device)
        vertical = u[:, Column.VERTICAL_FLIP] < chances[:, -2]
        turns = self._draw_turns(chances[:, -1])
        return Draw(*crop, flip, vertical, turns, jitter, factors, order, grayscale, blur, sigma, solarize)

    def _draw_turns(self, chance: Tensor) -> Tensor:
        """Draw 1, 2 or 3 quarter turns with this chance, else 0: float (n,) -> int64 (n,).

        Without any chance nothing is drawn, so that runs without turns have the numbers that they had before turns existed.
        """
        if max(self.config.quarter_turn_p) == 0:
            return torch.zeros_like(chance, dtype=torch.int64)
        u = torch.rand(len(chance), generator=self.generator, device=chance.device)
        return torch.where(u < chance, 1 + (3 * u / chance).long().clamp(max=2), 0)

    def _draw_crop(self, n: int, height: int, width: int, device: Device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw top, left, height and width of n crops, (n,) each, in pixels.

        The area is uniform and the aspect ratio log-uniform. The first of ten tries that fits is taken. If none does, it is
        the largest part around the centre whose aspect ratio is allowed, as in torchvision: the whole of an image that is
        not too long.
        """
        area, ratio = torch.rand(2, n, CROP_TRIES, generator=self.generator, device=device)
        down, across = torch.rand(2, n, generator=self.generator, device=device)
        low, high = self.config.crop_area
        side = torch.sqrt((low + area * (high - low)) * (height * width))
        low, high = (math.log(end) / 2 for end in self.config.crop_ratio)
        stretch = torch.exp(low + ratio * (high - low))
        heights, widths = side / stretch, side * stretch
        fits = (widths <= width) & (heights <= height)
        first, fit = fits.to(torch.uint8).argmax(1, keepdim=True), fits.any(1)
        narrowest, widest = self.config.crop_ratio
        h = torch.where(fit, heights.gather(1, first)[:, 0], min(height, width / narrowest))
        w = torch.where(fit, widths.gather(1, first)[:, 0], min(width, height * widest))
        return (height - h) * torch.where(fit, down, 0.5), (width - w) * torch.where(fit, across, 0.5), h, w


class LocalCrops(Views):
    """DINO's small views: config.local_crops of each image, from T and T′ in turn, each of config.local_crop_area.

    >>> crops = LocalCrops(config, view_size=32)(images)      # each float32 (N, 3, 16, 16)

    view_size: pixels a side of the global views. The other arguments are those of Views.
    """

    def __init__(
        self,
        config: Config,
        view_size: int,
        mean: Statistics = (0.5,),
        std: Statistics = (0.25,),
        generator: torch.Generator | None = None,
        compiled: bool = False,
    ) -> None:
        local = config.replace(view_size=config.local_size(view_size), crop_area=config.local_crop_area, local_crops=0)
        super().__init__(local, mean, std, generator, compiled)
        kinds = torch.arange(config.local_crops) % 2
        self._chances, self._strengths = self._chances[:, kinds], self._strengths[:, kinds]
