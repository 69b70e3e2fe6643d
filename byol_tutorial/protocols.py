"""The field's evaluation protocols: what an encoder is worth, frozen or fine-tuned, by fixed rules.

Each is a function protocol(encoder, baseline, train, test, seed=0) -> Result. `baseline` has the same architecture
and random weights, and goes through the same protocol, since an accuracy alone says little. Hyperparameters are
chosen on held-out train images; test images are looked at after that. `PROTOCOLS` has them by name:

    knn, linear                    a vote, or logistic regression, on features: quick, used by all peers
    sgd-linear                     the paper's linear evaluation (section 4.1)
    few-labels-1, few-labels-10    fine-tuning on 1 % or 10 % of the labels (section 4.2)
    transfer                       logistic regression on another data set (section 4.3)
    factors                        what the features tell of each factor of "shapes"

`train` and `test` are ImageSets or StreamedSets. All run on the encoder's device, leave the encoder and torch's
global random state as they were, and on a CPU give the same Result for the same seed and number of threads.

All raise DataError for images without labels (factors: without factors), of fewer than two classes, or whose train
and test classes differ by name, and for features that are not finite. A class that only the test images
have is allowed: it counts as wrong.
"""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .augment import Views, as_float, crop, normalise
from .config import Config
from .data import DataError, ImageSet
from .evaluate import HELD_OUT, factor_probe, features, knn_accuracy, linear_probe

BATCH_SIZE, MOMENTUM = 1024, 0.9  # of both protocols that train with SGD
CROP_AREA = (0.08, 1.0)  # of their random crops, share of the image
LINEAR_RATES = (0.05, 0.1, 0.2, 0.3, 0.4)  # base rates: a step takes rate · batch / 256
TUNING_RATES, TUNING_EPOCHS = (0.005, 0.01, 0.02, 0.05, 0.1), (30, 50)
MOST_HELD_OUT = 10_000  # images that choose for few_labels, as many as the paper's local validation set
PENALTIES = tuple(10 ** (5 - 11 * i / 44) for i in range(45))  # λ of transfer, 1e5 to 1e-6, strongest first
ITERATIONS = 100  # of L-BFGS for each of them, ten times as many for the chosen one
FACTORS = ("shape", "hue", "x", "y", "scale", "rotation")


@dataclass(frozen=True, repr=False)
class Result:
    """What a protocol found. Accuracies are shares of the test images, in [0, 1].

    hyperparameters   of the encoder's run; those named in `chosen` were chosen on held-out train images
    details           held-out accuracy of each choice, and the same for the baseline, which makes a choice of its own
    table             of "factors" only: factor -> (accuracy, baseline, chance); those of the result are its means
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

    def __repr__(self) -> str:
        shown = self.chosen or self.hyperparameters
        setting = "".join(f", {name} {self.hyperparameters[name]:g}" for name in shown)
        setting += " chosen on held-out train images" if self.chosen else ""
        about = f"{self.train_size:,} train, {self.test_size:,} test images, seed {self.seed}{setting}"
        if self.table:
            row = "{0} {1:.3f} (random encoder {2:.3f}, chance {3:.3f})".format
            return f"{self.protocol}: {', '.join(row(name, *row_) for name, row_ in self.table.items())}; {about}"
        against = f"random encoder {self.baseline:.3f}, chance {self.chance:.3f}"
        return f"{self.protocol}: {self.accuracy:.3f} ({against}; {about})"

    def _repr_html_(self) -> str:
        rows = self.table or {self.protocol: (self.accuracy, self.baseline, self.chance)}
        body = "".join(f"<tr><th>{n}</th>{''.join(f'<td>{v:.3f}</td>' for v in row)}</tr>" for n, row in rows.items())
        head = "<tr><th></th><th>accuracy</th><th>random encoder</th><th>chance</th></tr>"
        return f"<table><caption>{self!r}</caption><thead>{head}</thead><tbody>{body}</tbody></table>"

    def to_dict(self) -> dict:
        """All fields, as json.dumps takes them."""
        return asdict(self) | {"chosen": list(self.chosen), "table": {k: list(v) for k, v in self.table.items()}}


@dataclass(frozen=True)
class Outcome:
    """One encoder's part of a Result: test accuracy, what was chosen, held-out accuracy of each choice."""

    accuracy: float
    choice: dict[str, float] = field(default_factory=dict)
    held_out: dict[str, float] = field(default_factory=dict)


