"""Measures the experiments of the ledger over seeds, and writes one data file for each, which names the command.

A seed decides pictures, weights, batches and views. The file is written after each seed, so an interrupted measurement
continues where it stopped. What was measured with the same settings is not measured again.
"""

import copy
import datetime
import json
import os
import platform
import statistics
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import torch
from torch import nn

from ..._version import __version__
from ...augment.views import Views
from ...config.config import Config
from ...config.errors import DivergedError
from ...config.presets import preset
from ...data.image_set import ImageSet
from ...data.loading import load
from ...evaluate.comparison import accuracies
from ...evaluate.diagnose import eigenspace_alignment
from ...evaluate.features import features
from ...evaluate.linear import factor_probe
from ...methods.base import Objective
from ...runtime.files import write_atomically
from ...train.monitor import REPORTED
from ..runs import run

FOLDER = Path(__file__).parent / "measured"
SEEDS = (0, 1, 2, 3, 4)
EPOCHS = 8  # half of the recipe's, so that all runs take an hour on two cores
ALWAYS = ("linear", "knn", "std", "rank")  # measured in every experiment
EXTRA = ("hue", "alignment", "alignment_before")  # measured where a claim needs it
MEASURES = (*ALWAYS, *EXTRA)
BINS = 8  # bins of the hue, of equal frequency, so chance is 1/8


@dataclass(frozen=True)
class LedgerExperiment:
    """A preset of EPOCHS epochs with `changes`, run with several seeds.

    epochs_run: stop after so many epochs of the schedule; 0 leaves the encoder untrained. Default: the whole schedule.
    """

    name: str
    changes: dict
    epochs_run: int | None = None
    recipe: str = "shapes"

    def config(self, seed: int) -> Config:
        """Return the Config of the run with this seed."""
        return preset(self.recipe, **({"seed": seed, "epochs": EPOCHS} | self.changes))

    @cached_property
    def settings(self) -> dict:
        """The settings that decide what is measured, besides the seed and the code.

        All fields of Config are among them, so that a recipe that changes takes its measurements with it.
        """
        fields = {name: value for name, value in self.config(0).to_dict().items() if name != "seed"}
        return {
            "preset": self.recipe,
            "changes": self.changes,
            "epochs_run": self.epochs_run,
            "config": json.loads(json.dumps(fields)),  # lists for pairs, as the data file has them
        }

    @property
    def path(self) -> Path:
        """The data file."""
        return FOLDER / f"{self.name}.json"

    def measured(self) -> dict[int, dict[str, float]]:
        """Return seed -> measure -> value, as measured with these settings; empty where nothing is measured yet."""
        if not self.path.exists():
            return {}
        content = json.loads(self.path.read_text(encoding="utf-8"))
        if not same_settings(content["settings"], self.settings):
            return {}
        return {int(seed): values for seed, values in content["runs"].items()}

    def mean(self, measure: str) -> float:
        """Return the mean of a measure over seeds."""
        return statistics.fmean(self.values(measure))

    def values(self, measure: str) -> list[float]:
        """Return a measure's value for each seed.

        Raises:
            KeyError: a seed lacks this measure.
        """
        return [values[measure] for _, values in sorted(self.measured().items())]

    def keep(self, seed: int, values: dict[str, float], command: str) -> None:
        """Add one seed's values to the data file."""
        runs = self.measured()
        runs[seed] = runs.get(seed, {}) | values
        content = {
            "command": command,
            "date": datetime.date.today().isoformat(),
            "byol_tutorial": __version__,
            "torch": torch.__version__,
            "processor": f"{processor()}, {os.cpu_count()} cores",
            "settings": self.settings,
            "runs": {str(s): {k: round(v, 4) for k, v in values.items()} for s, values in sorted(runs.items())},
        }
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        self.path.parent.mkdir(exist_ok=True)
        write_atomically(self.path, lambda file: file.write(text.encode()))
        self.path.chmod(0o644)


def same_settings(kept: dict, now: dict) -> bool:
    """Return whether a data file's settings are those of an experiment now.

    A field of Config that did not exist when the file was written must have its default now, which means "as before".
    A field that no longer exists decided nothing else.
    """
    kept_config, now_config, defaults = kept.get("config", {}), now["config"], _defaults()
    return all(kept.get(key) == now[key] for key in now if key != "config") and all(
        value == kept_config.get(name, defaults[name]) for name, value in now_config.items()
    )


@cache
def _defaults() -> dict:
    """Return the defaults of all fields of Config, with lists for pairs."""
    return json.loads(json.dumps(Config().to_dict()))


def measure(experiment: LedgerExperiment, seed: int, extra: set[str], epochs: float | None = None) -> dict[str, float]:
    """Train a run, or take it from the cache, and measure it. A run that diverges has learned nothing: its measures are 0.

    Args:
        extra: the measures of EXTRA that are needed too.
        epochs: how long to train. Default: as long as the experiment says.
    """
    train, test = load("shapes", seed=seed), load("shapes", "test", seed=seed)
    config = experiment.config(seed)
    epochs = experiment.epochs_run if epochs is None else epochs
    if epochs == 0:
        return _untrained(config, train, test, extra)
    try:
        result = run(config, train, test, epochs=epochs, name=experiment.name, progress=False)
    except DivergedError:
        return dict.fromkeys((*ALWAYS, *extra), 0.0)
    values = {name: getattr(result, name) for name in ALWAYS}
    if "hue" in extra:
        y = features(result.encoder, train), features(result.encoder, test)
        values["hue"] = factor_probe(y[0], train, y[1], test, "hue", bins=BINS).accuracy
    if extra & {"alignment", "alignment_before"}:
        values["alignment"] = _alignment(result.network, config, train)
        values["alignment_before"] = _alignment(result.random_network(), config, train)
    return values


def _untrained(config: Config, train: ImageSet, test: ImageSet, extra: set[str]) -> dict[str, float]:
    from ...train.trainer import Trainer

    trainer = Trainer(config, train, test, device="cpu")
    found = accuracies(trainer.model.encoder, train, test)
    values = {
        "linear": found.linear,
        "knn": found.knn,
        "std": (report := trainer.report()).std,
        "rank": report.rank,
    }
    if "hue" in extra:
        values["hue"] = factor_probe(found.train_features, train, found.test_features, test, "hue", bins=BINS).accuracy
    return values


@torch.no_grad()
def _alignment(network: Objective, config: Config, train: ImageSet) -> float:
    """Return the eigenspace alignment of the predictor, on views of up to 512 train images; 1 where there is none."""
    network = copy.deepcopy(network).train()
    generator = torch.Generator().manual_seed(0)
    v1, _ = Views(config, *train.statistics(), generator)(train.sample(REPORTED).images)
    z = network.online(v1)
    return eigenspace_alignment(z, getattr(network, "predictor", nn.Identity())(z))


def processor() -> str:
    """Return the name of this machine's processor."""
    names = [platform.processor() or platform.machine()]
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")] or names
    return names[0]
