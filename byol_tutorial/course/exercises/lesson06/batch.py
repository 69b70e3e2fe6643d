"""Exercise 06-batch, “Who needs a large batch”."""

from ..record import Exercise, Mistake

BATCH = Exercise(
    id="06-batch",
    title="Who needs a large batch",
    kind="predict",
    difficulty=2,
    minutes=3,
    hints=(
        "What does each of the two losses take from the other images of the batch?",
        (
            "SimCLR's loss has negatives only from the batch, BYOL's has none. Besides the loss, BatchNorm looks "
            "at the whole batch. How low is the price of a constant with three other images, by the curve above?"
        ),
        (
            "for N in (4, 32, 256):\n"
            "    constant = torch.ones(N, 4)\n"
            "    print(N, float(negatives(constant, constant, constant, 0.5)))  # the price of a constant"
        ),
    ),
    questions={
        "paper_loses_more": ("BYOL", "SimCLR"),
        "simclr_with_four": ("learns", "fails"),
        "byol_with_four": ("learns", "fails"),
    },
    reference={"paper_loses_more": "SimCLR", "simclr_with_four": "learns", "byol_with_four": "learns"},
    mistakes=(
        Mistake(
            "BYOL needs the batch",
            {"paper_loses_more": "BYOL"},
            "paper_loses_more: BYOL's loss compares no two images. Only BatchNorm looks at the others of its batch, and down to 256 that "
            "makes little difference in the paper.",
        ),
        Mistake(
            "three negatives are too few",
            {"simclr_with_four": "fails"},
            "simclr_with_four: how many negatives SimCLR needs depends on the temperature: the curve above has the price of a constant answer with "
            "four images.",
        ),
        Mistake(
            "BatchNorm cannot work with four",
            {"byol_with_four": "fails"},
            "byol_with_four: BatchNorm's mean and variance are noisy with four images, but a convolution's BatchNorm takes them over all places of each "
            "image, too.",
        ),
    ),
    praise="right. Four images are enough for either to learn here; in the paper it takes far larger batches to see SimCLR lose.",
)
