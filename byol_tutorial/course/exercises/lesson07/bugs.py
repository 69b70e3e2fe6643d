"""Exercise 07-bugs, “Five bugs, six curves”."""

from ..record import Exercise, Mistake

_NAMES = ("adam", "averaged", "target", "shared", "constant")

BUGS = Exercise(
    id="07-bugs",
    title="Five bugs, six curves",
    kind="predict",
    difficulty=2,
    minutes=4,
    hints=(
        "Which bug lets the networks make the loss small without looking at the picture?",
        (
            "`averaged` halves the loss, `adam` makes large steps, `shared` and `constant` change little. With "
            "`target`, the target itself learns to be easy to predict."
        ),
        (
            "# a target that learns meets the prediction half way:\n"
            "z, t = (torch.randn(8, 4, requires_grad=True) for _ in range(2))\n"
            "for _ in range(200):\n"
            "    (g, h) = torch.autograd.grad(bt.byol_loss(z, t), (z, t))\n"
            "    z, t = z - g, t - h\n"
            "print(float(bt.byol_loss(z, t)))"
        ),
    ),
    questions={"lowest_loss": _NAMES, "lowest_accuracy": _NAMES},
    reference={"lowest_loss": "target", "lowest_accuracy": "target"},
    mistakes=(
        Mistake(
            "half a loss is the lowest",
            {"lowest_loss": "averaged"},
            "lowest_loss: an averaged loss is half as large. A collapse goes to 0.",
        ),
        Mistake(
            "large steps, low loss",
            {"lowest_loss": "adam"},
            "lowest_loss: a learning rate of SGD is far too large for Adam. Large steps do not find a low loss; another bug makes 0 easy "
            "to reach.",
        ),
        Mistake(
            "shared draws, low loss",
            {"lowest_loss": "shared"},
            "lowest_loss: images that share a draw are a little easier to predict, but v and v′ still differ. Another bug makes 0 easy to "
            "reach.",
        ),
        Mistake(
            "a constant τ, low loss",
            {"lowest_loss": "constant"},
            "lowest_loss: a τ that does not rise leaves the target a little faster at the end. Another bug makes 0 easy to reach.",
        ),
        Mistake(
            "a low loss is a good sign",
            {"lowest_accuracy": "adam"},
            "lowest_accuracy: Adam's run is poor. But in BYOL the lowest possible loss belongs to the constant answer, which tells no two "
            "images apart.",
        ),
        Mistake(
            "half the loss, half the accuracy",
            {"lowest_accuracy": "averaged"},
            "lowest_accuracy: half the loss is half the gradient, as if the learning rate were halved. That costs little.",
        ),
        Mistake(
            "shared draws, low accuracy",
            {"lowest_accuracy": "shared"},
            "lowest_accuracy: shared draws cost something, but two views of one image still have to agree on what it shows. A constant "
            "answer shows nothing.",
        ),
        Mistake(
            "a constant τ, low accuracy",
            {"lowest_accuracy": "constant"},
            "lowest_accuracy: a target that stays fast does well in a run as short as this one.",
        ),
    ),
    praise="right: the one that can reach 0 has learned nothing.",
)
