"""Exercise 04-limit, “Too much weight decay”."""

from ..record import Exercise, Mistake


def _limit(tau: float, noise: float) -> float:
    return tau**2 / (4 * (1 + noise))


LIMIT = Exercise(
    id="04-limit",
    title="Too much weight decay",
    kind="extend",
    difficulty=3,
    minutes=15,
    core=False,
    hints=(
        "With s > 0, at rest: set ds/dt = 0 and divide by 2 s. What is left?",
        ("With s > 0, ds/dt = 0 means p (τ̂ − (1 + σ²) p) = η. The left side is a parabola in p: how high is its top?"),
        (
            "p = torch.linspace(0, 1, 1001)\n"
            "print((p * (tau - (1 + noise) * p)).max())  # the top by numbers: now by a formula\n"
            "# the derivative tau - 2 (1 + noise) p is 0 at the top"
        ),
    ),
    cases=lambda: [(1.0, 0.0), (1.0, 0.5), (0.6, 0.2)],
    reference=_limit,
    mistakes=(
        Mistake(
            "where the top is",
            lambda tau, noise: tau / (2 * (1 + noise)),
            "that is the p at which the parabola has its top. How high is it there?",
        ),
        Mistake(
            "where the pull ends",
            lambda tau, noise: tau / (1 + noise),
            "that is the p at which the pull is 0. With weight decay, s needs a pull that is larger than nothing.",
        ),
        Mistake(
            "noise forgotten",
            lambda tau, noise: tau**2 / 4,
            "this is right without noise. With noise, the parabola is p (τ̂ − (1 + σ²) p).",
        ),
        Mistake(
            "factor 2",
            lambda tau, noise: tau**2 / (2 * (1 + noise)),
            "twice as much: put p = τ̂ / (2 (1 + σ²)) into p (τ̂ − (1 + σ²) p) once more.",
        ),
        Mistake(
            "not a quarter",
            lambda tau, noise: tau**2 / (1 + noise),
            "four times too large: at the top of the parabola, p is half of where the pull ends, and the pull is half of τ̂.",
        ),
        Mistake(
            "noise squared", lambda tau, noise: tau**2 / (4 * (1 + noise) ** 2), "1 + σ² comes in once, not squared."
        ),
    ),
    praise="right: above it no direction survives, wherever it starts. Compare with the slider of the panel.",
)
