"""The field's evaluation protocols: fixed rules that measure how useful an encoder is, frozen or fine-tuned.

Each is a function protocol(encoder, baseline, train, test, seed=0) -> Result. `baseline` has the same architecture
and random weights, and goes through the same protocol, because an accuracy alone says little. Hyperparameters are
chosen on held-out train images; the test images are used once, after that. `PROTOCOLS` holds the functions by name:

    knn, linear                    a vote, or logistic regression, on features: quick, used by all peers
    sgd-linear                     the paper's linear evaluation (section 4.1)
    few-labels-1, few-labels-10    fine-tuning on 1 % or 10 % of the labels (section 4.2)
    transfer                       logistic regression on another data set (section 4.3)
    factors                        how much the features tell about each factor of "shapes"
    dense                          segmentation and centre of "shapes" from the feature map, before it is pooled

`train` and `test` are ImageSets or StreamedSets. All compute features and train with SGD on the encoder's device, and fit
logistic regressions on the CPU. They leave the encoder and torch's global random state as they were, and on a CPU they give
the same Result for the same seed and number of threads.

All raise DataError for images without labels (factors: without factors; dense: without masks), for fewer than two classes, for train and test
classes of different names, and for features that are not finite. Test images of a class that no train image has are
allowed; they count as wrong.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from ..config.errors import DataError
from ..runtime.threads import available, chosen
from .dense import dense_probe
from .finetune import few_labels, sgd_linear
from .knn import knn_predictions
from .linear import factor_probe, fitting, linear_probe
from .result import Images, Outcome, Result, features_of, held_out, labels_of, name_of, result_of

PENALTIES = tuple(10 ** (5 - 11 * i / 44) for i in range(45))  # λ of transfer, 1e5 to 1e-6, strongest first
ITERATIONS = 100  # iterations of L-BFGS for each λ; the chosen one gets ten times as many
TOLERANCE = 1e-6  # L-BFGS ends where no entry of the gradient is larger
LARGE = 2**22  # numbers in the features from which the fits of transfer use all of torch's threads
FACTORS = ("shape", "hue", "x", "y", "scale", "rotation")


def knn(encoder: nn.Module, baseline: nn.Module, train: Images, test: Images, seed: int = 0) -> Result:
    """Measure the vote of the k nearest train images by cosine, each with weight exp(cosine / 0.07): see `knn_accuracy`.

    k = 200, and 20 below 10,000 train images. This protocol is not in the paper. Nothing in it is random.
    """
    y, t = labels_of("knn", train, test)
    k = 200 if len(train) >= 10_000 else 20
    pairs = features_of(encoder, baseline, train, test)
    ours, random = (Outcome.of(knn_predictions(a, y, b, k, temperature=0.07), t) for a, b in pairs)
    return result_of("knn", train, test, seed, ours, random, k=k, temperature=0.07)


def linear(encoder: nn.Module, baseline: nn.Module, train: Images, test: Images, seed: int = 0) -> Result:
    """Measure a logistic regression on standardised features, with C = inverse L2 strength chosen: see `linear_probe`."""
    y, t = labels_of("linear", train, test)

    def fit(a: Tensor, b: Tensor) -> Outcome:
        probe = linear_probe(a, y, b, t, seed)
        return Outcome(
            probe.accuracy, probe.balanced, {"C": probe.penalty}, {f"C {probe.penalty:g}": probe.held_out_accuracy}
        )

    ours, random = (fit(a, b) for a, b in features_of(encoder, baseline, train, test))
    return result_of("linear", train, test, seed, ours, random)


def transfer(encoder: nn.Module, baseline: nn.Module, train: Images, test: Images, seed: int = 0) -> Result:
    """Measure how well frozen features serve another data set: top-1 accuracy (section 4.3, appendix on transfer).

    Multinomial logistic regression without augmentation on the features as they are. Its loss is

        (1 / N) Σ −log softmax(W x + b)[label]  +  λ/2 ‖W‖²

    The paper does not say by what its loss is divided; here it is a mean over images. λ is one of 45 log-spaced values in
    [1e-6, 1e5], chosen on a fifth of the train images; then the classifier is fitted to all of them, on the CPU.
    """
    from sklearn.linear_model import LogisticRegression

    y, t = (labels.numpy() for labels in labels_of("transfer", train, test))
    held, rest = (positions.numpy() for positions in held_out(len(y), seed))

    def fit(a: Tensor, b: Tensor) -> Outcome:
        centre = a.double().mean(0)  # the bias makes up for it: the same minimum, found sooner
        x, x_test = (a.double() - centre).numpy(), (b.double() - centre).numpy()
        scores: dict[float, float] = {}
        with fitting(threads=1 if x.size < LARGE else chosen() or available()):
            classifier = LogisticRegression(tol=TOLERANCE, max_iter=ITERATIONS, warm_start=True)
            # From the strongest penalty to the weakest, each fit starts where the one before ended.
            for penalty in PENALTIES if len(np.unique(y[rest])) > 1 else ():
                classifier.set_params(C=inverse_strength(penalty, y[rest])).fit(x[rest], y[rest])
                scores[penalty] = classifier.score(x[held], y[held])
            best = max(scores, key=scores.__getitem__, default=PENALTIES[0])  # of equal scores, the strongest penalty
            classifier = LogisticRegression(C=inverse_strength(best, y), tol=TOLERANCE, max_iter=10 * ITERATIONS)
            predicted = torch.from_numpy(classifier.fit(x, y).predict(x_test))
        held_out_scores = {f"λ {penalty:.3g}": score for penalty, score in scores.items()}
        return Outcome.of(predicted, torch.from_numpy(t), {"λ": best}, held_out_scores)

    ours, random = (fit(a, b) for a, b in features_of(encoder, baseline, train, test))
    return result_of("transfer", train, test, seed, ours, random)


def inverse_strength(penalty: float, labels: np.ndarray) -> float:
    """Return the C of scikit-learn's LogisticRegression that belongs to `transfer`'s λ: 1 / (λ N), and twice that for two classes.

    Of two classes scikit-learn fits w = w₁ − w₀ alone. At the minimum w₁ = −w₀ = w/2, so λ/2 (‖w₀‖² + ‖w₁‖²) = λ/4 ‖w‖².
    """
    return (2 if len(np.unique(labels)) == 2 else 1) / (penalty * len(labels))


def factors(encoder: nn.Module, baseline: nn.Module, train: Images, test: Images, seed: int = 0) -> Result:
    """Probe the features for each factor of "shapes", see `factor_probe`; Result.table has them. Labels are not needed.

    Continuous factors are cut into eight bins of equal frequency: chance is 1/8, and 1/10 for the shape.
    """
    for images in (train, test):
        if images.factors is None:
            raise DataError(f"factors: {name_of(images)} has none, only 'shapes' has; load that, or choose linear")
    (a, b), (a0, b0) = features_of(encoder, baseline, train, test)
    table: dict[str, tuple[float, float, float]] = {}
    for name in FACTORS:
        ours, random = factor_probe(a, train, b, test, name), factor_probe(a0, train, b0, test, name)
        table[name] = (ours.accuracy, random.accuracy, 1 / ours.classes)
    ours_mean, random_mean, chance = (sum(column) / len(table) for column in zip(*table.values(), strict=True))
    return Result("factors", ours_mean, random_mean, chance, seed, len(train), len(test), table=table)


def dense(encoder: nn.Module, baseline: nn.Module, train: Images, test: Images, seed: int = 0) -> Result:
    """Probe the feature map for what is at each place, see `dense_probe`; Result.table has mIoU and error of the centre.

    The accuracy of the result is the mIoU. In the place of chance stands an answer that never looks: all ground, the mean centre.
    """
    ours, random = (dense_probe(f, train, test, seed) for f in (encoder, baseline))
    values = ((r.miou, r.figure_miou, r.centre_error) for r in (ours, random))
    names = ("mIoU", "figure-ground mIoU", "error of the centre in pixels")
    table = dict(zip(names, zip(*values, ours.floor, strict=True), strict=True))
    details = {
        "ious": ours.ious,
        "baseline_ious": random.ious,
        "baseline_choice": random.chosen,
        "map": list(ours.grid),
    }
    return Result(
        "dense",
        ours.miou,
        random.miou,
        ours.floor[0],
        seed,
        ours.train_size,
        len(test),
        ours.chosen,
        tuple(ours.chosen),
        details,
        table,
    )


PROTOCOLS: dict[str, Callable[..., Result]] = {
    "knn": knn,
    "linear": linear,
    "sgd-linear": sgd_linear,
    "few-labels-1": partial(few_labels, fraction=0.01),
    "few-labels-10": partial(few_labels, fraction=0.1),
    "transfer": transfer,
    "factors": factors,
    "dense": dense,
}
