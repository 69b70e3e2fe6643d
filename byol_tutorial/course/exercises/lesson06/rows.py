"""Exercise 06-rows, “Which rows collapse”."""

from ..record import Exercise, Mistake

_WORDS = ("learns", "collapses")

ROWS = Exercise(
    id="06-rows",
    title="Which rows collapse",
    kind="predict",
    difficulty=2,
    minutes=4,
    hints=(
        (
            "With β > 0 a constant answer has a price. With β = 0 it has none, so ask of each row: what keeps the "
            "network from finding it?"
        ),
        (
            "A slow target alone lets both networks drift together. A predictor with a stop-gradient is SimSiam, "
            "which lesson 5 trained as τ = 0."
        ),
        (
            "constant = torch.ones(8, 4)\n"
            "print(bt.byol_loss(constant, constant), negatives(constant, constant, constant, 0.5))  # BYOL's part, and the price"
        ),
    ),
    questions={
        "no_predictor_target_negatives": _WORDS,
        "predictor_no_target": _WORDS,
        "no_predictor_target": _WORDS,
    },
    reference={
        "no_predictor_target_negatives": "learns",
        "predictor_no_target": "learns",
        "no_predictor_target": "collapses",
    },
    mistakes=(
        Mistake(
            "negatives need the predictor",
            {"no_predictor_target_negatives": "collapses"},
            "no_predictor_target_negatives: with negatives a constant answer has a price, predictor or not: SimCLR has none.",
        ),
        Mistake(
            "a slow target is enough",
            {"no_predictor_target": "learns"},
            "no_predictor_target: a slow target only delays: if the online network may answer exactly what the target does, both drift "
            "together to one answer.",
        ),
        Mistake(
            "as the paper's table",
            {"predictor_no_target": "collapses"},
            "predictor_no_target: that is the paper's table. SimSiam showed later that the stop-gradient and a predictor that learns fast enough need "
            "no slow target; our small runs agree with SimSiam here.",
        ),
    ),
    praise="right for these runs. In one row the paper's table says otherwise: look for it.",
)
