"""Exercise 05-tau, “How fast should the target follow?”."""

from ..record import Exercise, Mistake

LEVELS = ("learns nothing", "learns less", "learns as well")

TAU = Exercise(
    id="05-tau",
    title="How fast should the target follow?",
    kind="predict",
    difficulty=2,
    minutes=4,
    hints=(
        "How many steps does this run have, and over how many does a target with τ look back?",
        (
            "A target with τ looks back about 1/(1 − τ) steps: 1,000 for τ = 0.999. τ = 1 is the random target of "
            "lesson 1, and τ = 0 was a run of lesson 4."
        ),
        (
            "for tau in (0.9, 0.95, 0.99, 0.999):\n"
            '    print(tau, "looks back", round(1 / (1 - tau)), "steps of", config.epochs * len(train) // config.batch_size)'
        ),
    ),
    questions={"tau_1": LEVELS, "tau_0999": LEVELS, "tau_0": LEVELS},
    reference={"tau_1": "learns less", "tau_0999": "learns less", "tau_0": "learns as well"},
    mistakes=(
        Mistake(
            "the paper's table",
            {"tau_1": "learns less", "tau_0999": "learns as well", "tau_0": "learns nothing"},
            "that is so on ImageNet. But 1,000 steps are a small part of that run and more than this whole one; and τ = 0 learns here, "
            "as it does in SimSiam.",
        ),
        Mistake(
            "a fixed target teaches nothing",
            {"tau_1": "learns nothing"},
            "tau_1: lesson 1 showed that predicting a random network already teaches something. But such a target never gets better.",
        ),
        Mistake(
            "nothing without a moving average",
            {"tau_0": "learns nothing"},
            "tau_0: the stop-gradient and a predictor that keeps up are enough here, as for SimSiam on ImageNet.",
        ),
        Mistake(
            "no target at all is worse",
            {"tau_0": "learns less"},
            "tau_0: our runs have some 500 steps. A target that lags behind costs more of them than one that does not.",
        ),
        Mistake(
            "slow is as good",
            {"tau_0999": "learns as well"},
            "tau_0999: it looks back 1,000 steps, longer than this whole run, so the target hardly leaves its random weights.",
        ),
        Mistake(
            "slow is nothing",
            {"tau_0999": "learns nothing"},
            "tau_0999: such a target hardly moves, but lesson 1 showed that even one that never moves teaches something.",
        ),
        Mistake(
            "a fixed target is as good",
            {"tau_1": "learns as well"},
            "tau_1: this target stays random, so it never gets better, however good the online network is.",
        ),
    ),
    praise="right: here a slow target costs more than none.",
)
