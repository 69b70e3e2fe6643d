"""Many small pictures as one image, which a panel can show one by one."""

import io

import numpy as np
from PIL import Image
from torch import Tensor

QUALITY = 75  # WebP quality of the pictures


def make_atlas(tiles: Tensor) -> tuple[bytes, int]:
    """Return pictures uint8 (N, T, 3, s, s), T of each of N images, as one WebP image, and the number of its columns.

    The T pictures of an image lie beside each other and are one column wide; rows are filled from left to right.
    """
    n, many, _, s, _ = tiles.shape
    columns = max(1, round((n / many) ** 0.5))
    rows = -(-n // columns)
    grid = np.zeros((rows * columns, many, 3, s, s), np.uint8)
    grid[:n] = tiles.numpy()
    grid = grid.reshape(rows, columns, many, 3, s, s).transpose(0, 4, 1, 2, 5, 3)  # rows, y, columns, tiles, x, colour
    buffer = io.BytesIO()
    Image.fromarray(grid.reshape(rows * s, columns * many * s, 3)).save(buffer, "WEBP", quality=QUALITY)
    return buffer.getvalue(), columns
