"""Views: the distributions T and T′ of the paper, for a whole batch at once.

Two moments, kept apart. `Views.draw` picks the random numbers: one row of them per view, never one
per batch. `apply` carries them out, without randomness, so the same numbers give the same picture on
any device. Both run on the images' device.

Operations, in the paper's order (appendix B): random resized crop, horizontal flip, colour jitter,
grayscale, Gaussian blur, solarize; then per-channel normalisation.
"""

import functools
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from itertools import permutations
from pickle import UnpicklingError

import torch
from torch import Tensor

from .config import Config

LUMA = (0.2989, 0.5870, 0.1140)  # the grayscale weights of the paper and of torchvision
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
COLOUR_OPERATIONS = ("brightness", "contrast", "saturation", "hue")
ORDERS = tuple(permutations(range(4)))
CROP_TRIES = 10  # as torchvision: an area and ratio that do not fit are drawn again
# of numba: missing, or not made for this NumPy; what it compiled cannot be kept; what it kept was cut short
UNUSABLE = (ImportError, OSError, EOFError, UnpicklingError)


@functools.cache
def constant(values: tuple, device, dtype: torch.dtype | None = None) -> Tensor:
    """These numbers on the device, and kept there: to copy them at every step would be to wait for a GPU each time."""
    return torch.tensor(values, device=device, dtype=dtype)


