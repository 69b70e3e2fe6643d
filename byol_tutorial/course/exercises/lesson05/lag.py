"""Exercise 05-lag, “What goes first?”."""

from ..record import Exercise, Mistake

LAG = Exercise(
    id="05-lag",
    title="What goes first?",
    kind="predict",
    difficulty=3,
    minutes=4,
    hints=(
        "Where is the spread measured, and what does kNN look at? Between them lies a projector.",
        (
            "The spread is that of z, accuracy is judged on y. Without predictor, and without stop-gradient, the "
            "constant costs less than any other answer. Must y be constant for z to be?"
        ),
        (
            "# a projector can shrink everything while y keeps what it has:\n"
            "y = torch.randn(512, 64)\n"
            "z = 1 + 1e-3 * y\n"
            "print(bt.collapse_report(z).std, bt.collapse_report(y).std)"
        ),
    ),
    questions={
        "spread_no_predictor": ("falls", "stays"),
        "spread_no_stop_gradient": ("falls", "stays"),
        "knn_no_predictor": ("falls", "rises"),
    },
    reference={"spread_no_predictor": "falls", "spread_no_stop_gradient": "falls", "knn_no_predictor": "rises"},
    mistakes=(
        Mistake(
            "a trained network stays",
            {"spread_no_predictor": "stays", "spread_no_stop_gradient": "stays"},
            "a trained network is not protected: the constant answer costs less than its present one.",
        ),
        Mistake(
            "the moving average holds it",
            {"spread_no_predictor": "stays"},
            "spread_no_predictor: without a predictor, the target draws the projections together although no gradient passes through it, and then follows them.",
        ),
        Mistake(
            "the gradient does no harm",
            {"spread_no_stop_gradient": "stays"},
            "spread_no_stop_gradient: without the stop-gradient both sides are trained to agree, and they agree most cheaply on one "
            "constant.",
        ),
        Mistake(
            "accuracy follows the spread",
            {"knn_no_predictor": "falls"},
            "knn_no_predictor: the spread is that of z, but accuracy is judged on y. The projector can shrink everything while the encoder still learns.",
        ),
    ),
    praise="right. And you would have seen the first only by looking at the spread.",
)
