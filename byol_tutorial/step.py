"""One step of a run: views, loss, gradient, optimiser, moving average. What a run makes of them: train.py."""

import math
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .augment import LocalCrops, Views
from .byol import tau_at
from .config import TARGETED, Config
from .data import ImageSet, StreamedSet
from .diagnose import cosines, spread
from .distributed import mean_over_processes, process
from .feed import Feed, seed_at
from .hardware import TrainingError, memory_errors, resolve_device, resolve_precision
from .history import History
from .methods import build_model
from .objective import Objective, Output
from .optim import build_optimizer, lr_factor_at, set_hyperparameters
from .option import ConfigError
from .randomness import OwnGenerator
from .state import fingerprint
from .vit import synchronise_batchnorm


class DivergedError(TrainingError):
    """Loss or weights are no longer finite."""


class Stepper:
    """The networks, the optimiser and the images of a run, and how one step is made of them; see Trainer.

    Everything random depends on (seed, step) only: which images make batch k and how their views are drawn.
    """

    def __init__(
        self,
        config: Config,
        train: ImageSet | StreamedSet,
        test: ImageSet | StreamedSet | None = None,
        device="auto",
    ):
        self.device, self.process = resolve_device(device), process()
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = True  # a run's shapes stay the same: try the ways to convolve them once
        self.train, self.test = train, test
        with memory_errors(f"on {self.device} with the images", "take fewer or smaller ones, or another device"):
            self.feed = Feed(train, config, self.device, self.process)
        self.view_size = config.view_size or min(train.image_size)
        self.mean, self.std = train.statistics()
        if config.method == "dino" and config.prototypes < len(train.classes):
            raise ConfigError(
                f"prototypes={config.prototypes}: fewer than the {len(train.classes)} classes of {train.name!r}, which "
                f"could then not be told apart; give {len(train.classes)} at least"
            )
        self.fingerprint = fingerprint(train)  # now, for a file that disappears later must not prevent a save
        self.precision = resolve_precision(config.precision, self.device)
        self.scaler = self._scaler()
        with memory_errors(f"on {self.device} with the networks", "choose a smaller encoder, or another device"):
            self.model = self._build(config).to(self.device, memory_format=torch.channels_last)
        if self.process.world_size > 1 and self.device.type == "cuda":
            synchronise_batchnorm(self.model)
        self._buffers = list(self.model.buffers())  # running statistics, centres: what forward passes change
        self.optimizer = build_optimizer(self.model, config)
        self._forward = self._wrap(config)
        self.steps_done = 0
        self.interrupted = False  # whether a signal ended the last run
        self.stop_signal: int | None = None  # which one
        self._stop: threading.Event | None = None
        self.history = History()
        self._views_generator = torch.Generator(self.device)
        self._set_config(config)

    def _build(self, config: Config) -> Objective:
        """The model at step 0. Torch's global random state is neither used nor changed."""
        with OwnGenerator(config.seed):
            return build_model(config, self.view_size, self.mean, self.std)

    def _scaler(self, state: dict | None = None) -> torch.amp.GradScaler:
        scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == torch.float16)
        if state:
            scaler.load_state_dict(state)
        return scaler

    def _wrap(self, config: Config) -> Callable:
        """The model as it is called: shared among processes, compiled."""
        forward = self.model
        if self.process.world_size > 1:
            # a predictor that is not in use has no gradient; which one is can change while training
            forward = DistributedDataParallel(forward, find_unused_parameters=True)
        return torch.compile(forward) if config.compile else forward

    def _set_config(self, config: Config) -> None:
        self.config = self.model.config = config
        self.views = Views(config, self.mean, self.std, self._views_generator)
        local = config.method == "dino" and config.local_crops > 0
        crops = [LocalCrops(config, self.view_size, self.mean, self.std, self._views_generator)] if local else []
        self._kinds = [self.views, *crops]

    @property
    def steps_per_epoch(self) -> int:
        return self.feed.steps_per_epoch

    @property
    def total_steps(self) -> int:
        return self.steps_per_epoch * self.config.epochs

    @property
    def epoch(self) -> float:
        return self.steps_done / self.steps_per_epoch

    def initial_encoder(self) -> nn.Module:
        """The encoder as it was before the first step: the random baseline of this run."""
        return self._build(self.config).encoder.to(self.device)

    def step(self) -> float:
        """Views, loss, gradient, optimiser, moving average; the loss is returned.

        With accumulation_steps > 1 the gradients of as many forward passes are averaged first; optimiser
        and moving average step once. After the last step of the schedule the learning rate is 0 and τ is 1:
        nothing moves any more.

        A step that fails before the optimiser's turn leaves no trace, so that it can be tried again. With float16, one
        whose gradient overflows is left out, as loss scaling has it: optimiser and moving average stand still.

        Raises:
            DivergedError: the loss, or its gradient, is NaN or infinite. The step is not carried out.
            TrainingError: memory does not suffice. Before the optimiser's turn, the step is not carried out.
            DataError: an image of a streamed set can no longer be read, or a worker has died. Not carried out either.
        """
        start = time.perf_counter()
        k, total = self.steps_done, self.total_steps
        factor = lr_factor_at(min(k, total), total, round(self.config.warmup_epochs * self.steps_per_epoch))
        lr = set_hyperparameters(self.optimizer, self.config, factor)

        self.model.train()
        self.model.begin_step(self.epoch)
        self.optimizer.zero_grad()
        before = [b.clone() for b in self._buffers]
        with self._memory():
            try:
                passes = [self._accumulate(k, m) for m in range(self.config.accumulation_steps)]
                self.scaler.unscale_(self.optimizer)
                groups = self.optimizer.param_groups
                gradients = [p.grad for group in groups for p in group["params"] if p.grad is not None]
                norm = torch.nn.utils.get_total_norm(gradients)
                loss, *measures, norm, stop = self._agree(torch.stack(passes).mean(0), norm)
                self._refuse_divergence(loss, norm, lr)
            except BaseException:
                torch._foreach_copy_(self._buffers, before)
                self.scaler = self._scaler(
                    self.scaler.state_dict()
                )  # it remembers a step it has begun, and refuses another
                raise
            scale = self.scaler.get_scale()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            tau = self._tau(k + 1)
            if self.scaler.get_scale() >= scale:  # it is lowered where the optimiser's step was left out
                self.model.update_target(tau)

        self.steps_done += 1
        self.interrupted = stop > 0
        h = self.history
        h.loss.append(loss)
        for values, value in zip((h.std, h.positive, h.negative), measures, strict=True):
            values.append(value)
        h.gradient_norm.append(norm)
        h.lr.append(lr)
        h.tau.append(tau)
        h.seconds += time.perf_counter() - start
        return loss

    def _memory(self):
        where = f"on {self.device} at step {self.steps_done}, with batch_size={self.config.batch_size} and views of "
        remedy = "lower batch_size and raise accumulation_steps as much, or give precision='mixed'"
        return memory_errors(f"{where}{self.view_size} px", remedy)

    def _refuse_divergence(self, loss: float, norm: float, lr: float) -> None:
        what, value = ("loss", loss) if not math.isfinite(loss) else ("gradient's norm", norm)
        if not math.isfinite(value) and not (what != "loss" and self.scaler.is_enabled()):
            raise DivergedError(
                f"the {what} is {value} at step {self.steps_done}, with lr {lr:.3g}: lower lr, or lengthen warmup_epochs"
            )

    def _accumulate(self, k: int, m: int) -> Tensor:
        """Forward and backward pass m of step k; loss, √d·std, positive and negative cosine, on the device."""
        views, extra = self._next_views(k, m)
        passes = self.config.accumulation_steps
        # gradients are exchanged between processes once, with the last pass
        waits = m < passes - 1 and isinstance(self._forward, DistributedDataParallel)
        with self._forward.no_sync() if waits else nullcontext():
            with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
                output: Output = self._forward(*views, **extra)
            self.scaler.scale(output.loss / passes).backward()
        return torch.stack((output.loss.detach().float(), spread(output.z), *cosines(output.p, output.target)))

    def _agree(self, measures: Tensor, norm: Tensor) -> list[float]:
        """The means over all processes: a NaN or a wish to stop in one of them is seen by all, at the same step."""
        stop = torch.full_like(norm, float(self._stop is not None and self._stop.is_set()))
        return mean_over_processes(torch.cat((measures, torch.stack((norm, stop))))).tolist()

    def _next_views(self, k: int, m: int = 0) -> tuple[list[Tensor], dict[str, Tensor]]:
        """The views of forward pass m of step k, and what else the method draws.

        The numbers of all the step's views are drawn, and this pass takes its rows: however a step is cut
        into passes and processes, an image gets the same views.
        """
        images = self.feed.batch(k, m)
        total, rows = self.config.step_images, self.feed.rows(m)
        self._views_generator.manual_seed(seed_at(self.config, 2 * k + 1))
        result = []
        for kind in self._kinds:
            drawn = kind.draw(total, *images.shape[2:], self.device)
            if len(images) < total:
                place = torch.arange(kind.per_image * total, device=self.device).view(-1, total)
                drawn = drawn[place[:, rows].flatten()]
            result += kind.carry_out(images, drawn)
        more = self.model.draw(total, self._views_generator)
        extra = {} if more is None else {"drawn": more[rows]}
        return [v.contiguous(memory_format=torch.channels_last) for v in result], extra

    def _tau(self, k: int) -> float:
        """The decay rate of update k of K (τ_0 belongs to the start, before any update)."""
        if self.config.method not in TARGETED:
            return 0.0
        if self.config.method == "byol" and (self.config.target == "online" or not self.config.stop_gradient):
            return 0.0
        if self.config.method == "byol" and self.config.target == "random":
            return 1.0
        if self.config.tau_schedule == "constant":
            return self.config.tau_base
        return tau_at(min(k, self.total_steps), self.total_steps, self.config.tau_base)