def _result(protocol: str, train, test, seed: int, ours: Outcome, random: Outcome, **fixed) -> Result:
    details = {}
    if ours.choice:
        details = {"held_out": ours.held_out, "baseline_choice": random.choice, "baseline_held_out": random.held_out}
    sizes, chance = (len(train), len(test)), 1 / len(train.labels.unique())
    found = (ours.accuracy, random.accuracy, chance)
    return Result(protocol, *found, seed, *sizes, fixed | ours.choice, tuple(ours.choice), details)


# --- on frozen features -------------------------------------------------------------------------


def knn(encoder: nn.Module, baseline: nn.Module, train, test, seed: int = 0) -> Result:
    """Vote of the k nearest train images by cosine, each with weight exp(cosine / 0.07): evaluate.knn_accuracy.

    k = 200, and 20 below 10,000 train images. Not in the paper. Nothing is random in it.
    """
    y, t = _labels("knn", train, test)
    k = 200 if len(train) >= 10_000 else 20
    pairs = _features(encoder, baseline, train, test)
    ours, random = (Outcome(knn_accuracy(a, y, b, t, k=k, temperature=0.07)) for a, b in pairs)
    return _result("knn", train, test, seed, ours, random, k=k, temperature=0.07)


def linear(encoder: nn.Module, baseline: nn.Module, train, test, seed: int = 0) -> Result:
    """Logistic regression by L-BFGS on standardised features, C = inverse L2 strength chosen: evaluate.linear_probe."""
    y, t = _labels("linear", train, test)

    def fit(a: Tensor, b: Tensor) -> Outcome:
        probe = linear_probe(a, y, b, t, seed)
        return Outcome(probe.accuracy, {"C": probe.penalty}, {f"C {probe.penalty:g}": probe.held_out_accuracy})

    ours, random = (fit(a, b) for a, b in _features(encoder, baseline, train, test))
    return _result("linear", train, test, seed, ours, random)


def transfer(encoder: nn.Module, baseline: nn.Module, train, test, seed: int = 0) -> Result:
    """How well frozen features serve another data set: top-1 accuracy (section 4.3, appendix on transfer).

    `logistic_regression` without augmentation on the features as they are. λ is one of 45 log-spaced values in
    [1e-6, 1e5], chosen on a fifth of the train images; then all are fitted. The paper does not say by what
    its loss is divided; here it is a mean over images.
    """
    y, t = _labels("transfer", train, test)
    device = next(encoder.parameters()).device
    held, rest = _held_out(len(y), seed)
    y_device, classes = y.to(device), int(y.max()) + 1

    def fit(a: Tensor, b: Tensor) -> Outcome:
        centre = a.double().mean(0)  # the bias makes up for it: the same minimum, found sooner
        a, b = (a.double() - centre).to(device), (b.double() - centre).to(device)
        weights, scores, best, start = None, {}, -1.0, None
        for penalty in PENALTIES:  # from strong to weak, each fit starts where the one before ended
            weights = logistic_regression(a[rest], y_device[rest], penalty, classes, start=weights)
            scores[f"λ {penalty:.3g}"] = score = _accuracy(linear_map(weights), a[held], y[held])
            if score > best:  # of equals the strongest stays
                best, choice, start = score, penalty, weights
        weights = logistic_regression(a, y_device, choice, classes, start, 10 * ITERATIONS)
        return Outcome(_accuracy(linear_map(weights), b, t), {"λ": choice}, scores)

    ours, random = (fit(a, b) for a, b in _features(encoder, baseline, train, test))
    return _result("transfer", train, test, seed, ours, random)


