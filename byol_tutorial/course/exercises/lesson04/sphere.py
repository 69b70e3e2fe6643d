"""Exercise 04-sphere, “Four runs on a sphere”."""

from ..record import Exercise, Mistake

PLACES = ("one point", "many places")

SPHERE = Exercise(
    id="04-sphere",
    title="Four runs on a sphere",
    kind="predict",
    difficulty=1,
    minutes=3,
    hints=(
        "For each run ask: if all pictures were at one point, would its loss be as low as it can be?",
        (
            "A constant is the best answer where both sides may move to it, and a bad one where something pushes the pictures "
            "apart, or where the target stays different from picture to picture. BYOL's loss is 0 for a constant, too; "
            "lesson 0 showed whether it goes there."
        ),
        (
            "same = torch.ones(32, 3)  # the loss of a constant: 0 is the lowest possible\n"
            "print(bt.byol_loss(same, same))\n"
            "print(bt.byol_loss(same, torch.randn(32, 3)))  # the target differs from picture to picture"
        ),
    ),
    questions={"agreement": PLACES, "byol": PLACES, "simclr": PLACES, "fixed_target": PLACES},
    reference={
        "agreement": "one point",
        "byol": "many places",
        "simclr": "many places",
        "fixed_target": "many places",
    },
    mistakes=(
        Mistake(
            "nothing collapses",
            {"agreement": "many places"},
            "agreement: nothing in this run keeps two pictures apart, and a single point is the shortest way to a loss of 0.",
        ),
        Mistake(
            "only negatives help",
            {"agreement": "one point", "byol": "one point", "simclr": "many places", "fixed_target": "one point"},
            "negatives are one way to exclude the constant. A target that differs from picture to picture is another: a constant "
            "predicts it badly.",
        ),
        Mistake(
            "BYOL collapses",
            {"byol": "one point"},
            "byol: a point would be as good for its loss as for that of agreement alone, but its gradient does not lead there. "
            "The rest of this lesson asks why.",
        ),
        Mistake(
            "the fixed target collapses",
            {"fixed_target": "one point"},
            "fixed_target: its answers differ from picture to picture and never change, so one point is a bad prediction.",
        ),
        Mistake(
            "negatives collapse",
            {"simclr": "one point"},
            "simclr: pictures at the same point cannot be told apart, and its loss asks for exactly that.",
        ),
    ),
    praise="right: only agreement alone has nothing that keeps the pictures apart.",
)
