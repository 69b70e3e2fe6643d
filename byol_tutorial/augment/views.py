"""Views: the distributions T and T′ of the paper. They draw the random numbers of each view; operations.py carries them out."""

import math
import warnings
from itertools import permutations
from pickle import UnpicklingError

import torch
from torch import Tensor

from ..config.config import Config
from .operations import HUE, Draw, apply, as_float, constant, normalise

ORDERS = tuple(permutations(range(4)))
CROP_TRIES = 10  # as torchvision: an area and ratio that do not fit are drawn again
# of numba: missing, or not made for this NumPy; what it compiled cannot be kept; what it kept was cut short
UNUSABLE = (ImportError, OSError, EOFError, UnpicklingError)


class Views:
    """Two random views of each image: v = t(x), v′ = t′(x) with t ~ T, t′ ~ T′.

    >>> v1, v2 = Views(config)(images)

    Args:
        config: probabilities and strengths for T and T′.
        mean, std: per-channel statistics of the data, for normalisation.
        generator: source of randomness, on the images' device. Default: torch's global one.
        compiled: carry views out by torch.compile, where neither numba nor Triton does it.
    """

    compiled = True  # on CPUs, until numba has shown that it cannot be used
    triton = True  # on CUDA, until Triton has shown that it cannot be used

    def __init__(
        self, config: Config, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), generator=None, compiled: bool = False
    ):
        self.config, self.mean, self.std, self.generator = config, mean, std, generator
        c = config  # one column for T, one for T'
        device = generator.device if generator else None
        self._chances = torch.tensor([c.flip_p, c.jitter_p, c.grayscale_p, c.blur_p, c.solarize_p], device=device)
        self._strengths = torch.tensor([c.brightness, c.contrast, c.saturation, c.hue], device=device)
        # its hundreds of small operations cost a GPU more to start than to do
        self._apply = torch.compile(apply) if compiled else apply

    @property
    def per_image(self) -> int:
        """How many views an image gets."""
        return self._chances.shape[1]

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        """uint8, or float in [0, 1], (N, 3, H, W) -> v, v′, each float32 (N, 3, size, size), normalised."""
        n, _, height, width = images.shape
        return self.carry_out(images, self.draw(n, height, width, images.device))

    def carry_out(self, images: Tensor, drawn: "Draw", dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
        """The views of n images for a Draw of 2n rows: those of v, then those of v′, each float (N, 3, size, size).

        On a CPU picture by picture (numba_kernels.py), on CUDA in one kernel for images and views up to 64 px (triton_kernels.py), elsewhere as `apply`
        does it: the same up to rounding. Where numba or Triton cannot be used there is one warning, and `apply` takes
        their place.

        dtype: of the views on CUDA, for a network in half precision; elsewhere they are float32.
        """
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

    def _by_triton(self, images: Tensor, drawn: "Draw", size: int, dtype: torch.dtype) -> Tensor | None:
        """All views by one kernel, or None where it is not made for such images or cannot be used here."""
        try:
            from . import triton_kernels  # here, because torch brings Triton along with CUDA only

            if not triton_kernels.fits(images, size):
                return None
            return triton_kernels.views(images, drawn, size, self.config.colour_form, self.mean, self.std, dtype)
        except (torch.OutOfMemoryError, torch.AcceleratorError, ValueError):
            raise  # too little memory, a fault of an earlier kernel, wrong arguments: none is Triton's
        except Exception as error:  # no Triton, no C compiler, a card it does not know: each has an error of its own
            Views.triton = False
            warnings.warn(f"views take several times longer, because Triton cannot be used: {error!r}", stacklevel=3)
            return None

    def draw(self, n: int, height: int, width: int, device="cpu") -> Draw:
        """The random numbers of 2n views of n images: the first n rows from T, the other n from T′."""
        views = self.per_image * n
        u = torch.rand(views, 12, generator=self.generator, device=device)
        chances = self._chances.to(device).T.repeat_interleave(n, 0)
        strengths = self._strengths.to(device).T.repeat_interleave(n, 0)
        flip, jitter, grayscale, blur, solarize = (u[:, :5] < chances).unbind(1)
        factors = (2 * u[:, 5:9] - 1) * strengths
        factors[:, :HUE] += 1
        order = constant(ORDERS, device)[(u[:, 9] * len(ORDERS)).long()]
        low, high = self.config.blur_sigma
        sigma = low + u[:, 10] * (high - low)
        crop = self._draw_crop(views, height, width, device)
        return Draw(*crop, flip, jitter, factors, order, grayscale, blur, sigma, solarize)

    def _draw_crop(self, n: int, height: int, width: int, device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Area uniform, aspect ratio log-uniform; the first of ten tries that fits, else the whole image."""
        u = torch.rand(2, n, CROP_TRIES, generator=self.generator, device=device)
        place = torch.rand(2, n, generator=self.generator, device=device)
        low, high = self.config.crop_area
        side = torch.sqrt((low + u[0] * (high - low)) * (height * width))
        low, high = (math.log(ratio) / 2 for ratio in self.config.crop_ratio)
        stretch = torch.exp(low + u[1] * (high - low))
        heights, widths = side / stretch, side * stretch
        fits = (widths <= width) & (heights <= height)
        first = fits.to(torch.uint8).argmax(1, keepdim=True)
        h = torch.where(fits.any(1), heights.gather(1, first)[:, 0], height)
        w = torch.where(fits.any(1), widths.gather(1, first)[:, 0], width)
        return (height - h) * place[0], (width - w) * place[1], h, w


class LocalCrops(Views):
    """DINO's small views: config.local_crops of each image, from T and T′ in turn, of config.local_crop_area.

    >>> crops = LocalCrops(config, view_size=32)(images)      # each float32 (N, 3, 16, 16)

    view_size: pixels a side of the global views.
    """

    def __init__(
        self,
        config: Config,
        view_size: int,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        generator=None,
        compiled: bool = False,
    ):
        local = config.replace(view_size=config.local_size(view_size), crop_area=config.local_crop_area, local_crops=0)
        super().__init__(local, mean, std, generator, compiled)
        kinds = torch.arange(config.local_crops) % 2
        self._chances, self._strengths = self._chances[:, kinds], self._strengths[:, kinds]
