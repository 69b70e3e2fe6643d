"""The files of embed: vectors as .npz, .csv or .parquet, maps as .png; and the map of an earlier call, read again."""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config.errors import UserError
from ..config.installed import is_installed
from ..runtime.files import write_atomically
from .console import console

KNOWN = "#d0d0d0"  # colour of the points of an earlier map
ENDINGS = (".npz", ".csv", ".parquet")


def write_table(file: Path, table: dict[str, Any]) -> None:
    """Write features, map, labels, classes and files in the format that the ending of the file names.

    Raises:
        UserError: .parquet without pandas and pyarrow.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix.lower() == ".npz":
        arrays = {
            "features": table["features"].numpy(),
            "labels": table["labels"].numpy(),
            "classes": list(table["classes"]),
            "encoder": table["encoder"],
            "of": _text(table["of"]),
            "files": np.array([_text(name) for name in table["files"]], dtype=np.str_),
        }
        if table["steps"] is not None:
            arrays |= {"steps": table["steps"], "encoder_file": table["encoder_file"]}
        if "map" in table:
            arrays["map"] = table["map"]
        write_atomically(file, lambda opened: np.savez(opened, **arrays))
        return
    columns = _columns(table)
    if file.suffix.lower() == ".parquet":
        import pandas

        write_atomically(file, pandas.DataFrame(columns).to_parquet)
        return
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    write_atomically(file, lambda opened: opened.write(text.getvalue().encode("utf-8", "backslashreplace")))


@dataclass
class EarlierMap:
    """A map that an earlier embed has written.

    known    features of its points, float32 (M, D)
    points   the map, float32 (M, 2)
    encoder  the hash of its encoder's weights; "" where the file is of a version that did not write it
    """

    known: Tensor
    points: Tensor
    encoder: str


def read_map(file: Path) -> EarlierMap:
    """Return the features and the map that an earlier embed has written.

    Raises:
        UserError: the file cannot be read, or has no map.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            known, points = (torch.from_numpy(arrays[name].astype(np.float32)) for name in ("features", "map"))
            return EarlierMap(known, points, str(arrays["encoder"]) if "encoder" in arrays else "")
    except OSError as error:
        raise UserError(
            f"--onto {file}: cannot be read ({error.strerror or error}); name an .npz file that embed wrote"
        ) from error
    except Exception as error:  # a damaged file can make its reader raise anything
        raise UserError(f"--onto {file}: no .npz file of embed with features and a map ({error}); name one") from error


def check_same_encoder(onto: Path | None, made_by: str, hashes: dict[str, str]) -> None:
    """Raise UserError unless the map at `onto` was made by these encoders; print a line where its file does not tell.

    The same width is not enough: the dimensions of two encoders have nothing to do with each other.
    """
    if not made_by:
        console.print(f"{onto} does not say which encoder made it, so see to it that it is this one")
        return
    for name, own in hashes.items():
        if own != made_by:
            raise UserError(
                f"--onto {onto}: another encoder than {name} made this map, so distances to its points mean nothing; "
                "name a map of the same encoder, or leave --onto out"
            )


def check_same_images(file: Path, of: str) -> None:
    """Raise UserError if an earlier embed has written this file for images from another place than `of`.

    Folders in different places often have one name, by which the file is called.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            earlier = str(arrays["of"])
    except Exception:  # there is none, or it is of a version that did not write it, or damaged
        return
    if earlier != _text(of):
        raise UserError(f"{file} holds the vectors of {earlier}: name another file with --out, or remove it")


def _text(name: str) -> str:
    """Return a name that can be written as UTF-8: bytes that are no text are escaped, so that names stay different."""
    return name.encode("utf-8", "backslashreplace").decode()


def check_parquet(file: Path) -> None:
    """Raise UserError if pandas or pyarrow, which write .parquet, is not installed."""
    if not (is_installed("pandas") and is_installed("pyarrow")):
        raise UserError(f"--out {file}: .parquet needs pandas and pyarrow; install them, or choose .csv")


def _columns(table: dict[str, Any]) -> dict[str, list]:
    y, classes = table["features"], table["classes"]
    names = [_text(name) for name in table["files"]]
    columns: dict[str, list] = {"file": names or [""] * len(y)}
    columns["label"] = [classes[k] if classes and k >= 0 else "" for k in table["labels"].tolist()]
    if "map" in table:
        columns |= {f"map_{axis}": table["map"][:, k].tolist() for k, axis in enumerate("xy")}
    return columns | {f"y{k}": y[:, k].tolist() for k in range(y.shape[1])}


def write_map(run: Path, suffix: str, title: str, table: dict[str, Any], below: Tensor | None = None) -> None:
    """Draw the map into the figures of the run, on top of the points (M, 2) `below` in grey."""
    from ..course.figures.maps import by_class, show_maps

    n, points = len(table["features"]), torch.as_tensor(table["map"])
    alt = f"{title}: the representations of {n:,} images" + (f", {suffix}" if suffix else "")
    title = f"{title}, {n:,} images"
    colours = by_class(table["labels"].clamp(min=0))
    if below is not None:
        points, colours = torch.cat((below, points)), [KNOWN] * len(below) + colours
    picture = show_maps([{title: points}], [colours], tuple(table["classes"])[:10], inches=5.0, alt=alt)
    (run / "figures").mkdir(exist_ok=True)
    write_atomically(run / "figures" / f"map{with_dash(suffix)}.png", lambda opened: opened.write(picture.png()))


def with_dash(name: str) -> str:
    """Return the name with a dash before it, for the end of a file's name; "" without a name."""
    return "-" + re.sub(r"[^\w.-]+", "-", name).strip("-") if name else ""
