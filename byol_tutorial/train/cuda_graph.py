"""A step's views, forward and backward passes as one CUDA graph: recorded once, then started by one call.

A step of a ResNet-18 starts more than a thousand kernels. Python needs longer to start them than a large GPU needs to
run them, and with the small encoder of the lessons many times longer. A CUDA graph holds the whole sequence and the
memory of all intermediate results, and one call starts it.

A recording reads and writes the same memory at every replay, so it may not depend on anything that Python decides at each
step. The optimiser and the moving average are not recorded: the learning rate and τ change at every step, and a step whose
loss is not finite must not reach them.
"""

import threading
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

WARM_UP = 3  # steps before the recording, in which cuDNN and torch.compile choose their kernels
# Live fields of Config that act outside the recording, so a change of them needs no new recording.
OUTSIDE = frozenset({"knn_every", "lr", "weight_decay", "predictor_lr_multiplier", "tau_base", "tau_schedule"})


_one_at_a_time = threading.Lock()  # torch records one graph in a process at a time


class StepGraph:
    """A runner of a step's work: the first steps are run as they are, later ones by replaying a recording.

    If the recording fails, for example for lack of memory, there is one warning, and all steps are run as they are.

    Args:
        generator: the source of the step's random numbers. Its seed is set before every call, also before a replay.
        parameters: those that the work reads, and in which it leaves gradients. If one of them moves to other memory, the
            recording is dropped.
    """

    def __init__(self, generator: torch.Generator, parameters: Sequence[nn.Parameter]) -> None:
        self.generator, self.parameters = generator, parameters
        self.broken = False
        self.drop()

    def drop(self) -> None:
        """Drop the recording, because something in it has changed. The next steps are the warm-up for a new one."""
        self._graph: torch.cuda.CUDAGraph | None = None
        self._images = self._result = torch.empty(0)
        self._gradients: list[Tensor | None] = []
        self._steps, self._thread = 0, 0
        self._place: tuple[object, ...] = ()

    @property
    def recorded(self) -> bool:
        """Whether the next step will be a replay."""
        return self._graph is not None

    def __call__(self, work: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """Run or replay `work(images)`, and return its tensor of numbers. The next replay overwrites this tensor.

        Args:
            work: must be the same at every call. It may draw from the generator and leave gradients in the parameters, and
                it must not wait for the device. No reference to it is kept, so that a trainer and its recording can be
                freed together.
            images: a step's images, uint8 (b, 3, H, W) on the device.
        """
        place, thread = (images.shape, *(p.data_ptr() for p in self.parameters)), threading.get_ident()
        # cuDNN chooses kernels for each thread, and in a new thread it would choose them during the recording
        if place != self._place or (thread != self._thread and not self.recorded):
            self.drop()
            self._place, self._thread = place, thread
        if self.recorded:
            return self._replay(images)
        if self._steps < WARM_UP or self.broken:
            self._steps += 1
            return work(images)
        with _one_at_a_time:
            self._record(work, images)
        return self._replay(images) if self.recorded else work(images)

    def _replay(self, images: Tensor) -> Tensor:
        """Copy the images to where the recording reads them, and replay it."""
        assert self._graph is not None
        self._images.copy_(images, non_blocking=True)
        self._graph.replay()
        for p, gradient in zip(self.parameters, self._gradients, strict=True):
            p.grad = gradient  # the replay has written it; the optimiser may have removed it since the last replay
        return self._result

    def _record(self, work: Callable[[Tensor], Tensor], images: Tensor) -> None:
        """Record the work, or warn and restore the random states where that is not possible."""
        graph, device = torch.cuda.CUDAGraph(), images.device
        generators = (self.generator, torch.cuda.default_generators[device.index])
        states = [g.get_state() for g in generators]
        with torch.cuda.device(device):
            stream = torch.cuda.current_stream(device)
            try:
                graph.register_generator_state(self.generator)
                self._images = torch.empty_like(images)
                # "thread_local" lets other threads, such as one that decodes images, use the GPU during the recording
                own = torch.cuda.Stream(device)
                with torch.cuda.graph(graph, stream=own, capture_error_mode="thread_local"):
                    self._result = work(self._images)
                self._gradients = [p.grad for p in self.parameters]
                self._graph = graph
            except RuntimeError as error:
                self.broken = True
                for generator, state in zip(generators, states, strict=True):
                    _renew(generator, state)
                reason = " ".join(str(error).split())[:200]
                warnings.warn(
                    f"steps are started kernel by kernel, because they cannot be recorded: {reason}", stacklevel=4
                )
            finally:
                torch.cuda.set_stream(stream)  # a recording that fails leaves its own stream selected


def _renew(generator: torch.Generator, state: Tensor) -> None:
    """Put a generator into this state, even if a failed recording has left it marked as recording."""
    fresh = torch.Generator(generator.device)
    fresh.set_state(state)
    generator.graphsafe_set_state(fresh.graphsafe_get_state())
