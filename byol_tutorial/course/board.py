"""The board: a grid of runs, trained beforehand, so that sliders answer at once and without a kernel.

    byol-tutorial course board          trains them, writes board.json: some minutes
    bt.widgets.board()                  shows them

Four settings, every combination: the decay rate τ, with the fixed random target (τ = 1) and the online network itself
(τ = 0) at its ends; with or without predictor; with or without stop-gradient; with or without changes of colour. Without
stop-gradient the target network has no part (ξ = θ), so there all τ are one run.
"""

import base64
import datetime
import itertools
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch

from .._version import __version__
from ..config.config import Config
from ..config.presets import preset
from ..data.loading import load
from ..evaluate.comparison import accuracies
from ..live.snapshot import measure_run
from ..runtime.files import write_atomically
from ..train.trainer import Trainer

FILE = Path(__file__).parent / "board.json"
TAUS = (0.0, 0.9, 0.95, 0.99, 1.0)
EPOCHS, POINTS, SHOWN = 6, 96, 300  # of a run; values of a curve, at most; images on a map
FULL = 32000  # a coordinate of 1 on a map, as int16


def config_at(tau: float, predictor: bool, stop_gradient: bool, colour: bool) -> Config:
    """The run at one place of the board; equal Configs are one run."""
    changes: dict = {"epochs": EPOCHS}
    if stop_gradient:
        ends = {0.0: {"target": "online"}, 1.0: {"target": "random"}}
        changes |= ends.get(tau, {"tau_base": tau})
    else:
        changes["stop_gradient"] = False
    if not predictor:
        changes["predictor"] = "identity"
    if not colour:
        changes |= {"jitter_p": 0.0, "grayscale_p": 0.0}
    return preset("shapes", **changes)


def places() -> dict[tuple[float, bool, bool, bool], Config]:
    """(τ, predictor, stop-gradient, colour) -> Config."""
    return {place: config_at(*place) for place in itertools.product(TAUS, *[(True, False)] * 3)}


def train_all(say: Callable[[str], None] = print, file: Path = FILE) -> None:
    """Train every run of the board, and write the file when all are done."""
    train, test = load("shapes"), load("shapes", "test")
    shown = test.sample(SHOWN)
    configs = list(dict.fromkeys(places().values()))
    runs = []
    for k, config in enumerate(configs, 1):
        runs.append(one(config, train, test, shown.images))
        say(f"{k} of {len(configs)}: linear {runs[-1]['linear']:.3f}, √d·std {runs[-1]['spread']:.3f}")
    content = {
        "command": "byol-tutorial course board",
        "date": datetime.date.today().isoformat(),
        "byol_tutorial": __version__,
        "torch": torch.__version__,
        "epochs": EPOCHS,
        "classes": list(test.classes),
        "labels": shown.labels.tolist(),
        "hue": [round(h, 3) for h in shown.factors.hue.tolist()],
        "places": [[*place, configs.index(config)] for place, config in places().items()],
        "runs": runs,
    }
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"
    write_atomically(file, lambda f: f.write(text.encode()))
    file.chmod(0o644)


def one(config: Config, train, test, shown: torch.Tensor) -> dict:
    """What the board shows of one run."""
    trainer = Trainer(config, train, test)
    start = trainer.knn()
    trainer.run(progress=False)
    h = trainer.history
    measure = measure_run(trainer, shown)
    block = -(-len(h.loss) // POINTS)
    points = (measure.maps["z"].clamp(-1, 1) * FULL).round().to(torch.int16).numpy()
    return {
        "block": block,
        "epoch": trainer.steps_per_epoch,
        "loss": means(h.loss, block),
        "std": means(h.std, block),
        "knn": [[step, round(value, 3)] for step, value in h.knn],
        "start_knn": round(start, 3),
        "linear": round(accuracies(trainer.model.encoder, train, test).linear, 3),
        "spread": round(measure.report.std, 4),
        "map": base64.b64encode(points.astype("<i2").tobytes()).decode(),
    }


def means(values: list[float], block: int) -> list[float]:
    """Averages of `block` values each, to four digits."""
    starts = np.arange(0, len(values), block)
    sums = np.add.reduceat(np.asarray(values, np.float64), starts)
    return [float(f"{x:.4g}") for x in sums / np.diff(np.append(starts, len(values)))]


@cache
def recorded() -> dict:
    """What `train_all` wrote."""
    return json.loads(FILE.read_text(encoding="utf-8"))
