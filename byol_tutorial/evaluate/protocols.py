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

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config.errors import DataError
from .finetune import few_labels, sgd_linear
from .knn import knn_accuracy
from .linear import factor_probe, linear_probe
from .result import Outcome, Result, accuracy_of, features_of, held_out, labels_of, name_of, result_of

PENALTIES = tuple(10 ** (5 - 11 * i / 44) for i in range(45))  # λ of transfer, 1e5 to 1e-6, strongest first
ITERATIONS = 100  # of L-BFGS for each of them, ten times as many for the chosen one
FACTORS = ("shape", "hue", "x", "y", "scale", "rotation")


def knn(encoder: nn.Module, baseline: nn.Module, train, test, seed: int = 0) -> Result:
    """Vote of the k nearest train images by cosine, each with weight exp(cosine / 0.07): evaluate.knn_accuracy.

    k = 200, and 20 below 10,000 train images. Not in the paper. Nothing is random in it.
    """
    y, t = labels_of("knn", train, test)
    k = 200 if len(train) >= 10_000 else 20
    pairs = features_of(encoder, baseline, train, test)
    ours, random = (Outcome(knn_accuracy(a, y, b, t, k=k, temperature=0.07)) for a, b in pairs)
    return result_of("knn", train, test, seed, ours, random, k=k, temperature=0.07)


def linear(encoder: nn.Module, baseline: nn.Module, train, test, seed: int = 0) -> Result:
    """Logistic regression by L-BFGS on standardised features, C = inverse L2 strength chosen: evaluate.linear_probe."""
    y, t = labels_of("linear", train, test)

    def fit(a: Tensor, b: Tensor) -> Outcome:
        probe = linear_probe(a, y, b, t, seed)
        return Outcome(probe.accuracy, {"C": probe.penalty}, {f"C {probe.penalty:g}": probe.held_out_accuracy})

    ours, random = (fit(a, b) for a, b in features_of(encoder, baseline, train, test))
    return result_of("linear", train, test, seed, ours, random)


def transfer(encoder: nn.Module, baseline: nn.Module, train, test, seed: int = 0) -> Result:
    """How well frozen features serve another data set: top-1 accuracy (section 4.3, appendix on transfer).

    `logistic_regression` without augmentation on the features as they are. λ is one of 45 log-spaced values in
    [1e-6, 1e5], chosen on a fifth of the train images; then all are fitted. The paper does not say by what
    its loss is divided; here it is a mean over images.
    """
    y, t = labels_of("transfer", train, test)
    device = next(encoder.parameters()).device
    held, rest = held_out(len(y), seed)
    y_device, classes = y.to(device), int(y.max()) + 1

    def fit(a: Tensor, b: Tensor) -> Outcome:
        centre = a.double().mean(0)  # the bias makes up for it: the same minimum, found sooner
        a, b = (a.double() - centre).to(device), (b.double() - centre).to(device)
        weights, scores, best, start = None, {}, -1.0, None
        for penalty in PENALTIES:  # from strong to weak, each fit starts where the one before ended
            weights = logistic_regression(a[rest], y_device[rest], penalty, classes, start=weights)
            scores[f"λ {penalty:.3g}"] = score = accuracy_of(linear_map(weights), a[held], y[held])
            if score > best:  # of equals the strongest stays
                best, choice, start = score, penalty, weights
        weights = logistic_regression(a, y_device, choice, classes, start, 10 * ITERATIONS)
        return Outcome(accuracy_of(linear_map(weights), b, t), {"λ": choice}, scores)

    ours, random = (fit(a, b) for a, b in features_of(encoder, baseline, train, test))
    return result_of("transfer", train, test, seed, ours, random)


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
            raise DataError(f"factors: {name_of(images)} has none, only 'shapes' has; load that, or choose linear")
    (a, b), (a0, b0) = features_of(encoder, baseline, train, test)
    table = {}
    for name in FACTORS:
        ours, random = factor_probe(a, train, b, test, name), factor_probe(a0, train, b0, test, name)
        table[name] = (ours.accuracy, random.accuracy, 1 / ours.classes)
    means = (sum(column) / len(table) for column in zip(*table.values(), strict=True))
    return Result("factors", *means, seed, len(train), len(test), table=table)


PROTOCOLS: dict[str, Callable[..., Result]] = {
    "knn": knn,
    "linear": linear,
    "sgd-linear": sgd_linear,
    "few-labels-1": partial(few_labels, fraction=0.01),
    "few-labels-10": partial(few_labels, fraction=0.1),
    "transfer": transfer,
    "factors": factors,
}
