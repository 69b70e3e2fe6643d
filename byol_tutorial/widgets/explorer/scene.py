"""Scene: what the augmentation explorer shows, as one record that never changes, and as bytes for a browser."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...augment.explain import Stage, chain
from ...augment.operations import Draw, as_float
from ...augment.views import Views
from ...config.config import Config
from ...config.errors import UserError
from ...data.colours import false_colour, in_colours
from ...data.image_set import ImageSet

SHOWN, THUMBS = 8, 12  # number of pairs of views, and of small pictures to choose from
LARGEST, SMALLEST = 96, 48  # the largest side in pixels of pictures and of small pictures that the browser gets


@dataclass(frozen=True, eq=False)
class Scene:
    """Eight pairs of views of one image or of eight consecutive images, and all operations of one of the pairs.

    The same values give the same pictures, because the seed decides the draw, one Draw for all eight pairs.

    index    the image, or the first of the eight images
    seed     of the random numbers
    pair     the pair whose operations are shown, 0 to 7
    many     whether each pair is of a different image
    """

    images: ImageSet
    config: Config
    index: int = 0
    seed: int = 0
    pair: int = 0
    many: bool = False

    def turned(self, **changes: Any) -> "Scene":
        """Return a scene with another index, seed or pair, or `many`; None leaves a value as it is.

        Raises:
            UserError: a value that is not a whole number, or out of range.
        """
        changes = {name: value for name, value in changes.items() if value is not None}
        most = {"index": len(self.images) - 1, "seed": 2**63 - 1, "pair": SHOWN - 1}
        for name in most.keys() & changes.keys():
            value = changes[name]
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most[name]:
                raise UserError(f"{name}={value!r}: give a whole number from 0 to {most[name]}")
        return replace(self, **changes)

    @cached_property
    def rows(self) -> list[int]:
        """The index of each pair's image."""
        return [(self.index + i * self.many) % len(self.images) for i in range(SHOWN)]

    @cached_property
    def views(self) -> Views:
        """The Views of T and T′, without normalisation."""
        return Views(self.config, (0.0,), (1.0,), torch.Generator().manual_seed(self.seed))

    @cached_property
    def drawn(self) -> Draw:
        """The random numbers of all views, in sixteen rows, eight from T and then eight from T′."""
        return self.views.draw(SHOWN, *self.images.image_size)

    def pairs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the images, uint8 or uint16 (8, C, H, W), and their views v and v′, each float (8, C, s, s) in [0, 1]."""
        images = self.images.images[self.rows]
        v, v_prime = self.views.carry_out(images, self.drawn)
        return images, v, v_prime

    def chains(self) -> dict[str, list[Stage]]:
        """Return the stages of each view of the selected pair, "v" and "v′": the image, then nine operations."""
        image, drawn = self.images.images[self.rows[self.pair]], (self._row(0), self._row(1))
        return {name: chain(image, drawn[side], self.config, side) for side, name in enumerate(("v", "v′"))}

    def _row(self, side: int) -> Draw:
        at = self.pair + side * SHOWN
        return self.drawn[at : at + 1]

    def name(self, index: int) -> str:
        """Return an image's name, such as "picture 3: star"."""
        labels, classes = self.images.labels, self.images.classes
        return f"picture {index}" + (f": {classes[labels[index]]}" if labels is not None and classes else "")

    # --- for the browser ------------------------------------------------------------------------

    def packed(self) -> tuple[dict, bytes]:
        """Return texts, and pictures in RGBA: the image, nine steps of v, nine of v′, eight views v, eight views v′."""
        chains = self.chains()
        images, v1, v2 = self.pairs()
        steps = [torch.stack([stage.picture for stage in way[1:]]) for way in chains.values()]
        image, pictures = as_float(images[self.pair : self.pair + 1]), torch.cat((*steps, v1, v2))
        image, pictures = in_colours(image), in_colours(pictures)
        words = {
            "image": fitting(image),
            "size": fitting(pictures),
            "rows": [
                {
                    "view": view,
                    "steps": [{"name": s.name, "words": s.words, "done": s.done} for s in way],
                    "crop": self._rectangle(side),
                }
                for side, (view, way) in enumerate(chains.items())
            ],
            "pairs": [self.name(i) for i in self.rows],
            "pair": self.pair,
        }
        return words, rgba(shrink(image)) + rgba(shrink(pictures))

    def _rectangle(self, side: int) -> list[float]:
        """Return left, top, width and height of the crop, relative to the image's sides."""
        (height, width), drawn = self.images.image_size, self._row(side)
        lengths = ((drawn.left, width), (drawn.top, height), (drawn.width, width), (drawn.height, height))
        return [float(length) / whole for length, whole in lengths]

    @property
    def first_thumb(self) -> int:
        """The index of the first image among the small pictures."""
        return self.index // THUMBS * THUMBS

    def thumbs(self) -> bytes:
        """Return the small pictures in RGBA."""
        shown = as_float(self.images.images[self.first_thumb : self.first_thumb + THUMBS])
        return rgba(shrink(in_colours(shown), SMALLEST))

    @property
    def caption(self) -> str:
        """The image's name, and whether its colours are false."""
        return ", ".join(filter(None, (self.name(self.index), false_colour(self.images.channels))))


def rgba(pictures: Tensor) -> bytes:
    """Return pictures, float (N, 3, H, W) in [0, 1], as bytes for a canvas: row by row, four bytes a pixel."""
    pixels = (pictures.clamp(0, 1) * 255).round().to(torch.uint8)
    opaque = torch.full_like(pixels[:, :1], 255)
    return torch.cat((pixels, opaque), 1).permute(0, 2, 3, 1).contiguous().numpy().tobytes()


def shrink(pictures: Tensor, largest: int = LARGEST) -> Tensor:
    """Return the pictures reduced to at most largest × largest pixels, each pixel the mean of its area."""
    size = fitting(pictures, largest)
    return pictures if list(pictures.shape[2:]) == size else F.interpolate(pictures, size, mode="area")


def fitting(pictures: Tensor, largest: int = LARGEST) -> list[int]:
    """Return height and width of the pictures, reduced in proportion to at most `largest` pixels."""
    size = pictures.shape[2:]
    zoom = min(1, largest / max(size))
    return [max(1, round(length * zoom)) for length in size]
