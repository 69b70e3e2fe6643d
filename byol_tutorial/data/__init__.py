"""Images: drawn shapes, known data sets and folders, in memory or streamed from disk."""

from .convert import images_from
from .decode import open_picture, stack, to_rgb, to_tensor
from .embedded import EMBEDDED, SHAPES_SIZES
from .folder import STREAM_ABOVE
from .found import Found
from .headers import LARGEST_DEFAULT, Header, common_size, read_header
from .image_set import STATISTICS_IMAGES, ImageSet, draw_positions, statistics, statistics_rows
from .loading import SOURCES, default_root, load
from .request import SPLITS, Request
from .streaming import MOST_WORKERS, SUBSTITUTES, StreamedSet, default_workers, set_workers
from .torchvision_sets import TORCHVISION
from .value_range import ValueRange

__all__ = [
    "EMBEDDED",
    "LARGEST_DEFAULT",
    "MOST_WORKERS",
    "SHAPES_SIZES",
    "SOURCES",
    "SPLITS",
    "STATISTICS_IMAGES",
    "STREAM_ABOVE",
    "SUBSTITUTES",
    "TORCHVISION",
    "Found",
    "Header",
    "ImageSet",
    "Request",
    "StreamedSet",
    "ValueRange",
    "common_size",
    "default_root",
    "default_workers",
    "draw_positions",
    "images_from",
    "load",
    "open_picture",
    "read_header",
    "set_workers",
    "stack",
    "statistics",
    "statistics_rows",
    "to_rgb",
    "to_tensor",
]
