"""The two protocols that train with SGD on random crops: a linear classifier, and fine-tuning on few labels."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..augment.operations import as_float, crop
from ..augment.views import Views
from ..config.config import Config
from ..config.errors import DataError
from ..data.image_set import ImageSet
from ..runtime.optimizers import SGD
from ..runtime.threads import computing
from .features import features, network_input, seen_size, work_of
from .linear import HELD_OUT
from .result import Images, Outcome, Result, accuracy_of, features_of, held_out, labels_of, predictions_of, result_of

BATCH_SIZE, MOMENTUM = 1024, 0.9
CROP_AREA = (0.08, 1.0)  # smallest and largest random crop, as a share of the image
LINEAR_RATES = (0.05, 0.1, 0.2, 0.3, 0.4)  # base rates: a step takes rate · batch / 256
TUNING_RATES, TUNING_EPOCHS = (0.005, 0.01, 0.02, 0.05, 0.1), (30, 50)
MOST_HELD_OUT = 10_000  # images on which few_labels makes its choices, as in the paper's local validation set


def sgd_linear(
    encoder: nn.Module,
    baseline: nn.Module,
    train: Images,
    test: Images,
    seed: int = 0,
    epochs: int = 80,
    crop_area: tuple[float, float] = CROP_AREA,
) -> Result:
    """Carry out the paper's linear evaluation (section 4.1, appendix): a linear classifier on the frozen encoder, by SGD.

    Training images are cropped and flipped at random, test images are taken as they are. BatchNorm is in evaluation mode.
    There are 80 epochs with batches of 1024 (a smaller set is one batch) and no weight decay. The rate is one of
    `LINEAR_RATES`, chosen on a fifth of the train images, and is scaled as in the authors' code: a step's learning rate is
    rate · batch / 256, and falls along a cosine.

    Classifiers on a frozen encoder do not influence each other, so all train side by side on the same views. For each rate
    there are two: one is trained without the held-out images, to choose the rate; one is trained on all images and tested.

    Args:
        crop_area: the smallest and largest random crop, as a share of the image, in (0, 1].
    """
    y, t = labels_of("sgd-linear", train, test)
    held, rest = held_out(len(y), seed)
    device = next(encoder.parameters()).device
    kept = torch.zeros(len(y)).index_fill(0, rest, 1.0).to(device)
    targets = y.to(device)
    batch = even_batch(len(y), BATCH_SIZE)
    pair = [copy.deepcopy(f).eval() for f in (encoder, baseline)]
    heads = [{rate: nn.ModuleList((zero_head(f, y), zero_head(f, y))) for rate in LINEAR_RATES} for f in pair]

    def loss(at: Tensor, x: Tensor) -> Tensor:
        at = at.to(device)
        labels, seen, total = targets[at], kept[at], torch.zeros((), device=device)
        for f, of_rate in zip(pair, heads, strict=True):
            with torch.no_grad():
                z = f(network_input(f, x))
            for choosing, tested in of_rate.values():
                # held-out rows are multiplied by 0: to select the others, Python would have to wait for their number
                held_apart = (F.cross_entropy(choosing(z), labels, reduction="none") * seen).sum()
                total = total + held_apart / seen.sum().clamp(min=1) + F.cross_entropy(tested(z), labels)
        return total

    by_rate = {rate * batch / 256: nn.ModuleList(of_rate[rate] for of_rate in heads) for rate in LINEAR_RATES}
    with computing(2 * batch * work_of(encoder, train.sample(2).images)):
        descend(by_rate, augmented(encoder, train, torch.arange(len(y)), batch, epochs, crop_area, seed), loss, seed)

    def outcome(of_rate: dict[float, nn.ModuleList], z_held: Tensor, z_test: Tensor) -> Outcome:
        scores = {rate: accuracy_of(choosing, z_held, y[held]) for rate, (choosing, _) in of_rate.items()}
        best = max(scores, key=scores.__getitem__)
        predicted = predictions_of(of_rate[best][1], z_test)
        return Outcome.of(predicted, t, {"lr": best}, {f"lr {rate:g}": score for rate, score in scores.items()})

    plain = features_of(encoder, baseline, train[held], test)
    ours, random = (outcome(of_rate, *z) for of_rate, z in zip(heads, plain, strict=True))
    return result_of("sgd-linear", train, test, seed, ours, random, epochs=epochs, batch_size=batch)


class Tuned(NamedTuple):
    """A fine-tuned encoder and its classifier, how they were trained, and their accuracy on the held-out images."""

    encoder: nn.Module
    head: nn.Module
    choice: dict[str, float]
    score: float


def few_labels(
    encoder: nn.Module,
    baseline: nn.Module,
    train: Images,
    test: Images,
    seed: int = 0,
    fraction: float = 0.01,
    rates: Sequence[float] = TUNING_RATES,
    epochs: Sequence[int] = TUNING_EPOCHS,
    crop_area: tuple[float, float] = CROP_AREA,
) -> Result:
    """Fine-tune a copy of the encoder and a linear classifier on a few labels, by SGD (section 4.2).

    The labels are those of `few_label_split`. For the baseline this is supervised training from scratch on the same
    labels. Training images are cropped and flipped at random, and BatchNorm is in training mode. Rate and number of epochs
    are chosen, as in the paper, on labelled train images outside the few.

    The paper's batch is 1024. A small subset is cut into at most eight batches an epoch, of 32 images or more. Because
    batches become smaller with the set, rates are not scaled by batch / 256; they fall along a cosine.

    Args:
        fraction: the share of the labels that is used, in (0, 1).
        rates, epochs: the learning rates and numbers of epochs to choose from; every combination is trained.
        crop_area: the smallest and largest random crop, as a share of the image, in (0, 1].

    Raises:
        DataError: also for a fraction outside (0, 1), if no train images are left to make the choice with, or if no rate
            or number of epochs is given.
    """
    protocol = f"few-labels-{100 * fraction:g}"
    y, t = labels_of(protocol, train, test)
    few, held = few_label_split(y, fraction, seed)
    batch = even_batch(len(few), min(BATCH_SIZE, max(32, math.ceil(len(few) / 8))))
    choosing = train[held]

    def tune(f: nn.Module, rate: float, n: int) -> Tuned:
        tuned, head = copy.deepcopy(f).requires_grad_(True).train(), zero_head(f, y)
        targets = y.to(next(f.parameters()).device)

        def loss(at: Tensor, x: Tensor) -> Tensor:
            return F.cross_entropy(head(tuned(network_input(f, x))), targets[at.to(targets.device)])

        with computing(3 * batch * work_of(f, train.sample(2).images)):  # the backward pass takes as long as two
            descend(
                {rate: nn.ModuleList((tuned, head))}, augmented(f, train, few, batch, n, crop_area, seed), loss, seed
            )
        return Tuned(tuned, head, {"lr": rate, "epochs": n}, accuracy_of(head, features(tuned, choosing), y[held]))

    def outcome(f: nn.Module) -> Outcome:
        scores, best = {}, None
        for n, rate in product(epochs, rates):
            found = tune(f, rate, n)
            scores[f"lr {rate:g}, epochs {n}"] = found.score
            if best is None or found.score > best.score:
                best = found
        if best is None:
            raise DataError(f"{protocol}: rates={rates!r}, epochs={epochs!r}: give at least one of each to choose from")
        return Outcome.of(predictions_of(best.head, features(best.encoder, test)), t, best.choice, scores)

    fixed = {"fraction": fraction, "labels": len(few), "batch_size": batch}
    return result_of(protocol, train, test, seed, outcome(encoder), outcome(baseline), **fixed)


def few_label_split(labels: Tensor, fraction: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draw a few labelled images, and others on which choices are made: positions int64 (n,) and (m,), disjoint.

    The few are class-balanced: each class gives round(fraction · N / classes) images, at least one and at most all of its
    images. The others are a fifth of the set, at most 10,000, and fewer where fewer remain.

    Raises:
        DataError: a fraction outside (0, 1), or no image is left for the others.
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
    encoder: nn.Module,
    images: Images,
    positions: Tensor,
    batch: int,
    epochs: int,
    crop_area: tuple[float, float],
    seed: int,
) -> Iterator[tuple[float, Tensor, Tensor]]:
    """Yield batches of random crops of these images, half of them flipped, on the encoder's device.

    Each item is (share of all steps done, positions int64 (b,), crops float (b, 3, size, size) in [0, 1]). An epoch has
    every image once, in a new order, in equal batches. The seed alone decides what is random.
    """
    device = next(encoder.parameters()).device
    order = torch.Generator().manual_seed(seed)
    never, half = (0.0, 0.0), (0.5, 0.5)  # for T and T′
    only = Config(
        crop_area=crop_area,
        crop_ratio=(3 / 4, 4 / 3),
        flip_p=half,
        jitter_p=never,
        grayscale_p=never,
        blur_p=never,
        solarize_p=never,
    )
    views = Views(only, generator=torch.Generator(device).manual_seed(seed))
    steps = math.ceil(len(positions) / batch)
    for epoch in range(epochs):
        batches = positions[torch.randperm(len(positions), generator=order)].tensor_split(steps)
        pictures: Iterable[Tensor]
        pictures = (images.images[at] for at in batches) if isinstance(images, ImageSet) else images.loader(batches)
        for k, (at, x) in enumerate(zip(batches, pictures, strict=True)):
            n, _, height, width = x.shape
            drawn = views.draw(n, height, width, device)[:n]
            size = seen_size(encoder, min(height, width))
            yield (epoch + k / steps) / epochs, at, crop(as_float(x.to(device)), drawn, size)


def descend(
    modules: Mapping[float, nn.Module],
    batches: Iterable[tuple[float, Tensor, Tensor]],
    loss: Callable[[Tensor, Tensor], Tensor],
    seed: int,
) -> None:
    """Minimise loss(positions, images) by SGD with Nesterov momentum 0.9, without weight decay.

        v ← 0.9 v + g,  w ← w − lr (g + 0.9 v),  lr = rate · ½ (1 + cos π·(share of all steps done))

    Args:
        modules: initial rate -> the module that is trained with it.
        batches: as `augmented` yields them.
        seed: of dropout and data loaders.
    """
    groups = [{"params": module.parameters(), "lr": rate} for rate, module in modules.items()]
    optimizer = SGD(groups, lr=0.0, momentum=MOMENTUM, nesterov=True)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()):
        torch.manual_seed(seed)  # for dropout and data loaders; the crops have their own generators
        for share, at, x in batches:
            for group, rate in zip(optimizer.param_groups, modules, strict=True):
                group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * share))
            optimizer.zero_grad()
            loss(at, x).backward()
            optimizer.step()


def zero_head(encoder: nn.Module, labels: Tensor) -> nn.Linear:
    """Build a linear classifier of the encoder's features whose weights are 0, so that all classes are equally likely."""
    device = next(encoder.parameters()).device
    head = nn.utils.skip_init(nn.Linear, encoder.feature_dim, int(labels.max()) + 1, device=device)
    for p in head.parameters():
        nn.init.zeros_(p)
    return head


def even_batch(n: int, most: int) -> int:
    """Return the batch size that cuts n images into as few equal batches as possible, of at most `most` images each."""
    return math.ceil(n / math.ceil(n / most))
