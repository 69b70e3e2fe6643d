"""Exercise 04-what-counts, “What does the best predictor notice?”."""

from ..record import Exercise, Mistake

CHANGES = ("grows", "stays")

COUNTS = Exercise(
    id="04-what-counts",
    title="What does the best predictor notice?",
    kind="predict",
    difficulty=2,
    minutes=3,
    hints=(
        "The best predictor gives a prediction to each different answer. Which of the changes let it tell the same pictures "
        "apart as before?",
        "It is a table from answers to means. Write other numbers into its left column: does the right one change?",
        (
            "from byol_tutorial.course.best_prediction import answers, conditional_variance, lines, views\n"
            "v, target = views()\nz = answers(v, lines(0))\n"
            "print(conditional_variance(z, target), conditional_variance(z // 2, target))  # pairs of answers become one"
        ),
    ),
    questions={"smaller": CHANGES, "merged": CHANGES, "constant": CHANGES},
    reference={"smaller": "stays", "merged": "grows", "constant": "grows"},
    mistakes=(
        Mistake(
            "smaller is less",
            {"smaller": "grows"},
            "smaller: as long as different answers stay different, the best predictor gives each its own mean, however small the "
            "differences are. A predictor that is learned has to keep up with such a change, and that is another question.",
        ),
        Mistake(
            "a small loss",
            {"merged": "stays"},
            "merged: two groups of pictures now get one prediction, which lies between their two means and fits both worse.",
        ),
        Mistake(
            "the constant is the best",
            {"constant": "stays"},
            "constant: the loss of *agreement* is lowest there. The conditional variance is at its largest: nothing is known.",
        ),
    ),
    praise="right: only what z tells apart counts, not its scale.",
)
