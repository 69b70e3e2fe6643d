"""Judge a run: the verdict in words, the table beside the baselines, figures, protocols. Into its run folder."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from rich.table import Table

from .. import figures
from ..config.errors import UserError
from ..evaluate.comparison import compare
from ..evaluate.diagnose import Diagnosis
from ..evaluate.features import features, pixels
from ..evaluate.knn import nearest
from ..evaluate.pretrained import Guest, guest
from ..evaluate.protocols import PROTOCOLS
from ..methods.registry import TITLES
from ..train.trainer import Trainer
from . import run_folder
from .console import console
from .data_source import Images

MOST_JUDGED = 50_000  # images of the table; of a larger set, so many are drawn
NEIGHBOURS_AMONG = 2000
NOBODY: Mapping[str, Guest] = {}


def judge(
    trainer: Trainer,
    test: Images | None,
    out: Path,
    found: Diagnosis,
    guests: Mapping[str, Guest] = NOBODY,
) -> None:
    """Print the verdict and the table; write results.json and the figures.

    found: what `trainer.diagnosis()` said; it is made apart, since several processes make it together.
    guests: encoders to be judged beside the run's own, by the name they go under.
    """
    images = trainer.train
    console.print(str(found))
    results: dict = {"steps": trainer.steps_done, "verdict": found.verdict, "reason": found.reason}
    results |= {"std": found.report.std, "rank": found.report.rank, "alarm_step": found.alarm_step}
    results |= {"positive_cosine": found.positive_cosine, "negative_cosine": found.negative_cosine}
    results |= {"alignment": found.alignment}
    encoders = {
        "random encoder": trainer.initial_encoder(),
        TITLES[trainer.config.method]: trainer.model.encoder,
    } | dict(guests)
    labelled = images.labels is not None and test is not None and test.labels is not None
    if labelled and len(images.labels.unique()) > 1:
        bank, queries = (s if len(s) <= MOST_JUDGED else s.sample(MOST_JUDGED) for s in (images, test))
        comparison = compare(encoders, bank, queries)
        title = f"{len(queries):,} test images, {len(bank):,} train images, {len(test.classes)} classes"
        table = Table("", "kNN", "linear probe", title=title)
        for name, (knn, linear) in comparison.rows.items():
            table.add_row(name, f"{knn:.3f}", f"{linear:.3f}")
        console.print(table)
        results["table"] = {name: {"knn": k, "linear": p} for name, (k, p) in comparison.rows.items()}
    else:
        console.print(
            "no table: accuracies need train and test images with labels, one sub-folder a class, two at least"
        )
    _write_results(out, results)

    few = images[:10].sample(10).images
    v1, v2 = trainer.views(few.to(trainer.device))
    mean, std = (torch.tensor(s)[:, None, None] for s in (trainer.mean, trainer.std))
    v1, v2 = ((v.cpu() * std + mean).clamp(0, 1) for v in (v1, v2))
    bank, queries = images.sample(NEIGHBOURS_AMONG), (test or images).sample(8, seed=1)
    near = {"raw pixels": nearest(pixels(queries.images), pixels(bank.images), 6)}
    near |= {n: nearest(features(f, queries.images), features(f, bank.images), 6) for n, f in encoders.items()}
    pictures = {
        "views": figures.view_pairs(few, v1, v2),
        "curves": figures.curves({TITLES[trainer.config.method]: trainer.history.to_dict()}, trainer.steps_per_epoch),
        "neighbours": figures.neighbours(queries.images, {n: bank.images[i] for n, i in near.items()}),
    }
    for name, picture in pictures.items():
        run_folder.write_atomically(out / "figures" / f"{name}.png", lambda file, p=picture: file.write(p.png()))


def check_protocols(names: tuple[str, ...], data: str | None) -> None:
    """Raise UserError for an unknown protocol, or one that lacks its data."""
    for name in names:
        if name not in PROTOCOLS:
            raise UserError(f"protocol {name!r}: choose one of {', '.join(PROTOCOLS)}")
    if "transfer" in names and data is None:
        raise UserError("protocol 'transfer' judges on another data set: name it with --data")
    if data is not None and not names:
        raise UserError(f"--data {data}: it is for protocols; name one with --protocol, of {', '.join(PROTOCOLS)}")


def run_protocols(
    names: tuple[str, ...],
    trainer: Trainer,
    train: Images,
    test: Images | None,
    seed: int,
    out: Path,
    guests: Mapping[str, Guest] = NOBODY,
) -> None:
    """Run protocols on the trained encoder and on the random one; print each result and add it to results.json.

    And on each guest, beside the same architecture with random weights.
    """
    if test is None:
        raise UserError(f"{train.name!r} has no test images, and every protocol needs some: add a test/ folder")
    for name in names:
        result = PROTOCOLS[name](trainer.model.encoder, trainer.initial_encoder(), train, test, seed=seed)
        console.print(str(result))
        key = name if train.name == trainer.train.name else f"{name} on {train.name}"
        _write_results(out, {"protocols": {key: result.to_dict()}})
        for who, visitor in guests.items():
            untrained = guest(visitor.name, random=True, size=visitor.size[0], seed=seed).to(trainer.device)
            result = PROTOCOLS[name](visitor, untrained, train, test, seed=seed)
            console.print(f"{who}: {result}")
            _write_results(out, {"protocols": {f"{key}, {who}": result.to_dict()}})


def _write_results(out: Path, new: dict) -> None:
    """Add to results.json; what it holds of other protocols stays."""
    path = out / "results.json"
    try:
        old = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        old = {}
    protocols = old.get("protocols", {}) | new.get("protocols", {})
    run_folder.write_json(path, old | new | ({"protocols": protocols} if protocols else {}))
