"""The board: a grid of runs that were trained beforehand, so that sliders answer at once and without a kernel.

    byol-tutorial course board          trains the runs and writes board.json; takes some minutes
    bt.widgets.board()                  shows them

The board has every combination of four settings: the decay rate τ, from the online network itself (τ = 0) to the fixed
random target (τ = 1); with or without predictor; with or without stop-gradient; with or without changes of colour.
Without stop-gradient there is no separate target network (ξ = θ), so all τ are one run there.
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
from ..data.image_set import ImageSet
from ..data.loading import load
from ..evaluate.comparison import accuracies
from ..live.snapshot import measure_run
from ..runtime.files import write_atomically
from ..train.trainer import Trainer

FILE = Path(__file__).parent / "board.json"
TAUS = (0.0, 0.9, 0.95, 0.99, 1.0)
EPOCHS, POINTS, SHOWN = 6, 96, 300  # epochs of a run; values of a curve, at most; images on a map
FULL = 32000  # the int16 that stands for a coordinate of 1 on a map


def config_at(tau: float, predictor: bool, stop_gradient: bool, colour: bool) -> Config:
    """Return the Config of the run at one place of the board; equal Configs are one run."""
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
    """Return (τ, predictor, stop-gradient, colour) -> Config, for every place of the board."""
    choice = (True, False)
    return {place: config_at(*place) for place in itertools.product(TAUS, choice, choice, choice)}


def train_all(say: Callable[[str], None] = print, file: Path = FILE) -> None:
    """Train every run of the board, and write the file when all are done."""
    train, test = load("shapes"), load("shapes", "test")
    shown = test.sample(SHOWN)
    assert shown.labels is not None
    assert shown.factors is not None  # the drawn shapes have both
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


def one(config: Config, train: ImageSet, test: ImageSet, shown: torch.Tensor) -> dict:
    """Train one run and return what the board shows of it."""
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
    """Return the averages of `block` values each, to four digits."""
    starts = np.arange(0, len(values), block)
    sums = np.add.reduceat(np.asarray(values, np.float64), starts)
    return [float(f"{x:.4g}") for x in sums / np.diff(np.append(starts, len(values)))]


@cache
def recorded() -> dict:
    """Return what `train_all` wrote."""
    return json.loads(FILE.read_text(encoding="utf-8"))
