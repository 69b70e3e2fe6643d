"""Exercise 08-baseline, “Digits, by an encoder of shapes”."""

from ..record import Exercise, Mistake


def _near_enough(answer: dict) -> str | None:
    random, byol = answer["random_encoder"], answer["byol_encoder"]
    if random < 0.75:
        return (
            "random_encoder: its features are not those that shapes need, but pictures of digits, centred and upright, are easy to "
            "tell apart. What would the raw pixels give?"
        )
    if random > 0.97:
        return (
            "random_encoder: that is better than the raw pixels give. Random filters and an average over the picture lose a part of "
            "what the pixels say."
        )
    if byol < 0.85:
        return "byol_encoder: even the raw pixels of such digits give more than that to a linear probe."
    if byol > 0.99:
        return "byol_encoder: that is what networks reach that are trained on digits, with labels. This one has seen only drawn curves."
    if byol < random:
        return (
            "byol_encoder: training on shapes did not make the features worse for other curves, and digits are curves."
        )
    return None


BASELINE = Exercise(
    id="08-baseline",
    title="Digits, by an encoder of shapes",
    kind="predict",
    difficulty=1,
    minutes=3,
    core=False,
    hints=(
        (
            "The digits are 8 × 8 pixels, all of one size, upright and in the middle. Think of the pixels "
            "themselves as features."
        ),
        (
            "A random encoder is a fixed function of the picture, so it keeps much of what the pixels say. A "
            "linear probe on raw pixels of such digits is right for more than nine of ten."
        ),
        (
            "a, b = bt.load('digits'), bt.load('digits', 'test')\n"
            "flat = [digits.images.flatten(1).float() for digits in (a, b)]\n"
            "print(bt.linear_probe(flat[0], a.labels, flat[1], b.labels).accuracy)  # the raw pixels"
        ),
    ),
    questions={"byol_encoder": (0.0, 1.0), "random_encoder": (0.0, 1.0)},
    reference={"byol_encoder": 0.95, "random_encoder": 0.9},
    accept=_near_enough,
    mistakes=(
        Mistake(
            "chance without training",
            {"random_encoder": 0.1},
            "random_encoder: an untrained encoder is not a constant: it is a fixed function of the picture, and a linear probe is trained on "
            "top. Chance is what you get without looking at the picture.",
            when=lambda seen, wanted: seen[0]["random_encoder"] <= 0.2,
        ),
        Mistake(
            "as on shapes",
            {"random_encoder": 0.3},
            "random_encoder: on shapes it is poor, as rotation and colour change what it sees. Digits stand upright.",
            when=lambda seen, wanted: 0.2 < seen[0]["random_encoder"] <= 0.6,
        ),
    ),
    praise="right: most of the accuracy was there before training. A number without this baseline says little.",
)
