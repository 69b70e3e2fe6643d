"""Tables 5a and 5b of the paper as runs, and each method without its guard: which switches make a row, and what we measured.

    rows = tables("5a", "5b")                    # name: Row
    rows["τ = 0"].config(bt.preset("shapes"))    # the row's run: a Config
    rows["τ = 0"].paper                          # 0.3, ImageNet top-1 in %

Numbers: Grill et al. 2020, arXiv 2006.07733, tables 5a and 5b, 300 epochs.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from html import escape

from .config import Config
from .option import ConfigError, UserError
from .presets import PRESETS

PAPER_RANDOM = 1.4  # top-1 of the untrained encoder (section 3)
PAPER_BEST = 72.5  # of BYOL in both tables
PAPER_STEPS = 300 * (1_281_167 // 4096)  # ImageNet's training images, batches of 4096
NOTHING, ALL = 0.1, 0.8  # of the way from the untrained encoder to the best run
ENOUGH = 0.3  # which must be this much better than the untrained encoder, or nothing is compared
LEVELS = ("learns nothing", "learns something", "learns as well as the best")

NO_TARGET = {"target": "online", "stop_gradient": False}
NO_PREDICTOR = {"predictor": "identity"}
NO_SHARPENING = {"teacher_temperature": 0.1, "teacher_temperature_start": 0.1}  # as soft as the student


@dataclass(frozen=True)
class Row:
    """A row of a table: the fields of Config that make it, the paper's number, and what to know where ours differs.

    paper: top-1 on ImageNet in %, linear evaluation. None: not from the paper.
    """

    name: str
    table: str
    about: str
    changes: dict
    paper: float | None = None
    remark: str = ""

    def config(self, base: Config) -> Config:
        return base.replace(**self.changes)


SIMSIAM = (
    "Stop-gradient and predictor are enough here, as SimSiam found later (67.7 without moving average). The paper itself "
    "has 5.5 for it in table 21, and 66.6 where the predictor learns ten times as fast."
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

GUARDS = (  # a method, its recipe, what keeps it from collapsing; without which part, what is left, the changes for that
    ("BYOL", {}, "predictor and a target that follows", ("predictor", "target alone", NO_PREDICTOR)),
    ("SimCLR", PRESETS["simclr"](), "negatives",
        ("negatives", "only the pull of the positive pair", {"negatives": False})),
    ("SimSiam", PRESETS["simsiam"](), "predictor and stop-gradient",
        ("stop-gradient", "the gradient through both branches", {"stop_gradient": False}),
        ("predictor", "stop-gradient alone", NO_PREDICTOR)),
    ("DINO", PRESETS["dino"](), "centring and sharpening",
        ("centring", "sharpening alone: one prototype takes all", {"centering": "none"}),
        ("sharpening", "centring alone: all prototypes take the same", NO_SHARPENING)),
)  # fmt: skip


def family() -> list[Row]:
    """Each method as it is, and without each of its guards."""
    rows = []
    for name, recipe, guard, *without in GUARDS:
        changes = {"method": "byol", "optimizer": "sgd"} | recipe  # whatever the base is
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
    """The rows of these tables, or of these names, in the tables' order.

    Raises:
        ConfigError: neither a table nor a row.
    """
    known = {*TABLES, *(row.name for row in ROWS)}
    for name in which:
        if name not in known:
            raise ConfigError(f"{name!r}: choose tables or rows of {', '.join([*TABLES, *(r.name for r in ROWS)])}")
    return {row.name: row for row in ROWS if row.table in which or row.name in which}


def own_rows(configs: Mapping[str, Config]) -> dict[str, Row]:
    """Rows of one's own: runs that are in no table."""
    return {name: Row(name, "", "", config.to_dict()) for name, config in configs.items()}


def differences(base: Config, data: str, steps: int, table: str = "5a") -> tuple[list[str], list[str]]:
    """What these runs have in common with the paper's, and what not, a sentence each. steps: of one run."""
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
        f"τ: the row's value at the first step; it {path}."
        + (" The same in the paper." if base.tau_schedule == "cosine" else " In the paper it rises to 1."),
        "“No target” in table 5b: one network, with the gradient through both branches. “τ = 0” in table 5a: the "
        "online network as its own target, with the gradient stopped; the only difference to “no target”. “τ = 1”: "
        "another random network, which stays as it is.",
        "An encoder is judged by a linear classifier on its frozen representations.",
    ]
    other = [
        f"Images: {data}, not ImageNet. So compare the order of the rows, not the numbers.",
        f"Steps: {steps:,}, not {PAPER_STEPS:,}. The same τ therefore spans a larger part of the run.",
        f"Encoder {base.encoder!r}, batches of {base.step_images} and {base.optimizer.upper()}, not ResNet-50, 4096 and LARS.",
        "One run for each row, with one seed.",
    ]
    return same, other


