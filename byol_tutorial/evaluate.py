"""What is a representation worth? Features, kNN, linear probe, factor probes.

All are measured on frozen features: the encoder in evaluation mode, images without augmentation.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .augment import as_float, normalise
from .data import DataError, ImageSet, StreamedSet
from .hardware import memory_errors

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # C of the probe, inverse L2 strength
ITERATIONS = 100  # of L-BFGS for each of them, twice as many for the chosen one
PIXEL_GRID = 32  # pixels a side of pictures that are features themselves, at most
HELD_OUT = 0.2  # share of the train images that chooses among them


@torch.no_grad()
def features(encoder: nn.Module, images: Tensor | ImageSet | StreamedSet, batch_size: int = 512) -> Tensor:
    """y = f(x) in evaluation mode, without gradient: uint8 (N, 3, H, W), or a set of images -> float32 (N, D), on the CPU.

    Images are normalised with the encoder's own `pixel_mean` and `pixel_std` where it has them, else with 0.5 and
    0.25. The encoder's mode is restored. Images 8/7 as large as the views it was trained on give their centre (see
    `kept_size`), those of any other size are taken as they are.
    """
    device = next(encoder.parameters()).device
    was_training = encoder.training
    encoder.eval()
    rows = []
    for batch in images.split(batch_size) if isinstance(images, Tensor) else images.batches(batch_size):
        with memory_errors(f"on {device} at the features of {len(batch)} images", "give features a smaller batch_size"):
            x = centre(batch.to(device), seen_size(encoder, min(batch.shape[2:])))
            rows.append(encoder(network_input(encoder, as_float(x))).float().cpu())
    encoder.train(was_training)
    return torch.cat(rows)


def network_input(encoder: nn.Module, x: Tensor) -> Tensor:
    """Float images in [0, 1], normalised as the encoder's training images were."""
    mean, std = getattr(encoder, "pixel_mean", (0.5,) * 3), getattr(encoder, "pixel_std", (0.25,) * 3)
    return normalise(x, mean, std).contiguous(memory_format=torch.channels_last)


def kept_size(view_size: int) -> int:
    """Pixels a side that images are kept at for views of this size: 8/7 of it, as the paper's 256 for 224 (appendix)."""
    return round(view_size * 8 / 7)


def seen_size(encoder: nn.Module, size: int) -> int:
    """Pixels a side of what an encoder is shown of images of this size: of `kept_size` the size of its views."""
    view_size = getattr(encoder, "view_size", size)
    return view_size if size == kept_size(view_size) else size


