"""Exercise 03-loss-values, “The loss, first and last”."""

from ..record import Exercise, Mistake


def _first_and_last(answer: dict) -> str | None:
    if abs(answer["first"] - 4) > 1:
        return "first: think of two directions that have nothing to do with each other. What is their cosine, in many dimensions?"
    if answer["last"] < 0.1:
        return "last: training lowers the loss; but what would a loss of 0 mean?"
    if answer["last"] > 2.5:
        return "last: after training, how well can one view predict what the target says of the other?"
    return None


LOSS_VALUES = Exercise(
    id="03-loss-values",
    title="The loss, first and last",
    kind="predict",
    difficulty=1,
    minutes=3,
    hints=(
        (
            "At first the predictor is random, so p points anywhere. At the end, can one view tell everything "
            "that the target sees in the other?"
        ),
        (
            "Each half of the loss is 2 − 2 cos. What is the cosine of two unrelated directions in 64 dimensions? "
            "There are two halves."
        ),
        ("a, b = torch.randn(2, 1000, 64)\nprint(2 * float(bt.byol_loss(a, b)))  # two unrelated halves: the start"),
    ),
    questions={"first": (0.0, 8.0), "last": (0.0, 8.0)},
    reference={"first": 4.0, "last": 1.0},
    accept=_first_and_last,
    mistakes=(
        Mistake(
            "zero at first, since the target is a copy",
            {"first": 0.0},
            "the target starts as a copy, but a random predictor stands between: p points elsewhere, so the first loss is "
            "not 0. And a loss of 0 in the end would mean that nothing is left to tell two views apart, nor two images.",
            when=lambda seen, wanted: seen[0]["first"] < 1,
        ),
        Mistake(
            "the maximum at first",
            {"first": 8.0},
            "first: 8 would mean opposite directions for every image. Unrelated directions are orthogonal, not opposite.",
            when=lambda seen, wanted: seen[0]["first"] > 5,
        ),
        Mistake(
            "one direction only at first",
            {"first": 2.0},
            "first: that is one half of the loss. Both directions are added.",
            when=lambda seen, wanted: seen[0]["first"] < 3,
        ),
        Mistake(
            "zero in the end",
            {"first": 4.0, "last": 0.0},
            "last: 0 would mean that every prediction is perfect, whatever was cropped away: that is easy only if the answer is "
            "always the same.",
            when=lambda seen, wanted: seen[0]["last"] < 0.1,
        ),
        Mistake(
            "hardly lower in the end",
            {"first": 4.0, "last": 3.9},
            "last: the two views show the same picture, and a trained network finds much of what they share, so far more than "
            "half of the loss goes away.",
            when=lambda seen, wanted: seen[0]["last"] > 2.5,
        ),
    ),
    praise="right: unrelated directions in many dimensions are nearly orthogonal, so each half of the loss starts near 2.",
)
