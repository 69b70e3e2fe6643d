"""Views on CUDA by one Triton kernel, where augment.apply needs some three hundred launches.

A GPU needs longer to start each of those small operations than to do it. Here one program makes one view: it reads the
picture once as uint8, keeps its three channels in registers through crop, flip, colour, grayscale, blur and solarize,
and writes it once, normalised and channels last. It computes only the operations that were drawn for the view. Images
of any other number of channels have a kernel of their own, which makes one channel of a view after the other. The
formulas are those of operations.py, where they are explained; the two are tested against each other.

A whole picture must fit into the registers of one program, so pictures and views have at most `LARGEST` pixels a side.

The parameters of the kernels have no types, because Triton reads annotations itself.
"""

import functools
import os

import torch
import triton
import triton.language as tl
from torch import Tensor

from .operations import RGB, Draw, Statistics, orientation

LARGEST = 64
WARPS = {16: 4, 32: 4, 64: 16}  # pixels a side of a view's tile: warps of 32 threads that share the view
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"  # Triton then runs kernels without a GPU


def fits(images: Tensor, size: int) -> bool:
    """Return whether the kernel is written for these images, and for views of `size` pixels a side."""
    there = images.device.type == "cuda" or INTERPRETED
    kind = images.dtype in (torch.uint8, torch.uint16, torch.float32)
    small = max(*images.shape[2:], size) <= LARGEST
    return there and kind and small and not images.requires_grad


