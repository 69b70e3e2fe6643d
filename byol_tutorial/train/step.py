"""One step of a run: views, loss, gradient, optimiser, moving average. What a run makes of them: trainer.py."""

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..augment.operations import Draw
from ..augment.views import LocalCrops, Views
from ..config.config import TARGETED, Config
from ..config.errors import ConfigError, DivergedError
from ..data.fingerprint import fingerprint
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..evaluate.diagnose import cosines, spread
from ..methods.base import Objective, Output
from ..methods.byol import tau_at
from ..methods.registry import build_model
from ..networks.vit import synchronise_batchnorm
from ..runtime.device import memory_errors, resolve_compile, resolve_device, resolve_precision
from ..runtime.distributed import mean_over_processes, process
from ..runtime.seeding import OwnGenerator, seed_at
from .batches import Feed
from .cuda_graph import StepGraph
from .history import History
from .optim import build_optimizer, lr_factor_at, set_hyperparameters


class Buffers:
    """A copy of what forward passes change: running statistics, centres, predictors that are set. Of one model."""

    def __init__(self, model: nn.Module):
        places = [(module._buffers, name) for module in model.modules() for name in module._buffers]
        places = [(of, name) for of, name in places if of[name] is not None]
        # by dtype, since one operation copies tensors of one dtype; looked up each time, since a module may be moved
        self._places = [[p for p in places if p[0][p[1]].dtype == dtype] for dtype in {of[n].dtype for of, n in places}]
        self._copies = [[of[name].clone() for of, name in group] for group in self._places]

    def take(self) -> None:
        for group, copies in zip(self._places, self._copies, strict=True):
            torch._foreach_copy_(copies, [of[name] for of, name in group])

    def put_back(self) -> None:
        for group, copies in zip(self._places, self._copies, strict=True):
            torch._foreach_copy_([of[name] for of, name in group], copies)


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
        self._kept = Buffers(self.model)
        fused = self.device.type == "cuda" and not self.scaler.is_enabled()
        self.optimizer = build_optimizer(self.model, config, fused)
        self.compiled = resolve_compile(config.compile, self.device, self.feed.steps_per_epoch * config.epochs)
        self._parallel: DistributedDataParallel | None = None
        self._forward = self._wrap(config)
        self.steps_done = 0
        self.interrupted = False  # whether a signal ended the last run
        self.stop_signal: int | None = None  # which one
        self._stop: threading.Event | None = None
        self.history = History()
        self._views_generator = torch.Generator(self.device)
        self._graph = StepGraph(lambda x: self._gradient([x]), self._views_generator, [*self.model.parameters()])
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
            forward = self._parallel = DistributedDataParallel(forward, find_unused_parameters=True)
        return torch.compile(forward) if self.compiled else forward

    def _set_config(self, config: Config, recording_holds: bool = False) -> None:
        self.config = self.model.config = config
        if recording_holds:  # and reads the views' own numbers
            return
        self._graph.drop()
        given = (self.mean, self.std, self._views_generator, self.compiled)
        self.views = Views(config, *given)
        local = config.method == "dino" and config.local_crops > 0
        crops = [LocalCrops(config, self.view_size, *given)] if local else []
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

        self.model.epoch.fill_(self.epoch)
        self._views_generator.manual_seed(seed_at(self.config, 2 * k + 1))
        with self._memory():
            with self._undone_if_it_fails():
                images = (self.feed.batch(k, m) for m in range(self.config.accumulation_steps))
                numbers = self._graph(next(images)) if self._can_be_recorded() else self._gradient(images)
                loss, *measures, norm, stop = self._agree(numbers)
                self._refuse_divergence(loss, norm, lr)
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

    @contextmanager
    def _undone_if_it_fails(self) -> Iterator[None]:
        """Put back what forward passes change, if anything in here raises."""
        self._kept.take()
        try:
            yield
        except BaseException:
            self._kept.put_back()
            self.scaler = self._scaler(self.scaler.state_dict())  # one that has begun a step refuses another
            raise

    def _can_be_recorded(self) -> bool:
        """Whether a step's gradient is the same sequence of kernels each time, none of which waits for a number.

        Float16's loss scale and other processes are asked on the way, and the optimal predictor takes eigenvectors, for
        which torch waits. A step of several passes has long ones, where starting them costs little.
        """
        return (
            self.config.cuda_graph
            and self.device.type == "cuda"
            and self.process.world_size == self.config.accumulation_steps == 1
            and self.precision != torch.float16
            and self.config.predictor != "optimal"
        )

    def _refuse_divergence(self, loss: float, norm: float, lr: float) -> None:
        what, value = ("loss", loss) if not math.isfinite(loss) else ("gradient's norm", norm)
        if not math.isfinite(value) and not (what != "loss" and self.scaler.is_enabled()):
            raise DivergedError(
                f"the {what} is {value} at step {self.steps_done}, with lr {lr:.3g}: lower lr, or lengthen warmup_epochs"
            )

    def _gradient(self, images: Iterable[Tensor]) -> Tensor:
        """Views, forward and backward passes of a step, one for each batch of images; the gradients are averaged.

        Returns float32 (5,), on the device: loss, √d·std, positive and negative cosine, the gradient's norm.
        """
        self.model.train()
        self.model.begin_step()
        self.optimizer.zero_grad()
        drawn, passes = None, []
        for m, batch in enumerate(images):
            drawn = drawn or self._draw(*batch.shape[2:])
            passes.append(self._accumulate(m, *self._make_views(batch, m, *drawn)))
        self.scaler.unscale_(self.optimizer)
        groups = self.optimizer.param_groups
        norm = torch.nn.utils.get_total_norm([p.grad for g in groups for p in g["params"] if p.grad is not None])
        return torch.cat((torch.stack(passes).mean(0), norm[None]))

    def _accumulate(self, m: int, views: list[Tensor], extra: dict[str, Tensor]) -> Tensor:
        """Forward and backward pass m; loss, √d·std, positive and negative cosine, on the device."""
        passes = self.config.accumulation_steps
        # gradients are exchanged between processes once, with the last pass
        waits = m < passes - 1 and self._parallel is not None
        with self._parallel.no_sync() if waits else nullcontext():
            with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
                output: Output = self._forward(*views, **extra)
            self.scaler.scale(output.loss / passes).backward()
        return torch.stack((output.loss.detach().float(), spread(output.z), *cosines(output.p, output.target)))

    def _agree(self, numbers: Tensor) -> list[float]:
        """The numbers, and whether to stop; the one place where a step waits for its device.

        With several processes, the means of all: a NaN or a wish to stop in one of them is seen by all, at the same step.
        """
        stop = float(self._stop is not None and self._stop.is_set())
        if self.process.world_size == 1:
            return [*numbers.tolist(), stop]
        return mean_over_processes(torch.cat((numbers, torch.full_like(numbers[:1], stop)))).tolist()

    def _draw(self, height: int, width: int) -> tuple[list[Draw], Tensor | None]:
        """What is random in a step: a Draw for each kind of views, and what else the method draws.

        For all of the step's images at once; a pass takes its rows. So however a step is cut into passes and processes,
        an image gets the same views.
        """
        total = self.config.step_images
        drawn = [kind.draw(total, height, width, self.device) for kind in self._kinds]
        return drawn, self.model.draw(total, self._views_generator)

    def _make_views(self, images: Tensor, m: int, drawn: list[Draw], more: Tensor | None) -> tuple[list[Tensor], dict]:
        """The views of forward pass m, and what else the method has drawn."""
        total, rows = self.config.step_images, self.feed.rows(m)
        dtype = self.precision if self.device.type == "cuda" else torch.float32
        result = []
        for kind, numbers in zip(self._kinds, drawn, strict=True):
            if len(images) < total:
                place = torch.arange(kind.per_image * total, device=self.device).view(-1, total)
                numbers = numbers[place[:, rows].flatten()]
            result += kind.carry_out(images, numbers, dtype)
        extra = {} if more is None else {"drawn": more[rows]}
        return [v.contiguous(memory_format=torch.channels_last) for v in result], extra

    def _next_views(self, k: int, m: int = 0) -> tuple[list[Tensor], dict[str, Tensor]]:
        """The views of forward pass m of step k, without the step."""
        self._views_generator.manual_seed(seed_at(self.config, 2 * k + 1))
        images = self.feed.batch(k, m)
        return self._make_views(images, m, *self._draw(*images.shape[2:]))

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
