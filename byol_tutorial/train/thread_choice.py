"""How many threads a run's steps compute with on a CPU, where no number was set.

A step of a small network computes with one thread, always, so that it gives the same numbers on every machine. A step of
a larger one is measured: twice as many threads are worth it if they make a step 1.2 times as fast.
"""

import statistics
from typing import TYPE_CHECKING

import torch

from ..evaluate.features import in_evaluation_mode
from ..runtime.threads import available, chosen, multiplications

if TYPE_CHECKING:
    from .trainer import Trainer

LARGE_STEP = 1e9  # multiplications in a step, about 30 ms on one core, from which on the number of threads is measured
GAIN = 1.2  # how much faster a step must become by twice as many threads
TRIAL = 3  # steps that are made with a number of threads to measure it; the fastest counts
WINDOW = 10  # steps after which a run looks again at the time of a step
SLOWER = 1.5  # how much longer a step must take, in the median of the window, before fewer threads are tried
AGAIN = 60.0  # seconds of steps after which more threads are tried again


class ThreadChoice:
    """The number of threads of the next step, `count`, chosen by the seconds that steps take.

    A new run begins with all threads and tries half as many, as long as the loss of time is small. When steps become slow
    because the machine is busy, half as many are tried again. Each minute twice as many are tried, as the machine may be
    free again.

    Args:
        most: the largest number of threads; with 1 there is nothing to choose.
        count: the number to begin with, for a run that is resumed. Default: `most`. With `most`, which may never have been
            compared with others, fewer are tried at once.
    """

    def __init__(self, most: int, count: int | None = None) -> None:
        self.most, self.count = most, min(count or most, most)
        self._resumed = self.count < most
        self._trying = True  # the first steps measure the number that the run begins with
        self._other: tuple[int, float] | None = None  # the number that a trial is compared with, and its seconds
        self._usual = 0.0  # seconds of a step with `count` threads, when it was last measured
        self._seconds: list[float] = []  # seconds of the steps since the last look
        self._since = 0.0  # seconds of steps since the last trial

    def add(self, seconds: float) -> None:
        """Take note of how long the last step took, made with `count` threads, and choose the next number."""
        if self.most == 1:
            return
        self._seconds.append(seconds)
        self._since += seconds
        if self._trying:
            if len(self._seconds) == TRIAL:
                self._judge(min(self._seconds))
        elif len(self._seconds) == WINDOW:
            now = statistics.median(self._seconds)
            self._seconds.clear()
            if now > SLOWER * self._usual and self.count > 1:
                self._usual = now
                self._try(self.count // 2)
            elif self._since > AGAIN and self.count < self.most:
                self._usual = now
                self._try(min(2 * self.count, self.most))
            else:  # what was usual on a busy machine would hide the next time that it is busy
                self._usual = min(self._usual, now)

    def _try(self, count: int) -> None:
        """Make the next steps with this number, to compare it with the present one."""
        self._other, self._trying, self.count = (self.count, self._usual), True, count
        self._seconds.clear()

    def _judge(self, seconds: float) -> None:
        """End a trial: keep the number that was tried or return to the one before, and perhaps try a further one."""
        tried, before = self.count, self._other
        self._trying, self._other, self._since = False, None, 0.0
        self._seconds.clear()
        if before is None:
            self._usual = seconds
            if not self._resumed:
                self._try(tried // 2)
            return
        other, usual = before
        kept = seconds * GAIN < usual if tried > other else seconds < usual * GAIN
        if not kept:
            self.count, self._usual = other, usual
            return
        self._usual = seconds
        if tried > other and tried < self.most:
            self._try(min(2 * tried, self.most))
        elif tried < other and tried > 1:
            self._try(tried // 2)


def threads(trainer: "Trainer") -> int:
    """Return the number of CPU threads of a run's next step: the one that was set, else one or a measured number.

    On a GPU, with several processes, or compiled (for one number of threads), it is torch's own.
    """
    if (count := chosen()) is not None:
        return count
    if trainer.device.type != "cpu" or trainer.process.world_size > 1 or trainer.compiled:
        return torch.get_num_threads()
    if trainer._choice is None:
        trainer._choice = choice(trainer)
    return trainer._choice.count


def choice(trainer: "Trainer") -> ThreadChoice:
    """Return what chooses a run's number of threads: one for a small network, for another as measured so far."""
    if available() == 1:
        return ThreadChoice(1)
    # two views, each a forward pass of both networks and a backward pass, which takes as long as two
    small = 8 * learned_multiplications(trainer) * trainer.config.batch_size < LARGE_STEP
    used = trainer.history.threads
    return ThreadChoice(1) if small else ThreadChoice(available(), used[-1][1] if used else None)


def learned_multiplications(trainer: "Trainer") -> float:
    """Count the multiplications of a view by the weights that a run learns.

    Each weight behind the encoder multiplies once for a view; one of the encoder, many times. Weights that a change of
    the config can bring into use are counted too.
    """
    encoder, size = trainer.model.encoder, trainer.view_size
    views = torch.zeros(2, trainer.train.channels, size, size, device=trainer.device)
    with in_evaluation_mode(encoder):
        total = multiplications(encoder, views)
    of_encoder = set(encoder.parameters())
    learned = {w for part in trainer.model.learned().values() for w in part.parameters() if w.requires_grad}
    return total + sum(weight.numel() for weight in learned - of_encoder if weight.dim() > 1)
