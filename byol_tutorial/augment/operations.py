"""Carry out a Draw, the random numbers of a batch of views, by operations on all pictures at once.

Views (views.py) draws the numbers, a row of its own for each view. `apply` carries them out without randomness, so the
same numbers give the same picture on any device. It runs on the images' device.

The operations come in the paper's order (appendix B): random resized crop, horizontal flip, colour jitter, grayscale,
Gaussian blur, solarize; then normalisation by channel. After the horizontal flip there may be two that the paper does
not have, for images from above: a vertical flip and a turn by a multiple of 90°.

Images have any number of channels C. Saturation, hue and grayscale are defined for red, green and blue alone, so they
change nothing where C is not 3, and Views refuses them there; all other operations treat every channel in the same way.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

RGB = 3  # channels of an image that has colours
LUMA = (0.2989, 0.5870, 0.1140)  # the grayscale weights of the paper and of torchvision
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
COLOUR_OPERATIONS = ("brightness", "contrast", "saturation", "hue")
Statistics = Sequence[float] | Tensor  # a mean or a standard deviation of each channel
Device = torch.device | str
Index = slice | int | Tensor | Sequence[int]


@functools.cache
def constant(values: tuple[Any, ...], device: Device, dtype: torch.dtype | None = None) -> Tensor:
    """Return these numbers on the device, and keep them there, because copying them each time waits for the GPU."""
    return torch.tensor(values, device=device, dtype=dtype)


@dataclass
class Draw:
    """The random numbers of N views, one row for each. Lengths are in pixels of the source image.

    top, left, height, width   float32 (N,), the crop
    flip, vertical_flip        bool (N,)
    quarter_turns              int64 (N,): 0 to 3 turns of the view by 90°, counter-clockwise as torch.rot90, after the flips
    jitter                     bool (N,), whether the four colour operations apply
    factors                    float32 (N, 4): factors of brightness, contrast and saturation, turn of the hue
    order                      int64 (N, 4): which of the four comes first, second, ...
    grayscale, blur, solarize  bool (N,)
    sigma                      float32 (N,), pixels of the view
    """

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    flip: Tensor
    vertical_flip: Tensor
    quarter_turns: Tensor
    jitter: Tensor
    factors: Tensor
    order: Tensor
    grayscale: Tensor
    blur: Tensor
    sigma: Tensor
    solarize: Tensor

    def to(self, device: Device) -> "Draw":
        """Return the same numbers on this device."""
        return Draw(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def __getitem__(self, index: Index) -> "Draw":
        """Return the rows at this index."""
        return Draw(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


def apply(images: Tensor, drawn: Draw, size: int, colour_form: str = "torchvision") -> Tensor:
    """Carry out a Draw: float images (N, C, H, W) in [0, 1] -> float (N, C, size, size) in [0, 1].

    colour_form: "torchvision", or "authors" for colour jitter and blur as in the published code of the paper.
    """
    authors = colour_form == "authors"
    x = crop(images, drawn, size)
    if x.shape[1] != RGB:
        x = intensity_jitter(x, drawn, colour_form)
    else:
        x = authors_colour_jitter(x, drawn) if authors else colour_jitter(x, drawn)
        x = where(drawn.grayscale, x, lambda x, _: luma(x).expand_as(x))
    x = where(drawn.blur, x, authors_gaussian_blur if authors else gaussian_blur, drawn.sigma)
    return where(drawn.solarize, x, lambda x, _: torch.where(x >= 0.5, 1 - x, x))


def where(
    chosen: Tensor, x: Tensor, operation: Callable[[Tensor, Any], Tensor], parameter: Tensor | None = None
) -> Tensor:
    """Return operation(x, parameter) for the chosen images, bool (N,), and x for the others.

    It is computed for all images, because to ask which were chosen would wait for the GPU.
    """
    return torch.where(chosen[:, None, None, None], operation(x, parameter), x)


# --- geometry -----------------------------------------------------------------------------------


def crop(x: Tensor, drawn: Draw, size: int) -> Tensor:
    """Cut each image's rectangle out, resize it to size × size, flip and turn it where drawn.

    A resize is linear and separable, so it is two matrix products per image, rows · x · columnsᵀ. The matrices hold
    the bicubic weights (a = −0.5, wider where the picture shrinks, so that nothing aliases), as in PIL and in
    torchvision's antialiased resize. A flip turns the column matrix upside down, a vertical flip the row matrix.
    """
    across, down, exchanged = orientation(drawn)
    rows = resize_weights(drawn.top, drawn.height, x.shape[2], size)
    columns = resize_weights(drawn.left, drawn.width, x.shape[3], size)
    rows = torch.where(down[:, None, None], rows.flip(1), rows)
    columns = torch.where(across[:, None, None], columns.flip(1), columns)
    x = separable(x, rows, columns).clamp_(0, 1)
    return torch.where(exchanged[:, None, None, None], x.transpose(2, 3), x).contiguous()


def orientation(drawn: Draw) -> tuple[Tensor, Tensor, Tensor]:
    """Return how flips and turns are done together, bool (N,) each.

    The columns of a view are mirrored, its rows are mirrored, and then rows and columns are exchanged. A turn by 90°
    mirrors the columns and exchanges; by 180° it mirrors both; by 270° it mirrors the rows and exchanges.
    """
    k = drawn.quarter_turns
    return drawn.flip ^ ((k == 1) | (k == 2)), drawn.vertical_flip ^ (k >= 2), k % 2 == 1


def separable(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Compute rows · x · columnsᵀ for each image and channel: (N, C, H, W), (N, h, H), (N, w, W) -> (N, C, h, w)."""
    n, c, height, width = x.shape
    x = torch.bmm(x.reshape(n, c * height, width), columns.transpose(1, 2))
    return torch.matmul(rows[:, None], x.view(n, c, height, -1))


