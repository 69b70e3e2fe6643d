"""Exercise 01-rounds, “And again”."""

from ..record import Exercise, Mistake

ROUNDS = Exercise(
    id="01-rounds",
    title="And again",
    kind="predict",
    difficulty=1,
    minutes=2,
    hints=(
        (
            "The first round helped because the target's answer, as far as it is predictable, says more of the "
            "picture than of the view. Does that stop being so when the target is better?"
        ),
        (
            "A round could stop helping only if it had found all that two views share. Four rounds of a few "
            "epochs are short."
        ),
        (
            "# an estimate of accuracy, round by round, if each round closes a third of the gap to a ceiling:\n"
            "accuracy = 0.3\n"
            "for k in range(4):\n"
            "    accuracy += (0.9 - accuracy) / 3\n"
            "    print(k, accuracy)"
        ),
    ),
    questions={"round_2": ("better", "the same", "worse"), "last_round": ("better", "the same", "worse")},
    reference={"round_2": "better", "last_round": "better"},
    mistakes=(
        Mistake(
            "once only",
            {"round_2": "the same", "last_round": "the same"},
            "a second round would change nothing if the first had found all that two views share. But it had few epochs and a "
            "poor target.",
        ),
        Mistake(
            "the end after two",
            {"round_2": "better", "last_round": "the same"},
            "last_round: that would need the third round to have found all that two views share. Four short rounds from a random "
            "network do not get so far.",
        ),
        Mistake(
            "from the third on, errors",
            {"round_2": "better", "last_round": "worse"},
            "last_round: what made the second round better is still true in the last: its target says more of the picture than "
            "the one before.",
        ),
        Mistake(
            "nothing, then something",
            {"round_2": "the same"},
            "round_2: the second target is better than the random one, so more of the picture can be predicted of it.",
        ),
        Mistake(
            "errors pile up",
            {"round_2": "worse"},
            "errors pile up where each network copies the one before. Here each one keeps what both views show, and drops more of "
            "the rest.",
        ),
    ),
    praise="right: what is gained in one round is a better target for the next.",
)
