"""Views on a CPU, picture by picture; augment.apply makes the same ones for a whole batch, operation by operation.

augment.apply passes over memory some forty times, and computes every colour operation for every picture. Here a picture
goes through all its operations while it lies in the processor's cache, and only through those that were drawn for it.
numba compiles these functions when they are first called, and keeps the machine code on disk. The formulas are those of
operations.py, where they are explained; the two are tested against each other.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .operations import BRIGHTNESS, CONTRAST, RGB, SATURATION, Draw, Statistics, orientation

f32 = np.float32
Floats = NDArray[np.float32]
F = TypeVar("F", bound=Callable[..., Any])
# The compiler may take sums in any order, and may round a·b + c once; without that it computes number by number.
ROUNDING = {"contract", "nsz", "reassoc", "arcp"}


class Numbers(NamedTuple):
    """A Draw as NumPy arrays, which compiled code can read; see Draw for shapes and units, `orientation` for the flips."""

    top: Floats
    left: Floats
    height: Floats
    width: Floats
    across: NDArray[np.bool_]
    down: NDArray[np.bool_]
    exchanged: NDArray[np.bool_]
    jitter: NDArray[np.bool_]
    factors: Floats
    order: NDArray[np.int64]
    grayscale: NDArray[np.bool_]
    blur: NDArray[np.bool_]
    sigma: Floats
    solarize: NDArray[np.bool_]


class Settings(NamedTuple):
    """What all views of a call have in common.

    size      pixels a side of a view
    authors   whether colours change and the blur pads as in the authors' code (Config.colour_form)
    unit      factor that brings pixel values to [0, 1]: 1/255 for uint8, 1/65535 for uint16, else 1
    mean      the mean of each channel, for normalisation; code is compiled for each number of channels
    scale     1 / standard deviation of each channel
    """

    size: int
    authors: bool
    unit: np.float32
    mean: tuple[np.float32, ...]
    scale: tuple[np.float32, ...]


def compiled(function: F) -> F:
    """Compile to machine code that lets other Python threads run, kept on disk where a folder can be written."""
    options: dict[str, Any] = {"nogil": True, "fastmath": ROUNDING, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's can be written
        return numba.njit(**options)(function)


def views(images: Tensor, drawn: Draw, size: int, colour_form: str, mean: Statistics, std: Statistics) -> Tensor:
    """Carry out a Draw of k · n rows on n images, row r on image r mod n, and normalise.

    images: uint8, uint16, or float in [0, 1], (n, C, H, W), on the CPU. drawn, colour_form: as for augment.apply. mean,
    std: of each channel.

    Returns float32 (k · n, C, size, size), channels last. Each view depends only on its own image and its own row, so
    however a batch is divided, the views are the same bit for bit.

    Raises:
        ValueError: images of another shape or type, or a number of rows that is no multiple of theirs.
    """
    whole = images.dtype in (torch.uint8, torch.uint16)
    n = len(drawn.flip)
    # compiled code does not check where it reads, so shapes are checked here
    if images.ndim != 4 or 0 in images.shape or n % len(images):
        raise ValueError(f"images {tuple(images.shape)} for {n} draws: give (n, C, H, W), and as many draws for each")
    if not whole and not images.is_floating_point():
        raise ValueError(f"images of {images.dtype}: give uint8, uint16, or float in [0, 1]")
    pixels, channels = (images if whole else images.float()).contiguous(), images.shape[1]
    out = torch.empty(n, channels, size, size, dtype=torch.float32, device="cpu", memory_format=torch.channels_last)
    parts_of = vars(drawn) | dict(zip(("across", "down", "exchanged"), orientation(drawn), strict=True))
    numbers = Numbers(*(parts_of[name].numpy() for name in Numbers._fields))
    means, stds = (tuple(np.broadcast_to(np.asarray(s, f32), channels)) for s in (mean, std))
    unit = f32(1 / torch.iinfo(images.dtype).max if whole else 1)
    settings = Settings(size, colour_form == "authors", unit, means, tuple(1 / s for s in stds))
    written = out.permute(0, 2, 3, 1).reshape(n, size * size, channels).numpy()  # the same memory
    _rows(pixels.numpy(), numbers, settings, written)
    return out


@compiled
def _rows(images: NDArray[Any], drawn: Numbers, settings: Settings, out: Floats) -> None:
    """Write the views of all rows to out: (rows, pixels, C)."""
    size, channels = settings.size, len(settings.mean)
    x = np.empty((channels, size, size), f32)  # one picture at a time, which stays in the processor's cache
    flat = x.reshape(channels, size * size)  # the same memory
    for row in range(len(out)):
        image = images[row % len(images)]
        crop(
            image,
            drawn.top[row],
            drawn.left[row],
            drawn.height[row],
            drawn.width[row],
            drawn.across[row],
            drawn.down[row],
            settings.unit,
            x,
        )
        if drawn.exchanged[row]:
            exchange(x)
        if drawn.jitter[row]:
            for turn in range(4):
                operation = drawn.order[row, turn]
                if channels == RGB:
                    colour(flat, operation, drawn.factors[row, operation], settings.authors)
                else:
                    intensity(flat, operation, drawn.factors[row, operation], settings.authors)
        if drawn.grayscale[row] and channels == RGB:
            to_grayscale(flat)
        if drawn.blur[row]:
            gaussian_blur(x, drawn.sigma[row], settings.authors)
        if drawn.solarize[row]:
            invert_bright(flat)
        write(flat, settings.mean, settings.scale, out[row])


# --- geometry -----------------------------------------------------------------------------------


@compiled
def crop(
    image: NDArray[Any], top: f32, left: f32, height: f32, width: f32, across: bool, down: bool, unit: f32, x: Floats
) -> None:
    """Write rows · image · columnsᵀ · unit to x, as augment.crop, but only with the weights that are not 0."""
    size = x.shape[1]
    rows, by_row = resize_weights(top, height, image.shape[1], size, down)
    columns, by_column = resize_weights(left, width, image.shape[2], size, across)
    between = np.empty((image.shape[2], size), f32)
    for channel in range(len(x)):
        weighted_rows(image[channel], rows, by_row, between)
        weighted_rows(between, columns, by_column, x[channel])
        for i in range(size):
            for j in range(size):
                x[channel, i, j] = clamp(unit * x[channel, i, j])


@compiled
def exchange(x: Floats) -> None:
    """Exchange the rows and columns of each channel of x, in place."""
    for channel in range(len(x)):
        for i in range(x.shape[1]):
            for j in range(i):
                x[channel, i, j], x[channel, j, i] = x[channel, j, i], x[channel, i, j]


@compiled
def resize_weights(start: f32, length: f32, source: int, size: int, mirrored: bool) -> tuple[NDArray[np.int64], Floats]:
    """Return augment.resize_weights with few of its zeros: each row's first column, and the weights from there on."""
    step = length / f32(size)
    zoom = f32(1) / max(step, f32(1))
    reach = f32(2) / zoom
    first = np.empty(size, np.int64)
    weights = np.empty((size, min(source, math.ceil(f32(2) * reach))), f32)
    low, high = start - f32(0.5), start + length + f32(0.5)
    for place in range(size):
        i = size - 1 - place if mirrored else place
        centre = start + (f32(place) + f32(0.5)) * step
        first[i] = min(max(math.ceil(centre - reach - f32(0.5)), 0), source - weights.shape[1])
        total = f32(0)
        for k in range(weights.shape[1]):
            position = f32(first[i] + k) + f32(0.5)
            t = abs(position - centre) * zoom
            p, q = max(f32(2) - t, f32(0)), max(f32(1) - t, f32(0))
            weight = f32(0.5) * p * p * (p - f32(1)) + q * q * (f32(1) - f32(2) * q)
            weights[i, k] = weight if low < position and position < high else f32(0)
            total += weights[i, k]
        for k in range(weights.shape[1]):
            weights[i, k] /= total
    return first, weights


