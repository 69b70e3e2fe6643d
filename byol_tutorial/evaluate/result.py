"""The result of an evaluation protocol, and what all protocols share: checks of the data, features, splits, accuracy."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn

from ..config.errors import DataError
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..runtime.markup import html_table
from .balance import accuracy, balanced_accuracy, largest_share
from .features import features
from .linear import HELD_OUT

Images = ImageSet | StreamedSet


@dataclass(frozen=True, repr=False)
class Result:
    """The result of a protocol. Accuracies are shares of the test images, in [0, 1].

    hyperparameters   those used for the encoder; the ones named in `chosen` were chosen on held-out train images
    details           the held-out accuracy of each choice, also for the baseline, for which the choice is made separately
    largest           share of the largest class of the test images: the accuracy of always naming it
    balanced          balanced accuracy, the mean over the classes, and that of the baseline; see balance.py
    table             for "factors": factor -> (accuracy, baseline, chance); the result's own values are their means.
                      for "dense": measure -> (value, baseline, the value without looking); the result's own are the mIoU's
    """

    protocol: str
    accuracy: float
    baseline: float  # the same protocol on the random encoder
    chance: float  # 1 / classes of the train images
    seed: int
    train_size: int
    test_size: int
    hyperparameters: dict = field(default_factory=dict)
    chosen: tuple[str, ...] = ()
    details: dict = field(default_factory=dict)
    table: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    largest: float = math.nan
    balanced: tuple[float, float] = (math.nan, math.nan)

    def __repr__(self) -> str:
        shown = self.chosen or self.hyperparameters
        setting = "".join(f", {name} {self.hyperparameters[name]:g}" for name in shown)
        setting += " chosen on held-out train images" if self.chosen else ""
        about = f"{self.train_size:,} train, {self.test_size:,} test images, seed {self.seed}{setting}"
        if self.table:
            row = "{0} {1:.3f} (random encoder {2:.3f}, chance {3:.3f})".format
            return f"{self.protocol}: {', '.join(row(name, *row_) for name, row_ in self.table.items())}; {about}"
        against = f"random encoder {self.baseline:.3f}, chance {self.chance:.3f}, largest class {self.largest:.3f}"
        balanced = "balanced {:.3f}, random encoder {:.3f}".format(*self.balanced)
        return f"{self.protocol}: {self.accuracy:.3f} ({against}; {balanced}; {about})"

    def _repr_html_(self) -> str:
        rows = self.table or {self.protocol: (self.accuracy, self.baseline, self.chance)}
        cells = [(name, *(f"{value:.3f}" for value in row)) for name, row in rows.items()]
        return html_table(
            ("", "encoder" if self.table else "accuracy", "random encoder", "chance"), cells, caption=repr(self)
        )

    def to_dict(self) -> dict:
        """Return all fields in a form that json.dumps accepts."""
        found = asdict(self) | {"chosen": list(self.chosen), "table": {k: list(v) for k, v in self.table.items()}}
        if self.table:  # its rows have classes of their own
            return {name: value for name, value in found.items() if name not in ("largest", "balanced")}
        return found | {"balanced": list(self.balanced)}


@dataclass(frozen=True)
class Outcome:
    """One encoder's part of a Result: test accuracies, the chosen hyperparameters, the held-out accuracy of each choice."""

    accuracy: float
    balanced: float
    choice: dict[str, float] = field(default_factory=dict)
    held_out: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        predicted: Tensor,
        labels: Tensor,
        choice: dict[str, float] | None = None,
        held_out: dict[str, float] | None = None,
    ) -> "Outcome":
        """Judge the classes that were predicted for the test images, int64 (M,), by their labels."""
        return cls(accuracy(predicted, labels), balanced_accuracy(predicted, labels), choice or {}, held_out or {})


def result_of(
    protocol: str, train: Images, test: Images, seed: int, ours: Outcome, random: Outcome, **fixed: float
) -> Result:
    """Put the outcomes of the encoder and of the random one together; `fixed` are hyperparameters that were not chosen."""
    details = {}
    if ours.choice:
        details = {"held_out": ours.held_out, "baseline_choice": random.choice, "baseline_held_out": random.held_out}
    y, t = labels_of(protocol, train, test)
    return Result(
        protocol,
        accuracy=ours.accuracy,
        baseline=random.accuracy,
        chance=1 / len(y.unique()),
        seed=seed,
        train_size=len(train),
        test_size=len(test),
        hyperparameters=fixed | ours.choice,
        chosen=tuple(ours.choice),
        details=details,
        largest=largest_share(t),
        balanced=(ours.balanced, random.balanced),
    )


# --- shared by the protocols --------------------------------------------------------------------


def labels_of(protocol: str, train: Images, test: Images) -> tuple[Tensor, Tensor]:
    """Return the labels of the train and of the test images, int64; raise DataError if they do not allow the protocol."""
    y, t = (_labels(protocol, images) for images in (train, test))
    if train.classes and test.classes and train.classes != test.classes:
        raise DataError(
            f"{protocol}: {name_of(train)} and {name_of(test)} have different classes; give splits of one data set"
        )
    if len(y.unique()) < 2:
        raise DataError(f"{protocol}: {name_of(train)} has a single class; give images of at least two")
    return y, t


def _labels(protocol: str, images: Images) -> Tensor:
    if images.labels is None:
        raise DataError(f"{protocol}: {name_of(images)} has no labels; put its images in one sub-folder a class")
    return images.labels


def name_of(images: Images) -> str:
    """Return name and split, as messages show them."""
    return f"{images.name!r} ({images.split})"


def features_of(encoder: nn.Module, baseline: nn.Module, train: Images, test: Images) -> list[tuple[Tensor, Tensor]]:
    """Compute the features of train and test images, float32 (N, D), by the encoder and by the baseline.

    Raises:
        DataError: features that are not finite.
    """
    pairs = [(features(f, train), features(f, test)) for f in (encoder, baseline)]
    if not all(z.isfinite().all() for pair in pairs for z in pair):
        raise DataError(
            f"features of {name_of(train)} are not finite: the encoder has diverged; train it with a lower lr"
        )
    return pairs


def held_out(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw a fifth of n train images, on which choices are made: their positions, and those of the rest."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    held, rest = order.tensor_split([max(1, int(n * HELD_OUT))])
    return held, rest


def accuracy_of(classifier: Callable, z: Tensor, labels: Tensor, batch_size: int = 4096) -> float:
    """Measure the share of the features (N, D) whose own class gets the highest score, in [0, 1]."""
    return accuracy(predictions_of(classifier, z, batch_size), labels)


@torch.no_grad()
def predictions_of(classifier: Callable, z: Tensor, batch_size: int = 4096) -> Tensor:
    """Return the class with the highest score for each row of features (N, D): int64 (N,), on the CPU."""
    device = next(classifier.parameters()).device if isinstance(classifier, nn.Module) else z.device
    return torch.cat([classifier(part.to(device)).argmax(1).cpu() for part in z.split(batch_size)])
