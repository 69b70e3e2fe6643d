"""The ledger: each claim of the paper and its successors, with our experiment, its measurements and the verdict.

    ledger()                    the rows, with verdicts computed from the data files
    ledger()["tau-zero"]        one row; a notebook shows it as text
    page()                      the whole ledger as Markdown, as in notebooks/ledger.md
    measure_rows(["tau-zero"])  measure what is missing; the command is byol-tutorial claims --run

A row is reproduced if its inequality holds for every seed. It is mixed if the inequality holds for the means over seeds
and for some seeds, but not for all. Otherwise it differs. Claims and experiments are in claims.toml, measurements in
measured/. A row that is mixed or differs stays, and says why.
"""

import statistics
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from ...config.errors import UserError
from .inequality import Value, holds, terms, with_numbers
from .measuring import ALWAYS, EXTRA, MEASURES, SEEDS, LedgerExperiment, measure

SOURCE = Path(__file__).with_name("claims.toml")
REPRODUCED, MIXED, DIFFERS = "reproduced at small scale", "mixed", "differs"
MISSING = "not measured over all seeds"
PAPERS = {
    "grill2020byol": ("Grill et al. 2020", "https://arxiv.org/abs/2006.07733"),
    "richemond2020byol": ("Richemond et al. 2020", "https://arxiv.org/abs/2010.10241"),
    "chen2020simsiam": ("Chen & He 2020", "https://arxiv.org/abs/2011.10566"),
    "caron2021dino": ("Caron et al. 2021", "https://arxiv.org/abs/2104.14294"),
    "oquab2023dinov2": ("Oquab et al. 2023", "https://arxiv.org/abs/2304.07193"),
    "tian2021understanding": ("Tian et al. 2021", "https://arxiv.org/abs/2102.06810"),
}


@dataclass(frozen=True)
class Claim:
    """One row of the ledger.

    says             the claim in our own words
    paper            the paper's numbers
    shape            the inequality that the measured values should satisfy, seed by seed
    note             how our experiment differs from the paper's
    differs_because  why the claim holds only in part here, or not at all
    """

    id: str
    says: str
    where: str
    cite: str
    paper: str
    shape: str
    note: str = ""
    differs_because: str = ""

    @property
    def terms(self) -> list[tuple[str, str]]:
        """The (measure, experiment) pairs of the inequality."""
        return terms(self.shape)

    @property
    def experiments(self) -> list[LedgerExperiment]:
        """The experiments of the inequality, each once."""
        return [experiments()[name] for name in dict.fromkeys(name for _, name in self.terms)]

    @property
    def complete(self) -> bool:
        """Whether every term was measured over all seeds."""
        return all(
            len(runs := experiments()[name].measured()) >= len(SEEDS) and all(m in v for v in runs.values())
            for m, name in self.terms
        )

    @property
    def holds(self) -> bool:
        """Whether the means over seeds satisfy the inequality."""
        return holds(self.shape, lambda m, name: experiments()[name].mean(m))

    @property
    def seeds_that_hold(self) -> tuple[int, int]:
        """The number of seeds that satisfy the inequality, and the number of all seeds."""
        seeds = sorted(set.intersection(*(set(e.measured()) for e in self.experiments)))
        one = [holds(self.shape, _of_seed(seed)) for seed in seeds]
        return sum(one), len(one)

    @property
    def verdict(self) -> str:
        """The verdict, one of REPRODUCED, MIXED, DIFFERS and MISSING."""
        if not self.complete:
            return MISSING
        yes, of = self.seeds_that_hold
        if yes == of:
            return REPRODUCED
        return MIXED if yes and self.holds else DIFFERS

    @property
    def measured(self) -> dict[str, tuple[float, float]]:
        """The mean and standard deviation over seeds of each term.

        Raises:
            UserError: a term is not measured over all seeds.
        """
        if not self.complete:
            raise UserError(f"claim {self.id!r} is {MISSING}: byol-tutorial claims --run {self.id}")
        rows = {f"{m}({name})": experiments()[name].values(m) for m, name in self.terms}
        return {term: (statistics.fmean(v), statistics.stdev(v)) for term, v in rows.items()}

    @property
    def paper_name(self) -> str:
        """The paper's name, and the place in it."""
        return f"{PAPERS[self.cite][0]}, {self.where}"

    def lines(self) -> list[tuple[str, str]]:
        """Return the row as pairs (heading, text)."""
        name, url = PAPERS[self.cite]
        rows = [("paper", f'[{name}]({url} "{self.cite}"), {self.where}: {self.paper}')]
        if not self.complete:
            return [*rows, *self._so_far(), ("expected", f"`{self.shape}`"), ("verdict", f"**{MISSING}**")]
        values = "; ".join(f"{term} {mean:.3f} ± {spread:.3f}" for term, (mean, spread) in self.measured.items())
        yes, of = self.seeds_that_hold
        with_values = with_numbers(self.shape, lambda m, n: experiments()[n].mean(m))
        verdict = f"**{self.verdict}**" + (f": {self.differs_because}" if self.differs_because else "")
        return [
            *rows,
            ("measured", values + (f" ({self.note})" if self.note else "")),
            ("expected", f"`{self.shape}`, that is {with_values}: holds for {yes} of {of} seeds"),
            ("verdict", verdict),
        ]

    def _so_far(self) -> list[tuple[str, str]]:
        """Return the means of an incomplete row, and of how many seeds they are. No verdict follows from them."""
        known = {f"{m}({n})": [v[m] for v in experiments()[n].measured().values() if m in v] for m, n in self.terms}
        means = [f"{term} {statistics.fmean(v):.3f} ({len(v)} of {len(SEEDS)} seeds)" for term, v in known.items() if v]
        return [("so far", "; ".join(means))] if means else []

    def _repr_markdown_(self) -> str:
        return f"**{self.says}**\n\n" + "\n".join(f"- {heading}: {text}" for heading, text in self.lines())


