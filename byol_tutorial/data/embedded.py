"""The sets that need no download: "shapes", drawn by the library, "digits", which scikit-learn brings, and "photographs"."""

import numpy as np
import torch
from PIL import Image

from . import shapes
from .decode import to_tensor
from .image_set import ImageSet, draw_positions
from .layout import part_of_split
from .request import SPLITS, Request

EMBEDDED = ("shapes", "digits", "photographs")
SHAPES_SIZES = {"train": 4096, "test": 2048}  # images drawn; more if `limit` asks for more


def load_shapes(request: Request) -> ImageSet:
    """Draw "shapes" with the factors of every picture, 32 px unless a size is given."""
    n = max(SHAPES_SIZES[request.split], request.limit or 0)
    # Train and test come from different streams of the same seed.
    factors = shapes.sample_factors(n, seed=[request.seed, SPLITS.index(request.split)])
    if request.limit is not None:  # pictures that `limit` leaves out are not drawn
        factors = factors[draw_positions(n, request.limit, request.seed)]
    pictures = shapes.draw(factors, request.size or 32)
    return ImageSet("shapes", request.split, pictures, factors.shape, tuple(shapes.CLASSES), factors)


def load_digits(request: Request) -> ImageSet:
    """Load scikit-learn's 1,797 handwritten digits, divided 80 : 20, 32 px unless a size is given."""
    from sklearn import datasets  # here, because scikit-learn takes long to import

    bunch = datasets.load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.images))
    at = order[part_of_split(len(order), request.split)]
    grey = [Image.fromarray((image * (255 / 16)).round().astype(np.uint8)) for image in bunch.images[at]]
    images = torch.stack([to_tensor(image, request.size or 32) for image in grey])
    return ImageSet("digits", request.split, images, torch.from_numpy(bunch.target[at]).long(), tuple("0123456789"))
