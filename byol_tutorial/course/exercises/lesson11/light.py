"""Exercise 11-light, “In another light”."""

from ..record import Exercise, Mistake

LIGHT = Exercise(
    id="11-light",
    title="In another light",
    kind="predict",
    difficulty=2,
    minutes=3,
    hints=(
        "Which of the five know the colours of a square, and which know something else as well?",
        "In the same light colours tell these photographs apart, so it is good to keep them, together with texture. In the other light they "
        "mislead. Which encoder had a reason to rely on them, and which had not?",
        "# two of the five can be judged before any training: the same light, and another\n"
        "for f in (bt.evaluate.pixels, lambda images: histogram(images, 6)):\n"
        "    print(judged(f).knn, judged(f, other).knn)",
    ),
    questions=dict.fromkeys(
        ("same_light", "other_light"), ("raw pixels", "colours", "random encoder", "no colour views", "colour views")
    ),
    reference={"same_light": "no colour views", "other_light": "colour views"},
    mistakes=(
        Mistake(
            "colour views are always better",
            {"same_light": "colour views", "other_light": "colour views"},
            "same_light: views that change colours make the encoder give up a part of them. Here colours are half of the answer as long as the "
            "light stays the same.",
        ),
        Mistake(
            "nothing lost",
            {"other_light": "no colour views"},
            "other_light: this encoder has never seen one square in two colours, so nothing has told it that colours can change.",
        ),
        Mistake(
            "bins in another light",
            {"other_light": "colours"},
            "other_light: in another light the pixels fall into other bins, and the histogram has nothing else.",
        ),
        Mistake(
            "filters in another light",
            {"other_light": "random encoder"},
            "other_light: nothing has taught random filters that light does not matter.",
        ),
        Mistake(
            "colour is all",
            {"same_light": "colours"},
            "same_light: counting colours is a strong rival here, but sky and dark grounds have the same colours in several photographs. What "
            "about texture?",
        ),
        Mistake(
            "untrained",
            {"same_light": "random encoder"},
            "same_light: a random encoder sees colours and some edges, but its filters were chosen by chance.",
        ),
    ),
    praise="right: what views change is given up, for better or worse. Whether colour is content or light is for you to say.",
)