@dataclass
class Draw:
    """What was drawn, one row per view. Lengths in pixels of the source image.

    top, left, height, width   float32 (N,), the crop
    flip                       bool (N,)
    jitter                     bool (N,), whether the four colour operations apply
    factors                    float32 (N, 4): factor of brightness, contrast, saturation; turn of the hue
    order                      int64 (N, 4): which of the four comes first, second, ...
    grayscale, blur, solarize  bool (N,)
    sigma                      float32 (N,), pixels of the view
    """

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    flip: Tensor
    jitter: Tensor
    factors: Tensor
    order: Tensor
    grayscale: Tensor
    blur: Tensor
    sigma: Tensor
    solarize: Tensor

    def to(self, device) -> "Draw":
        return Draw(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def __getitem__(self, index) -> "Draw":
        return Draw(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


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

        On a CPU picture by picture (fused.py), on CUDA up to 64 px in one kernel (triton_views.py), elsewhere as `apply`
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
                from . import fused  # here, for numba takes half a second to load

                both = fused.views(images, drawn, size, self.config.colour_form, self.mean, self.std)
                return both.split(len(images))
            except UNUSABLE as error:
                Views.compiled = False
                warnings.warn(f"views take several times longer, for numba cannot be used: {error!r}", stacklevel=2)
        both = as_float(images).repeat(self.per_image, 1, 1, 1)
        both = self._apply(both, drawn, size, self.config.colour_form)
        return normalise(both, self.mean, self.std).split(len(images))

    def _by_triton(self, images: Tensor, drawn: "Draw", size: int, dtype: torch.dtype) -> Tensor | None:
        """All views by one kernel, or None where it is not made for such images or cannot be used here."""
        try:
            from . import triton_views  # here, because torch brings Triton along with CUDA only

            if not triton_views.fits(images, size):
                return None
            return triton_views.views(images, drawn, size, self.config.colour_form, self.mean, self.std, dtype)
        except torch.OutOfMemoryError:
            raise
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


def apply(images: Tensor, drawn: Draw, size: int, colour_form: str = "torchvision") -> Tensor:
    """Carry out a Draw: float images (N, 3, H, W) in [0, 1] -> float (N, 3, size, size) in [0, 1]."""
    x = crop(images, drawn, size)
    x = colour_jitter(x, drawn) if colour_form == "torchvision" else authors_colour_jitter(x, drawn)
    x = where(drawn.grayscale, x, lambda x, _: luma(x).expand_as(x))
    x = where(drawn.blur, x, gaussian_blur, drawn.sigma)
    return where(drawn.solarize, x, lambda x, _: torch.where(x >= 0.5, 1 - x, x))


def stages(image: Tensor, drawn: Draw, size: int, colour_form: str = "torchvision") -> list[tuple[str, Tensor]]:
    """The chain of one view, operation by operation: each one's name and the picture after it, in the drawn order.

    Row k of a batch carries out the first k + 1 operations of the Draw and takes the others back, so all these
    pictures come from `apply`; the last is the view. An operation that was not drawn repeats the picture before it.

    image: float (3, H, W) in [0, 1]. drawn: one row. Pictures: float (3, size, size) in [0, 1].
    """
    names = ["crop", "flip", *(COLOUR_OPERATIONS[k] for k in drawn.order[0]), "grayscale", "blur", "solarize"]
    n = len(names)

    def done(name: str) -> Tensor:
        return torch.arange(n, device=image.device) >= names.index(name)

    part = drawn[torch.zeros(n, dtype=torch.long, device=image.device)]
    coloured = torch.stack([done(name) for name in COLOUR_OPERATIONS], 1)
    nothing = torch.tensor([1.0, 1.0, 1.0, 0.0], device=image.device)
    part.factors = torch.where(coloured, part.factors, nothing)
    part.jitter = part.jitter & coloured.any(1)
    for name in ("flip", "grayscale", "blur", "solarize"):
        setattr(part, name, getattr(part, name) & done(name))
    return list(zip(names, apply(image.expand(n, -1, -1, -1), part, size, colour_form), strict=True))


def where(chosen: Tensor, x: Tensor, operation: Callable, parameter: Tensor | None = None) -> Tensor:
    """operation(x, parameter) for the chosen images, x for the others. All are computed: which were chosen is not asked,
    since that would wait for a GPU."""
    return torch.where(chosen[:, None, None, None], operation(x, parameter), x)


# --- geometry -----------------------------------------------------------------------------------


def crop(x: Tensor, drawn: Draw, size: int) -> Tensor:
    """Cut each image's rectangle out, resize it to size × size, flip it where drawn.

    A resize is linear and separable, so it is two matrix products per image, rows · x · columnsᵀ. The
    matrices hold the bicubic weights (a = −0.5, widened when shrinking so that nothing aliases), as in
    PIL and in torchvision's antialiased resize. A flip is the column matrix upside down.
    """
    rows = resize_weights(drawn.top, drawn.height, x.shape[2], size)
    columns = resize_weights(drawn.left, drawn.width, x.shape[3], size)
    columns = torch.where(drawn.flip[:, None, None], columns.flip(1), columns)
    return separable(x, rows, columns).clamp_(0, 1)


def separable(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """rows · x · columnsᵀ for each image and channel: (N, C, H, W), (N, h, H), (N, w, W) -> (N, C, h, w)."""
    n, c, height, width = x.shape
    x = torch.bmm(x.reshape(n, c * height, width), columns.transpose(1, 2))
    return torch.matmul(rows[:, None], x.view(n, c, height, -1))


def resize_weights(start: Tensor, length: Tensor, source: int, size: int) -> Tensor:
    """Bicubic weights that turn the stretch [start, start + length) of a line into `size` pixels.

    (N,), (N,) in source pixels -> (N, size, source). Every row sums to 1, and pixels outside the
    stretch weigh nothing. Keys' kernel with a = −0.5, at distance t:
    ½p²(p − 1) + q²(1 − 2q), p = max(2 − t, 0), q = max(1 − t, 0).
    """
    position = torch.arange(source, device=start.device) + 0.5
    step = (length / size)[:, None]
    centre = start[:, None] + (torch.arange(size, device=start.device) + 0.5) * step  # (N, size)
    zoom = 1 / step.clamp(min=1)
    t = ((position * zoom)[:, None, :] - (centre * zoom)[:, :, None]).abs_()  # (N, size, source)
    p, q = (2 - t).clamp_(min=0), (1 - t).clamp_(min=0)
    weights = (p * p).mul_(p - 1).mul_(0.5).add_((q * q).mul_(1 - 2 * q))
    outside = (position <= start[:, None] - 0.5) | (position >= (start + length)[:, None] + 0.5)
    weights.masked_fill_(outside[:, None, :], 0)
    return weights.div_(weights.sum(2, keepdim=True))


def gaussian_blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Blur each image with its own sigma (N,), reflecting at the border.

    The kernel has 2 · int(size / 20) + 1 taps a side, as the authors' code: 23 at 224 px, 3 at 32 px.
    """
    size = x.shape[3]
    radius = size // 20
    taps = torch.arange(-radius, radius + 1, device=x.device)
    kernel = torch.exp(-0.5 * (taps / sigma[:, None]) ** 2)
    kernel = kernel / kernel.sum(1, keepdim=True)  # (N, taps)
    pixel = torch.arange(size, device=x.device)
    blur = torch.zeros(len(x), size, size, device=x.device)  # what each pixel takes of each other
    for tap in range(2 * radius + 1):
        source = (pixel + tap - radius).abs()  # reflected at the first pixel ...
        source = (size - 1) - (size - 1 - source).abs()  # ... and at the last
        blur[:, pixel, source] += kernel[:, tap, None]
    return separable(x, blur, blur)


# --- colour -------------------------------------------------------------------------------------


def luma(x: Tensor) -> Tensor:
    """Brightness as the eye weighs it: (N, 3, ...) -> (N, 1, ...)."""
    return LUMA[0] * x[:, :1] + LUMA[1] * x[:, 1:2] + LUMA[2] * x[:, 2:]


def colour_jitter(x: Tensor, drawn: Draw) -> Tensor:
    """Brightness, contrast, saturation and hue, in each image's own order, where drawn.

    The first three mix each pixel with black, with the image's mean luma and with its own luma:
    x ← clamp(r·x + (1 − r)·m, 0, 1), a 3×3 matrix and an offset per image. Hue is no matrix. So every
    image takes the linear ones it has before hue, then hue, then the linear ones it has after it;
    turns that are not its own multiply by the identity.
    """
    n, _, height, width = x.shape
    one = torch.eye(3, device=x.device)
    r = torch.where(drawn.jitter[:, None], drawn.factors, 1.0)[:, :HUE, None, None]
    matrices = r * one  # (N, 3 operations, 3, 3)
    for channel, weight in enumerate(LUMA):
        matrices[:, SATURATION, :, channel] += (1 - r[:, SATURATION, :, 0]) * weight
    place = drawn.order.argsort(1)  # place of each operation in the order
    x = x.flatten(2)
    for after_hue in (False, True):
        if after_hue:
            x = where(drawn.jitter, x.view(n, 3, height, width), turn_hue, drawn.factors[:, HUE]).flatten(2)
        for turn in range(1, 4) if after_hue else range(3):
            operation = drawn.order[:, turn]
            mine = (place[:, HUE] < turn) if after_hue else (place[:, HUE] > turn)
            index = operation.clamp(max=SATURATION)
            matrix = matrices[torch.arange(n, device=x.device), index]
            matrix = torch.where(mine[:, None, None], matrix, one)
            pull = torch.where(mine & (operation == CONTRAST), 1 - r[:, CONTRAST, 0, 0], 0.0)  # towards the mean
            offset = pull[:, None] * luma(x.mean(2))
            x = torch.baddbmm(offset[:, None], matrix, x).clamp_(0, 1)
    return x.view(n, 3, height, width)


def turn_hue(x: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue of HSV by `turn` (N,) of a full circle, saturation and value kept.

    With V = max, C = max − min and the hue h in sixths of a circle, each channel is
    V − C · clamp(2 − d, 0, 1), where d is the distance around the circle from h to the channel's
    opposite colour: 3, 5 and 1 sixths for red, green and blue.
    """
    r, g, b = x.unbind(1)
    value = torch.maximum(torch.maximum(r, g), b)
    chroma = value - torch.minimum(torch.minimum(r, g), b)
    sixth = 1 / (6 * chroma.clamp(min=1e-8))
    h = torch.where(
        value == r, (g - b) * sixth, torch.where(value == g, (b - r) * sixth + 1 / 3, (r - g) * sixth + 2 / 3)
    )
    h = h + turn[:, None, None]
    d = torch.stack([h - 3 / 6, h - 5 / 6, h - 1 / 6], 1)  # (N, 3, H, W), in circles
    d = (d - d.round()).abs_()
    return value[:, None] - chroma[:, None] * (2 - 6 * d).clamp_(0, 1)


def authors_colour_jitter(x: Tensor, drawn: Draw) -> Tensor:
    """Colour jitter as in the authors' published code; the paper describes torchvision's, above.

    Brightness adds (factor − 1), contrast pivots on each channel's own mean, saturation scales the S of HSV.
    """
    operations = {BRIGHTNESS: add_brightness, CONTRAST: channel_contrast, SATURATION: scale_saturation, HUE: turn_hue}
    for turn in range(4):
        for number, operation in operations.items():
            chosen = drawn.jitter & (drawn.order[:, turn] == number)
            x = where(chosen, x, operation, drawn.factors[:, number])
    return x


def add_brightness(x: Tensor, factor: Tensor) -> Tensor:
    return (x + (factor - 1)[:, None, None, None]).clamp(0, 1)


def channel_contrast(x: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(x.mean(dim=(2, 3), keepdim=True), x, factor[:, None, None, None]).clamp(0, 1)


def scale_saturation(x: Tensor, factor: Tensor) -> Tensor:
    """S = C / V of HSV times the factor, at most 1: each channel's distance from the value V, times factor or 1 / S."""
    value = x.amax(1, keepdim=True)
    chroma = value - x.amin(1, keepdim=True)
    most = value / chroma.clamp(min=1e-8)
    return value - (value - x) * torch.minimum(factor[:, None, None, None], most)


# --- in and out ---------------------------------------------------------------------------------


def as_float(images: Tensor) -> Tensor:
    """uint8 -> float32 in [0, 1]; float is passed on."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def normalise(x: Tensor, mean, std) -> Tensor:
    """(x − mean) / std per channel."""
    mean, std = (s.to(x) if isinstance(s, Tensor) else constant(tuple(s), x.device, x.dtype) for s in (mean, std))
    return (x - mean[:, None, None]) / std[:, None, None]
