"""Exercise 01-weights, “What the target is made of”."""

from ..record import Exercise, Mistake


def _weights(tau: float, n: int) -> list[float]:
    return [tau**n] + [(1 - tau) * tau ** (n - k) for k in range(1, n + 1)]


WEIGHTS = Exercise(
    id="01-weights",
    title="What the target is made of",
    kind="implement",
    difficulty=2,
    minutes=10,
    hints=(
        ("Write the target out after one update, and after two. What happened to the weight of ξ₀, and to that of θ₁?"),
        (
            "Start with weights = [1.0], all on ξ₀. Each update multiplies every weight there is by τ and adds a "
            "new one, 1 − τ, at the end."
        ),
        (
            "weights = [1.0]  # after 0 updates, all of it is ξ₀\n"
            "# one update:\n"
            "weights = [tau * w for w in weights] + [1 - tau]\n"
            "# and n of them?"
        ),
    ),
    cases=lambda: [(0.9, 0), (0.9, 1), (0.5, 3), (0.95, 40)],
    reference=_weights,
    mistakes=(
        Mistake(
            "the wrong way round",
            lambda tau, n: _weights(1 - tau, n),
            "the wrong way round: τ is the share of the old target that stays; the new network comes in with 1 − τ.",
        ),
        Mistake(
            "newest first",
            lambda tau, n: _weights(tau, n)[::-1],
            "the right numbers in the wrong order: ξ₀ comes first, θₙ last.",
        ),
        Mistake(
            "newest first, but the beginning",
            lambda tau, n: [tau**n] + [(1 - tau) * tau**k for k in range(n)],
            "θ₁ … θₙ are in the wrong order: the newest, θₙ, weighs 1 − τ, and the older ones less and less.",
        ),
        Mistake(
            "without the beginning",
            lambda tau, n: _weights(tau, n)[1:],
            "ξ₀ is missing: it is still in the target, with the weight that is left after n updates. The weights add up to 1.",
        ),
        Mistake(
            "no share of the new",
            lambda tau, n: [tau ** (n - k) for k in range(n + 1)],
            "the weights add up to more than 1: θₖ came in with a weight of 1 − τ, before it was multiplied by τ at each "
            "later update.",
        ),
        Mistake(
            "one multiplication too many",
            lambda tau, n: [tau**n] + [(1 - tau) * tau ** (n - k + 1) for k in range(1, n + 1)],
            "the newest, θₙ, has just come in with a weight of 1 − τ and has not been multiplied by τ yet: the exponents are one too "
            "high, and the weights add up to less than 1.",
        ),
        Mistake(
            "all alike",
            lambda tau, n: [tau**n] + [(1 - tau**n) / max(n, 1)] * n,
            "all online networks weigh the same here: an average with equal weights. In the moving average an older network weighs less.",
        ),
        Mistake(
            "an average of all",
            lambda tau, n: [1 / (n + 1)] * (n + 1),
            "all parts weigh the same here, whatever τ is. In a moving average the newest weighs 1 − τ, and older ones less and less.",
        ),
    ),
    praise="right: they add up to 1, and each is τ times the one after it. What is their mean age?",
)
