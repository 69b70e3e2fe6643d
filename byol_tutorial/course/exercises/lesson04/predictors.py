"""Exercise 04-predictors, “Five predictors”."""

from ..record import Exercise, Mistake
from .shared import LEARNS

PREDICTORS = Exercise(
    id="04-predictors",
    title="Five predictors",
    kind="predict",
    difficulty=2,
    minutes=4,
    hints=(
        (
            "A predictor can only help if it answers to what the online network gives it at this moment. Which of "
            "the four can follow while the online network changes, and how fast?"
        ),
        (
            "Sort them: no predictor cannot differ from its input; a fixed one never follows; a trained matrix "
            "follows at the common learning rate; the optimal one is computed again in each step. Six epochs are "
            "short."
        ),
        (
            "# how many weights of each predictor learn? The optimal one is set again in each step instead\n"
            "for name in ('identity', 'linear', 'fixed', 'optimal'):\n"
            "    q = bt.BYOL(config.replace(predictor=name), 32).predictor\n"
            "    print(name, sum(w.numel() for w in q.parameters() if w.requires_grad))"
        ),
    ),
    questions={"none": LEARNS, "linear": LEARNS, "fixed": LEARNS, "optimal": LEARNS},
    reference={"none": "learns nothing", "linear": "learns nothing", "fixed": "learns nothing", "optimal": "learns"},
    mistakes=(
        Mistake(
            "any predictor is enough",
            {"none": "learns nothing", "linear": "learns", "fixed": "learns", "optimal": "learns"},
            "the two sides then differ, but that is not enough: a predictor that does not keep up with the online network is a "
            "detour on the way to the constant.",
        ),
        Mistake(
            "the target is enough",
            {"none": "learns", "linear": "learns", "fixed": "learns", "optimal": "learns"},
            "the target follows the online network. If both may give the constant answer, they get there together, only more slowly.",
        ),
        Mistake(
            "none learns",
            {"none": "learns"},
            "none: without a predictor both sides may give the constant answer, and nothing stops them. A slow target only "
            "delays it.",
        ),
        Mistake(
            "the optimal one does not",
            {"optimal": "learns nothing"},
            "optimal: it is computed again in every step, so it always fits what the online network gives now. If a predictor can "
            "help at all, this one can.",
        ),
        Mistake(
            "the fixed one",
            {"fixed": "learns"},
            "fixed: it makes the two sides differ, but it does not follow the online network: it is a detour on the way to the "
            "constant.",
        ),
        Mistake(
            "the trained matrix",
            {"linear": "learns"},
            "linear: it follows, but is it fast enough? In six epochs with the common learning rate a matrix does not catch up with "
            "the online network.",
        ),
    ),
    praise="right: what counts is whether the predictor keeps up.",
)
