"""Exercise 04-table-21, “Without a moving average”."""

from ..record import Exercise, Mistake
from .shared import LEARNS

TABLE_21 = Exercise(
    id="04-table-21",
    title="Without a moving average",
    kind="predict",
    difficulty=2,
    minutes=3,
    hints=(
        ("The same question as for the five predictors: which of these predictors keeps up with the online network?"),
        (
            "λ = 0 is a predictor that does not learn at all; you have seen one. SimSiam has no moving average "
            "and the usual rate: what did it find?"
        ),
        (
            'print(in_the_ledger("no_ema_predictor_lr_0"), in_the_ledger("no_ema"), '
            'in_the_ledger("no_ema_predictor_lr_10"))'
        ),
    ),
    questions={"rate_0": LEARNS, "rate_1": LEARNS, "rate_10": LEARNS},
    reference={"rate_0": "learns nothing", "rate_1": "learns", "rate_10": "learns"},
    mistakes=(
        Mistake(
            "the paper's answer",
            {"rate_0": "learns nothing", "rate_1": "learns nothing", "rate_10": "learns"},
            "that is what the paper found on ImageNet: 5.5 % for the usual rate. Here, as in SimSiam, the usual rate is enough.",
        ),
        Mistake(
            "nothing without a moving average",
            {"rate_0": "learns nothing", "rate_1": "learns nothing", "rate_10": "learns nothing"},
            "the moving average is not what makes the gradient leave the spread alone; the predictor and the stop-gradient are.",
        ),
        Mistake(
            "without learning",
            {"rate_0": "learns"},
            "rate_0: λ = 0 is a predictor that does not learn, the fixed one of the first table, which learned nothing even with a "
            "slow target.",
        ),
        Mistake(
            "the fast one fails",
            {"rate_10": "learns nothing"},
            "rate_10: the faster the predictor, the better it keeps up with the online network.",
        ),
    ),
    praise="right: a predictor that keeps up, and a stop-gradient.",
)
