"""Optimiser, parameter groups, learning-rate schedule."""

import math

import torch

from .byol import BYOL
from .config import Config


def lr_factor_at(step: int, total_steps: int, warmup_steps: int) -> float:
    """Linear warm-up from 1/warmup_steps to 1, then a cosine to 0 without restarts (paper, section 3.3)."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(total_steps - warmup_steps, 1)))


def build_optimizer(model: BYOL, config: Config) -> torch.optim.Optimizer:
    """SGD or AdamW over the online network and the predictor; never over the target.

    Two groups for each, with weight decay and without it: biases and normalisation parameters, the
    1-dimensional ones, have none.
    """
    groups = []
    for name, module in (("online", model.online), ("predictor", model.predictors)):
        parameters = list(module.parameters())
        groups.append({"params": [p for p in parameters if p.ndim > 1], "name": name, "decays": True})
        groups.append({"params": [p for p in parameters if p.ndim <= 1], "name": name, "decays": False})
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.step_lr, betas=(config.momentum, 0.999))
    return torch.optim.SGD(groups, lr=config.step_lr, momentum=config.momentum)


def set_hyperparameters(optimizer: torch.optim.Optimizer, config: Config, factor: float) -> float:
    """Write this step's learning rate and weight decay into every group; the learning rate is returned."""
    lr = config.step_lr * factor
    for group in optimizer.param_groups:
        group["lr"] = lr * (config.predictor_lr_multiplier if group["name"] == "predictor" else 1.0)
        group["weight_decay"] = config.weight_decay if group["decays"] else 0.0
    return lr
