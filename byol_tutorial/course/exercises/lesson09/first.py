"""Exercise 09-first, “Which pictures does the encoder put together?”."""

from ..record import Exercise, Mistake

FIRST = Exercise(
    id="09-first",
    title="Which pictures does the encoder put together?",
    kind="predict",
    difficulty=1,
    minutes=2,
    hints=(
        (
            "What of a picture gets through four random convolutions and an average over the whole picture? And "
            "what does the colour jitter ask the trained one to ignore?"
        ),
        (
            "An average over random filters keeps the colour of the picture and little of its lines. The two "
            "views of training differ in hue, so hue does not help to predict."
        ),
        (
            "shown = bt.load('shapes', 'test', limit=512)\n"
            "colour = shown.images.float().mean((2, 3))  # of each picture only its mean colour\n"
            "near = bt.evaluate.nearest(colour, colour, k=2)[:, 1]  # the other one that is nearest\n"
            "print('same shape', (shown.labels[near] == shown.labels).float().mean())  # by chance 0.1\n"
            "apart = (shown.factors.hue[near] - shown.factors.hue).abs()\n"
            "print('hue apart', torch.minimum(apart, 1 - apart).mean())  # by chance 0.25"
        ),
    ),
    questions={"before": ("shape", "hue"), "after": ("shape", "hue")},
    reference={"before": "hue", "after": "shape"},
    mistakes=(
        Mistake(
            "shape from the start",
            {"before": "shape"},
            "before: an average over the picture of random filters' answers says more about its colour than about its lines.",
        ),
        Mistake(
            "hue to the end",
            {"after": "hue"},
            "after: the two views of a picture differ in hue, so hue does not help to predict one from the other.",
        ),
    ),
    praise="right: training exchanges the one for the other.",
)
