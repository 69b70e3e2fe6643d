"""Exercise 05-memory, “The same memory in another run”."""

from ..record import Exercise, Mistake

MEMORY = Exercise(
    id="05-memory",
    title="The same memory in another run",
    kind="implement",
    difficulty=2,
    minutes=8,
    hints=(
        "How much of the first target is left after one step, after two, after K?",
        (
            "Over a whole run of K steps the first target keeps the weight τ^K. What must τ′ be, so that τ′^K′ is "
            "the same?"
        ),
        (
            "left = tau ** steps  # of the first target, at the end of the run\n"
            "# which τ′ gives τ′ ** other_steps == left?"
        ),
    ),
    cases=lambda: [(0.99, 1000, 100), (0.996, 1000, 8000), (0.9, 500, 1000)],
    reference=lambda tau, steps, other: tau ** (steps / other),
    mistakes=(
        Mistake(
            "the other way round",
            lambda tau, steps, other: tau ** (other / steps),
            "with more steps, the target must follow more slowly in each: τ′ nearer 1. Yours goes the other way.",
        ),
        Mistake(
            "1/(1 − τ) in proportion",
            lambda tau, steps, other: 1 - (1 - tau) * steps / other,
            "near 1 that is nearly the same. But for τ = 0.99 and a tenth of the steps it gives 0.9, while ten steps of 0.99 leave "
            "more than 0.9; and with few enough steps it falls below 0.",
        ),
        Mistake(
            "τ in proportion",
            lambda tau, steps, other: tau * other / steps,
            "that can exceed 1. What is passed on in each step multiplies: τ · τ · τ ...",
        ),
        Mistake(
            "the same τ",
            lambda tau, steps, other: tau,
            "the same τ in fewer steps is a target that remembers more of the run.",
        ),
        Mistake(
            "the weight of the first target",
            lambda tau, steps, other: tau**steps,
            "that is what is left of the first target at the end. Now choose τ′ so that τ′^K′ equals it.",
        ),
    ),
    praise="right. The paper's own settings for smaller batches follow it, as the next cell shows.",
)
