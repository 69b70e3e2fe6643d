"""The history of a run: its measures, step by step."""

from dataclasses import asdict, dataclass, field


@dataclass
class History:
    """The measures of a run. Each list of the first block has one entry per step.

    loss            in [0, 8] for BYOL                std        √d·std of the online projections
    lr              learning rate after schedule      tau        τ of the update that followed
    gradient_norm   of all parameters together, L2    positive   mean cosine of p with z′ of the same image
    negative        mean cosine of z′ of different images

    gradient_norm is the one before clipping, so it shows how often config.clip_grad_norm shortens a gradient.

    knn   [(step, accuracy)], measured while training      changes   [(step, {field: value})], made by Trainer.change
    knn_balanced   [(step, balanced accuracy)] of the same checks where classes are not equally frequent, see balance.py;
                   else empty. An entry of step 0 is that of the untrained encoder, which some callers measure too
    threads   [(step, number)], how many CPU threads compute from this step on; steps on a GPU are left out
    """

    loss: list[float] = field(default_factory=list)
    std: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    tau: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    positive: list[float] = field(default_factory=list)
    negative: list[float] = field(default_factory=list)
    knn: list[tuple[int, float]] = field(default_factory=list)
    knn_balanced: list[tuple[int, float]] = field(default_factory=list)
    changes: list[tuple[int, dict]] = field(default_factory=list)
    threads: list[tuple[int, int]] = field(default_factory=list)
    seconds: float = 0.0  # time spent in steps

    def add(
        self, loss: float, std: float, positive: float, negative: float, gradient_norm: float, lr: float, tau: float
    ) -> None:
        """Append the measures of one step."""
        step = {"loss": loss, "std": std, "positive": positive, "negative": negative, "gradient_norm": gradient_norm}
        for name, value in (step | {"lr": lr, "tau": tau}).items():
            getattr(self, name).append(value)

    def count_threads(self, step: int, number: int) -> None:
        """Note that this step computed with so many threads, if the one before did not."""
        if not self.threads or self.threads[-1][1] != number:
            self.threads.append((step, number))

    def to_dict(self) -> dict:
        """Return all fields as a dict, for a checkpoint."""
        return asdict(self)
