"""What a laboratory's run found, and how it compares with the others and with the paper."""

from dataclasses import asdict, dataclass
from html import escape

from ..config.errors import UserError
from ..config.paper_tables import PAPER_BEST, PAPER_RANDOM, Row

NOTHING, ALL = 0.1, 0.8  # of the way from the untrained encoder to the best run
ENOUGH = 0.3  # which must be this much better than the untrained encoder, or nothing is compared
LEVELS = ("learns nothing", "learns something", "learns as well as the best")


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
