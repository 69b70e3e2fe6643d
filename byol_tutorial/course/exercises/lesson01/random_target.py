"""Exercise 01-random-target, “Predicting a random network”."""

from ..record import Exercise, Mistake


def _above_the_target(answer: dict) -> str | None:
    if answer["compared_with_its_target"] != "better":
        return (
            "compared_with_its_target: the network need not copy the target. What two views share is all that can be "
            "predicted of it."
        )
    if not 0.3 < answer["linear"] < 0.85:
        return (
            "linear: it is more than that of the random network, whose probe is above, but the target's answers leave "
            "out much of a picture."
        )
    return None


RANDOM_TARGET = Exercise(
    id="01-random-target",
    title="Predicting a random network",
    kind="predict",
    difficulty=2,
    minutes=3,
    hints=(
        (
            "The target sees the *other* view. Which part of its answer can be predicted at all: what both views "
            "show, or what only its own view shows?"
        ),
        (
            "Compare with the printed probe of the random target. What the online network can predict is the "
            "average of the target's answers over the views of a picture: does that say more about the picture or "
            "less? Chance is 0.1."
        ),
        (
            "# an answer is made of what all views of a picture share, and of what is in one view alone\n"
            "picture, of_one_view = torch.randn(64), torch.randn(100, 64)\n"
            "answers = picture + of_one_view\n"
            "for said in (answers[0], answers.mean(0)):  # which of the two is nearer to the picture?\n"
            "    print(torch.cosine_similarity(said, picture, dim=0))"
        ),
    ),
    questions={"linear": (0.0, 1.0), "compared_with_its_target": ("better", "the same", "worse")},
    reference={"linear": 0.5, "compared_with_its_target": "better"},
    accept=_above_the_target,
    mistakes=(
        Mistake(
            "a pupil is no better than its teacher",
            {"compared_with_its_target": "the same"},
            "compared_with_its_target: that would be right if the network had to copy its teacher. But it sees another view than the target does: crop "
            "and colour are drawn again, and what depends on them cannot be predicted. What is left is the picture.",
        ),
        Mistake(
            "as good as labels",
            {"linear": 0.95, "compared_with_its_target": "better"},
            "linear: that would be as good as training with labels. What the random target says of a picture is poor, so what can be "
            "predicted of it leaves much out.",
            when=lambda seen, wanted: seen[0]["linear"] >= 0.85 and seen[0]["compared_with_its_target"] == "better",
        ),
        Mistake(
            "hardly more than chance",
            {"linear": 0.12, "compared_with_its_target": "better"},
            "linear: the probe of the random network itself is printed above, and the online network is better than that.",
            when=lambda seen, wanted: seen[0]["linear"] <= 0.3 and seen[0]["compared_with_its_target"] == "better",
        ),
        Mistake(
            "nothing comes of nothing",
            {"compared_with_its_target": "worse"},
            "compared_with_its_target: a random network has learned nothing about shapes, but its answers do depend on the picture: two pictures get two "
            "answers. That is something to predict.",
        ),
    ),
    praise="right: what can be predicted across views is a cleaner description of the picture than the target's own.",
)
