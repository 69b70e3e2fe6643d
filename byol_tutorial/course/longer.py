"""The encoder of a longer run on "photographs", which comes with the course, and the record of how it was trained.

The command that made it is in the record; photographs.json also has the settings, and what was measured at its end.
"""

import json
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from typing import Any

from torch import nn

from ..train.encoder_file import load_encoder


@dataclass(frozen=True)
class LongerRun:
    """An encoder that took longer to train than a lesson may.

    encoder   in evaluation mode, on the CPU
    command   what made it, in a shell
    seconds   how long the training took, on the machine that `machine` describes
    config    the fields of Config
    results   accuracies of "kNN" and "linear probe" for "raw pixels", "random encoder" and "BYOL"
    """

    encoder: nn.Module = field(repr=False)
    command: str
    seconds: float
    machine: str
    config: dict[str, Any] = field(repr=False)
    results: dict[str, dict[str, float]]


def longer_run() -> LongerRun:
    """Read the encoder and its record."""
    folder = files(__package__)
    record = json.loads(folder.joinpath("photographs.json").read_text("utf-8"))
    with as_file(folder.joinpath("photographs.safetensors")) as path:
        return LongerRun(load_encoder(path), **record)
