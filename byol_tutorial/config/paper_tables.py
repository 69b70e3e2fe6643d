"""Tables 5a and 5b of the paper as runs, and each method without its guard against collapse.

    rows = tables("5a", "5b")                    # name: Row
    rows["τ = 0"].config(bt.preset("shapes"))    # the row's run: a Config
    rows["τ = 0"].paper                          # 0.3, ImageNet top-1 in %

The numbers are those of Grill et al. 2020, arXiv 2006.07733, tables 5a and 5b, 300 epochs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from .config import Changes, Config
from .errors import ConfigError
from .presets import PRESETS

PAPER_RANDOM = 1.4  # top-1 of the untrained encoder (section 3)
PAPER_BEST = 72.5  # BYOL's top-1 in both tables
PAPER_STEPS = 300 * (1_281_167 // 4096)  # ImageNet's training images, batches of 4096

NO_TARGET: Changes = {"target": "online", "stop_gradient": False}
NO_PREDICTOR: Changes = {"predictor": "identity"}
NO_SHARPENING: Changes = {"teacher_temperature": 0.1, "teacher_temperature_start": 0.1}  # as soft as the student


@dataclass(frozen=True)
class Row:
    """A row of a table: the fields of Config that make it, the paper's number, and a remark where our runs differ.

    paper: top-1 on ImageNet in %, linear evaluation. None: the row is not from the paper.
    """

    name: str
    table: str
    about: str
    changes: Changes
    paper: float | None = None
    remark: str = ""

    def config(self, base: Config) -> Config:
        """Return the config of this row: base with the changes."""
        return base.replace(**self.changes)


SIMSIAM = (
    "Stop-gradient and predictor are enough here, as SimSiam found later (67.7 without moving average). The paper "
    "itself has 5.5 for it in table 21, and 66.6 where the predictor learns ten times as fast."
)

PAPER_ROWS = (
    Row("τ = 1", "5a", "a fixed random target", {"target": "random"}, 18.8),
    Row("τ = 0.999", "5a", "a slow moving average", {"tau_base": 0.999}, 69.8,
        "Such a target looks back over 1,000 steps: little in the paper's run, much of this one."),
    Row("τ = 0.99", "5a", "a moving average", {"tau_base": 0.99}, 72.5),
    Row("τ = 0.9", "5a", "a fast moving average", {"tau_base": 0.9}, 68.4),
    Row("τ = 0", "5a", "the online network itself, gradient stopped", {"target": "online"}, 0.3, SIMSIAM),
    Row("BYOL", "5b", "predictor, target, β = 0", {}, 72.5),
    Row("BYOL, β = 1", "5b", "predictor, target, β = 1", {"negatives_weight": 1.0}, 70.9),
    Row("no predictor, β = 1", "5b", "target, β = 1", NO_PREDICTOR | {"negatives_weight": 1.0}, 70.7),
    Row("SimCLR", "5b", "no predictor, no target, β = 1", NO_PREDICTOR | NO_TARGET | {"negatives_weight": 1.0}, 69.4),
    Row("no target, β = 1", "5b", "predictor, β = 1", NO_TARGET | {"negatives_weight": 1.0}, 69.1),
    Row("no target", "5b", "predictor, β = 0", NO_TARGET, 0.3),
    Row("no predictor", "5b", "target, β = 0", NO_PREDICTOR, 0.2),
    Row("no predictor, no target", "5b", "β = 0", NO_PREDICTOR | NO_TARGET, 0.1),
)  # fmt: skip

# Each method, its recipe, and what keeps it from collapsing; then each part of that: its name, what is left without it,
# and the changes that take it away.
GUARDS: tuple[tuple[str, Changes, str, list[tuple[str, str, Changes]]], ...] = (
    ("BYOL", {}, "predictor and a target that follows", [
        ("predictor", "target alone", NO_PREDICTOR)]),
    ("SimCLR", PRESETS["simclr"](), "negatives", [
        ("negatives", "only the pull of the positive pair", {"negatives": False})]),
    ("SimSiam", PRESETS["simsiam"](), "predictor and stop-gradient", [
        ("stop-gradient", "the gradient through both branches", {"stop_gradient": False}),
        ("predictor", "stop-gradient alone", NO_PREDICTOR)]),
    ("DINO", PRESETS["dino"](), "centring and sharpening", [
        ("centring", "sharpening alone: one prototype takes all", {"centering": "none"}),
        ("sharpening", "centring alone: all prototypes take the same", NO_SHARPENING)]),
)  # fmt: skip


def family() -> list[Row]:
    """Return a row for each method as it is, and one without each part of its guard."""
    rows = []
    for name, recipe, guard, without in GUARDS:
        changes: Changes = {"method": "byol", "optimizer": "sgd"} | recipe  # the same for every base
        rows.append(Row(f"{name} as it is", "family", f"guard: {guard}", changes))
        rows += [Row(f"{name} without {part}", "family", left, changes | less) for part, left, less in without]
    return rows


ROWS = (*PAPER_ROWS, *family())
TABLES = {
    "5a": "Table 5a: how fast the target follows",
    "5b": "Table 5b: predictor, target network, negatives (β)",
    "family": "The family: what keeps each method from collapsing, and the method without it",
}


def tables(*which: str) -> dict[str, Row]:
    """Return the rows of these tables, or with these names, in the order of the tables.

    Raises:
        ConfigError: a name that is neither a table nor a row.
    """
    known = {*TABLES, *(row.name for row in ROWS)}
    for name in which:
        if name not in known:
            raise ConfigError(f"{name!r}: choose tables or rows of {', '.join([*TABLES, *(r.name for r in ROWS)])}")
    return {row.name: row for row in ROWS if row.table in which or row.name in which}


def own_rows(configs: Mapping[str, Config]) -> dict[str, Row]:
    """Return a row for each of these runs, which are in no table."""
    return {name: Row(name, "", "", config.to_dict()) for name, config in configs.items()}


def differences(base: Config, data: str, steps: int, table: str = "5a") -> tuple[list[str], list[str]]:
    """Say what these runs share with the paper's, and where they differ, a sentence each. steps: of one run."""
    if table == "family":
        same = [
            "Each method's loss, and what keeps it from collapsing; views, encoder and optimiser are the same for all."
        ]
        other = [
            f"Images: {data}. So compare a method with itself without its guard, not the methods with each other.",
            f"Steps: {steps:,}. The settings are those found for BYOL, and for DINO its temperatures.",
            "One run for each row, with one seed. The row that is named “as it is” has the guard.",
        ]
        return same, other
    path = "rises along a cosine to 1 while training" if base.tau_schedule == "cosine" else "stays as it is"
    same = [
        "The algorithm and the switch or two that make each row.",
        f"τ: the row's value at the first update; it {path}."
        + (" The same in the paper." if base.tau_schedule == "cosine" else " In the paper it rises to 1."),
        "“No target” in table 5b: one network, with the gradient through both branches. “τ = 0” in table 5a: the "
        "online network as its own target, with the gradient stopped; the only difference to “no target”. “τ = 1”: "
        "another random network, which stays as it is.",
        "An encoder is judged by a linear classifier on its frozen representations.",
    ]
    other = [
        f"Images: {data}, not ImageNet. So compare the order of the rows, not the numbers.",
        f"Steps: {steps:,}, not {PAPER_STEPS:,}. The same τ therefore spans a larger part of the run.",
        f"Encoder {base.encoder!r}, batches of {base.step_images} and {base.optimizer.upper()}, "
        "not ResNet-50, 4096 and LARS.",
        "One run for each row, with one seed.",
    ]
    return same, other
