"""Exercise 07-views, “A test for views”."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..record import Exercise, Mistake


def _views_of(kind: str) -> Callable:
    def views(images: Tensor) -> tuple[Tensor, Tensor]:
        g = torch.Generator().manual_seed(0)
        n = len(images)
        draws = {"healthy": (n, n), "shared": (1, 1), "v′ shares": (n, 1), "v shares": (1, n)}[kind]
        factor = [0.5 + torch.rand(d, 1, 1, 1, generator=g).expand(n, 1, 1, 1) for d in draws]
        return images * factor[0], images * factor[1]

    return views


def _image() -> Tensor:
    return torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1))


def _differ(views: Callable, image: Tensor) -> bool:
    batch = image.expand(8, -1, -1, -1)
    return all(len(v.flatten(1).unique(dim=0)) == len(v) for v in views(batch))


DIFFER = Exercise(
    id="07-views",
    title="A test for views",
    kind="implement",
    difficulty=2,
    minutes=10,
    hints=(
        (
            "If all images of a batch share one draw, how could you see that in the output? Choose the images of "
            "the batch so that you can."
        ),
        (
            "Make a batch of one image, eight times: image.expand(8, -1, -1, -1). If each has a draw of its own, "
            "no two of the eight views v are equal; nor of the v′."
        ),
        (
            "v1, v2 = views(image.expand(8, -1, -1, -1))\n"
            'print(len(v1.flatten(1).unique(dim=0)), "of 8 are different")  # and those of v2?'
        ),
    ),
    cases=lambda: [(_views_of(kind), _image()) for kind in ("healthy", "shared", "v′ shares", "v shares")],
    reference=_differ,
    mistakes=(
        Mistake(
            "v against v′",
            lambda views, image: not torch.equal(*views(image.expand(8, -1, -1, -1))),
            "this says True even where all images share a draw. v and v′ differ there too: compare the views of the batch with each "
            "other, and give it more than one.",
        ),
        Mistake(
            "v only",
            lambda views, image: len(views(image.expand(8, -1, -1, -1))[0].flatten(1).unique(dim=0)) == 8,
            "the views v are tested, the views v′ are not.",
        ),
        Mistake(
            "v′ only",
            lambda views, image: len(views(image.expand(8, -1, -1, -1))[1].flatten(1).unique(dim=0)) == 8,
            "the views v′ are tested, the views v are not.",
        ),
        Mistake(
            "one of the two is enough",
            lambda views, image: any(len(v.flatten(1).unique(dim=0)) == 8 for v in views(image.expand(8, -1, -1, -1))),
            "this says True where only one of v and v′ has draws of its own: both must.",
        ),
        Mistake(
            "some differ",
            lambda views, image: False,
            "this says False for every function, also for one that is as it should be. Which two things have to differ?",
        ),
        Mistake(
            "the wrong way round",
            lambda views, image: not _differ(views, image),
            "the wrong way round: True is for views that are as they should be.",
        ),
    ),
    praise="right: three lines that find a bug which no loss curve shows.",
)
