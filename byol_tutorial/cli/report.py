"""Judge a run, print the result, and write it to the run folder: verdict, table, figures, protocols."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import nn

from ..config.checks import Refused, anything, fields, mapping_of, parse_json, whole
from ..config.errors import UserError
from ..evaluate.comparison import Comparison, compare
from ..evaluate.diagnose import Diagnosis
from ..evaluate.features import features, pixels
from ..evaluate.knn import nearest
from ..evaluate.pretrained import Guest, guest
from ..evaluate.protocols import PROTOCOLS
from ..methods.registry import TITLES
from ..runtime.files import write_atomically
from ..train.trainer import Trainer
from . import run_folder
from .console import console
from .data_source import Images

MOST_JUDGED = 50_000  # images for the table; from a larger set, a sample of this many
NEIGHBOURS_AMONG = 2000  # train images among which nearest neighbours are looked for
RESULTS = fields({}, {"steps": whole(0), "protocols": mapping_of(anything), "earlier": mapping_of(anything)})
NO_GUESTS: Mapping[str, Guest] = {}


# --- verdict, table and figures -----------------------------------------------------------------


def judge(
    trainer: Trainer, test: Images | None, out: Path, diagnosis: Diagnosis, guests: Mapping[str, Guest] = NO_GUESTS
) -> None:
    """Print the verdict and the table; write results.json and the figures.

    Args:
        trainer: the run.
        test: its test images.
        out: its folder.
        diagnosis: that of `trainer.diagnosis()`. The caller makes it, since several processes make it together.
        guests: encoders by name, to be judged beside those of the run.
    """
    results = {
        "steps": trainer.steps_done,
        "verdict": diagnosis.verdict,
        "reason": diagnosis.reason,
        "std": diagnosis.report.std,
        "rank": diagnosis.report.rank,
        "alarm_step": diagnosis.alarm_step,
        "positive_cosine": diagnosis.positive_cosine,
        "negative_cosine": diagnosis.negative_cosine,
        "alignment": diagnosis.alignment,
    }
    encoders: dict[str, nn.Module] = {
        "random encoder": trainer.initial_encoder(),
        TITLES[trainer.config.method]: trainer.model.encoder,
        **guests,
    }
    console.print(str(diagnosis))
    train = trainer.train
    if test is not None and test.labels is not None and train.labels is not None and len(train.labels.unique()) > 1:
        bank, queries = (s if len(s) <= MOST_JUDGED else s.sample(MOST_JUDGED) for s in (train, test))
        comparison = compare(encoders, bank, queries)
        title = (
            f"{len(queries):,} test images, {len(bank):,} train images, {len(test.classes)} classes; {comparison.floor}"
        )
        console.print(table_of(comparison, title))
        results["table"] = {name: {"knn": knn, "linear": linear} for name, (knn, linear) in comparison.rows.items()}
        results["balanced"] = {name: {"knn": k, "linear": p} for name, (k, p) in comparison.balanced.items()}
        results |= {"chance": comparison.chance, "largest_class": comparison.largest}
    else:
        console.print(
            "no table: accuracies need train and test images with labels, one sub-folder for each class, "
            "and at least two classes"
        )
    _write_results(out, trainer.steps_done, results)
    write_figures(trainer, test, encoders, out)


def table_of(comparison: Comparison, title: str) -> Table:
    """Return the accuracies as a table for the terminal, one row for each representation."""
    table = Table("", *comparison.columns, title=title)
    for name in comparison.rows:
        table.add_row(name, *(f"{value:.3f}" for value in comparison.values(name)))
    return table


def write_figures(trainer: Trainer, test: Images | None, encoders: Mapping[str, nn.Module], out: Path) -> None:
    """Write pairs of views, the curves of the run, and nearest neighbours by pixels and by each encoder, as PNG."""
    from .. import figures  # here, because loading matplotlib would make --help a fifth slower

    few = trainer.train[:10].sample(10).images
    v1, v2 = trainer.views(few.to(trainer.device))
    mean, std = (torch.tensor(s)[:, None, None] for s in (trainer.mean, trainer.std))
    v1, v2 = ((v.cpu() * std + mean).clamp(0, 1) for v in (v1, v2))

    bank, queries = trainer.train.sample(NEIGHBOURS_AMONG), (test or trainer.train).sample(8, seed=1)
    near = {"raw pixels": nearest(pixels(queries.images), pixels(bank.images), 6)}
    near |= {n: nearest(features(f, queries.images), features(f, bank.images), 6) for n, f in encoders.items()}

    history = {TITLES[trainer.config.method]: trainer.history.to_dict()}
    pictures = {
        "views": figures.view_pairs(few, v1, v2),
        "curves": figures.curves(history, trainer.steps_per_epoch),
        "neighbours": figures.neighbours(queries.images, {n: bank.images[i] for n, i in near.items()}),
    }
    for name, picture in pictures.items():
        _write_png(out / "figures" / f"{name}.png", picture.png())


def _write_png(path: Path, png: bytes) -> None:
    """Write a picture whole or not at all."""
    write_atomically(path, lambda file: file.write(png))


# --- protocols ----------------------------------------------------------------------------------


def check_protocols(names: tuple[str, ...], data: str | None) -> None:
    """Raise UserError if a protocol is unknown, or lacks --data."""
    for name in names:
        if name not in PROTOCOLS:
            raise UserError(f"protocol {name!r}: choose one of {', '.join(PROTOCOLS)}")
    if "transfer" in names and data is None:
        raise UserError("protocol 'transfer' judges on another data set: name it with --data")


def run_protocols(
    names: tuple[str, ...],
    trainer: Trainer,
    train: Images,
    test: Images | None,
    seed: int,
    out: Path,
    guests: Mapping[str, Guest] = NO_GUESTS,
    own: bool = True,
) -> None:
    """Run protocols on the trained and the random encoder, then on each guest beside one with random weights.

    Each result is printed and added to results.json.

    Args:
        names: keys of PROTOCOLS.
        trainer: the run.
        train, test: the images of the protocols, which may be of another data set than those of the run.
        seed: decides all that is random in a protocol.
        out: the run folder.
        guests: encoders by name.
        own: whether these are the run's own images; results on others are kept under the name of their data.

    Raises:
        UserError: no test images.
        DataError: images that a protocol cannot use, such as those without labels.
    """
    if test is None:
        raise UserError(f"{train.name!r} has no test images, and every protocol needs some: add a test/ folder")
    for name in names:
        result = PROTOCOLS[name](trainer.model.encoder, trainer.initial_encoder(), train, test, seed=seed)
        console.print(str(result))
        key = name if own else f"{name} on {train.name}"
        _write_results(out, trainer.steps_done, {"protocols": {key: result.to_dict()}})
        for who, visitor in guests.items():
            untrained = guest(visitor.name, random=True, size=visitor.size[0], seed=seed).to(trainer.device)
            result = PROTOCOLS[name](visitor, untrained, train, test, seed=seed)
            console.print(f"{who}: {result}")
            _write_results(out, trainer.steps_done, {"protocols": {f"{key}, {who}": result.to_dict()}})


def _write_results(out: Path, steps: int, new: dict[str, Any]) -> None:
    """Replace these entries of results.json. Under "protocols", those of other protocols stay.

    Results after another number of steps go under "earlier", each under its number.
    """
    path = out / "results.json"
    old = read_results(path)
    earlier = old.pop("earlier", {})
    if old and old.get("steps", steps) != steps:
        earlier[str(old["steps"])] = old
        old = earlier.pop(str(steps), {})
    protocols = old.get("protocols", {}) | new.get("protocols", {})
    content = old | new | {"steps": steps} | ({"protocols": protocols} if protocols else {})
    run_folder.write_json(path, content | ({"earlier": earlier} if earlier else {}))


def read_results(path: Path) -> dict[str, Any]:
    """Return the content of a results.json; an empty dict where there is none, or it is damaged.

    Raises:
        OSError: the system does not let us read it. It may be whole, so it must not be replaced.
    """
    try:
        content = parse_json(path.read_bytes())
        RESULTS(content, "")
    except (FileNotFoundError, Refused):
        return {}
    return content
