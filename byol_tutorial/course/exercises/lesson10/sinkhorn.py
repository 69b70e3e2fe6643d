"""Exercise 10-sinkhorn, “Sinkhorn-Knopp”."""

import torch
from torch import Tensor

from ..record import Exercise, Mistake


def _scores() -> list[tuple]:
    g = torch.Generator().manual_seed(12)
    return [(torch.randn(n, k, generator=g) / 4, t, i) for n, k, t, i in ((8, 4, 0.2, 3), (5, 6, 0.1, 2))]


def _sinkhorn(
    scores: Tensor,
    temperature: float,
    iterations: int,
    columns: bool = True,
    rows: bool = True,
    rows_first: bool = False,
    share: bool = True,
) -> Tensor:
    q = ((scores - scores.max()) / temperature).exp()
    n, k = q.shape
    for _ in range(iterations):
        for step in ("rows", "columns") if rows_first else ("columns", "rows"):
            if step == "columns" and columns:
                q = q / q.sum(0) * (n / k if share else 1)
            if step == "rows" and rows:
                q = q / q.sum(1, keepdim=True)
    return q


SINKHORN = Exercise(
    id="10-sinkhorn",
    title="Sinkhorn-Knopp",
    kind="extend",
    difficulty=2,
    minutes=10,
    core=False,
    hints=(
        "N pictures in all, K prototypes: what must a column sum to, and what a row?",
        (
            "Begin with the exponential of scores / temperature. Divide each column by its sum and multiply by "
            "N/K; divide each row by its sum (keepdim); repeat both."
        ),
        (
            "q = (scores / temperature).exp()\n"
            "q = q / q.sum(dim=0) * (n / k)  # columns\n"
            "q = q / q.sum(dim=1, keepdim=True)  # rows: one turn, of `iterations`"
        ),
    ),
    cases=_scores,
    reference=_sinkhorn,
    mistakes=(
        Mistake(
            "a softmax",
            lambda s, t, i: (s / t).softmax(1),
            "that is a softmax of each row: rows sum to 1, but nothing makes the columns even.",
        ),
        Mistake(
            "rows first",
            lambda s, t, i: _sinkhorn(s, t, i, rows_first=True),
            "columns come last here, so rows do not sum to 1 and are not probabilities. Columns first, rows last.",
        ),
        Mistake(
            "times the temperature",
            lambda s, t, i: _sinkhorn(s, 1 / t, i),
            "the scores were multiplied by the temperature: divide them by it.",
        ),
        Mistake(
            "no temperature",
            lambda s, t, i: _sinkhorn(s, 1.0, i),
            "the temperature was not used.",
        ),
        Mistake(
            "one turn more",
            lambda s, t, i: _sinkhorn(s, t, i + 1),
            "one turn too many: `iterations` turns of columns and rows.",
        ),
        Mistake(
            "one turn less",
            lambda s, t, i: _sinkhorn(s, t, i - 1),
            "one turn is missing: `iterations` turns of columns and rows.",
        ),
        Mistake(
            "columns alone",
            lambda s, t, i: _sinkhorn(s, t, i, rows=False),
            "only the columns are scaled: a row does not sum to 1.",
        ),
        Mistake(
            "once",
            lambda s, t, i: _sinkhorn(s, t, 1),
            "this is one turn, whatever `iterations` says. But scaling the rows spoils the columns again, so it must be repeated.",
        ),
        Mistake(
            "a softmax of the columns",
            lambda s, t, i: (s / t).softmax(0),
            "that is a softmax of each column: columns sum to 1, and rows to nothing in particular. Columns to N/K, rows to 1, in turn.",
        ),
    ),
    praise="right. Rows sum to 1 exactly; columns get closer to N/K with each turn.",
)
