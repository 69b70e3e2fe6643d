"""What the laboratory's panel sends to the browser: what stays the same, and each run as it is now."""

from dataclasses import asdict

import numpy as np

from ...config.paper_tables import TABLES, differences
from ...data.names import short_name
from ...evaluate.balance import floor_if_uneven
from ...evaluate.diagnose import THRESHOLDS
from ...live.cell import Cell
from ...live.curves import shortened
from ...live.findings import remark
from ...live.laboratory import Laboratory
from ..explained import explained
from .explanations import TEXTS

POINTS = 160  # values of a curve, at most; longer curves are averaged in blocks
RATES = (None, 20.0, 5.0, 1.0)  # the panel's choices of steps a second; None is no limit


def setup_of(lab: Laboratory) -> dict:
    """Return what stays the same while the runs advance: the rows, the images, the texts."""
    first = next(iter(lab.cells.values())).snapshot
    data = f"{len(lab.train):,} images of {short_name(lab.train.name)!r}"
    classes = "" if not lab.train.classes else f", {len(lab.train.classes)} classes"
    in_tables = [table for table in TABLES if any(row.table == table for row in lab.rows.values())]
    same, other = differences(lab.base, data + classes, first.total_steps, in_tables[0] if in_tables else "")
    return {
        "cells": [_cell_setup(lab, name, cell) for name, cell in lab.cells.items()],
        "tables": {table: TABLES[table] for table in in_tables},
        "same": same if in_tables else [],
        "other": other if in_tables else [],
        "data": data + classes,
        "floor": floor_if_uneven(None if lab.test is None else lab.test.labels),
        "processes": lab.workers,
        "rates": list(RATES),
        "thresholds": asdict(THRESHOLDS),
        "about": explained(TEXTS),
    }


def _cell_setup(lab: Laboratory, name: str, cell: Cell) -> dict:
    before, after = lab.experiment(name).code.rsplit(f"steps={cell.snapshot.step}", 1)
    return {
        "name": name,
        "table": cell.row.table,
        "about": cell.row.about,
        "paper": cell.row.paper,
        "total": cell.snapshot.total_steps,
        "epoch": cell.snapshot.steps_per_epoch,
        "code": [before + "steps=", after],  # the browser puts the number of steps in between
    }


def cell_frame(cell: Cell, best: float | None) -> dict:
    """Return what the panel shows of a run now. best: the accuracy of the best run, see findings.remark."""
    s, f = cell.snapshot, cell.finding
    words, agrees = ("", None) if f is None or f.error else remark(f, best)
    return {
        "state": s.state,
        "step": s.step,
        "verdict": s.verdict,
        "curves": curves_of(s.series("loss"), s.series("std")),
        "knn": [list(check) for check in s.knn],
        "start_knn": s.start_knn,
        "accuracy": f and f.knn,  # on all test images, like the linear probe; `knn` is on some of them, while training
        "linear": f and f.linear,
        "random_linear": f and f.random_linear,
        "balanced": f.balanced if f else {"knn": s.knn_balanced[-1][1]} if s.knn_balanced and s.knn else {},
        "remark": words,
        "agrees": agrees,
    }


def curves_of(loss: list[float], std: list[float]) -> dict:
    """Return both curves with at most POINTS values, to four digits, and the steps in a block; None if not finite."""
    block, curves = shortened(POINTS, loss, std)
    rounded = [[float(f"{x:.4g}") if np.isfinite(x) else None for x in curve] for curve in curves]
    return {"block": block, "loss": rounded[0], "std": rounded[1]}
