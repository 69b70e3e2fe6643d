"""A view in one go, for CPUs: what augment.apply does to a batch, operation by operation, done picture by picture.

The batch's way passes over memory some forty times, and computes every colour operation for every picture. Here a
picture goes through its whole chain while it lies in the processor's cache, and meets only the operations that were
drawn for it. numba compiles these functions when they are first called, and keeps what it compiled. The same formulas
as in operations.py, where they are explained; the two are tested against each other.
"""

import math

import numba
import numpy as np
import torch
from torch import Tensor

from ..runtime.omp_threads import share

f32 = np.float32
# sums may be taken in any order and a·b + c rounded once: no more is asked of the compiler, which else computes
# number by number
ROUNDING = {"contract", "nsz", "reassoc", "arcp"}
LEAST = 20_000  # numbers in a thread's views: with fewer, waking it costs more than it saves


def compiled(function):
    """Machine code for this processor, that lets other threads run meanwhile; kept on disk where there is a place."""
    options = {"nogil": True, "fastmath": ROUNDING, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's can be written
        return numba.njit(**options)(function)


def views(images: Tensor, drawn, size: int, colour_form: str, mean, std) -> Tensor:
    """Carry out a Draw of k · n rows on n images, row r on image r mod n, and normalise.

    images: uint8, or float in [0, 1], (n, 3, H, W), on the CPU. drawn, colour_form: as for augment.apply.
    Raises ValueError for images of another shape or type, or with another number of rows.

    Returns float32 (k · n, 3, size, size), channels last. Each row depends on its own image and numbers only, so
    however a batch is divided, the views are the same bit for bit.
    """
    whole = images.dtype == torch.uint8
    n = len(drawn.flip)
    # compiled code does not look where it reads
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape or n % len(images):
        raise ValueError(f"images {tuple(images.shape)} for {n} draws: give (n, 3, H, W), and as many draws for each")
    if not whole and not images.is_floating_point():
        raise ValueError(f"images of {images.dtype}: give uint8, or float in [0, 1]")
    pixels = (images if whole else images.float()).contiguous()
    out = torch.empty(n, 3, size, size, dtype=torch.float32, device="cpu", memory_format=torch.channels_last)
    jitter = (drawn.jitter, drawn.factors, drawn.order)
    finish = (drawn.grayscale, drawn.blur, drawn.sigma, drawn.solarize)
    rows = [t.numpy() for t in (drawn.top, drawn.left, drawn.height, drawn.width, drawn.flip, *jitter, *finish)]
    mean, std = (tuple(np.broadcast_to(np.asarray(s, f32), 3)) for s in (mean, std))
    statistics = (mean, tuple(1 / s for s in std))
    unit = f32(1 / 255 if whole else 1)
    written = out.permute(0, 2, 3, 1).reshape(n, size * size, 3).numpy()  # the same memory
    work = (pixels.numpy(), *rows, colour_form == "authors", unit, *statistics, written)
    threads = torch.get_num_threads()  # all or one: with fewer, OpenMP would end the others, and start them again
    parts = threads if threads <= n and out.numel() >= LEAST * threads else 1
    ends = np.linspace(0, n, parts + 1).astype(int)
    rooms = [np.empty((3, size, size), f32) for _ in range(parts)]
    tasks = [(*work, a, b, x, x.reshape(3, -1)) for a, b, x in zip(ends, ends[1:], rooms, strict=False)]
    share(_rows, tasks)
    return out


@compiled
def _rows(images, top, left, height, width, flip, jitter, factors, order, grayscale, blur, sigma, solarize,
          authors, unit, mean, scale, out, begin, end, x, flat):  # fmt: skip
    """Rows begin to end of a Draw, written to out: (rows, pixels, 3). x, flat: room for a picture, in two shapes."""
    for row in range(begin, end):
        image = images[row % len(images)]
        crop(image, top[row], left[row], height[row], width[row], flip[row], unit, x)
        if jitter[row]:
            for turn in range(4):
                colour(flat, order[row, turn], factors[row, order[row, turn]], authors)
        if grayscale[row]:
            to_grayscale(flat)
        if blur[row]:
            gaussian_blur(x, sigma[row])
        if solarize[row]:
            invert_bright(flat)
        write(flat, mean, scale, out[row])


# --- geometry -----------------------------------------------------------------------------------


@compiled
def crop(image, top, left, height, width, flip, unit, x):
    """rows · image · columnsᵀ · unit, as augment.crop, by the weights that are not 0 alone."""
    size = x.shape[1]
    rows, by_row = resize_weights(top, height, image.shape[1], size, False)
    columns, by_column = resize_weights(left, width, image.shape[2], size, flip)
    between = np.empty((image.shape[2], size), f32)
    for channel in range(3):
        weighted_rows(image[channel], rows, by_row, between)
        weighted_rows(between, columns, by_column, x[channel])
        for i in range(size):
            for j in range(size):
                x[channel, i, j] = clamp(unit * x[channel, i, j])


@compiled
def resize_weights(start, length, source, size, mirrored):
    """augment.resize_weights without most of its zeros: each row's first column, and the weights from there on."""
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
def weighted_rows(x, first, weights, out):
    """out = (W · x)ᵀ, for the matrix W whose row i holds weights[i] from column first[i] on."""
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
def gaussian_blur(x, sigma):
    """Down the columns, then along the rows, reflecting at the border."""
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
    for channel in range(3):
        picture = x[channel]
        for i in range(size):
            row = between[i]
            for j in range(size):
                row[j] = f32(0)
            for k in range(len(kernel)):
                source = picture[(size - 1) - abs(size - 1 - abs(i + k - radius))]
                for j in range(size):
                    row[j] += kernel[k] * source[j]
        for i in range(size):
            row, blurred = between[i], picture[i]
            for j in range(size):
                line[radius + j] = row[j]
                blurred[j] = f32(0)
            for k in range(radius):
                line[k], line[radius + size + k] = row[radius - k], row[size - 2 - k]
            for k in range(len(kernel)):
                shifted = line[k : k + size]
                for j in range(size):
                    blurred[j] += kernel[k] * shifted[j]


# --- colour: x is (3, pixels), and is written into --------------------------------------------------


@compiled
def clamp(value):
    return min(max(value, f32(0)), f32(1))


@compiled
def luma(r, g, b):
    return f32(0.2989) * r + f32(0.5870) * g + f32(0.1140) * b


@compiled
def colour(x, operation, factor, authors):
    """One of the four operations of colour jitter: augment.BRIGHTNESS and so on."""
    if operation == 0:
        if authors:
            mix(x, f32(1), factor - f32(1))
        else:
            mix(x, factor, f32(0))
    elif operation == 1:
        if authors:
            for channel in range(3):
                mix(x[channel : channel + 1], factor, (f32(1) - factor) * mean(x[channel]))
        else:
            mix(x, factor, (f32(1) - factor) * luma(mean(x[0]), mean(x[1]), mean(x[2])))
    elif operation == 2:
        if authors:
            scale_saturation(x, factor)
        else:
            mix_with_luma(x, factor)
    else:
        turn_hue(x, factor)


@compiled
def mean(values):
    total = f32(0)
    for i in range(len(values)):
        total += values[i]
    return total / f32(len(values))


@compiled
def mix(x, factor, offset):
    for channel in range(len(x)):
        for i in range(x.shape[1]):
            x[channel, i] = clamp(factor * x[channel, i] + offset)


@compiled
def mix_with_luma(x, factor):
    red, green, blue = x[0], x[1], x[2]
    for i in range(len(red)):
        pull = (f32(1) - factor) * luma(red[i], green[i], blue[i])
        red[i] = clamp(factor * red[i] + pull)
        green[i] = clamp(factor * green[i] + pull)
        blue[i] = clamp(factor * blue[i] + pull)


@compiled
def value_and_chroma(r, g, b):
    value = max(max(r, g), b)
    return value, value - min(min(r, g), b)


@compiled
def scale_saturation(x, factor):
    red, green, blue = x[0], x[1], x[2]
    for i in range(len(red)):
        r, g, b = red[i], green[i], blue[i]
        value, chroma = value_and_chroma(r, g, b)
        most = min(factor, value / max(chroma, f32(1e-8)))
        red[i], green[i], blue[i] = value - (value - r) * most, value - (value - g) * most, value - (value - b) * most


@compiled
def turn_hue(x, turn):
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
def nearness(d):
    """Of a distance in circles: 1 within a sixth, 0 from two sixths on."""
    return clamp(f32(2) - f32(6) * abs(d - np.floor(d + f32(0.5))))


@compiled
def to_grayscale(x):
    red, green, blue = x[0], x[1], x[2]
    for i in range(len(red)):
        grey = luma(red[i], green[i], blue[i])
        red[i], green[i], blue[i] = grey, grey, grey


@compiled
def invert_bright(x):
    for channel in range(3):
        for i in range(x.shape[1]):
            value = x[channel, i]
            x[channel, i] = f32(1) - value if value >= f32(0.5) else value


@compiled
def write(x, mean, scale, out):
    """Normalised, and the three numbers of a pixel side by side."""
    red, green, blue = x[0], x[1], x[2]
    (a, b, c), (p, q, r) = mean, scale
    for i in range(len(red)):
        out[i, 0], out[i, 1], out[i, 2] = (red[i] - a) * p, (green[i] - b) * q, (blue[i] - c) * r
