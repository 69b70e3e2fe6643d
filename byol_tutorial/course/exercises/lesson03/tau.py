"""Exercise 03-tau, “The decay rate”."""

import math

from ....methods.byol import tau_at
from ..record import Exercise, Mistake

TAU = Exercise(
    id="03-tau",
    title="The decay rate",
    kind="implement",
    difficulty=1,
    minutes=6,
    hints=(
        "Put in k = 0 and k = K: which two values must come out? Only then write the middle.",
        "At k = 0 the cosine is 1, and the bracket (cos + 1)/2 is 1; at k = K it is −1, and the bracket is 0.",
        (
            "bracket = (math.cos(math.pi * k / K) + 1) / 2  # 1 at the start, 0 at the end\n"
            "# how far from 1 is τ at the start?"
        ),
    ),
    cases=lambda: [(k, 100, base) for base in (0.9, 0.996) for k in (0, 25, 50, 100)],
    reference=tau_at,
    mistakes=(
        Mistake("constant", lambda k, K, base: base, "constant: τ starts at tau_base, but rises to 1 at the end."),
        Mistake(
            "upside down",
            lambda k, K, base: 1 - (1 - base) * (1 - math.cos(math.pi * k / K)) / 2,
            "upside down: this begins at 1 and ends at tau_base. At k = 0 the bracket is 1.",
        ),
        Mistake(
            "no half",
            lambda k, K, base: 1 - (1 - base) * (math.cos(math.pi * k / K) + 1),
            "twice as far from 1 as it should be: the bracket is (cos + 1)/2, from 1 to 0.",
        ),
        Mistake(
            "linear",
            lambda k, K, base: base + (1 - base) * k / K,
            "a straight line from tau_base to 1: right at both ends and in the middle, but the paper's is a cosine.",
        ),
        Mistake(
            "whole turn",
            lambda k, K, base: 1 - (1 - base) * (math.cos(2 * math.pi * k / K) + 1) / 2,
            "the cosine makes a whole turn, so τ falls back to tau_base at the end: use π k/K, half a turn.",
        ),
        Mistake(
            "ends at the base",
            lambda k, K, base: base * (math.cos(math.pi * k / K) + 1) / 2,
            "this falls from tau_base to 0, like a learning rate; τ rises from tau_base to 1.",
        ),
        Mistake(
            "no π",
            lambda k, K, base: 1 - (1 - base) * (math.cos(k / K) + 1) / 2,
            "the angle is π k/K: without π the cosine only falls to 0.54, and τ does not reach 1.",
        ),
        Mistake(
            "a sine",
            lambda k, K, base: 1 - (1 - base) * (math.sin(math.pi * k / K) + 1) / 2,
            "a sine begins and ends at 0, so τ would be the same at both ends. A cosine goes from 1 to −1.",
        ),
        Mistake(
            "one update too far",
            lambda k, K, base: tau_at(k + 1, K, base),
            "one update too far: k counts the updates made before, so the first has k = 0 and uses tau_base itself.",
        ),
    ),
    praise="right: the target follows fast while the online network is still poor, and stands still at the end.",
)
