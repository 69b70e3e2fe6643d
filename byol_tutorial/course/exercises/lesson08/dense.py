"""Exercise 08-dense, “What is where”."""

from ..record import Exercise, Mistake

DENSE = Exercise(
    id="08-dense",
    title="What is where",
    kind="predict",
    difficulty=2,
    minutes=3,
    hints=(
        "What does the supervised loss ask of a place on the map: which shape there is in the picture, or where its line runs?",
        (
            "y is the mean over the places. If each place, on the ground too, says which shape the picture has, the mean is "
            "right. Which of the three tasks does that help, and which not?"
        ),
        "print(bt.dense_probe(told, train, test))\nprint(bt.dense_probe(byol, train, test))",
    ),
    questions=dict.fromkeys(("classes", "figure", "centre"), ("BYOL", "supervised")),
    reference={"classes": "supervised", "figure": "BYOL", "centre": "BYOL"},
    mistakes=(
        Mistake(
            "pooled accuracy tells all",
            {"classes": "supervised", "figure": "supervised", "centre": "supervised"},
            "that is the order of the linear probe, which sees the mean over all places. Two encoders can have the same mean with "
            "very different maps.",
        ),
        Mistake(
            "labels are of no use",
            {"classes": "BYOL"},
            "classes: a pixel is right only if its shape is named, and that is what the labels have taught.",
        ),
        Mistake(
            "labels tell the border",
            {"figure": "supervised"},
            "figure: the labels name the shape of the whole picture. A place on the ground may name it as well, and no label objects.",
        ),
        Mistake(
            "labels tell the place",
            {"centre": "supervised"},
            "centre: the label is the same wherever the curve lies, so supervised training has no reason to keep its position.",
        ),
    ),
    praise="right: what a loss does not ask for, pooled accuracy does not miss.",
)
