"""History: what happened in a run, step by step."""

from dataclasses import asdict, dataclass, field


@dataclass
class History:
    """What happened, one entry per step in each list of the first block.

    loss            in [0, 8] for BYOL        std        √d·std of the online projections
    lr              after schedule            tau        τ of the update that followed
    gradient_norm   of all parameters, L2     positive   mean cosine of p with z′ of the same image
    negative        mean cosine of z′ of different images

    knn   [(step, accuracy)], while training      changes   [(step, {field: value})], by Trainer.change
    """

    loss: list[float] = field(default_factory=list)
    std: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    tau: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    positive: list[float] = field(default_factory=list)
    negative: list[float] = field(default_factory=list)
    knn: list[tuple[int, float]] = field(default_factory=list)
    changes: list[tuple[int, dict]] = field(default_factory=list)
    seconds: float = 0.0  # spent in steps

    def add(
        self, loss: float, std: float, positive: float, negative: float, gradient_norm: float, lr: float, tau: float
    ) -> None:
        """Append what one step has shown."""
        step = {"loss": loss, "std": std, "positive": positive, "negative": negative, "gradient_norm": gradient_norm}
        for name, value in (step | {"lr": lr, "tau": tau}).items():
            getattr(self, name).append(value)

    def to_dict(self) -> dict:
        return asdict(self)