def logistic_regression(
    x: Tensor, labels: Tensor, penalty: float, classes: int, start: Tensor | None = None, iterations: int = ITERATIONS
) -> Tensor:
    """argmin over W, b of  (1 / N) Σ −log softmax(W x + b)[label]  +  λ/2 ‖W‖²,  by L-BFGS.

    Float x (N, D), int64 labels (N,), λ = penalty -> (classes, D + 1): W, and b as its last column. It is
    scikit-learn's LogisticRegression with C = 1 / (λ N).
    """
    weights = x.new_zeros(classes, x.shape[1] + 1) if start is None else start.clone()
    optimizer = torch.optim.LBFGS(
        [weights.requires_grad_()],
        max_iter=iterations,
        tolerance_grad=1e-6,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(linear_map(weights)(x), labels) + penalty / 2 * weights[:, :-1].square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weights.detach()


def linear_map(weights: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda x: F.linear(x, weights[:, :-1], weights[:, -1])


def factors(encoder: nn.Module, baseline: nn.Module, train, test, seed: int = 0) -> Result:
    """A linear probe for each factor of "shapes", see evaluate.factor_probe: Result.table. Needs no labels.

    Continuous factors are cut into eight parts of equal frequency: chance is 1/8, and 1/10 for the shape.
    """
    for images in (train, test):
        if images.factors is None:
            raise DataError(f"factors: {_name(images)} has none, only 'shapes' has; load that, or choose linear")
    (a, b), (a0, b0) = _features(encoder, baseline, train, test)
    table = {}
    for name in FACTORS:
        ours, random = factor_probe(a, train, b, test, name), factor_probe(a0, train, b0, test, name)
        table[name] = (ours.accuracy, random.accuracy, 1 / ours.classes)
    means = (sum(column) / len(table) for column in zip(*table.values(), strict=True))
    return Result("factors", *means, seed, len(train), len(test), table=table)


# --- trained with SGD on crops ------------------------------------------------------------------


def sgd_linear(
    encoder: nn.Module, baseline: nn.Module, train, test, seed: int = 0, epochs: int = 80, crop_area=CROP_AREA
) -> Result:
    """The paper's linear evaluation (section 4.1, appendix): a linear classifier on the frozen encoder, by SGD.

    Random crop and flip while training, the plain image at test; BatchNorm in evaluation mode; 80 epochs, batch
    1024 (a smaller set is one batch), no weight decay. The rate is one of `LINEAR_RATES`, chosen on a fifth of
    the train images, and is scaled as in the authors' code: a step takes rate · batch / 256, falling along a cosine.

    Classifiers on a frozen encoder do not disturb each other, so all train side by side on the same views: for
    each rate one that never sees the held-out images, which chooses, and one on all images, which is tested.
    """
    y, t = _labels("sgd-linear", train, test)
    held, rest = _held_out(len(y), seed)
    kept = torch.zeros(len(y), dtype=torch.bool).index_fill(0, rest, True)
    batch = even_batch(len(y), BATCH_SIZE)
    pair = [copy.deepcopy(f).eval() for f in (encoder, baseline)]
    heads = [{rate: nn.ModuleList((zero_head(f, y), zero_head(f, y))) for rate in LINEAR_RATES} for f in pair]

    def loss(at: Tensor, x: Tensor) -> Tensor:
        labels, seen, total = y[at].to(x.device), kept[at].to(x.device), 0.0
        for f, of_rate in zip(pair, heads, strict=True):
            with torch.no_grad():
                z = f(network_input(f, x))
            for choosing, tested in of_rate.values():
                held_apart = F.cross_entropy(choosing(z[seen]), labels[seen], reduction="sum")
                total = total + held_apart / seen.sum().clamp(min=1) + F.cross_entropy(tested(z), labels)
        return total

    by_rate = {rate * batch / 256: nn.ModuleList(of_rate[rate] for of_rate in heads) for rate in LINEAR_RATES}
    descend(by_rate, augmented(encoder, train, torch.arange(len(y)), batch, epochs, crop_area, seed), loss, seed)

    def outcome(of_rate: dict, z_held: Tensor, z_test: Tensor) -> Outcome:
        scores = {rate: _accuracy(choosing, z_held, y[held]) for rate, (choosing, _) in of_rate.items()}
        best = max(scores, key=scores.get)
        accuracy = _accuracy(of_rate[best][1], z_test, t)
        return Outcome(accuracy, {"lr": best}, {f"lr {rate:g}": score for rate, score in scores.items()})

    plain = _features(encoder, baseline, train[held], test)
    ours, random = (outcome(of_rate, *z) for of_rate, z in zip(heads, plain, strict=True))
    return _result("sgd-linear", train, test, seed, ours, random, epochs=epochs, batch_size=batch)


def few_labels(
    encoder: nn.Module,
    baseline: nn.Module,
    train,
    test,
    seed: int = 0,
    fraction: float = 0.01,
    rates: Sequence[float] = TUNING_RATES,
    epochs: Sequence[int] = TUNING_EPOCHS,
    crop_area=CROP_AREA,
) -> Result:
    """Fine-tune everything on a few labels (section 4.2): a copy of the encoder and a linear classifier, by SGD.

    The labels are those of `few_label_split`. For the baseline this is supervised training from scratch on the
    same labels. Random crop and flip while training, BatchNorm in training mode; rate and epochs
    are chosen, as in the paper, on labelled train images outside the few.

    The paper's batch is 1024. A small subset has at most eight batches an epoch, of 32 images or more. As
    batches shrink with the set, rates are taken as they are, not scaled by batch / 256; they fall along a cosine.

    Raises:
        DataError: also for a fraction outside (0, 1), or one that leaves no train images to choose with.
    """
    protocol = f"few-labels-{100 * fraction:g}"
    y, t = _labels(protocol, train, test)
    few, held = few_label_split(y, fraction, seed)
    batch = even_batch(len(few), min(BATCH_SIZE, max(32, math.ceil(len(few) / 8))))
    held_out = train[held]

    def tune(f: nn.Module, rate: float, n: int) -> tuple[nn.Module, nn.Module]:
        tuned, head = copy.deepcopy(f).requires_grad_(True).train(), zero_head(f, y)

        def loss(at: Tensor, x: Tensor) -> Tensor:
            return F.cross_entropy(head(tuned(network_input(f, x))), y[at].to(x.device))

        descend({rate: nn.ModuleList((tuned, head))}, augmented(f, train, few, batch, n, crop_area, seed), loss, seed)
        return tuned, head

    def outcome(f: nn.Module) -> Outcome:
        scores, best, choice, model = {}, -1.0, {}, None
        for n in epochs:
            for rate in rates:
                tuned, head = tune(f, rate, n)
                score = _accuracy(head, features(tuned, held_out), y[held])
                scores[f"lr {rate:g}, epochs {n}"] = score
                if score > best:
                    best, choice, model = score, {"lr": rate, "epochs": n}, (tuned, head)
        tuned, head = model
        return Outcome(_accuracy(head, features(tuned, test), t), choice, scores)

    fixed = {"fraction": fraction, "labels": len(few), "batch_size": batch}
    return _result(protocol, train, test, seed, outcome(encoder), outcome(baseline), **fixed)


def few_label_split(labels: Tensor, fraction: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Positions of the few labelled images, and of others to choose with: int64 (n,) and (m,), disjoint.

    The few are class-balanced: each class gives round(fraction · N / classes) images, at least one and at most
    all that it has. The others are a fifth of the set, at most 10,000, and fewer where fewer remain.
    """
    if not 0 < fraction < 1:
        raise DataError(f"fraction={fraction!r}: give a share of the labels above 0 and below 1, such as 0.01")
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    classes = labels.unique()
    each = max(1, round(fraction * len(labels) / len(classes)))
    few = torch.cat([order[labels[order] == label][:each] for label in classes])
    held = order[~torch.isin(order, few)][: min(MOST_HELD_OUT, max(1, int(HELD_OUT * len(labels))))]
    if len(held) == 0:
        raise DataError(
            f"fraction={fraction:g}: none of the {len(labels)} train images is left to choose with; add some"
        )
    return few, held


def augmented(
    encoder: nn.Module, images, positions: Tensor, batch: int, epochs: int, crop_area, seed: int
) -> Iterator[tuple[float, Tensor, Tensor]]:
    """Crops of these images, flipped or not, on the encoder's device; decided by the seed alone.

    Yields (share of all steps done, positions int64 (b,), float (b, 3, size, size) in [0, 1]). Each epoch has
    every image once, in a new order, in equal batches.
    """
    device = next(encoder.parameters()).device
    order = torch.Generator().manual_seed(seed)
    only = Config(crop_area=crop_area, flip_p=0.5, jitter_p=0.0, grayscale_p=0.0, blur_p=0.0, solarize_p=0.0)
    views = Views(only, generator=torch.Generator(device).manual_seed(seed))
    steps = math.ceil(len(positions) / batch)
    for epoch in range(epochs):
        batches = positions[torch.randperm(len(positions), generator=order)].tensor_split(steps)
        in_memory = isinstance(images, ImageSet)
        pictures = (images.images[at] for at in batches) if in_memory else images.loader(batches)
        for k, (at, x) in enumerate(zip(batches, pictures, strict=True)):
            drawn = views.draw(len(x), *x.shape[2:], device)[: len(x)]
            yield (epoch + k / steps) / epochs, at, crop(as_float(x.to(device)), drawn, min(x.shape[2:]))


def descend(modules: dict[float, nn.Module], batches: Iterable, loss: Callable, seed: int) -> None:
    """Minimise loss(positions, images) by SGD with Nesterov momentum 0.9, without weight decay.

    v ← 0.9 v + g,  w ← w − lr (g + 0.9 v),  lr = rate · ½ (1 + cos π·(share of all steps done))

    modules: by the rate that each starts with. batches: see `augmented`.
    """
    groups = [{"params": module.parameters(), "lr": rate} for rate, module in modules.items()]
    optimizer = torch.optim.SGD(groups, lr=0.0, momentum=MOMENTUM, nesterov=True)
    devices = {p.device for module in modules.values() for p in module.parameters() if p.is_cuda}
    with torch.random.fork_rng(devices=list(devices)):
        torch.manual_seed(seed)  # for dropout and data loaders; crops have generators of their own
        for share, at, x in batches:
            for group, rate in zip(optimizer.param_groups, modules, strict=True):
                group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * share))
            optimizer.zero_grad()
            loss(at, x).backward()
            optimizer.step()


def zero_head(encoder: nn.Module, labels: Tensor) -> nn.Linear:
    """A linear classifier of the encoder's features that starts at 0: all classes equally likely."""
    device = next(encoder.parameters()).device
    head = nn.utils.skip_init(nn.Linear, encoder.feature_dim, int(labels.max()) + 1, device=device)
    for p in head.parameters():
        nn.init.zeros_(p)
    return head


def even_batch(n: int, most: int) -> int:
    """Size of the fewest equal batches that n images can be cut into, with at most `most` in each."""
    return math.ceil(n / math.ceil(n / most))


def network_input(encoder: nn.Module, x: Tensor) -> Tensor:
    mean, std = getattr(encoder, "pixel_mean", (0.5,) * 3), getattr(encoder, "pixel_std", (0.25,) * 3)
    return normalise(x, mean, std).contiguous(memory_format=torch.channels_last)


# --- what they share ----------------------------------------------------------------------------


def _labels(protocol: str, train, test) -> tuple[Tensor, Tensor]:
    """Labels of the train and of the test images, or DataError."""
    for images in (train, test):
        if images.labels is None:
            raise DataError(f"{protocol}: {_name(images)} has no labels; put its images in one sub-folder a class")
    if train.classes and test.classes and train.classes != test.classes:
        raise DataError(f"{protocol}: {_name(train)} and {_name(test)} have other classes; give splits of one data set")
    if len(train.labels.unique()) < 2:
        raise DataError(f"{protocol}: {_name(train)} has a single class; give images of at least two")
    return train.labels, test.labels


def _name(images) -> str:
    return f"{images.name!r} ({images.split})"


def _features(encoder: nn.Module, baseline: nn.Module, train, test) -> list[tuple[Tensor, Tensor]]:
    """Features of train and test images, (N, D) each, by the encoder and by the baseline."""
    pairs = [(features(f, train), features(f, test)) for f in (encoder, baseline)]
    if not all(z.isfinite().all() for pair in pairs for z in pair):
        raise DataError(
            f"features of {_name(train)} are not finite: the encoder has diverged; train it with a lower lr"
        )
    return pairs


def _held_out(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Positions of a fifth of n train images, which choose, and of the rest."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return order.tensor_split([max(1, int(n * HELD_OUT))])


@torch.no_grad()
def _accuracy(classifier: Callable, z: Tensor, labels: Tensor, batch_size: int = 4096) -> float:
    """Share of the features (N, D) whose own class gets the highest score."""
    device = next(classifier.parameters()).device if isinstance(classifier, nn.Module) else z.device
    found = torch.cat([classifier(part.to(device)).argmax(1).cpu() for part in z.split(batch_size)])
    return (found == labels.cpu()).double().mean().item()


PROTOCOLS: dict[str, Callable[..., Result]] = {
    "knn": knn,
    "linear": linear,
    "sgd-linear": sgd_linear,
    "few-labels-1": partial(few_labels, fraction=0.01),
    "few-labels-10": partial(few_labels, fraction=0.1),
    "transfer": transfer,
    "factors": factors,
}
