"""Exercise 02-colour, “Without a change of colour”."""

from ..record import Exercise, Mistake

SHORTCUT = Exercise(
    id="02-colour",
    title="Without a change of colour",
    kind="predict",
    difficulty=2,
    minutes=3,
    hints=(
        ("Look at the bars above: what do two views share then that they did not share before, and how plainly?"),
        (
            "The network learns the simplest thing that is enough to predict the other view. Without jitter, one "
            "glance at the colour is enough. What then happens to what it no longer needs?"
        ),
        (
            'without = bt.preset("shapes", jitter_p=0.0, grayscale_p=0.0)\n'
            'for c in (bt.preset("shapes"), without):\n'
            "    print({name: s.same for name, s in bt.augment.shares(train, c).items()})"
        ),
    ),
    questions={"shape": ("rises", "stays", "falls"), "hue": ("rises", "stays", "falls")},
    reference={"shape": "falls", "hue": "rises"},
    mistakes=(
        Mistake(
            "more to learn from",
            {"shape": "rises", "hue": "rises"},
            "the network need not learn all that two views share. What is plainest is enough to predict, and then nothing "
            "pushes it to find the rest.",
        ),
        Mistake(
            "colour does not matter",
            {"shape": "stays", "hue": "stays"},
            "the labels do not mention the colour, but the network does not see the labels.",
        ),
        Mistake(
            "hue falls",
            {"hue": "falls"},
            "hue: with jitter, the hue was useless for the prediction; without it, the hue alone predicts the other view. Why should "
            "the network drop it?",
        ),
        Mistake(
            "one does not replace the other",
            {"shape": "stays", "hue": "rises"},
            "shape: once the hue is enough to predict the other view, nothing pushes the network to find the shape.",
        ),
        Mistake(
            "hue comes for nothing",
            {"hue": "stays"},
            "hue: the views now share it, and it is simple, so it is what is learned.",
        ),
    ),
    praise="right: it takes the shortcut.",
)
