"""Exercise 08-leak, “Copies on both sides”."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..record import Exercise, Mistake, UnusableError
from ..values import ASKS_FOR, kind, tensor


def _with_bug(image_of: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    order = torch.randperm(len(image_of), generator=torch.Generator().manual_seed(seed))
    n = round(share * len(order))
    return order[n:], order[:n]


def _by_image(image_of: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    images = image_of.unique()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    held = torch.isin(image_of, images[order[: round(share * len(images))]])
    return (~held).nonzero()[:, 0], held.nonzero()[:, 0]


def _drops_shared(image_of: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    train, test = _with_bug(image_of, share, seed)
    return train[~torch.isin(image_of[train], image_of[test])], test


def _first_images(image_of: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    last = image_of.unique()[-round(share * len(image_of.unique())) :]
    held = torch.isin(image_of, last)
    return (~held).nonzero()[:, 0], held.nonzero()[:, 0]


def _each_by_chance(image_of: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    images = image_of.unique()
    chance = torch.rand(len(images), generator=torch.Generator().manual_seed(seed))
    held = torch.isin(image_of, images[chance < share])
    return (~held).nonzero()[:, 0], held.nonzero()[:, 0]


def _without_seed(image_of: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    return _by_image(image_of, share, int(torch.randint(1000, ())))


def _positions(value: Any, image_of: Tensor) -> Tensor:
    """Return the positions that a list, an array, a tensor or a mask of pictures gives, int64."""
    found = tensor(list(value) if isinstance(value, (range, set)) else value)
    if value is not None and hasattr(value, "__len__") and len(value) == 0:
        return torch.zeros(0, dtype=torch.long)
    if found is None or found.ndim != 1 or not torch.equal(found, found.round()):
        raise UnusableError(
            f"a part of the split is {kind(value)}{ASKS_FOR}the positions of pictures, one after the other."
        )
    if torch.as_tensor(value).dtype == torch.bool and len(found) == len(image_of):
        return found.nonzero()[:, 0]
    if len(found) and not 0 <= found.min() <= found.max() < len(image_of):
        raise UnusableError(
            f"a position is {found.max():.0f}, but the {len(image_of)} pictures have the positions 0 ... {len(image_of) - 1}."
        )
    return found.long()


def _split(split: Callable, image_of: Tensor, share: float) -> dict[str, bool]:
    def parts(seed: int) -> tuple[Tensor, Tensor]:
        both = split(image_of, share, seed)
        if not isinstance(both, (tuple, list)) or len(both) != 2:
            raise UnusableError(
                f"your function returns {kind(both)}{ASKS_FOR}two parts, the train and the test pictures."
            )
        return _positions(both[0], image_of), _positions(both[1], image_of)

    found = [parts(seed) for seed in range(6)]
    again = [parts(seed) for seed in range(6)]
    images = [image_of[test].unique() for _, test in found]
    tests = [tuple(sorted(test.tolist())) for _, test in found]
    return {
        "every picture is in one of the two parts, once": all(
            sorted([*train.tolist(), *test.tolist()]) == list(range(len(image_of))) for train, test in found
        ),
        "no image is in both": not any(torch.isin(image_of[train], image_of[test]).any() for train, test in found),
        "the test part has its share of the images, whatever the seed": all(
            abs(len(n) - share * len(image_of.unique())) < 1 for n in images
        ),
        "first the train part, then the test part": all(
            abs(len(image_of[train].unique()) - share * len(image_of.unique())) >= 1 for train, _ in found
        ),
        "the same seed gives the same split": tests == [tuple(sorted(test.tolist())) for _, test in again],
        "another seed gives another split": len(set(tests)) > 3,
    }


LEAK = Exercise(
    id="08-leak",
    title="Copies on both sides",
    kind="find the bug",
    difficulty=2,
    minutes=10,
    hints=(
        "Copies of an image must stay together. What should be drawn: pictures, or images?",
        (
            "Draw among image_of.unique(), not among the pictures; then torch.isin(image_of, drawn) marks all "
            "copies of those images."
        ),
        (
            "images = image_of.unique()\n"
            "order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))\n"
            "drawn = images[order[:round(share * len(images))]]\n"
            "held = torch.isin(image_of, drawn)  # bool (P,): now its positions, and those of the rest"
        ),
    ),
    cases=lambda: [
        (torch.arange(30).repeat(4), 0.3),
        (torch.arange(20).repeat_interleave(3), 0.25),
        (7 * torch.arange(200), 0.2),
    ],
    observe=_split,
    reference=_by_image,
    mistakes=(
        Mistake(
            "unchanged",
            _with_bug,
            "as it was given: most images of the test part have copies in the train part. Print the image numbers of both.",
        ),
        Mistake(
            "pictures thrown away",
            _drops_shared,
            "no image is in both now, but nearly all pictures of the train part were thrown away for it.",
        ),
        Mistake(
            "always the same images",
            _first_images,
            "the split is clean, but it does not depend on the seed: it is always the same images, in the order of the files. A "
            "folder is often sorted by class.",
        ),
        Mistake(
            "each image by chance",
            _each_by_chance,
            "no image is in both, but each is drawn by itself, so the test part is sometimes too large and sometimes too small. Its share "
            "of the images is given: draw so many.",
        ),
        Mistake(
            "the parts exchanged",
            lambda image_of, share, seed: _by_image(image_of, share, seed)[::-1],
            "the split is clean, but the two parts are exchanged: first the train pictures, then the test pictures, which are the given share.",
        ),
        Mistake(
            "without the seed",
            _without_seed,
            "the same seed gives another split each time: draw with torch.Generator().manual_seed(seed), or nobody can repeat it.",
            when=lambda seen, wanted: not all(case["the same seed gives the same split"] for case in seen),
        ),
    ),
    praise="right: split what is independent. That may be the patient, the video or the day, rather than the picture.",
)
