"""Data sets of Hugging Face's `datasets`: which columns hold the images and their labels.

The library itself is not imported: a data set brings all that is asked of it.
"""

from typing import Any

from ..config.errors import DataError

IMAGES = ("image", "img", "picture", "photo", "pixel_values", "images")
LABELS = ("label", "labels", "class", "target", "fine_label", "category")


class Pairs:
    """The rows of such a data set as pairs (image, label), or as images where there is no column of labels."""

    def __init__(self, table: Any, image: str, label: str | None):
        self.table, self.image, self.label = table, image, label

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Any:
        row = self.table[index]
        return row[self.image] if self.label is None else (row[self.image], row[self.label])


def is_table(source: Any) -> bool:
    """Return whether this is a data set of Hugging Face's library, or several of its splits."""
    return hasattr(source, "column_names") and (hasattr(source, "features") or isinstance(source, dict))


def pairs_of_table(table: Any, image: str | None, label: str | None) -> tuple[Pairs, list[str] | None]:
    """Return the rows as images or pairs, and the names of the classes if the column of labels has them.

    Raises:
        DataError: several splits; a stream; no column or several columns that may be meant; a column that does not exist.
    """
    if isinstance(table, dict):
        raise DataError(
            f"this data set has the splits {', '.join(table)}: give one, such as dataset[{next(iter(table))!r}]"
        )
    if not hasattr(table, "__len__"):
        raise DataError("this data set is a stream: load it without streaming=True, or give list(dataset.take(1000))")
    columns, features = list(table.column_names), table.features or {}
    image = _column(columns, image, "image", _of_type(features, "Image"), IMAGES)
    if image is None:
        raise DataError(f"no column of images is found among {', '.join(columns)}: give image_column")
    rest = [name for name in columns if name != image]
    label = _column(rest, label, "label", _of_type(features, "ClassLabel"), LABELS)
    names = getattr(features.get(label), "names", None)
    return Pairs(table, image, label), list(names) if names else None


def _of_type(features: Any, kind: str) -> list[str]:
    return [name for name, feature in features.items() if type(feature).__name__ == kind]


def _column(columns: list[str], given: str | None, what: str, typed: list[str], usual: tuple[str, ...]) -> str | None:
    """Return the column that is meant, None if there is none; raise DataError if there are several."""
    if given is not None:
        if given not in columns:
            raise DataError(f"{what}_column={given!r}: choose one of {', '.join(columns)}")
        return given
    found = typed or [name for name in columns if name.lower() in usual]
    if len(found) > 1:
        raise DataError(f"columns {', '.join(found)} may hold the {what}s: give {what}_column")
    return found[0] if found else None
