"""What a step computes on its device: views, forward and backward passes, their gradient, and the optimiser's step.

On CUDA, views and passes are one recorded graph where that is possible, see cuda_graph.py. Schedules, the moving average,
and what is kept of a step belong to the Trainer.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..augment.operations import Draw
from ..augment.own_transform import OwnTransform
from ..config.config import OWN, Config
from ..evaluate.diagnose import cosines, spread
from ..methods.base import Objective, Output
from ..runtime.distributed import Process
from ..runtime.seeding import seed_at
from .batches import Feed, StepViews
from .buffers import Buffers
from .cuda_graph import StepGraph


class StepComputation:
    """The computation of a run's steps. The gradients are left in the parameters, and the optimiser reads them there.

    Args:
        model: the networks and their loss, on their device.
        feed: the images of each forward pass.
        optimizer: of the online network's parameters.
        process: this process, and how many there are.
        precision: dtype of the forward passes; float16 also scales the loss.
        compiled: whether torch.compile makes the forward pass and the views.
        transform: the user's own, for the views.
    """

    def __init__(
        self,
        model: Objective,
        feed: Feed,
        optimizer: torch.optim.Optimizer,
        process: Process,
        precision: torch.dtype,
        compiled: bool,
        transform: OwnTransform | None = None,
    ) -> None:
        self.transform = transform
        self.model, self.feed, self.optimizer = model, feed, optimizer
        self.device, self.process, self.precision, self.compiled = feed.device, process, precision, compiled
        self.scaler = self._build_scaler()
        self.generator = torch.Generator(self.device)  # the source of a step's random numbers
        self.graph = StepGraph(self.generator, [*model.parameters()])
        self.kept = Buffers(model)
        self.passed: tuple[Tensor, Tensor, Tensor] | None = None  # z, p and target of the last pass, see Output
        self._parallel: DistributedDataParallel | None = None
        self.forward = self._wrap()

    def _build_scaler(self, state: dict[str, Any] | None = None) -> torch.amp.GradScaler:
        """Build the scaler of float16's loss, in this state; for other precisions it does nothing."""
        scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == torch.float16)
        if state:
            scaler.load_state_dict(state)
        return scaler

    def _wrap(self) -> Callable[..., Output]:
        """Return what the step calls for its forward pass: the model, shared among processes and compiled where asked."""
        forward: nn.Module = self.model
        if self.process.world_size > 1:
            # a part that is not in use has no gradient, and which parts are in use can change while training
            forward = self._parallel = DistributedDataParallel(forward, find_unused_parameters=True)
        return torch.compile(forward) if self.compiled else forward

    def set_config(self, config: Config, view_size: int, mean: Sequence[float], std: Sequence[float]) -> None:
        """Compute the next steps by this config, and drop what was recorded by an earlier one.

        Args:
            view_size: side of the two views in pixels.
            mean, std: of each channel of the images, in [0, 1].
        """
        self.config = config
        self.graph.drop()
        self.views = StepViews(
            config, self.model, self.feed, self.generator, view_size, mean, std, self.compiled, self.transform
        )

    def gradient(self, k: int) -> Tensor:
        """Make step k's views, and compute its loss and gradient, on CUDA as one recorded graph; see `passes`."""
        self.views.seed(k)
        images = (self.feed.batch(k, m) for m in range(self.config.accumulation_steps))
        with self._seeded(k):
            if self._can_be_recorded():
                return self.graph(lambda batch: self.passes([batch]), next(images))
            return self.passes(images)

    @contextmanager
    def _seeded(self, k: int) -> Iterator[None]:
        """Let what is random in another's network, such as its dropout, depend on (seed, step) alone.

        Such networks draw from torch's global generators, which are restored afterwards. Ours draw nothing.
        """
        if not self.config.foreign_encoder:
            yield
            return
        on_gpu = self.device.type == "cuda" and torch.cuda.is_initialized()
        with torch.random.fork_rng([self.device] if on_gpu else []):
            torch.manual_seed(seed_at(self.config, k) + self.process.rank)
            yield

    def passes(self, images: Iterable[Tensor]) -> Tensor:
        """Run views, forward and backward pass for each batch of images, and average their gradients.

        Returns float32 (5,), on the device: loss, √d·std, positive and negative cosine, the gradient's norm before it is
        clipped. With config.clip_grad_norm c > 0 the gradient g that is left becomes g · min(1, c / ‖g‖).
        """
        self.model.train()
        self.model.begin_step()
        self.optimizer.zero_grad()
        drawn, passes = None, []
        for m, batch in enumerate(images):
            drawn = drawn or self.views.draw(*batch.shape[2:])
            passes.append(self.accumulate(m, *self.make_views(batch, m, *drawn)))
        self.scaler.unscale_(self.optimizer)
        groups = self.optimizer.param_groups
        learned = [p for group in groups for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in learned if p.grad is not None])
        if self.config.clip_grad_norm > 0:
            torch.nn.utils.clip_grads_with_norm_(learned, self.config.clip_grad_norm, norm)
        return torch.cat((torch.stack(passes).mean(0), norm[None]))

    def make_views(
        self, images: Tensor, m: int, drawn: list[Draw], more: Tensor | None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Make the views of forward pass m, and add what else the method has drawn."""
        dtype = self.precision if self.device.type == "cuda" else torch.float32
        return self.views.carry_out(images, m, drawn, more, dtype)

    def accumulate(self, m: int, views: list[Tensor], extra: dict[str, Tensor]) -> Tensor:
        """Run forward and backward pass m. Return loss, √d·std, positive and negative cosine: float32 (4,), on the device."""
        passes = self.config.accumulation_steps
        # gradients are exchanged between processes once, with the last pass
        waiting = self._parallel if m < passes - 1 else None
        with nullcontext() if waiting is None else waiting.no_sync():
            with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
                output: Output = self.forward(*views, **extra)
            self.scaler.scale(output.loss / passes).backward()
        self.passed = output.z, output.p, output.target  # a replay of a recorded step writes into the same tensors
        return torch.stack((output.loss.detach().float(), spread(output.z), *cosines(output.p, output.target)))

    def views_of(self, k: int, m: int = 0) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Make the views of forward pass m of step k, without the step."""
        self.views.seed(k)
        images = self.feed.batch(k, m)
        return self.make_views(images, m, *self.views.draw(*images.shape[2:]))

    def move_weights(self) -> bool:
        """Let the optimiser step, and return whether it did: loss scaling leaves out a step whose gradient overflows."""
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return self.scaler.get_scale() >= scale  # a step that is left out lowers the scale

    @contextmanager
    def undone_if_it_fails(self) -> Iterator[None]:
        """Restore what forward passes change if anything raises in this context."""
        self.kept.take()
        try:
            yield
        except BaseException:
            self.kept.put_back()
            # a scaler that has begun a step cannot begin another
            self.scaler = self._build_scaler(self.scaler.state_dict())
            raise

    def _can_be_recorded(self) -> bool:
        """Return whether a step's gradient is always the same sequence of kernels, and Python never waits for a number.

        Python waits for float16's loss scale, and for other processes. A step of several passes is not recorded either,
        because starting the kernels is a small part of its work. In a user's module or transform Python may decide at every
        step what to compute, and a recording would repeat one decision.
        """
        return (
            self.config.cuda_graph
            and self.config.encoder != OWN
            and self.transform is None
            and self.device.type == "cuda"
            and self.process.world_size == self.config.accumulation_steps == 1
            and self.precision != torch.float16
        )
