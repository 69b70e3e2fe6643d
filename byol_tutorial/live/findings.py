"""Findings: the results of a laboratory's runs, and how they compare with each other and with the paper."""

from dataclasses import asdict, dataclass, field

from ..config.errors import UserError
from ..config.paper_tables import PAPER_BEST, PAPER_RANDOM, Row
from ..runtime.markup import escaped, html_table

# An accuracy's place between the untrained encoder's (0) and the best run's (1) decides its level.
SOMETHING, AS_WELL = 0.1, 0.8  # least places of the second and of the third level
LEAST_GAIN = 0.3  # runs are compared with the paper only if the best is this much better than the untrained encoder
LEVELS = ("learns nothing", "learns something", "learns as well as the best")


@dataclass(frozen=True)
class Finding:
    """The result of one run. Accuracies are on the test images, in [0, 1]; None if there are no labels.

    linear, knn                  accuracies of the linear probe and of kNN on the encoder's representations
    random_linear, random_knn    the same of the untrained encoder
    balanced                     balanced accuracies "linear", "knn", "random_linear", where classes are not equally frequent
    std, rank, verdict           √d·std, rank and verdict of the projections of up to 512 test images
    steps, seconds               number of steps made, and the time that they took
    error                        message of the error that ended the run, or ""
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
    balanced: dict[str, float] = field(default_factory=dict, hash=False)


def level(x: float, untrained: float, best: float) -> int:
    """Return the level of an accuracy, an index into LEVELS: 0, 1 or 2."""
    place = (x - untrained) / max(best - untrained, 1e-9)
    return (place >= SOMETHING) + (place >= AS_WELL)


def remark(finding: Finding, best: float | None) -> tuple[str, bool | None]:
    """Compare a run with the paper: return one or two sentences, and whether both reach the same level.

    The second value is None, and the sentences may be empty, if the two cannot be compared.

    Args:
        best: the highest linear-probe accuracy among the runs that this one is compared with.
    """
    row, linear, untrained = finding.row, finding.linear, finding.random_linear
    if linear is None or untrained is None or best is None or row.paper is None:
        return "", None
    if best - untrained < LEAST_GAIN:
        return "No run here has learned enough to compare with the paper.", None
    there, here = level(row.paper, PAPER_RANDOM, PAPER_BEST), level(linear, untrained, best)
    if there == here:
        return f"As in the paper: {LEVELS[here]}.", True
    why = row.remark or "One short run of a small encoder; try another seed, or more epochs."
    return f"Not as in the paper: {LEVELS[here]} here, {LEVELS[there].replace('learns', 'learned')} there. {why}", False


class Findings(dict):
    """A dict of the Finding of each run by name, in the tables' order. A notebook shows it as a table.

    >>> found["τ = 0"].linear

    caption: a sentence below the table. `to_dict` and `from_dict` serve to save and load the findings.
    """

    caption = ""

    HEAD = ("", "paper, %", "here, %", "untrained, %", "kNN, %", "√d·std", "verdict")

    @property
    def best(self) -> float | None:
        """The highest linear-probe accuracy, or None if no run has one."""
        return max((f.linear for f in self.values() if f.linear is not None), default=None)

    def remark(self, name: str) -> str:
        """Return the sentences that compare this run with the paper; see the function `remark`."""
        return remark(self[name], self.best)[0]

    def rows(self) -> list[tuple[str, ...]]:
        """Return the table's rows below HEAD, as text."""
        return [
            (
                name if not f.row.table else f"{f.row.table}  {name}",
                _number(f.row.paper, 1),
                *(_percent(f, measure) for measure in ("linear", "random_linear", "knn")),
                _number(f.std, 3),
                f.error or f.verdict.split(":")[0],
            )
            for name, f in self.items()
        ]

    def notes(self) -> list[str]:
        """Return a line for each run that does not reach the paper's level, or exceeds it."""
        remarks = {name: remark(f, self.best) for name, f in self.items()}
        return [f"{name}: {words}" for name, (words, agrees) in remarks.items() if agrees is False]

    def __str__(self) -> str:
        table = [self.HEAD, *self.rows()]
        width = max(len(r[0]) for r in table) + 2
        wide = max(14, *(len(c) + 2 for r in table for c in r[1:-1]))
        lines = [f"{r[0]:<{width}}" + "".join(f"{c:>{wide}}" for c in r[1:-1]) + f"  {r[-1]}" for r in table]
        return "\n".join([*lines, *([self.caption] if self.caption else []), *self.notes()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{escaped(note)}</li>" for note in self.notes())
        return html_table(self.HEAD, self.rows(), self.caption) + (f"<ul>{notes}</ul>" if notes else "")

    def to_dict(self) -> dict:
        """Return the findings as nested dicts of numbers and strings, ready for json.dumps and torch.save."""
        return {"caption": self.caption, "findings": {name: asdict(f) for name, f in self.items()}}

    @classmethod
    def from_dict(cls, values: dict) -> "Findings":
        """Return the findings that `to_dict` wrote.

        Raises:
            UserError: the values are not those of `to_dict`.
        """
        try:
            findings = cls({n: Finding(**f | {"row": Row(**f["row"])}) for n, f in values["findings"].items()})
            findings.caption = values["caption"]
        except (KeyError, TypeError) as error:
            raise UserError(f"no findings ({error}): give what to_dict returned") from error
        return findings


def _percent(f: Finding, measure: str) -> str:
    """Return an accuracy in per cent, with the balanced one beside it where classes are not equally frequent."""
    plain = _number(getattr(f, measure), 1, 100)
    return f"{plain} (balanced {100 * f.balanced[measure]:.1f})" if measure in f.balanced else plain


def _number(x: float | None, digits: int, scale: float = 1) -> str:
    return "–" if x is None else f"{scale * x:.{digits}f}"
