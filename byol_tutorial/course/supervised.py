"""The supervised baseline: the same encoder, views, steps and learning rate as BYOL, but trained with the labels."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..augment.views import Views
from ..config.config import Config
from ..config.errors import DataError
from ..data.image_set import ImageSet
from ..evaluate.comparison import accuracies
from ..networks.encoders import Encoder, build_encoder
from ..runtime.device import resolve_device
from ..runtime.optimizers import SGD
from ..runtime.progress import hidden, saying_stopped
from ..runtime.seeding import OwnGenerator, seed_at
from ..train.batches import Feed
from ..train.optim import lr_factor_at
from . import cache


@dataclass
class Supervised:
    """A trained supervised baseline.

    encoder      in evaluation mode
    knn, linear  kNN and linear-probe accuracy of its features
    accuracy     of its own classifier; all accuracies are on the test images, in [0, 1]
    loss         cross-entropy of every step
    from_cache   whether it was read instead of trained
    """

    encoder: Encoder = field(repr=False)
    knn: float
    linear: float
    accuracy: float
    loss: list[float] = field(repr=False)
    from_cache: bool


def supervised(config: Config, train: ImageSet, test: ImageSet, progress: bool = True) -> Supervised:
    """Train the encoder of this config with a linear classifier on top, by cross-entropy, and keep it like a run.

    A step takes one view (of T) of each image. Epochs, batches, SGD, warm-up and cosine are those of the config.

    Raises:
        DataError: the images have no labels.
    """
    if train.labels is None or test.labels is None:
        raise DataError(f"{train.name!r} has no labels: a supervised baseline needs them")
    key = cache.key_of(kind="supervised", config=config, train=train, test=test)
    labels = train.labels, test.labels
    state, from_cache = cache.kept_or_computed(
        "supervised", key, lambda: _trained(config, train, test, *labels, progress), progress
    )
    encoder = _built(config, train)
    encoder.load_state_dict(state["encoder"])
    numbers = {name: state[name] for name in ("knn", "linear", "accuracy", "loss")}
    return Supervised(encoder.eval(), from_cache=from_cache, **numbers)


def _built(config: Config, train: ImageSet) -> Encoder:
    with OwnGenerator(config.seed):
        return build_encoder(config, config.view_size or min(train.image_size), *train.statistics())


def _trained(
    config: Config, train: ImageSet, test: ImageSet, labels: Tensor, test_labels: Tensor, progress: bool
) -> dict:
    from tqdm.auto import tqdm

    device = resolve_device("auto")
    encoder = _built(config, train)
    with OwnGenerator(config.seed + 1):
        head = nn.Linear(encoder.feature_dim, len(train.classes))
    encoder, head = encoder.to(device), head.to(device)
    generator = torch.Generator(device)
    views = Views(config, *train.statistics(), generator)
    labels = labels.to(device)
    feed = _feed(train, config, device)
    parameters = [*encoder.parameters(), *head.parameters()]
    decayed = [p for p in parameters if p.ndim > 1]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = SGD(groups, lr=config.step_lr, momentum=config.momentum)
    total = feed.steps_per_epoch * config.epochs
    losses = []
    bar = tqdm(total=total, desc="supervised", unit="step", disable=hidden(progress), mininterval=0.3)
    with bar, saying_stopped(bar, "nothing is kept, the run starts again when the cell is run again"):
        for k in range(total):
            factor = lr_factor_at(k, total, round(config.warmup_epochs * feed.steps_per_epoch))
            for group in optimizer.param_groups:
                group["lr"] = config.step_lr * factor
            generator.manual_seed(seed_at(config, 2 * k + 1))
            v, _ = views(feed.batch(k))
            loss = F.cross_entropy(head(encoder(v)), labels[feed.positions(k, 0).to(device)])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            bar.update()
    found = accuracies(encoder, train, test)
    with torch.no_grad():
        guesses = head.cpu()(found.test_features).argmax(1)
    return {
        "encoder": encoder.cpu().state_dict(),
        "loss": losses,
        "accuracy": (guesses == test_labels).float().mean().item(),
        "knn": found.knn,
        "linear": found.linear,
    }


def _feed(train: ImageSet, config: Config, device: torch.device) -> Feed:
    from ..runtime.distributed import process

    return Feed(train, config.replace(accumulation_steps=1), device, process())