@compiled
def weighted_rows(x: NDArray[Any], first: NDArray[np.int64], weights: Floats, out: Floats) -> None:
    """Write (W · x)ᵀ to out, where row i of W is weights[i] from column first[i] on, and 0 elsewhere."""
    line = np.empty(x.shape[1], f32)
    width = len(line)
    for i in range(len(weights)):
        for j in range(width):
            line[j] = f32(0)
        for k in range(weights.shape[1]):
            weight = weights[i, k]
            if weight != 0:
                source = x[first[i] + k]
                for j in range(width):
                    line[j] += weight * f32(source[j])
        for j in range(width):
            out[j, i] = line[j]


@compiled
def gaussian_blur(x: Floats, sigma: f32, authors: bool) -> None:
    """Blur x in place, down the columns and then along the rows; beyond the border it is reflected, or 0 for the authors."""
    size = x.shape[1]
    radius = size // 20
    kernel = np.empty(2 * radius + 1, f32)
    total = f32(0)
    for k in range(len(kernel)):
        kernel[k] = math.exp(-f32(0.5) * (f32(k - radius) / sigma) ** 2)
        total += kernel[k]
    for k in range(len(kernel)):
        kernel[k] /= total
    line = np.empty(size + 2 * radius, f32)
    between = np.empty((size, size), f32)
    for channel in range(len(x)):
        picture = x[channel]
        for i in range(size):
            row = between[i]
            for j in range(size):
                row[j] = f32(0)
            for k in range(len(kernel)):
                there = i + k - radius
                reflected = (size - 1) - abs(size - 1 - abs(there))
                if authors and reflected != there:
                    continue
                source = picture[reflected]
                for j in range(size):
                    row[j] += kernel[k] * source[j]
        for i in range(size):
            row, blurred = between[i], picture[i]
            for j in range(size):
                line[radius + j] = row[j]
                blurred[j] = f32(0)
            for k in range(radius):
                if authors:
                    line[k], line[radius + size + k] = f32(0), f32(0)
                else:
                    line[k], line[radius + size + k] = row[radius - k], row[size - 2 - k]
            for k in range(len(kernel)):
                shifted = line[k : k + size]
                for j in range(size):
                    blurred[j] += kernel[k] * shifted[j]


