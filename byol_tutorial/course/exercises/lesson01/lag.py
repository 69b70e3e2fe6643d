"""Exercise 01-lag, “A copy now and then, or an average”."""

from ..record import Exercise, Mistake


def _same_lag(n: int) -> float:
    return (n - 1) / (n + 1)


LAG = Exercise(
    id="01-lag",
    title="A copy now and then, or an average",
    kind="extend",
    difficulty=3,
    minutes=15,
    core=False,
    hints=(
        ("How old is a copy on average? Then: how old is the moving average, as a function of τ? Set them equal."),
        (
            "The copy's age runs through 0, 1, ..., n − 1 and starts again: what is its mean? The average's mean "
            "age is Σ k (1 − τ) τᵏ = τ/(1 − τ). Set them equal."
        ),
        (
            "mean_age_of_the_copy = sum(range(n)) / n\n"
            "# of the average: sum of k · (1 − τ) τ^k over k = 0, 1, 2, ... = τ / (1 − τ)\n"
            "# solve τ / (1 − τ) = mean_age_of_the_copy for τ"
        ),
    ),
    cases=lambda: [(1,), (2,), (39,), (512,)],
    reference=_same_lag,
    mistakes=(
        Mistake(
            "twice as old",
            lambda n: 1 - 1 / n,
            "such an average is n − 1 steps old. That is the copy's age just before it is replaced, not its mean.",
        ),
        Mistake(
            "half a step off",
            lambda n: n / (n + 2),
            "half a step too old: just after copying, the copy's age is 0, so its ages are 0 ... n − 1, not 1 ... n.",
        ),
        Mistake(
            "the share of the new one",
            lambda n: 2 / (n + 1),
            "this is 1 − τ, the share of the new network; the exercise asks for τ, the share of the old target.",
        ),
        Mistake(
            "the copy's rhythm",
            lambda n: 1 - 1 / (n + 1),
            "too old: an average with this τ has a mean age of n. The copy's ages are 0 ... n − 1, whose mean is about half of that.",
        ),
        Mistake(
            "the mean age itself",
            lambda n: (n - 1) / 2,
            "that is the copy's mean age in steps. Now find the τ with τ/(1 − τ) equal to it.",
        ),
        Mistake("upside down", lambda n: 1 / n, "the longer a copy stays, the slower the average: τ must rise with n."),
    ),
    praise="right: a copy every 39 steps lags as far behind as an average with τ = 0.95, but by jumps.",
)
