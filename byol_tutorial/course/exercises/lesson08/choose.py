"""Exercise 08-choose, “What may be reported”."""

import torch

from ..record import Exercise, Mistake


def _scores() -> list[tuple]:
    g = torch.Generator().manual_seed(9)
    return [(torch.rand(12, generator=g), torch.rand(12, generator=g)) for _ in range(4)]


CHOOSE = Exercise(
    id="08-choose",
    title="What may be reported",
    kind="implement",
    difficulty=1,
    minutes=4,
    hints=(
        "Which of the two lists of scores may take part in the choice of a setting?",
        (
            "Two steps: which setting is best on the held-out train images (argmax)? And which score does *that* "
            "setting have on the test images?"
        ),
        "chosen = held_out_scores.argmax()  # by the held-out images alone",
    ),
    cases=_scores,
    reference=lambda held, test: test[held.argmax()],
    mistakes=(
        Mistake(
            "chosen on the test images",
            lambda held, test: test.max(),
            "this is the best test score, so the test images made the choice. They may only be looked at after it.",
        ),
        Mistake(
            "the held-out score",
            lambda held, test: held.max(),
            "this is the held-out score of the chosen setting. The choice was made by it, so it is too high itself; report the test score.",
        ),
        Mistake(
            "the position",
            lambda held, test: held.argmax(),
            "this is the number of the chosen setting. The score that *it* has on the test images is asked for.",
        ),
        Mistake(
            "the worst setting",
            lambda held, test: test[held.argmin()],
            "the setting with the lowest held-out score was chosen: argmax, not argmin.",
        ),
        Mistake(
            "the mean of both",
            lambda held, test: (held.max() + test[held.argmax()]) / 2,
            "the setting is the right one, but its held-out score is mixed in. It made the choice, so it is too high; report the test score alone.",
        ),
        Mistake(
            "mean of all settings",
            lambda held, test: test.mean(),
            "this is the mean over all settings: the held-out images must choose one.",
        ),
        Mistake(
            "best of both",
            lambda held, test: test[(held + test).argmax()],
            "the test images have half a vote in the choice. They must have none.",
        ),
        Mistake(
            "the best sum",
            lambda held, test: (held + test).max(),
            "two scores were added. The held-out scores choose a setting; its test score alone is reported.",
        ),
    ),
    praise="right: the held-out images choose, the test images judge, once.",
)
