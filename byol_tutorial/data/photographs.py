"""The set "photographs": small squares of ten real photographs, which the library brings with it.

The class of a square is the photograph that it is cut from:

    astronaut, cat, coffee, flower, galaxies, rocket, temple    in colour
    brick, grass, gravel                                        grey

Squares for training come from the left 65 % of a photograph, those for tests from the rest, so that no pixel is in both.
These are real textures, colours and edges. They are no objects: ten photographs say nothing of what cats have in common.

The files are in the folder photos/, and its README names the author, the licence and the source of each. All are in the
public domain or under CC0, except temple and flower, which are under CC BY 2.0.
"""

from importlib.resources import files

import numpy as np
import torch
from PIL import Image

from .image_set import ImageSet, draw_positions
from .request import SPLITS, Request

CLASSES = ("astronaut", "brick", "cat", "coffee", "flower", "galaxies", "grass", "gravel", "rocket", "temple")
SQUARES = {"train": 4096, "test": 2048}  # squares cut; more if `limit` asks for more
CUT = 0.65  # the share of a photograph's width that is for training
SIDES = (40, 80)  # the smallest and the largest side, in pixels of the photograph


def load_photographs(request: Request) -> ImageSet:
    """Cut squares from the photographs, 32 px unless a size is given; the same seed gives the same squares."""
    n, size = max(SQUARES[request.split], request.limit or 0), request.size or 32
    # Train and test come from different streams of the same seed.
    rng = np.random.default_rng([request.seed, SPLITS.index(request.split)])
    labels = rng.permutation(np.arange(n) % len(CLASSES))
    sides, across, down = rng.uniform(*SIDES, n), rng.uniform(0, 1, n), rng.uniform(0, 1, n)
    if request.limit is not None:  # squares that `limit` leaves out are not cut
        at = draw_positions(n, request.limit, request.seed).numpy()
        labels, sides, across, down = labels[at], sides[at], across[at], down[at]
    parts = [part(photograph(name), request.split) for name in CLASSES]
    squares = torch.empty(len(labels), 3, size, size, dtype=torch.uint8)
    for i, (label, side) in enumerate(zip(labels, sides, strict=True)):
        picture = parts[label]
        left, top = across[i] * (picture.width - side), down[i] * (picture.height - side)
        square = picture.resize((size, size), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
        squares[i] = torch.from_numpy(np.array(square)).permute(2, 0, 1)
    return ImageSet("photographs", request.split, squares, torch.from_numpy(labels), CLASSES)


def photograph(name: str) -> Image.Image:
    """Return a whole photograph, one of CLASSES, as 8-bit RGB."""
    with (
        files(__package__).joinpath("photos", f"{name}.jpg").open("rb") as file,
        Image.open(file, formats=["JPEG"]) as image,
    ):
        return image.convert("RGB")


def part(picture: Image.Image, split: str) -> Image.Image:
    """Return the part of a photograph that belongs to a split: the left of it for "train", the rest for "test".

    It is cut out before squares are, because resizing reads some pixels beside a square too.
    """
    cut = round(CUT * picture.width)
    return picture.crop((0, 0, cut, picture.height) if split == "train" else (cut, 0, picture.width, picture.height))