def centre(x: Tensor, size: int) -> Tensor:
    """The middle size × size pixels of (N, C, H, W), where that is less."""
    if min(x.shape[2:]) <= size:
        return x
    top, left = ((length - size) // 2 for length in x.shape[2:])
    return x[:, :, top : top + size, left : left + size]


def pixels(images: Tensor) -> Tensor:
    """The images themselves as features, the baseline of no encoder at all: float32 (N, 3·H·W) in [0, 1]."""
    return as_float(images).flatten(1)


def small_pixels(images: ImageSet | StreamedSet) -> Tensor:
    """Like `pixels`, of pictures brought to at most 32 × 32."""
    if max(images.image_size) <= PIXEL_GRID:
        return torch.cat([pixels(batch) for batch in images.batches()])
    grid = (PIXEL_GRID, PIXEL_GRID)
    return torch.cat([F.interpolate(as_float(b), grid, mode="area").flatten(1) for b in images.batches()])


def nearest(query_features: Tensor, bank_features: Tensor, k: int) -> Tensor:
    """Positions of the k nearest bank images by cosine, nearest first: int64 (Q, k)."""
    similarity = F.normalize(query_features, dim=1) @ F.normalize(bank_features, dim=1).T
    return similarity.topk(min(k, len(bank_features)), dim=1).indices


def knn_accuracy(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    k: int = 20,
    temperature: float = 0.07,
) -> float:
    """Share of test images, in [0, 1], whose class wins the vote of their k nearest train images.

    Nearest by cosine; a neighbour's vote weighs exp(cosine / temperature). Not in the paper, but used
    by all its peers: k = 200 on large sets, 20 on small ones. k is lowered to the number of train images.
    """
    k = min(k, len(train_features))
    train_features = F.normalize(train_features, dim=1)
    n_classes = int(max(train_labels.max(), test_labels.max())) + 1
    train_labels, test_labels = (y.to(train_features.device) for y in (train_labels, test_labels))
    correct = 0
    for query, label in zip(F.normalize(test_features, dim=1).split(1024), test_labels.split(1024), strict=True):
        similarity, index = (query @ train_features.T).topk(k, dim=1)  # (n, k)
        votes = torch.zeros(len(query), n_classes, device=query.device)
        votes.scatter_add_(1, train_labels[index], torch.exp((similarity - 1) / temperature))
        correct += (votes.argmax(1) == label).sum().item()
    return correct / len(test_labels)


@dataclass(frozen=True)
class ProbeResult:
    """What `linear_probe` found."""

    accuracy: float  # on the test images, in [0, 1]
    held_out_accuracy: float  # on the held-out train images, of the chosen penalty
    penalty: float  # chosen C
    classes: int

    def __float__(self) -> float:
        return self.accuracy

    def __str__(self) -> str:
        return f"linear probe: {self.accuracy:.3f} (chance {1 / self.classes:.3f}, C {self.penalty:g} chosen on held-out train images)"


def linear_probe(
    train_features: Tensor, train_labels: Tensor, test_features: Tensor, test_labels: Tensor, seed: int = 0
) -> ProbeResult:
    """Accuracy of a linear classifier on frozen features.

    Multinomial logistic regression (L-BFGS) on standardised features. The L2 strength is chosen on a fifth
    of the *train* images, then the classifier is fitted to all of them; test images are seen once, at the end.
    Features and labels may lie on any device; the classifier is fitted on the CPU.

    Raises:
        DataError: fewer than two classes among the train labels.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    train_features, train_labels, test_features, test_labels = (
        t.detach().cpu() for t in (train_features, train_labels, test_features, test_labels)
    )
    x, y = train_features.double().numpy(), train_labels.numpy()
    classes = np.unique(y)
    if len(classes) < 2:
        raise DataError(f"a linear probe needs at least two classes: the train labels are all {classes.tolist()}")
    mean, std = x.mean(axis=0), x.std(axis=0)
    std[std <= 1e-6 * np.abs(mean)] = np.inf  # constant up to rounding: no information, so 0
    x = ((x - mean) / std).astype(np.float32)
    x_test = ((test_features.double().numpy() - mean) / std).astype(np.float32)

    order = np.random.default_rng(seed).permutation(len(x))
    held, rest = np.split(order, [max(1, int(len(x) * HELD_OUT))])
    # One thread for NumPy's BLAS: thousands of small products, for which helpers take ten times as long beside torch's.
    with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # so many iterations are the protocol
        scores = {}
        # From the strongest penalty to the weakest, each fit starts where the one before ended.
        probe = LogisticRegression(max_iter=ITERATIONS, warm_start=True)
        for penalty in PENALTIES if len(np.unique(y[rest])) > 1 else ():
            scores[penalty] = probe.set_params(C=penalty).fit(x[rest], y[rest]).score(x[held], y[held])
        best = max(scores, key=scores.get, default=1.0)
        probe = LogisticRegression(max_iter=2 * ITERATIONS, C=best).fit(x, y)
    return ProbeResult(probe.score(x_test, test_labels.numpy()), scores.get(best, float("nan")), best, len(classes))


def factor_probe(
    train_features: Tensor, train: ImageSet, test_features: Tensor, test: ImageSet, factor: str, bins: int = 8
):
    """How well can one factor of "shapes" be read off the features? A linear probe: chance is 1 / classes.

    factor: "shape", or a continuous one ("hue", "x", "y", "scale", "rotation"), cut into `bins` of equal frequency.

    Raises:
        DataError: the images have no factors, or none of this name.
    """
    if train.factors is None or test.factors is None:
        raise DataError(f"{train.name!r} has no factors: only 'shapes' knows what its pictures were drawn from")
    if not hasattr(train.factors, factor):
        raise DataError(f"factor {factor!r}: choose one of {', '.join(vars(train.factors))}")
    a, b = getattr(train.factors, factor), getattr(test.factors, factor)
    if factor != "shape":
        edges = torch.quantile(a, torch.linspace(0, 1, bins + 1)[1:-1])
        a, b = torch.bucketize(a, edges), torch.bucketize(b, edges)
    return linear_probe(train_features, a, test_features, b)


@dataclass(frozen=True)
class Comparison:
    """kNN and linear-probe accuracy of several representations of the same images, worst to best as given."""

    rows: dict[str, tuple[float, float]]  # name: (kNN, linear probe)

    def __str__(self) -> str:
        width = max([16, *(len(name) + 2 for name in self.rows)])
        lines = [f"{'':<{width}}{'kNN':>8}{'linear':>8}"]
        lines += [f"{name:<{width}}{knn:>8.3f}{linear:>8.3f}" for name, (knn, linear) in self.rows.items()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        body = "".join(f"<tr><th>{n}</th><td>{k:.3f}</td><td>{p:.3f}</td></tr>" for n, (k, p) in self.rows.items())
        return f"<table><thead><tr><th></th><th>kNN</th><th>linear probe</th></tr></thead><tbody>{body}</tbody></table>"


def compare(encoders: dict[str, nn.Module], train: ImageSet | StreamedSet, test: ImageSet | StreamedSet) -> Comparison:
    """Raw pixels and each encoder, by kNN and linear probe.

    Raises:
        DataError: images without labels.
    """
    if train.labels is None or test.labels is None:
        raise DataError(f"{train.name!r} has no labels: put the images in one sub-folder a class to have accuracies")

    pairs = {"raw pixels": (small_pixels(train), small_pixels(test))}
    pairs |= {name: (features(f, train), features(f, test)) for name, f in encoders.items()}
    return Comparison(
        {
            name: (
                knn_accuracy(a, train.labels, b, test.labels),
                linear_probe(a, train.labels, b, test.labels).accuracy,
            )
            for name, (a, b) in pairs.items()
        }
    )