# --- colour: x is (3, pixels), changed in place --------------------------------------------------


@compiled
def clamp(value: f32) -> f32:
    return min(max(value, f32(0)), f32(1))


@compiled
def luma(r: f32, g: f32, b: f32) -> f32:
    return f32(0.2989) * r + f32(0.5870) * g + f32(0.1140) * b


@compiled
def colour(x: Floats, operation: int, factor: f32, authors: bool) -> None:
    """Carry out one of the four operations of colour jitter."""
    if operation == BRIGHTNESS:
        if authors:
            mix(x, f32(1), factor - f32(1))
        else:
            mix(x, factor, f32(0))
    elif operation == CONTRAST:
        if authors:
            for channel in range(3):
                mix(x[channel : channel + 1], factor, (f32(1) - factor) * mean(x[channel]))
        else:
            mix(x, factor, (f32(1) - factor) * luma(mean(x[0]), mean(x[1]), mean(x[2])))
    elif operation == SATURATION:
        if authors:
            scale_saturation(x, factor)
        else:
            mix_with_luma(x, factor)
    else:
        turn_hue(x, factor)


@compiled
def intensity(x: Floats, operation: int, factor: f32, authors: bool) -> None:
    """Change brightness or contrast of any number of channels, as augment.intensity_jitter; leave out hue and saturation."""
    if operation == BRIGHTNESS:
        if authors:
            mix(x, f32(1), factor - f32(1))
        else:
            mix(x, factor, f32(0))
    elif operation == CONTRAST:
        pivot = f32(0)
        for channel in range(len(x)):
            pivot += mean(x[channel]) / f32(len(x))
        for channel in range(len(x)):
            middle = mean(x[channel]) if authors else pivot
            mix(x[channel : channel + 1], factor, (f32(1) - factor) * middle)


