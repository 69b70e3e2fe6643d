"""Exercise 05-clouds, “Three clouds”."""

from ..record import Exercise, Mistake

CLOUDS = Exercise(
    id="05-clouds",
    title="Three clouds",
    kind="predict",
    difficulty=2,
    minutes=4,
    hints=(
        (
            "√d·std asks how far each coordinate varies, a mean over coordinates. Turned at random, does a circle "
            "vary in few coordinates, or a little in all?"
        ),
        (
            "A circle has two directions, wherever they lie; the rank counts directions. The spread looks at one "
            "coordinate at a time. For the point, nothing varies."
        ),
        (
            "plane = torch.linalg.qr(torch.randn(64, 2)).Q.T  # two directions at right angles\n"
            "unit = F.normalize(torch.randn(512, 2) @ plane, dim=-1)  # a circle\n"
            "print(unit.std(0).mean() * 64**0.5)  # its spread\n"
            "print(torch.linalg.svdvals(unit - unit.mean(0))[:4])  # its directions"
        ),
    ),
    questions={
        "point_spread": ("near 0", "near 1"),
        "circle_spread": ("near 0", "near 1"),
        "circle_rank": ("about 2", "about 64"),
    },
    reference={"point_spread": "near 0", "circle_spread": "near 1", "circle_rank": "about 2"},
    mistakes=(
        Mistake(
            "a point that varies",
            {"point_spread": "near 1"},
            "point_spread: all points are in nearly the same place, so no coordinate varies.",
        ),
        Mistake(
            "few directions, little spread",
            {"circle_spread": "near 0"},
            "circle_spread: points on a circle are as far apart as points on the sphere. The spread does not count directions.",
        ),
        Mistake(
            "the spread tells all",
            {"circle_rank": "about 64"},
            "circle_rank: all 64 coordinates vary, but together: two numbers determine all of them.",
        ),
    ),
    praise="right: a dimensional collapse does not show in the spread.",
)