@cache
def _source() -> dict:
    return tomllib.loads(SOURCE.read_text(encoding="utf-8"))


def _of_seed(seed: int) -> Value:
    """Return the function (measure, experiment) -> value with this seed."""
    return lambda m, name: experiments()[name].measured()[seed][m]


@cache
def experiments() -> dict[str, LedgerExperiment]:
    """Return name -> experiment, as in claims.toml."""
    found = {}
    for name, changes in _source()["experiments"].items():
        changes = dict(changes)
        epochs_run, recipe = changes.pop("epochs_run", None), changes.pop("preset", "shapes")
        found[name] = LedgerExperiment(name, changes, epochs_run, recipe)
    return found


@cache
def ledger() -> dict[str, Claim]:
    """Return id -> claim, in the order of claims.toml.

    Raises:
        UserError: an inequality names a measure or an experiment that does not exist.
    """
    found = {row["id"]: Claim(**row) for row in _source()["claim"]}
    for claim in found.values():
        for m, name in claim.terms:
            if m not in MEASURES or name not in experiments():
                raise UserError(f"claim {claim.id!r}: there is no {m}({name})")
    return found


def choose(ids: Iterable[str]) -> list[Claim]:
    """Return the claims with these ids, or all claims where no id is given.

    Raises:
        UserError: no claim has that id.
    """
    for id in ids:
        if id not in ledger():
            near = get_close_matches(id, ledger(), n=3) or ledger()
            raise UserError(f"claim {id!r} does not exist: choose one of {', '.join(near)}")
    return [ledger()[id] for id in ids] or list(ledger().values())


def measure_rows(ids: Iterable[str] = (), seeds: Iterable[int] = SEEDS, say: Callable[[str], object] = print) -> None:
    """Measure what these rows (default: all) still lack, and keep each value as soon as it is measured."""
    claims = choose(ids)
    for seed in seeds:
        for name in dict.fromkeys(name for claim in claims for _, name in claim.terms):
            experiment = experiments()[name]
            extra = {m for claim in ledger().values() for m, n in claim.terms if n == name and m in EXTRA}
            if {*ALWAYS, *extra} <= set(experiment.measured().get(seed, {})):
                continue
            values = measure(experiment, seed, extra)
            experiment.keep(seed, values, "byol-tutorial claims --run")
            say(f"{name}, seed {seed}: " + ", ".join(f"{m} {v:.3f}" for m, v in values.items()))


def counts() -> dict[str, int]:
    """Return verdict -> number of rows."""
    verdicts = [claim.verdict for claim in ledger().values()]
    return {v: verdicts.count(v) for v in (REPRODUCED, MIXED, DIFFERS, MISSING) if v in verdicts}


# --- the page -----------------------------------------------------------------------------------

INTRODUCTION = """\
<!-- Generated by: byol-tutorial claims --page notebooks/ledger.md -->

# Ledger: what the papers say, and what we measured

Each row is a claim of a paper, in our words, with the paper's numbers: ImageNet top-1 in per cent, unless the row says
otherwise. Beside it stands what we measured on the drawn shapes: the mean over {seeds} seeds ± the standard deviation.
Each seed draws other pictures, weights, batches and views. The claim's shape is written down as an inequality, and the
verdict is computed from it: *reproduced* if it holds for every seed; *mixed* if it holds for the means and for some
seeds, but not for all; *differs* otherwise. A row that is mixed or differs stays, and says why.

Accuracies lie between 0 and 1: `linear` is that of a linear probe and `knn` that of a vote of neighbours, both for ten
classes; `hue` is that of a probe for the colour in eight bins. `std` is √d·std of the projections: near 1 when they are
spread out, 0 in a collapse. The experiments are settings of the preset `shapes`, or of another method's preset, in
`byol_tutorial/course/ledger/claims.toml`. Each has a data file in `byol_tutorial/course/ledger/measured`, which names
the command that made it: `byol-tutorial claims --run`.

Small pictures and short runs can show the shape of a claim, not its size. Read "differs" as "not at this scale, with
these settings", and "mixed" as "at this scale it depends on the draw".

{counts}.
"""


def page() -> str:
    """Return the ledger as Markdown."""
    verdicts = ", ".join(f"{n} {verdict}" for verdict, n in counts().items())
    parts = [INTRODUCTION.format(seeds=len(SEEDS), counts=f"**{len(ledger())} claims: {verdicts}**")]
    parts += ["| claim | paper | verdict |", "|---|---|---|"]
    for claim in ledger().values():
        cell = f"[{claim.says}](#{claim.id})"
        parts.append(f"| {cell} | {claim.paper_name}: {claim.paper} | {claim.verdict} |")
    for claim in ledger().values():
        parts += ["", f"({claim.id})=", f"## {claim.says}", ""]
        parts += [f"- *{heading}*: {text}" for heading, text in claim.lines()]
    parts += [
        "",
        "## Experiments",
        "",
        "| name | settings | linear | knn | √d·std | rank |",
        "|---|---|---|---|---|---|",
    ]
    for experiment in experiments().values():
        changes = ", ".join(f"`{k}={v!r}`" for k, v in experiment.changes.items()) or "the preset"
        if experiment.epochs_run is not None:
            changes += f", {experiment.epochs_run} epochs"
        known = experiment.measured()
        cells = [f"{experiment.mean(m):.3f}" if known else "–" for m in ALWAYS]
        parts.append(f"| {experiment.name} | {changes} | {' | '.join(cells)} |")
    return "\n".join(parts) + "\n"