@compiled
def mean(values: Floats) -> f32:
    total = f32(0)
    for i in range(len(values)):
        total += values[i]
    return total / f32(len(values))


@compiled
def mix(x: Floats, factor: f32, offset: f32) -> None:
    """Set x to clamp(factor · x + offset, 0, 1)."""
    for channel in range(len(x)):
        for i in range(x.shape[1]):
            x[channel, i] = clamp(factor * x[channel, i] + offset)


@compiled
def mix_with_luma(x: Floats, factor: f32) -> None:
    """Set x to clamp(factor · x + (1 − factor) · luma of the pixel, 0, 1)."""
    red, green, blue = x[0], x[1], x[2]
    for i in range(len(red)):
        pull = (f32(1) - factor) * luma(red[i], green[i], blue[i])
        red[i] = clamp(factor * red[i] + pull)
        green[i] = clamp(factor * green[i] + pull)
        blue[i] = clamp(factor * blue[i] + pull)


@compiled
def value_and_chroma(r: f32, g: f32, b: f32) -> tuple[f32, f32]:
    value = max(max(r, g), b)
    return value, value - min(min(r, g), b)


@compiled
def scale_saturation(x: Floats, factor: f32) -> None:
    red, green, blue = x[0], x[1], x[2]
    for i in range(len(red)):
        r, g, b = red[i], green[i], blue[i]
        value, chroma = value_and_chroma(r, g, b)
        most = min(factor, value / max(chroma, f32(1e-8)))
        red[i], green[i], blue[i] = value - (value - r) * most, value - (value - g) * most, value - (value - b) * most


@compiled
def turn_hue(x: Floats, turn: f32) -> None:
    red, green, blue = x[0], x[1], x[2]
    for i in range(len(red)):
        r, g, b = red[i], green[i], blue[i]
        value, chroma = value_and_chroma(r, g, b)
        sixth = f32(1) / (f32(6) * max(chroma, f32(1e-8)))
        of_red, of_green, of_blue = (g - b) * sixth, (b - r) * sixth + f32(1 / 3), (r - g) * sixth + f32(2 / 3)
        h = (of_red if value == r else of_green if value == g else of_blue) + turn
        red[i] = value - chroma * nearness(h - f32(3 / 6))
        green[i] = value - chroma * nearness(h - f32(5 / 6))
        blue[i] = value - chroma * nearness(h - f32(1 / 6))


@compiled
def nearness(d: f32) -> f32:
    """Return 1 for a distance d, in circles, of at most one sixth, 0 from two sixths on, and a line in between."""
    return clamp(f32(2) - f32(6) * abs(d - np.floor(d + f32(0.5))))


@compiled
def to_grayscale(x: Floats) -> None:
    red, green, blue = x[0], x[1], x[2]
    for i in range(len(red)):
        grey = luma(red[i], green[i], blue[i])
        red[i], green[i], blue[i] = grey, grey, grey


@compiled
def invert_bright(x: Floats) -> None:
    for channel in range(len(x)):
        for i in range(x.shape[1]):
            value = x[channel, i]
            x[channel, i] = f32(1) - value if value >= f32(0.5) else value


@compiled
def write(x: Floats, mean: tuple[f32, ...], scale: tuple[f32, ...], out: Floats) -> None:
    """Normalise x, and write it to out with the numbers of a pixel side by side."""
    if len(mean) == RGB:  # three at a time, which is faster
        red, green, blue = x[0], x[1], x[2]
        for i in range(len(red)):
            out[i, 0] = (red[i] - mean[0]) * scale[0]
            out[i, 1] = (green[i] - mean[1]) * scale[1]
            out[i, 2] = (blue[i] - mean[2]) * scale[2]
        return
    for channel in range(len(mean)):
        for i in range(x.shape[1]):
            out[i, channel] = (x[channel, i] - mean[channel]) * scale[channel]