def resize_weights(start: Tensor, length: Tensor, source: int, size: int) -> Tensor:
    """Return the bicubic weights that turn the stretch [start, start + length) of a line into `size` pixels.

    start, length: (N,), in source pixels. Returns (N, size, source). Every row sums to 1, and pixels outside the
    stretch have weight 0. Keys' kernel with a = −0.5 has at distance t the weight
    ½p²(p − 1) + q²(1 − 2q), with p = max(2 − t, 0) and q = max(1 − t, 0).
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
    """Blur each image with its own sigma (N,), reflecting at the border as torchvision does; see `blur_matrix`."""
    blur = blur_matrix(x.shape[3], sigma, zero_padding=False)
    return separable(x, blur, blur)


def authors_gaussian_blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Blur as the authors' published code does: pixels beyond the border count as 0, so the border gets darker.

    The paper does not say what is beyond the border. All else is the same here and there: the radius int(size / 20), the
    weights exp(−d² / 2σ²) divided by their sum, and one pass along each axis.
    """
    blur = blur_matrix(x.shape[3], sigma, zero_padding=True)
    return separable(x, blur, blur)


def blur_matrix(size: int, sigma: Tensor, zero_padding: bool) -> Tensor:
    """Return how much each pixel of a line takes of each other one: (N, size, size), with a sigma for each of N images.

    The kernel has 2 · int(size / 20) + 1 taps, as in the authors' code: 23 at 224 px, 3 at 32 px, and 1 below 20 px,
    which blurs nothing. A tap beyond the border takes the pixel that it is reflected to, or with zero_padding nothing.
    """
    radius = size // 20
    taps = torch.arange(-radius, radius + 1, device=sigma.device)
    kernel = torch.exp(-0.5 * (taps / sigma[:, None]) ** 2)
    kernel = kernel / kernel.sum(1, keepdim=True)  # (N, taps)
    pixel = torch.arange(size, device=sigma.device)
    blur = torch.zeros(len(sigma), size, size, device=sigma.device)
    for tap in range(2 * radius + 1):
        there = pixel + tap - radius
        source = there.abs()  # reflected at the first pixel ...
        source = (size - 1) - (size - 1 - source).abs()  # ... and at the last
        weight = kernel[:, tap, None]
        blur[:, pixel, source] += torch.where(source == there, weight, 0) if zero_padding else weight
    return blur


# --- colour -------------------------------------------------------------------------------------


def luma(x: Tensor) -> Tensor:
    """Return the brightness as the eye weighs it: (N, 3, ...) -> (N, 1, ...); of C other channels, their mean."""
    if x.shape[1] != RGB:
        return x.mean(1, keepdim=True)
    return LUMA[0] * x[:, :1] + LUMA[1] * x[:, 1:2] + LUMA[2] * x[:, 2:]