# --- what came out ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """A row's run after its end. Accuracies on the test images in [0, 1], None where there are no labels.

    linear, knn, random_linear, random_knn   of the encoder, and of the untrained one
    std, rank, verdict                       of the projections of up to 512 test images
    steps, seconds                           made, and spent in them
    error                                    why the run failed, in words; "" if it has not
    """

    row: Row
    verdict: str
    linear: float | None = None
    knn: float | None = None
    random_linear: float | None = None
    random_knn: float | None = None
    std: float | None = None
    rank: float | None = None
    steps: int = 0
    seconds: float = 0.0
    error: str = ""


def level(x: float, untrained: float, best: float) -> int:
    """0, 1 or 2: an accuracy's place between the untrained encoder's and the best run's; see LEVELS."""
    share = (x - untrained) / max(best - untrained, 1e-9)
    return (share >= NOTHING) + (share >= ALL)


def remark(finding: Finding, best: float | None) -> tuple[str, bool | None]:
    """What a run found, beside the paper: a sentence or two, and whether they agree; None: it cannot be told.

    best: the highest linear-probe accuracy among the runs that it is compared with.
    """
    row, linear, untrained = finding.row, finding.linear, finding.random_linear
    if linear is None or untrained is None or best is None or row.paper is None:
        return "", None
    if best - untrained < ENOUGH:
        return "No run here has learned enough to compare with the paper.", None
    there, here = level(row.paper, PAPER_RANDOM, PAPER_BEST), level(linear, untrained, best)
    if there == here:
        return f"As in the paper: {LEVELS[here]}.", True
    why = row.remark or "One short run of a small encoder; try another seed, or more epochs."
    return f"Not as in the paper: {LEVELS[here]} here, {LEVELS[there].replace('learns', 'learned')} there. {why}", False


class Findings(dict):
    """name: Finding, in the tables' order. A table as a cell's last line; `to_dict` and `from_dict` to keep it.

    >>> found["τ = 0"].linear
    """

    caption = ""

    HEAD = ("", "paper, %", "here, %", "untrained, %", "kNN, %", "√d·std", "verdict")

    @property
    def best(self) -> float | None:
        return max((f.linear for f in self.values() if f.linear is not None), default=None)

    def remark(self, name: str) -> str:
        return remark(self[name], self.best)[0]

    def rows(self) -> list[tuple[str, ...]]:
        percent = lambda x: "–" if x is None else f"{100 * x:.1f}"  # noqa: E731
        return [
            (
                name if not f.row.table else f"{f.row.table}  {name}",
                "–" if f.row.paper is None else f"{f.row.paper:.1f}",
                percent(f.linear),
                percent(f.random_linear),
                percent(f.knn),
                "–" if f.std is None else f"{f.std:.3f}",
                f.error or f.verdict.split(":")[0],
            )
            for name, f in self.items()
        ]

    def notes(self) -> list[str]:
        """A line for each row that differs from the paper."""
        seen = {name: remark(f, self.best) for name, f in self.items()}
        return [f"{name}: {words}" for name, (words, agrees) in seen.items() if agrees is False]

    def __str__(self) -> str:
        table = [self.HEAD, *self.rows()]
        width = max(len(r[0]) for r in table) + 2
        lines = [f"{r[0]:<{width}}" + "".join(f"{c:>14}" for c in r[1:-1]) + f"  {r[-1]}" for r in table]
        return "\n".join([*lines, *([self.caption] if self.caption else []), *self.notes()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col">{escape(c)}</th>' for c in self.HEAD)
        body = "".join(
            f'<tr><th scope="row" style="text-align:left">{escape(r[0])}</th>'
            + "".join(f"<td>{escape(c)}</td>" for c in r[1:])
            + "</tr>"
            for r in self.rows()
        )
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes())
        caption = f'<caption style="text-align:left">{escape(self.caption)}</caption>' if self.caption else ""
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" + (
            f"<ul>{notes}</ul>" if notes else ""
        )

    def to_dict(self) -> dict:
        """Numbers, strings and dicts alone, as json.dumps and torch.save take them."""
        return {"caption": self.caption, "findings": {name: asdict(f) for name, f in self.items()}}

    @classmethod
    def from_dict(cls, values: dict) -> "Findings":
        try:
            findings = cls({n: Finding(**f | {"row": Row(**f["row"])}) for n, f in values["findings"].items()})
            findings.caption = values["caption"]
        except (KeyError, TypeError) as error:
            raise UserError(f"no findings ({error}): give what to_dict returned") from error
        return findings