def views(
    images: Tensor,
    drawn: Draw,
    size: int,
    colour_form: str,
    mean: Statistics,
    std: Statistics,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Carry out a Draw of k · n rows on n images, row r on image r mod n, and normalise.

    Args:
        images: uint8, uint16, or float32 in [0, 1], (n, C, H, W), on CUDA, at most `LARGEST` pixels a side.
        drawn: the Draw, on the same device. See augment.apply, also for `colour_form`.
        size: pixels a side of the views, at most `LARGEST`.
        mean, std: statistics of each channel of the data, C numbers each, or one for all.
        dtype: the type of the views. Half precision rounds once, at the end, as autocast would round a float32 view.

    Returns:
        (k · n, C, size, size), channels last.

    Raises:
        ValueError: images of another shape, type, size or device; rows that are no multiple of them, or elsewhere.
    """
    rows = len(drawn.flip)
    if (
        images.ndim != 4
        or 0 in images.shape
        or rows % len(images)
        or not fits(images, size)
        or drawn.flip.device != images.device
    ):
        raise ValueError(
            f"images {tuple(images.shape)} of {images.dtype} on {images.device}, {rows} draws, views of {size} px: "
            f"give uint8, uint16 or float32 images (n, C, H, W) on CUDA of at most {LARGEST} px, and as many draws for each"
        )
    n, channels, height, width = images.shape
    place = torch.stack((drawn.top, drawn.left, drawn.height, drawn.width, drawn.sigma), 1)  # (rows, 5)
    switches = (*orientation(drawn), drawn.jitter, drawn.grayscale, drawn.blur, drawn.solarize)
    flags = torch.stack(switches, 1).view(torch.uint8)  # (rows, 7)
    out = torch.empty(rows, size, size, channels, dtype=dtype, device=images.device)
    numbers = [tuple(map(float, s)) * (channels if len(s) == 1 else 1) for s in (mean, std)]
    kernel, more = (_view, {}) if channels == RGB else (_view_by_channel, {"C": channels})
    with torch.cuda.device_of(images):  # Triton launches on the current device
        kernel[(rows,)](
            images.contiguous(), out, place, flags, drawn.factors.contiguous(), drawn.order.contiguous(),
            _statistics(*numbers, images.device), n,
            UNIT=1.0 if images.is_floating_point() else 1 / torch.iinfo(images.dtype).max,
            AUTHORS=colour_form == "authors", H=height, W=width, S=size, RADIUS=size // 20,
            HP=_power(height), WP=_power(width), P=_power(size), num_warps=WARPS[_power(size)],
            enable_fp_fusion=True,  # Triton warns where it is left open
            **more,
        )  # fmt: skip
    return out.permute(0, 3, 1, 2)


def _power(n: int) -> int:
    """Return the side of the tile for n pixels: a power of two, at least 16 because of the matrix products."""
    return max(16, triton.next_power_of_2(n))


@functools.cache
def _statistics(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> Tensor:
    """Return mean and 1 / std, a number for each channel, on the device, where they are kept."""
    return torch.tensor([*mean, *(1 / s for s in std)], device=device)


@triton.jit
def _view(images, out, place, flags, factors, order, statistics, n, UNIT: tl.constexpr, AUTHORS: tl.constexpr,
          H: tl.constexpr, W: tl.constexpr, S: tl.constexpr, RADIUS: tl.constexpr,
          HP: tl.constexpr, WP: tl.constexpr, P: tl.constexpr):  # fmt: skip
    """Make view `row` of the batch. Capitals are constants of the compiled kernel; HP, WP, P are powers of two."""
    row = tl.program_id(0)
    flags += row * 7
    mirror_columns, mirror_rows, exchanged = tl.load(flags) != 0, tl.load(flags + 1) != 0, tl.load(flags + 2) != 0
    jitter, gray = tl.load(flags + 3) != 0, tl.load(flags + 4) != 0
    blur, solarize = tl.load(flags + 5) != 0, tl.load(flags + 6) != 0
    y, x = tl.arange(0, P)[:, None], tl.arange(0, P)[None, :]
    inside = (y < S) & (x < S)

    rows = _resize_weights(tl.load(place + row * 5), tl.load(place + row * 5 + 2), mirror_rows, H, S, P, HP)
    left, width = tl.load(place + row * 5 + 1), tl.load(place + row * 5 + 3)
    columns = tl.trans(_resize_weights(left, width, mirror_columns, W, S, P, WP))
    image = images + (row % n).to(tl.int64) * (3 * H * W)
    r = _crop(image, rows, columns, UNIT, H, W, HP, WP)
    g = _crop(image + H * W, rows, columns, UNIT, H, W, HP, WP)
    b = _crop(image + 2 * H * W, rows, columns, UNIT, H, W, HP, WP)

    if jitter:
        for turn in range(4):
            operation = tl.load(order + row * 4 + turn)
            r, g, b = _colour(r, g, b, operation, tl.load(factors + row * 4 + operation), inside, S, AUTHORS)
    if gray:
        l = _luma(r, g, b)
        r, g, b = l, l, l
    if blur:
        across = _blur_matrix(y, x, tl.load(place + row * 5 + 4), S, RADIUS, AUTHORS)
        down = tl.trans(across)
        r, g, b = _product(across, r, down), _product(across, g, down), _product(across, b, down)
    if solarize:
        r, g, b = tl.where(r >= 0.5, 1 - r, r), tl.where(g >= 0.5, 1 - g, g), tl.where(b >= 0.5, 1 - b, b)

    # all operations treat rows and columns in the same way, so these are exchanged last, where they are written
    to = out + row.to(tl.int64) * (3 * S * S) + tl.where(exchanged, x * S + y, y * S + x) * 3
    kind = out.dtype.element_ty
    tl.store(to, ((r - tl.load(statistics)) * tl.load(statistics + 3)).to(kind), mask=inside)
    tl.store(to + 1, ((g - tl.load(statistics + 1)) * tl.load(statistics + 4)).to(kind), mask=inside)
    tl.store(to + 2, ((b - tl.load(statistics + 2)) * tl.load(statistics + 5)).to(kind), mask=inside)


@triton.jit
def _view_by_channel(images, out, place, flags, factors, order, statistics, n, UNIT: tl.constexpr,
                     AUTHORS: tl.constexpr, C: tl.constexpr, H: tl.constexpr, W: tl.constexpr, S: tl.constexpr,
                     RADIUS: tl.constexpr, HP: tl.constexpr, WP: tl.constexpr, P: tl.constexpr):  # fmt: skip
    """Make view `row` of images with C channels, which have no colours: augment.intensity_jitter in place of colour.

    The channels of a view meet only in the mean that contrast pivots on. For this mean every channel is made once before.
    """
    row = tl.program_id(0)
    flags += row * 7
    mirror_columns, mirror_rows, exchanged = tl.load(flags) != 0, tl.load(flags + 1) != 0, tl.load(flags + 2) != 0
    jitter, blur, solarize = tl.load(flags + 3) != 0, tl.load(flags + 5) != 0, tl.load(flags + 6) != 0
    y, x = tl.arange(0, P)[:, None], tl.arange(0, P)[None, :]
    inside = (y < S) & (x < S)

    rows = _resize_weights(tl.load(place + row * 5), tl.load(place + row * 5 + 2), mirror_rows, H, S, P, HP)
    left, width = tl.load(place + row * 5 + 1), tl.load(place + row * 5 + 3)
    columns = tl.trans(_resize_weights(left, width, mirror_columns, W, S, P, WP))
    image = images + (row % n).to(tl.int64) * (C * H * W)
    bright, contrast = tl.load(factors + row * 4), tl.load(factors + row * 4 + 1)
    turns = tl.arange(0, 4)
    operations = tl.load(order + row * 4 + turns)
    bright_first = tl.sum(tl.where(operations == 0, turns, 0)) < tl.sum(tl.where(operations == 1, turns, 0))

    pivot = 0.0
    if jitter:
        for channel in range(C):
            v = _crop(image + channel * H * W, rows, columns, UNIT, H, W, HP, WP)
            pivot += _mean(tl.where(bright_first, _brighten(v, bright, AUTHORS), v), inside, S) / C

    across = _blur_matrix(y, x, tl.load(place + row * 5 + 4), S, RADIUS, AUTHORS)
    down = tl.trans(across)
    to = out + row.to(tl.int64) * (C * S * S) + tl.where(exchanged, x * S + y, y * S + x) * C
    for channel in range(C):
        v = _crop(image + channel * H * W, rows, columns, UNIT, H, W, HP, WP)
        if jitter:
            v = tl.where(bright_first, _brighten(v, bright, AUTHORS), v)
            m = pivot
            if AUTHORS:
                m = _mean(v, inside, S)
            v = _mix(contrast, v, m)
            v = tl.where(bright_first, v, _brighten(v, bright, AUTHORS))
        if blur:
            v = _product(across, v, down)
        if solarize:
            v = tl.where(v >= 0.5, 1 - v, v)
        v = (v - tl.load(statistics + channel)) * tl.load(statistics + C + channel)
        tl.store(to + channel, v.to(out.dtype.element_ty), mask=inside)


# --- geometry -----------------------------------------------------------------------------------


@triton.jit
def _product(left, x, right):
    """Return left · x · right in full float32, because the TF32 of the matrix units would round to ten bits."""
    return tl.dot(tl.dot(left, x, input_precision="ieee"), right, input_precision="ieee")


@triton.jit
def _crop(channel, rows, columns, UNIT: tl.constexpr, H: tl.constexpr, W: tl.constexpr,
          HP: tl.constexpr, WP: tl.constexpr):  # fmt: skip
    """Return augment.crop of one channel: rows · picture · columns, in [0, 1]."""
    y, x = tl.arange(0, HP)[:, None], tl.arange(0, WP)[None, :]
    pixels = tl.load(channel + y * W + x, mask=(y < H) & (x < W), other=0).to(tl.float32) * UNIT
    return _clamp(_product(rows, pixels, columns))


@triton.jit
def _resize_weights(start, length, mirrored, SOURCE: tl.constexpr, S: tl.constexpr, P: tl.constexpr, SP: tl.constexpr):
    """Return augment.resize_weights of one view, (P, SP); the rows in reverse order where mirrored."""
    i = tl.arange(0, P)
    i = tl.where(mirrored, S - 1 - i, i)
    j = tl.arange(0, SP)
    position = j.to(tl.float32) + 0.5
    step = length / S
    zoom = 1 / tl.maximum(step, 1.0)
    centre = start + (i.to(tl.float32) + 0.5) * step
    t = tl.abs((position * zoom)[None, :] - (centre * zoom)[:, None])
    p, q = tl.maximum(2 - t, 0.0), tl.maximum(1 - t, 0.0)
    weights = 0.5 * p * p * (p - 1) + q * q * (1 - 2 * q)
    outside = (position <= start - 0.5) | (position >= start + length + 0.5) | (j >= SOURCE)
    weights = tl.where(outside[None, :], 0.0, weights)
    total = tl.sum(weights, 1)[:, None]
    return weights / tl.where(total == 0, 1.0, total)  # the total is 0 only in the rows beyond the view, up to P


@triton.jit
def _blur_matrix(y, x, sigma, S: tl.constexpr, RADIUS: tl.constexpr, AUTHORS: tl.constexpr):
    """Return augment.blur_matrix: how much pixel y takes of pixel x, reflected at both ends, or 0 there for the authors."""
    weights = tl.zeros_like(y + x).to(tl.float32)
    total = 0.0
    for tap in tl.static_range(-RADIUS, RADIUS + 1):
        ratio = tap / sigma
        weight = tl.exp(-0.5 * ratio * ratio)
        total += weight
        there = y + tap
        source = (S - 1) - tl.abs((S - 1) - tl.abs(there))
        if AUTHORS:
            weights += tl.where((source == x) & (source == there), weight, 0.0)
        else:
            weights += tl.where(source == x, weight, 0.0)
    return weights / total


# --- colour -------------------------------------------------------------------------------------


@triton.jit
def _clamp(x):
    return tl.minimum(tl.maximum(x, 0.0), 1.0)


@triton.jit
def _luma(r, g, b):
    return 0.2989 * r + 0.5870 * g + 0.1140 * b


@triton.jit
def _mean(x, inside, S: tl.constexpr):
    return tl.sum(tl.where(inside, x, 0.0)) / (S * S)


@triton.jit
def _colour(r, g, b, operation, factor, inside, S: tl.constexpr, AUTHORS: tl.constexpr):
    """Carry out brightness (0), contrast (1), saturation (2) or hue (3), in torchvision's form or the authors'."""
    if operation == 3:
        r, g, b = _turn_hue(r, g, b, factor)
    elif operation == 0:
        if AUTHORS:
            r, g, b = _clamp(r + (factor - 1)), _clamp(g + (factor - 1)), _clamp(b + (factor - 1))
        else:
            r, g, b = _clamp(factor * r), _clamp(factor * g), _clamp(factor * b)
    elif operation == 1:
        if AUTHORS:  # each channel about its own mean
            mr, mg, mb = _mean(r, inside, S), _mean(g, inside, S), _mean(b, inside, S)
        else:
            m = _mean(_luma(r, g, b), inside, S)
            mr, mg, mb = m, m, m
        r, g, b = _mix(factor, r, mr), _mix(factor, g, mg), _mix(factor, b, mb)
    else:
        if AUTHORS:
            value = tl.maximum(tl.maximum(r, g), b)
            chroma = value - tl.minimum(tl.minimum(r, g), b)
            f = tl.minimum(factor, value / tl.maximum(chroma, 1e-8))
            r, g, b = value - (value - r) * f, value - (value - g) * f, value - (value - b) * f
        else:
            l = _luma(r, g, b)
            r, g, b = _mix(factor, r, l), _mix(factor, g, l), _mix(factor, b, l)
    return r, g, b


@triton.jit
def _brighten(x, factor, AUTHORS: tl.constexpr):
    if AUTHORS:
        x += factor - 1
    else:
        x *= factor
    return _clamp(x)


@triton.jit
def _mix(factor, x, m):
    return _clamp(factor * x + (1 - factor) * m)


@triton.jit
def _turn_hue(r, g, b, turn):
    """Return augment.turn_hue: V − C · clamp(2 − d, 0, 1) for each channel."""
    value = tl.maximum(tl.maximum(r, g), b)
    chroma = value - tl.minimum(tl.minimum(r, g), b)
    sixth = 1 / (6 * tl.maximum(chroma, 1e-8))
    h = tl.where(value == r, (g - b) * sixth, tl.where(value == g, (b - r) * sixth + 1 / 3, (r - g) * sixth + 2 / 3))
    h += turn
    return value - chroma * _near(h - 3 / 6), value - chroma * _near(h - 5 / 6), value - chroma * _near(h - 1 / 6)


@triton.jit
def _near(d):
    d = d - tl.floor(d + 0.5)
    return _clamp(2 - 6 * tl.abs(d))
