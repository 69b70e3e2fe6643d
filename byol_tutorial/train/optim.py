"""The optimiser LARS, parameter groups, and the learning-rate schedule."""

import math
from collections.abc import Callable
from typing import overload

import torch
from torch.optim.optimizer import ParamsT

from ..config.config import Config
from ..methods.base import Objective
from ..runtime.optimizers import SGD, AdamW, without_compiler


def lr_factor_at(step: int, total_steps: int, warmup_steps: int) -> float:
    """Return the factor of the learning rate at a step, in [0, 1] (paper, section 3.3).

    It rises linearly from 0 at step 0 to 1 at step `warmup_steps`, then falls along a cosine to 0 at step `total_steps`,
    without restarts. `step` is the number of steps that came before, as the global step in the authors' code. So the first
    step of a warm-up has the rate 0: it fills the momentum and moves no weight.
    """
    if step < warmup_steps:
        return step / warmup_steps
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(total_steps - warmup_steps, 1)))


@without_compiler
class LARS(torch.optim.Optimizer):
    """Layer-wise adaptive rate scaling (You et al. 2017, arXiv 1708.03888), the paper's optimiser.

        u ← ∇L + λ w                       weight decay comes first, so it is inside the ratio
        u ← u · η ‖w‖ / ‖u‖                trust ratio; 1 where either norm is 0
        m ← μ m + u
        w ← w − lr · m                     the learning rate multiplies after momentum

    Parameters of one dimension, which are biases and those of normalisation, have neither weight decay nor trust ratio:
    for them LARS is SGD with momentum.

    This is the form of BYOL's code. You et al. write the ratio η ‖w‖ / (‖∇L‖ + λ ‖w‖) and let lr multiply before momentum.

    With `clip`, the ratio is divided by lr and is at most 1, so that a layer's update is never multiplied by more than lr
    (for λ = 0 this is LARC of NVIDIA's apex and solo-learn's clip_lr; for λ > 0 these have ‖∇L‖ + λ ‖w‖ in place of ‖u‖):

        u ← u · min(η ‖w‖ / (lr ‖u‖), 1)

    Do not call `step` inside a function that torch compiles; see runtime/optimizers.py.

    Args:
        params: parameters, or groups of them.
        lr: learning rate, at least 0.
        momentum: μ, in [0, 1).
        weight_decay: λ, at least 0.
        trust_coefficient: η, above 0; a layer's step is about lr · η times as long as its weights.
        clip: as above. A layer's step is then about η times as long as its weights, and never longer than lr · u.

    Raises:
        ValueError: a value out of its range.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 1e-3,
        clip: bool = False,
    ) -> None:
        for name, value, good in (
            ("lr", lr, lr >= 0),
            ("momentum", momentum, 0 <= momentum < 1),
            ("weight_decay", weight_decay, weight_decay >= 0),
            ("trust_coefficient", trust_coefficient, trust_coefficient > 0),
        ):
            if not good:
                allowed = {"momentum": "in [0, 1)", "trust_coefficient": "above 0"}.get(name, "at least 0")
                raise ValueError(f"{name}={value!r}: give a number {allowed}")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient,
            "clip": clip,
        }
        super().__init__(params, defaults)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update all parameters that have a gradient; return what `closure` returns, or None without one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for adapted in (True, False):  # _foreach functions take all parameters at once, which is faster
                params = [p for p in group["params"] if p.grad is not None and (p.ndim > 1) == adapted]
                if params:
                    self._update(params, group, adapted)
        return loss

    def _update(self, params: list[torch.Tensor], group: dict, adapted: bool) -> None:
        """Update parameters of one group; with weight decay and trust ratio if `adapted`."""
        updates: list[torch.Tensor] | tuple[torch.Tensor, ...] = [p.grad for p in params if p.grad is not None]
        if adapted:
            updates = torch._foreach_add(updates, params, alpha=group["weight_decay"])
            w, u = (torch.stack(torch._foreach_norm(tensors)) for tensors in (params, updates))
            ratio = group["trust_coefficient"] * w / u
            if group.get("clip"):  # a state that an older release saved does not have it
                ratio = (ratio / group["lr"]).clamp(max=1.0)
            updates = torch._foreach_mul(updates, torch.where((w > 0) & (u > 0), ratio, 1.0).unbind())
        for p in params:
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        buffers = [self.state[p]["momentum_buffer"] for p in params]
        torch._foreach_mul_(buffers, group["momentum"])
        torch._foreach_add_(buffers, updates)
        torch._foreach_add_(params, buffers, alpha=-group["lr"])


def build_optimizer(model: Objective, config: Config, fused: bool = False) -> torch.optim.Optimizer:
    """Build LARS, SGD or AdamW for the online network and the predictor, never for the target.

    Each network has two groups, with and without weight decay: the 1-dimensional parameters, which are biases and those of
    normalisation, have none. A predictor that stays fixed is in no group.

    Args:
        fused: let torch update all weights in one kernel, for CUDA. Otherwise each operation is carried out for all weights
            before the next. Not for a scaled loss: torch's fused SGD leaves its momentum unset if the first step overflows.
    """
    groups = []
    for name, module in model.learned().items():
        parameters = [p for p in module.parameters() if p.requires_grad]
        groups.append({"params": [p for p in parameters if p.ndim > 1], "name": name, "decays": True})
        groups.append({"params": [p for p in parameters if p.ndim <= 1], "name": name, "decays": False})
    if config.optimizer == "lars":
        return LARS(
            groups,
            config.step_lr,
            config.momentum,
            trust_coefficient=config.trust_coefficient,
            clip=config.trust_clip,
        )
    together = {"fused": fused, "foreach": not fused}
    if config.optimizer == "adamw":
        return AdamW(groups, lr=config.step_lr, betas=(config.momentum, 0.999), **together)
    return SGD(groups, lr=config.step_lr, momentum=config.momentum, **together)


def set_hyperparameters(optimizer: torch.optim.Optimizer, config: Config, factor: float) -> float:
    """Write this step's learning rate and weight decay into every group, and return the learning rate."""
    lr = config.step_lr * factor
    for group in optimizer.param_groups:
        group["lr"] = lr * (config.predictor_lr_multiplier if group["name"] == "predictor" else 1.0)
        group["weight_decay"] = config.weight_decay if group["decays"] else 0.0
    return lr
