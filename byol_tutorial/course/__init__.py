"""What only the lessons need."""

from .scale import SCALES, pick, scale

__all__ = ["SCALES", "pick", "scale"]