def colour_jitter(x: Tensor, drawn: Draw) -> Tensor:
    """Change brightness, contrast, saturation and hue in the order of each image, where drawn.

    The first three mix each pixel with black, with the mean luma of the image and with its own luma:
    x ← clamp(r·x + (1 − r)·m, 0, 1), a 3×3 matrix and an offset per image. Hue is no matrix. So every image first takes
    the linear operations that come before hue in its order, then hue, then the linear ones that come after hue. In a
    turn that is not its own it is multiplied by the identity.
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
            pull = torch.where(mine & (operation == CONTRAST), 1 - r[:, CONTRAST, 0, 0], 0.0)  # to the mean
            offset = pull[:, None] * luma(x.mean(2))
            x = torch.baddbmm(offset[:, None], matrix, x).clamp_(0, 1)
    return x.view(n, 3, height, width)


def intensity_jitter(x: Tensor, drawn: Draw, colour_form: str) -> Tensor:
    """Change brightness and contrast of (N, C, H, W), in the order of each image, where drawn; C is not 3.

    They are those of `colour_jitter` and `authors_colour_jitter`. The mean luma that contrast pivots on is the mean of
    all channels. A change of saturation or hue, which takes three channels, is left out.
    """
    authors = colour_form == "authors"
    operations = {
        BRIGHTNESS: add_brightness if authors else scale_brightness,
        CONTRAST: channel_contrast if authors else mean_contrast,
    }
    for turn in range(4):
        for number, operation in operations.items():
            chosen = drawn.jitter & (drawn.order[:, turn] == number)
            x = where(chosen, x, operation, drawn.factors[:, number])
    return x


def scale_brightness(x: Tensor, factor: Tensor) -> Tensor:
    """Return clamp(factor · x, 0, 1), with one factor for each image."""
    return (x * factor[:, None, None, None]).clamp(0, 1)


def mean_contrast(x: Tensor, factor: Tensor) -> Tensor:
    """Return clamp(factor · x + (1 − factor) · m, 0, 1), where m is the mean of all channels of each image."""
    return torch.lerp(x.mean(dim=(1, 2, 3), keepdim=True), x, factor[:, None, None, None]).clamp(0, 1)


def turn_hue(x: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue of HSV by `turn` (N,) of a full circle; saturation and value stay.

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
    """Change colours as the authors' published code does; the paper describes `colour_jitter`, which is torchvision's.

    Brightness adds (factor − 1), contrast pivots on each channel's own mean, saturation scales the S of HSV.
    """
    operations = {BRIGHTNESS: add_brightness, CONTRAST: channel_contrast, SATURATION: scale_saturation, HUE: turn_hue}
    for turn in range(4):
        for number, operation in operations.items():
            chosen = drawn.jitter & (drawn.order[:, turn] == number)
            x = where(chosen, x, operation, drawn.factors[:, number])
    return x


def add_brightness(x: Tensor, factor: Tensor) -> Tensor:
    """Return clamp(x + factor − 1, 0, 1), with one factor for each image."""
    return (x + (factor - 1)[:, None, None, None]).clamp(0, 1)


def channel_contrast(x: Tensor, factor: Tensor) -> Tensor:
    """Return clamp(factor · x + (1 − factor) · m, 0, 1), where m is the mean of each channel of each image."""
    return torch.lerp(x.mean(dim=(2, 3), keepdim=True), x, factor[:, None, None, None]).clamp(0, 1)


def scale_saturation(x: Tensor, factor: Tensor) -> Tensor:
    """Multiply the saturation S = C / V of HSV by the factor, to at most 1.

    The distance of each channel from the value V is multiplied by the factor, or by 1 / S if that is less.
    """
    value = x.amax(1, keepdim=True)
    chroma = value - x.amin(1, keepdim=True)
    most = value / chroma.clamp(min=1e-8)
    return value - (value - x) * torch.minimum(factor[:, None, None, None], most)


# --- in and out ---------------------------------------------------------------------------------


def as_float(images: Tensor) -> Tensor:
    """Convert uint8 and uint16 to float32 in [0, 1], where 1 is 255 or 65535; return floats as they are."""
    whole = images.dtype in (torch.uint8, torch.uint16)
    return images.float().div_(torch.iinfo(images.dtype).max) if whole else images


def normalise(x: Tensor, mean: Statistics, std: Statistics) -> Tensor:
    """Return (x − mean) / std for each channel: (N, C, H, W) -> the same shape. mean, std: C numbers each."""
    m, s = (t.to(x) if isinstance(t, Tensor) else constant(tuple(t), x.device, x.dtype) for t in (mean, std))
    return (x - m[:, None, None]) / s[:, None, None]
