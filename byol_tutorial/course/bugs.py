"""Five bugs that people report, in one training loop: each is one line, beside the line as it should be.

    healthy, broken = train_with(None, config, train, test), train_with(SHARED, config, train, test)
    broken.history["loss"], broken.knn, broken.linear

The loop is that of lesson 03, with the library's networks, views and optimisers. It is no second Trainer: it cannot
resume, use a GPU or change while it runs.
"""

from dataclasses import dataclass, field
from typing import TypedDict

import torch
from torch import nn

from ..augment.views import Views
from ..config.config import Config
from ..config.errors import UserError
from ..data.image_set import ImageSet
from ..evaluate.comparison import accuracies
from ..evaluate.diagnose import spread
from ..methods.byol import BYOL, byol_loss, tau_at
from ..runtime.seeding import OwnGenerator, seed_at
from ..train.monitor import KNN_BANK, KNN_QUERIES
from ..train.optim import build_optimizer, lr_factor_at, set_hyperparameters
from . import cache

ADAM = "lr of LARS, with Adam"
AVERAGED = "averaged loss"
TARGET = "target in the optimiser"
SHARED = "batch-shared views"
CONSTANT = "constant τ"
BUGS = (ADAM, AVERAGED, TARGET, SHARED, CONSTANT)
LARS_LR = 1.6  # base learning rate that suits LARS on "shapes": the ledger's runs with it


class Curves(TypedDict):
    """What a run was like: a number of every step, and kNN accuracies as [(step, accuracy)].

    loss, std, target_std, tau   of every step; std and target_std are √d·std of z and of z′
    """

    loss: list[float]
    std: list[float]
    target_std: list[float]
    tau: list[float]
    knn: list[tuple[int, float]]


@dataclass
class Run:
    """A run with a bug, or with none.

    history      of its training, step by step
    knn, linear  accuracy on the test images after the last step, in [0, 1]; 0 where the run diverged
    """

    bug: str | None
    history: Curves
    knn: float
    linear: float
    steps_per_epoch: int
    encoder: nn.Module = field(repr=False)


def train_with(bug: str | None, config: Config, train: ImageSet, test: ImageSet) -> Run:
    """Train BYOL by this config with one of BUGS, or with none; evaluate the run and keep it in the cache.

    Raises:
        UserError: the bug is not in BUGS.
    """
    if bug is not None and bug not in BUGS:
        raise UserError(f"bug={bug!r}: choose None or one of {', '.join(BUGS)}")
    key = cache.key_of(kind="bug", bug=bug, config=config, train=train, test=test)

    def compute() -> dict:
        model, history = loop(bug, config, train, test)
        found = accuracies(model.encoder, train, test)
        return {
            "encoder": model.encoder.state_dict(),
            "history": history,
            "knn": found.knn if found.finite else 0.0,
            "linear": found.linear if found.finite else 0.0,
        }

    state, _ = cache.kept_or_computed("bug", key, compute)
    encoder = BYOL(config, min(train.image_size)).encoder
    encoder.load_state_dict(state["encoder"])
    per_epoch = len(train) // config.batch_size
    return Run(bug, state["history"], state["knn"], state["linear"], per_epoch, encoder.eval())


def loop(bug: str | None, config: Config, train: ImageSet, test: ImageSet) -> tuple[BYOL, Curves]:
    """Train with one line wrong, or with none; return the networks and the history."""
    per_epoch, mean_and_std = len(train) // config.batch_size, train.statistics()
    K = per_epoch * config.epochs
    if bug == ADAM:
        config = config.replace(optimizer="adamw", lr=LARS_LR)
    with OwnGenerator(config.seed):
        model = BYOL(config, min(train.image_size), *mean_and_std)
    online, predictor, target = model.online, model.predictor, model.target
    generator = torch.Generator()
    views = Views(config, *mean_and_std, generator)

    optimizer = build_optimizer(model, config)  # it updates the online network and the predictor
    if bug == TARGET:
        target.requires_grad_(True)
        optimizer.add_param_group({"params": list(target.parameters()), "name": "target", "decays": False})

    history: Curves = {"loss": [], "std": [], "target_std": [], "tau": [], "knn": []}
    for k in range(K):
        set_hyperparameters(optimizer, config, lr_factor_at(k, K, round(config.warmup_epochs * per_epoch)))
        generator.manual_seed(seed_at(config, k))
        if k % per_epoch == 0:
            order = torch.randperm(len(train), generator=generator)
        images = train.images[order[k % per_epoch * config.batch_size :][: config.batch_size]]
        n = len(images)

        drawn = views.draw(n, *images.shape[2:])  # 2n rows, one draw for each view of each image
        if bug == SHARED:
            drawn = drawn[torch.tensor([0, n]).repeat_interleave(n)]  # one draw for all v, one for all v′
        v1, v2 = views.carry_out(images, drawn)

        model.train()
        z1, z2 = online(v1), online(v2)
        with torch.set_grad_enabled(bug == TARGET):  # without the bug, no gradient reaches the target
            t1, t2 = target(v1), target(v2)
        loss = byol_loss(predictor(z1), t2) + byol_loss(predictor(z2), t1)
        if bug == AVERAGED:
            loss = loss / 2

        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        tau = config.tau_base if bug == CONSTANT else tau_at(k, K, config.tau_base)
        model.update_target(tau)

        history["loss"].append(loss.item())
        history["std"].append(spread(z1).item())
        history["target_std"].append(spread(t2).item())
        history["tau"].append(tau)
        if (k + 1) % per_epoch == 0:
            history["knn"].append((k + 1, _knn(model.encoder, train, test)))
    return model, history


def _knn(encoder: nn.Module, train: ImageSet, test: ImageSet) -> float:
    found = accuracies(encoder, train.sample(KNN_BANK), test.sample(KNN_QUERIES))
    return found.knn if found.finite else 0.0
