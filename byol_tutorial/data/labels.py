"""Labels as users have them, numbers or names, become int64 from 0 and a name for each class."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config.errors import DataError

MOST_UNUSED = 1000  # labels that go up to this number or further, with fewer classes than half of it, are no classes


def number_labels(labels: Any, classes: Sequence[str] | None, n: int) -> tuple[Tensor, tuple[str, ...]]:
    """Return the labels of n images as positions in a tuple of class names: int64 (n,), names.

    labels: whole numbers from 0, names, or truth values; a list, an array (n,) or (n, 1), a tensor, a column of a table.
    classes: the name of each number, or all names in their order. Default: numbers name themselves, so that a number
        that no image has keeps its place; names are sorted.

    Raises:
        DataError: another number of labels; labels that are missing, negative, or no whole numbers; a name that is not
            among the classes, or a number without a name.
    """
    given = labels.detach().cpu() if isinstance(labels, Tensor) else labels
    listed = given.tolist() if hasattr(given, "tolist") else given
    if isinstance(listed, str | bytes | dict | set | frozenset) or not hasattr(listed, "__iter__"):
        raise DataError(
            f"labels are {type(labels).__name__} {labels!r:.60}: give a list, an array or a tensor with one number or name "
            "for each image, in the order of the images"
        )
    values = np.asarray([v.item() if isinstance(v, Tensor) and v.ndim == 0 else v for v in listed], dtype=object)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise DataError(
            f"labels have shape {values.shape}: give one number or name for each image; one-hot rows become numbers by "
            "labels.argmax(1)"
        )
    if len(values) != n:
        raise DataError(f"{len(values)} labels for {n} images: give one for each image, in the same order")
    names = None if classes is None else _names(classes)
    if all(isinstance(value, str) for value in values):
        return _from_names(values, names)
    if all(isinstance(value, bool | np.bool_) for value in values):
        return torch.tensor([int(v) for v in values]), _cover(names or ("False", "True"), 1)
    whole = torch.tensor([_whole(value, i) for i, value in enumerate(values)])
    highest, distinct = int(whole.max()), len(whole.unique())
    if names is None and highest >= max(MOST_UNUSED, 2 * distinct):
        raise DataError(
            f"labels go up to {highest}, but only {distinct} differ: these look like identifiers. Number the classes from 0, "
            "give names as labels, or give classes="
        )
    return whole, _cover(names or tuple(map(str, range(highest + 1))), highest)


def _names(classes: Sequence[str]) -> tuple[str, ...]:
    if isinstance(classes, str) or not all(isinstance(name, str) for name in classes):
        raise DataError(f"classes={classes!r}: give a list of names, such as ['cat', 'dog']")
    return tuple(classes)


def _from_names(values: np.ndarray, names: tuple[str, ...] | None) -> tuple[Tensor, tuple[str, ...]]:
    known = names or tuple(sorted(set(values)))
    if twice := [name for name, n in Counter(known).items() if n > 1]:
        raise DataError(
            f"classes has {twice[0]!r} {Counter(known)[twice[0]]} times: labels that are names need different ones"
        )
    position = {name: k for k, name in reversed(list(enumerate(known)))}
    for i, value in enumerate(values):
        if value not in position:
            raise DataError(f"label {value!r} of image {i} is not among the classes: {', '.join(known)}")
    return torch.tensor([position[value] for value in values]), known


def _whole(value: object, i: int) -> int:
    """Return a label as a whole number; raise DataError if it is none."""
    if isinstance(value, int | float | np.integer | np.floating) and value == value and value == value // 1:
        if value < 0:
            raise DataError(
                f"label {value} of image {i} is negative: labels count from 0; leave out images without a label, or all labels"
            )
        if value >= 2**63:
            raise DataError(f"label {value} of image {i} is no number of a class: number the classes from 0")
        return int(value)
    raise DataError(
        f"label {value!r} of image {i} is not a whole number: give the number of a class for each image, or its name, and "
        "leave out images without a label"
    )


def _cover(names: tuple[str, ...], highest: int) -> tuple[str, ...]:
    if highest >= len(names):
        raise DataError(
            f"labels go up to {highest}, but classes has {len(names)} names: give one for each number from 0"
        )
    return names
