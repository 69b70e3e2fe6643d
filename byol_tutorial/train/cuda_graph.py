"""A step's views, forward and backward passes as one CUDA graph: recorded once, then started as one piece.

A step of a ResNet-18 starts more than a thousand kernels. Python needs longer to start them than a large GPU needs to
run them, and with the small encoder of the lessons many times longer. A CUDA graph holds the whole sequence and the
memory of all intermediate results, and one call starts it.

What is recorded reads and writes the same memory at every replay, so it may depend on nothing that Python decides anew
at each step. The optimiser and the moving average stay outside: the learning rate and τ change at every step, and a
step whose loss is not finite must not reach them.
"""

import threading
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

WARM_UP = 3  # steps that are run before one is recorded: cuDNN and torch.compile choose their kernels in them
# Live fields of Config that take effect outside of what is recorded, so that their sliders cost nothing.
OUTSIDE = frozenset({"knn_every", "lr", "weight_decay", "predictor_lr_multiplier", "tau_base", "tau_schedule"})


_one_at_a_time = threading.Lock()  # torch records one graph in a process at a time


class StepGraph:
    """Runs the work of a step: as it is at first, later by replaying a recording of it.

    Args:
        generator: the random numbers of the step. Its seed is set before every call, also before a replay.
        parameters: what the work reads, and where it leaves its gradients. If one of them moves to other memory, the
            recording is dropped.

    A recording that fails, as for lack of memory, is not tried again: one warning, and the steps are run as they are.
    """

    def __init__(self, generator: torch.Generator, parameters: Sequence[nn.Parameter]):
        self.generator, self.parameters = generator, parameters
        self.broken = False
        self.drop()

    def drop(self) -> None:
        """Drop the recording, because something that it holds has changed; the next steps warm up for another."""
        self._graph: torch.cuda.CUDAGraph | None = None
        self._images = self._result = torch.empty(0)
        self._gradients: list[Tensor | None] = []
        self._steps, self._place, self._thread = 0, (), 0

    @property
    def recorded(self) -> bool:
        """Whether the next step will be a replay."""
        return self._graph is not None

    def __call__(self, work: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """What `work(images)` returns: a tensor of numbers. After a replay the next one overwrites it.

        Args:
            work: the same at every call. It may draw from the generator and leave gradients in the parameters, and it must
                not wait for the device. It is not kept, so that a trainer and its recording can be freed together.
            images: a step's images, uint8 (b, 3, H, W) on the device.
        """
        place, thread = (images.shape, *(p.data_ptr() for p in self.parameters)), threading.get_ident()
        # cuDNN keeps its choices for each thread, and would search while recording in a thread that is new to it
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
        self._images.copy_(images, non_blocking=True)
        self._graph.replay()
        for p, gradient in zip(self.parameters, self._gradients, strict=True):
            p.grad = gradient  # where the replay has written it; it may have been taken away since the last one
        return self._result

    def _record(self, work: Callable[[Tensor], Tensor], images: Tensor) -> None:
        graph, device = torch.cuda.CUDAGraph(), images.device
        generators = (self.generator, torch.cuda.default_generators[device.index])
        states = [g.get_state() for g in generators]
        with torch.cuda.device(device):
            stream = torch.cuda.current_stream(device)
            try:
                graph.register_generator_state(self.generator)
                self._images = torch.empty_like(images)
                # other threads, such as one that decodes images, may go on using the GPU meanwhile
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
                torch.cuda.set_stream(stream)  # a recording that fails leaves its own stream behind


def _renew(generator: torch.Generator, state: Tensor) -> None:
    """Put a generator into this state, also one that a failed recording has left marked as recording."""
    fresh = torch.Generator(generator.device)
    fresh.set_state(state)
    generator.graphsafe_set_state(fresh.graphsafe_get_state())
