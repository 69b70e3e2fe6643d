"""Exercise 10-count, “How many pairs”."""

from ..record import Exercise, Mistake


def _count(G: int, L: int) -> tuple[int, float]:
    return G * (G + L - 1), G * L / (G * (G + L - 1))


COUNT = Exercise(
    id="10-count",
    title="How many pairs",
    kind="implement",
    difficulty=1,
    minutes=5,
    core=False,
    hints=(
        "Draw them: the teacher's views on one side, the student's on the other. Which lines are missing?",
        ("Each of the teacher's G views meets all G + L views of the student's, except itself. Of those, L are local."),
        (
            "each = G + L - 1  # partners of one of the teacher's views: all of the student's but itself\n"
            "local = L  # of these\n"
            "# there are G of the teacher's"
        ),
    ),
    cases=lambda: [(2, 8), (2, 0), (3, 4)],
    reference=_count,
    mistakes=(
        Mistake(
            "a view with itself",
            lambda G, L: (G * (G + L), L / (G + L)),
            "a view is not compared with itself: G + L − 1 for each of the teacher's.",
        ),
        Mistake(
            "pairs without order",
            lambda G, L: ((G + L) * (G + L - 1) // 2, 1 - G * (G - 1) / ((G + L) * (G + L - 1))),
            "those are all pairs of views. The teacher does not see the local ones.",
        ),
        Mistake(
            "one view less",
            lambda G, L: (G * (G + L), G * L / (G * (G + L - 1))),
            "the share is right, but the number of pairs counts each view with itself.",
        ),
        Mistake(
            "the share of global pairs",
            lambda G, L: (G * (G + L - 1), 1 - L / (G + L - 1)),
            "that is the share of pairs with a *global* view of the student's.",
        ),
        Mistake(
            "per cent",
            lambda G, L: (G * (G + L - 1), 100 * L / (G + L - 1)),
            "the share is in per cent: give it in [0, 1].",
        ),
        Mistake(
            "exchanged",
            lambda G, L: _count(G, L)[::-1],
            "the two are exchanged: first the number, then the share.",
        ),
        Mistake(
            "the number of local pairs",
            lambda G, L: (G * (G + L - 1), G * L),
            "that is the number of pairs with a local view; the exercise asks for their share.",
        ),
        Mistake(
            "local pairs only",
            lambda G, L: (G * L, 1.0),
            "only the pairs with a local view are counted. The global views are compared with each other as well.",
        ),
    ),
    praise="right: with 2 and 8, 16 of the 18 comparisons are from a part to the whole.",
)
