"""Exercise 04-what-counts, “What does the best predictor notice?”."""

from ..record import Exercise, Mistake

CHANGES = ("grows", "stays")

COUNTS = Exercise(
    id="04-what-counts",
    title="What does the best predictor notice?",
    kind="predict",
    difficulty=2,
    minutes=4,
    hints=(
        "The best predictor gives a prediction to each different answer. Which of the changes let it tell the same pictures "
        "apart as before?",
        "It is a table from answers to means. Write other names or numbers into its left column: does the right one change?",
        (
            "from byol_tutorial.course.best_prediction import answers, conditional_variance, lines, views\n"
            "v, target = views()\nz = answers(v, lines(0))\n"
            "print(conditional_variance(z, target), conditional_variance(z // 2, target))  # pairs of answers become one"
        ),
    ),
    questions={"smaller": CHANGES, "renamed": CHANGES, "merged": CHANGES, "constant": CHANGES},
    reference={"smaller": "stays", "renamed": "stays", "merged": "grows", "constant": "grows"},
    mistakes=(
        Mistake(
            "everything harms",
            {"smaller": "grows", "renamed": "grows", "merged": "grows", "constant": "grows"},
            "as long as different answers stay different, the best predictor gives each its own mean, whatever the answers are "
            "called and however small their differences are.",
        ),
        Mistake(
            "smaller is less",
            {"smaller": "grows"},
            "smaller: the best predictor answers a small difference with a large one, so nothing is lost. A predictor that is "
            "learned has to keep up with such a change, and that is another question.",
        ),
        Mistake(
            "names count",
            {"renamed": "grows"},
            "renamed: the predictor is a table, and its rows only get other names.",
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
    praise="right: only what z tells apart counts, not its scale or its names.",
)
