"""Functions from data to a matplotlib Figure. They keep no state and use no pyplot, so any thread may call them."""

from .fonts import readable
from .graphs import bars, curves, lines, smooth
from .images import image_grid, neighbours, view_pairs
from .palette import BLUE, COLOURS, GREEN, GRID, INK, MARKS, PURPLE, RED, ROSE, SKY, mark
from .picture import Picture

__all__ = [
    "BLUE",
    "COLOURS",
    "GREEN",
    "GRID",
    "INK",
    "MARKS",
    "PURPLE",
    "RED",
    "ROSE",
    "SKY",
    "Picture",
    "bars",
    "curves",
    "image_grid",
    "lines",
    "mark",
    "neighbours",
    "readable",
    "smooth",
    "view_pairs",
]
