"""Curves over a run's steps, averaged in blocks until they are short enough to be drawn."""

from collections.abc import Sequence

import numpy as np


def shortened(most: int, *series: Sequence[float]) -> tuple[int, np.ndarray]:
    """Average series of n values each in blocks of equal length, so that at most `most` values of each remain.

    Returns the number of values in a block, and the means, float64 (number of series, number of blocks). The last block
    may be shorter.
    """
    rows = np.stack([np.asarray(values, np.float64) for values in series])
    n = rows.shape[1]
    length = max(1, -(-n // most))
    if length == 1:
        return length, rows
    starts = np.arange(0, n, length)
    return length, np.add.reduceat(rows, starts, axis=1) / np.diff(np.append(starts, n))
