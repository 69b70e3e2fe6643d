"""The embedded set: ten closed curves, drawn from known factors.

Six numbers decide every picture, its factors. So a lesson can ask what a representation keeps (the shape, we hope) and
what it drops (hue, position, scale, rotation):

    shape      which curve: 0..9, the label
    hue        tint of line and ground, in [0, 1), at equal luma, so that a grayscale picture shows nothing of it
    x, y       centre of the curve, in [-0.25, 0.25]; the picture spans [-1, 1]
    scale      radius of the curve, in [0.58, 0.78], in the same unit
    rotation   radians, in [0, 2 pi)

The hue is the trap. It is the same in two crops of one picture, and a few pixels show it. So an encoder that is trained
without colour augmentation learns the hue and needs nothing else.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

CLASSES = ["circle", "triangle", "square", "star", "cross", "heart", "moon", "arrow", "eight", "clover"]

STROKE = 2.2  # width of the line, pixels of a 32 px picture
INK, GROUND = 0.62, 0.12  # luma of the line and of the ground
_GRID = 96  # resolution of the distance fields in which the curves are looked up
_REACH = 1.5  # a distance field covers [-1.5, 1.5]^2 around a curve of radius 1


@dataclass(frozen=True)
class Factors:
    """The factors of N pictures: `shape` is int64 (N,), the others float32 (N,). Ranges: see the module's docstring."""

    shape: Tensor
    hue: Tensor
    x: Tensor
    y: Tensor
    scale: Tensor
    rotation: Tensor

    def __len__(self) -> int:
        return len(self.shape)

    def __getitem__(self, index: slice | Tensor | np.ndarray | Sequence[int]) -> "Factors":
        """Return the factors at this index: a slice, or a tensor of positions or of truth values."""
        return Factors(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


def sample_factors(n: int, seed: int | list[int] = 0) -> Factors:
    """Draw the factors of n pictures: shapes in equal numbers, shuffled; the others independent and uniform.

    seed: a whole number, or a list of them.
    """
    rng = np.random.default_rng(seed)
    shape = rng.permutation(np.arange(n) % len(CLASSES))
    values = {
        "hue": rng.uniform(0, 1, n),
        "x": rng.uniform(-0.25, 0.25, n),
        "y": rng.uniform(-0.25, 0.25, n),
        "scale": rng.uniform(0.58, 0.78, n),
        "rotation": rng.uniform(0, 2 * np.pi, n),
    }
    return Factors(torch.from_numpy(shape), **{k: torch.from_numpy(v).float() for k, v in values.items()})


def draw(factors: Factors, size: int = 32) -> Tensor:
    """Draw the pictures of these factors: uint8 (N, 3, size, size).

    Each pixel is mapped back into the frame of the curve, where its distance to the curve is looked up. The distance
    decides how much of the pixel the line covers (anti-aliasing).
    """
    pictures = torch.empty(len(factors), 3, size, size, dtype=torch.uint8)
    for shape, at, grid in _in_the_frames_of_the_curves(factors, size):
        f = factors[at]
        ink = _ink(_distance_fields()[shape], f, grid)
        line, ground = tint(f.hue, INK)[:, :, None, None], tint(f.hue, GROUND)[:, :, None, None]
        pictures[at] = (torch.lerp(ground, line, ink) * 255).round().to(torch.uint8)
    return pictures


def masks(factors: Factors, size: int = 32) -> Tensor:
    """Draw the figures of these factors, the curve and all that it encloses: bool (N, size, size), True on the figure.

    A pixel belongs to the figure if the line covers at least half of it, or if its centre is within the curve. They are
    computed from the factors like the pictures, so they fit `draw(factors, size)`.
    """
    figures = torch.empty(len(factors), size, size, dtype=torch.bool)
    for shape, at, grid in _in_the_frames_of_the_curves(factors, size):
        line, enclosed = _ink(_distance_fields()[shape], factors[at], grid), _look_up(_enclosed_fields()[shape], grid)
        figures[at] = (torch.maximum(line, enclosed) >= 0.5)[:, 0]
    return figures


def _in_the_frames_of_the_curves(factors: Factors, size: int) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield each shape, the positions (n,) of its pictures, and where their pixels lie in its fields, (n, size, size, 2)."""
    centres = (torch.arange(size) + 0.5) / (size / 2) - 1  # pixel centres in [-1, 1]
    for shape in range(len(CLASSES)):
        at = (factors.shape == shape).nonzero()[:, 0]
        f = factors[at]
        u = (centres - f.x[:, None])[:, None, :]  # (n, 1, size)
        v = (centres - f.y[:, None])[:, :, None]  # (n, size, 1)
        cos = (torch.cos(f.rotation) / (f.scale * _REACH))[:, None, None]
        sin = (torch.sin(f.rotation) / (f.scale * _REACH))[:, None, None]
        yield shape, at, torch.stack((cos * u + sin * v, cos * v - sin * u), dim=-1)


def _look_up(field: Tensor, grid: Tensor) -> Tensor:
    """Interpolate a field (_GRID, _GRID) at the places of pixels, (n, size, size, 2): float32 (n, 1, size, size)."""
    return F.grid_sample(field.expand(len(grid), 1, -1, -1), grid, padding_mode="border", align_corners=False)


def _ink(distances: Tensor, f: Factors, grid: Tensor) -> Tensor:
    """Return how much of each pixel the line covers, in [0, 1]: float32 (n, 1, size, size)."""
    size = grid.shape[1]
    pixels = _look_up(distances, grid) * f.scale[:, None, None, None] * (size / 2)  # distance to the curve, in pixels
    return (0.5 + STROKE * size / 64 - pixels).clamp(0, 1)


def tint(hue: Tensor, luma: float) -> Tensor:
    """Return the colours of these hues and this luma: (N,) -> RGB in [0, 1], (N, 3).

    A colour of luma L is grey L plus a chroma vector (cb, cr) of luma zero. The vector turns with the hue and keeps its
    length: the longest with which every hue stays in [0, 1]. So the hue changes nothing that a grayscale picture shows.
    The luma weights are 0.2989 / 0.5870 / 0.1140, as in the grayscale augmentation.
    """
    length = min(luma, 1 - luma) / (2 * (1 - 0.1140))
    cb, cr = length * torch.cos(2 * torch.pi * hue), length * torch.sin(2 * torch.pi * hue)
    red = luma + 2 * (1 - 0.2989) * cr
    blue = luma + 2 * (1 - 0.1140) * cb
    green = (luma - 0.2989 * red - 0.1140 * blue) / 0.5870
    return torch.stack((red, green, blue), dim=-1).clamp(0, 1)


def _curve(name: str) -> np.ndarray:
    """Return the points (P, 2) of a closed curve around the origin, the farthest at radius 1."""
    t = np.linspace(0, 2 * np.pi, 120, endpoint=False)

    def polygon(radii: np.ndarray, angles: np.ndarray) -> np.ndarray:
        return np.stack((radii * np.sin(angles), -radii * np.cos(angles)), axis=-1)

    def regular(n: int) -> np.ndarray:
        return polygon(np.ones(n), np.arange(n) * 2 * np.pi / n)

    match name:
        case "circle":
            points = polygon(np.ones_like(t) * 0.8, t) / 0.8
        case "triangle":
            points = regular(3)
        case "square":
            points = regular(4)
        case "star":
            points = polygon(np.where(np.arange(10) % 2, 0.42, 1.0), np.arange(10) * np.pi / 5)
        case "cross":
            a, b = 0.32, 1.0
            points = np.array([(a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b)])
            points = np.concatenate((points, -points))
        case "heart":
            x = 16 * np.sin(t) ** 3
            y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
            points = np.stack((x, -y - 2), axis=-1)
        case "moon":
            angles = np.linspace(0.25 * np.pi, 1.75 * np.pi, 60)
            outer = np.stack((np.cos(angles), np.sin(angles)), axis=-1)
            angles = np.linspace(1.62 * np.pi, 0.38 * np.pi, 50)
            inner = np.stack((np.cos(angles) * 0.76, np.sin(angles) * 0.76), axis=-1)
            inner[:, 0] += outer[0, 0] - inner[-1, 0]
            points = np.concatenate((outer, inner))
        case "arrow":
            points = np.array(
                [(0, -1), (0.75, -0.1), (0.28, -0.1), (0.28, 0.95), (-0.28, 0.95), (-0.28, -0.1), (-0.75, -0.1)]
            )
        case "eight":
            points = np.stack((np.sin(2 * t) * 0.55, -np.cos(t)), axis=-1)
        case "clover":
            points = polygon(0.62 + 0.38 * np.cos(3 * t), t)
    return points / np.linalg.norm(points, axis=1).max()


@functools.cache
def _enclosed_fields() -> Tensor:
    """Return what each curve encloses on that grid, float32 (10, _GRID, _GRID), 1 there; its border is under the line."""
    from scipy.ndimage import binary_fill_holes  # here, because only masks need it

    curves = _distance_fields().numpy() < 2 * _REACH / _GRID  # closed, and far thinner than the line
    return torch.from_numpy(np.stack([binary_fill_holes(curve) for curve in curves])).float()


_fields: Tensor | None = None


def _distance_fields() -> Tensor:
    """Return the distance to each curve on a grid, float32 (10, _GRID, _GRID); computed once per process."""
    global _fields
    if _fields is None:
        axis = (torch.arange(_GRID) + 0.5) / _GRID * 2 * _REACH - _REACH
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        grid = torch.stack((x, y), dim=-1).reshape(-1, 2)
        distances = []
        for name in CLASSES:
            start = torch.from_numpy(_curve(name)).float()
            step = start.roll(-1, 0) - start  # segment k runs from start[k] to start[k] + step[k]
            along = ((grid @ step.T) - (start * step).sum(1)) / (step * step).sum(1)  # (pixels, segments)
            along = along.clamp(0, 1)
            dx = grid[:, :1] - start[:, 0] - along * step[:, 0]
            dy = grid[:, 1:] - start[:, 1] - along * step[:, 1]
            distances.append((dx.square() + dy.square()).amin(1).sqrt().reshape(_GRID, _GRID))
        _fields = torch.stack(distances)
    return _fields
