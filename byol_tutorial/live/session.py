"""Session: a run that trains on a separate thread and takes commands from any other thread.

    session = Session(preset("shapes"), load("shapes"), load("shapes", "test"))
    session.start()                           # returns at once; training goes on in the background
    session.change(predictor="identity")      # carried out between two steps
    session.pause()
    session.run(steps=100)                    # or synchronously: returns when the steps are done

Every method puts a command into a queue (command_queue.py), whose thread carries commands out between two steps
(live_run.py). Nothing else touches the trainer, so no command interrupts a step. A paused session has no thread.
Nothing in here depends on Jupyter; the panels of byol_tutorial.widgets subscribe to a session.
"""

import atexit
import weakref
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any

import torch
from torch import nn

from ..augment.own_transform import Transforms
from ..config.config import Config, refuse_unknown
from ..config.errors import SessionError
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..train.trainer import Trainer
from .command_queue import CommandQueue
from .live_run import LiveRun
from .snapshot import Snapshot

_sessions: weakref.WeakSet["Session"] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    """End all running sessions when Python ends: a thread that is cut off within a step makes torch abort Python."""
    for session in list(_sessions):
        if session._queue.thread is not None:
            with suppress(Exception):  # the others must be ended too
                session.close()


class Session:
    """A run to start, pause, step, resume, reset, stop and change from any thread.

    States: "idle" before the first step, "running", "paused", "done" after the last step of the schedule or after
    stop(), "failed" when a step raised. `error` then holds the exception, and reset() starts again.

    The methods that steer the run return a Future at once. Its result() waits until the command has been carried out,
    and raises the exception if the command raised one.

    Args:
        config, train, test, device, encoder, transform: as for Trainer. After reset() a module of yours is as it was given.

    Raises:
        ConfigError, TrainingError: as Trainer does.
    """

    def __init__(
        self,
        config: Config,
        train: ImageSet | StreamedSet,
        test: ImageSet | StreamedSet | None = None,
        device: str | torch.device = "auto",
        encoder: nn.Module | None = None,
        transform: Transforms | None = None,
    ):
        self._run = LiveRun(config, train, test, device, encoder, transform)
        self._queue = CommandQueue("byol session", self._run.work)
        _sessions.add(self)

    @classmethod
    def of(cls, trainer: Trainer, first_config: Config | None = None, start_knn: float | None = None) -> "Session":
        """Make a session that continues a Trainer's run. From now on only the session may use the trainer.

        first_config: the config at step 0, if it has changed since.
        start_knn: kNN accuracy of the untrained encoder, if it is known. Default: it is measured, which takes seconds.
        """
        transform = None if trainer.transform is None else trainer.transform.pair
        session = cls(trainer.config, trainer.train, trainer.test, trainer.device, trainer.own, transform)
        session._queue.submit(
            lambda: session._run.continue_from(trainer, first_config or trainer.config, start_knn)
        ).result()
        return session

    # --- commands, from any thread --------------------------------------------------------------

    def start(self, only_if: Callable[[], bool] = lambda: True) -> Future:
        """Train on, to the end of the schedule. A run that has failed or was stopped must be reset first.

        only_if: a function that is asked on the session's thread, after all earlier commands, whether to do it.
        """
        return self._queue.submit(self._run.go, only_if)

    resume = start

    def step(self, n: int = 1) -> Future:
        """Make n steps, then pause."""
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise SessionError(f"step: n={n!r}; give a whole number, at least 1")
        return self._queue.submit(lambda: self._run.go(n))

    def pause(self, only_if: Callable[[], bool] = lambda: True) -> Future:
        """Pause the run after the step that is being made. only_if: as for start."""
        return self._queue.submit(self._run.pause, only_if)

    def reset(self, config: Config | None = None, **fields: Any) -> Future:
        """Start again at step 0, with this config or else the present one, in which these fields are replaced."""
        refuse_unknown(fields)
        return self._queue.submit(lambda: self._run.begin((config or self.config).replace(**fields)))

    def stop(self) -> Future:
        """End the run at its present step; the state is then "done"."""
        return self._queue.submit(self._run.stop)

    def change(self, **fields: Any) -> Future:
        """Change fields of the Config. Several calls are carried out in their order.

        Live fields (config.LIVE) take effect with the next step and are recorded in history.changes. If one of the
        fields is structural, the run starts again at step 0 with the new config, and goes on if it was running. A field
        that is given its present value is not changed.

        Raises:
            ConfigError: an unknown field. The Future's result() raises it for a value that is not allowed.
        """
        refuse_unknown(fields)
        return self._queue.submit(lambda: self._run.change(fields))

    def undo(self) -> Future:
        """Undo the last live change; changes of the same fields within a second count as one."""
        return self._queue.submit(self._run.undo)

    def fork(self, step: int, **fields: Any) -> Future:
        """Keep the run, and go on with a branch of it: what it would be with these live fields changed at this step.

        On a CPU the branch is, bit for bit, the run that was changed at that step, with the changes made before it; with
        a module of yours, if it draws no random numbers. It begins at the nearest moment that is kept and makes the steps
        from there again. `branching` must have been set.
        The kept run is snapshot().beside, one at most; `swap` goes on with it.

        Raises:
            ConfigError: an unknown field. The Future's result() raises it for a value that is not allowed, and
                SessionError for a step that was not made.
        """
        refuse_unknown(fields)
        if isinstance(step, bool) or not isinstance(step, int):
            raise SessionError(f"fork: step={step!r}; give a whole number, one of the steps made")
        return self._queue.submit(lambda: self._run.fork(step, fields))

    def swap(self) -> Future:
        """Go on with the run that is kept beside this one, and keep this one; the run is then paused."""
        return self._queue.submit(self._run.swap)

    def run(self, steps: int | None = None, epochs: float | None = None) -> "Session":
        """Train synchronously, then pause and return the session. Default: to the end of the schedule.

        Ctrl-C pauses after a whole step.

        Raises:
            SessionError: both steps and epochs are given, or the run has failed; the error's cause is why it failed.
        """
        if steps is not None and epochs is not None:
            raise SessionError("run: give steps or epochs, not both")
        if epochs is not None:
            steps = max(1, round(epochs * self.trainer.steps_per_epoch))
        stopped: Future = Future()
        self._queue.submit(lambda: self._run.go(steps, stopped)).result()
        try:
            # with a timeout, because on Windows Ctrl-C does not end a wait without one
            while not wait([stopped], timeout=0.5).done:
                pass
        except KeyboardInterrupt:
            self.pause().result()
            raise
        if self.error is not None:
            raise SessionError(f"the run has failed: {self.error}") from self.error
        return self

    def close(self) -> None:
        """Stop the run, wait for the thread's end, and remove the subscribers. reset() and start() begin again."""
        self._queue.finish(self._run.end)

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the run as it is now, from any thread ------------------------------------------------------

    @property
    def state(self) -> str:
        """The state, one of "idle", "running", "paused", "done" and "failed"."""
        return self._run.state

    @property
    def awaited(self) -> bool:
        """Whether the run, if it is running, pauses by itself after a step() or run(), which may be waited for."""
        return self._run.awaited

    @property
    def config(self) -> Config:
        """The config with the changes made so far."""
        return self._run.config

    @property
    def trainer(self) -> Trainer:
        """The Trainer of the run. Only the session's thread may change it while the run goes on."""
        return self._run.trainer

    @property
    def train(self) -> ImageSet | StreamedSet:
        """The images to learn from."""
        return self._run.train

    @property
    def test(self) -> ImageSet | StreamedSet | None:
        """The images of the kNN check."""
        return self._run.test

    @property
    def measured(self) -> ImageSet:
        """The images that a Measure is computed from, as in Trainer.report."""
        return self._run.measured

    @property
    def error(self) -> Exception | None:
        """The exception that made the run fail, if one did."""
        return self._run.error

    @property
    def speed(self) -> float | None:
        """The limit on steps a second, or None for no limit. It may be set at any time."""
        return self._run.speed

    @speed.setter
    def speed(self, value: float | None) -> None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value > 0):
            raise SessionError(f"speed={value!r}: give steps a second, above 0, or None for no limit")
        self._run.speed = value

    @property
    def measuring(self) -> bool:
        """Whether the run is measured while it trains. It may be set at any time."""
        return self._run.measuring

    @measuring.setter
    def measuring(self, value: bool) -> None:
        self._run.measuring = value

    @property
    def branching(self) -> bool:
        """Whether moments of the run are kept in memory, at most 64 MiB on its device, so that `fork` can go back to them.

        A branch also keeps the last moment of the other run. A run of which one moment takes more cannot be branched.
        It may be set at any time; only steps after that can be branched from, so set it before the run begins.
        """
        return self._run.moments is not None

    @branching.setter
    def branching(self, value: bool) -> None:
        if value != self.branching:
            self._queue.submit(lambda: self._run.keep_moments(value)).result()

    def snapshot(self) -> Snapshot:
        """Return the run as it is now. The Snapshot never changes."""
        return self._run.snapshot

    def subscribe(self, callback: Callable[[Snapshot], None]) -> Callable[[], None]:
        """Call the callback with a Snapshot after every step, change, measure and change of state.

        The callback runs on the session's thread and should be quick. One that raises is not called again; see
        subscriber_errors. Returns the function that ends the calls.
        """
        return self._run.subscribers.add(callback)

    @property
    def subscriber_errors(self) -> list[Exception]:
        """The exceptions that callbacks raised."""
        return self._run.subscribers.errors

    def __repr__(self) -> str:
        s = self.snapshot()
        return f"Session({s.state}, step {s.step} of {s.total_steps}: {s.verdict})"
