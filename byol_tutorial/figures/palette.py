"""The palette of figures and panels, and the mark that each of its colours has on maps.

Readers with protanopia, deuteranopia or tritanopia can distinguish all ten colours too, on white and on dark grounds;
tests/widgets/test_palette.py computes this.
"""

import numpy as np

BLUE, ROSE, GREEN, PURPLE, SKY, RED = "#486CFA", "#FE368B", "#4D9300", "#C845A4", "#0490BB", "#FF3100"
COLOURS = (BLUE, ROSE, GREEN, PURPLE, SKY, RED, "#978041", "#A057D4", "#A66959", "#7B7D7F")
# The mark of each colour on maps: corners, radius of the points between them, angle of the first corner in degrees.
MARKS = (
    (8, 1.0, 0), (3, 0.5, -90), (4, 0.71, 45), (5, 0.4, -90), (4, 0.3, 45),
    (3, 0.5, 90), (3, 0.5, 180), (3, 0.5, 0), (4, 0.5, -90), (4, 0.3, 0),
)  # fmt: skip
INK, GRID = "#222222", "#dddddd"  # colours of texts and of grid lines


def mark(colour: str) -> np.ndarray:
    """Return the corners (N, 2) of a colour's mark, about as large as a disc of radius 1; y points upwards.

    A colour that is not in COLOURS has the mark of the first.
    """
    n, inner, turn = MARKS[COLOURS.index(colour) if colour in COLOURS else 0]
    size = (3 / (n * inner * np.sin(np.pi / n))) ** 0.4
    angles = np.deg2rad(turn) + np.arange(2 * n) * np.pi / n
    radii = size * np.where(np.arange(2 * n) % 2, inner, 1.0)
    return np.stack((radii * np.cos(angles), -radii * np.sin(angles)), axis=1)
