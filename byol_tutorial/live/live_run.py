"""LiveRun: a run that commands begin, start, pause and change, always between two steps.

All of this happens on one thread, that of a Session's command queue, and therefore needs no lock. Other threads read
only the Snapshot: it never changes, and a new one replaces it after every step.
"""

import time
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ..augment.own_transform import Transforms
from ..config.config import LIVE, OWN, Config
from ..config.errors import DivergedError, SessionError
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..train.monitor import looked_at
from ..train.trainer import Trainer
from .snapshot import Snapshot, measure_run
from .subscribers import Subscribers

MEASURE_SHARE = 0.02  # of the time, at most, is spent on measures while the run trains
ONE_GESTURE = 1.0  # seconds; changes of the same fields within this time are undone together: a slider was dragged


class LiveRun:
    """A trainer, the state it is in, and the commands that move it from one state to another.

    The states are those of Session. `subscribers` are called with each new Snapshot.
    """

    def __init__(
        self,
        config: Config,
        train: ImageSet | StreamedSet,
        test: ImageSet | StreamedSet | None,
        device: str | torch.device,
        encoder: nn.Module | None = None,
        transform: Transforms | None = None,
    ):
        self.train, self.test, self.device, self.encoder, self.transform = train, test, device, encoder, transform
        self.speed: float | None = None  # steps a second at most; None is no limit
        self.measuring = True
        self.error: Exception | None = None
        self.subscribers = Subscribers()
        self._stopping: list[Future] = []  # done when the run has stopped advancing
        self._next_step_at = 0.0  # by time.monotonic, where speed is limited
        self._resets = -1  # the first beginning is no reset
        self.begin(config, encoder)

    # --- commands -------------------------------------------------------------------------------

    def begin(self, config: Config, encoder: nn.Module | None = None) -> None:
        """Build the run anew, at step 0, with the user's module where the config says so or it is given."""
        own = self.encoder if config.encoder == OWN else encoder
        self.trainer = Trainer(config, self.train, self.test, self.device, encoder=own, transform=self.transform)
        config = self.trainer.config
        self._resets += 1
        self.error = None
        self._goal: int | None = None  # the step at which to pause
        self._report_stopped()
        self._undoable: list[tuple[float, dict]] = []  # when a change was made, and the values before it
        self._measure_at = 0.0
        self.measured = looked_at(self.trainer)
        t = self.trainer
        self.snapshot = Snapshot(
            "idle", 0, t.total_steps, t.steps_per_epoch, config, config, (), (), None, None, "", self._resets, t.history
        )
        self._publish()

    def continue_from(self, trainer: Trainer, first_config: Config) -> None:
        """Replace the run that has just begun by a trainer's run, and continue that."""
        start_knn = self.trainer.knn() if self.trainer.has_labels else None  # its encoder is the untrained one
        self.trainer = trainer
        made, total = trainer.steps_done, trainer.total_steps
        state = "idle" if made == 0 else "paused" if made < total else "done"
        fields: dict[str, Any] = {
            "state": state,
            "total_steps": total,
            "first_config": first_config,
            "_history": trainer.history,
        }
        if made:
            self._measure()
            fields["start_knn"] = start_knn
        self._publish(**fields)

    def go(self, steps: int | None = None, stopped: Future | None = None) -> None:
        """Train on for this many steps, or to the end of the schedule. `stopped` is done when the run has stopped.

        Raises:
            SessionError: the run is done or has failed.
        """
        if self.state in ("failed", "done"):
            raise SessionError(f"the run is {self.state}: reset it to train again")
        self._goal = None if steps is None else self.trainer.steps_done + steps
        if self.measuring and self.snapshot.measure is None:
            self._measure()
            if self.trainer.steps_done == 0 and self.trainer.has_labels:
                self._publish(start_knn=self.trainer.knn())
        if stopped is not None:
            self._stopping.append(stopped)
        self._publish(state="running")

    def pause(self) -> None:
        """Pause the run if it is running."""
        if self.state == "running":
            self._halt("paused")

    def stop(self) -> None:
        """End the run; only begin() starts it again."""
        if self.state not in ("done", "failed"):
            self._halt("done")

    def end(self) -> None:
        """End the run and remove the subscribers. A run that is not running has been measured already."""
        try:
            if self.state == "running":
                self._halt("done")
            elif self.state not in ("done", "failed"):
                self._publish(state="done")
        finally:
            self.subscribers.clear()

    def change(self, fields: dict) -> None:
        """Change these fields of the config. If one of them is not live, the run begins anew."""
        config = self.config.replace(**fields)  # checks the values
        fields = {name: getattr(config, name) for name in fields if getattr(config, name) != getattr(self.config, name)}
        if not fields:
            return
        if not LIVE.issuperset(fields):
            running = self.state == "running"
            self.begin(config)
            if running:
                self.go()
            return
        before = {name: getattr(self.config, name) for name in fields}
        self.trainer.change(**fields)
        now = time.monotonic()
        if self._undoable and self._undoable[-1][1].keys() == before.keys():
            at, first = self._undoable[-1]
            if now - at < ONE_GESTURE:
                before = first
                self._undoable.pop()
        self._undoable.append((now, before))
        self._publish()

    def undo(self) -> None:
        """Undo the last live change.

        Raises:
            SessionError: there is no change to undo.
        """
        if not self._undoable:
            raise SessionError("there is no change to undo")
        _, before = self._undoable.pop()
        self.trainer.change(**before)
        self._publish()

    # --- work, between commands -------------------------------------------------------------------

    def work(self) -> float | None:
        """Make one step if it is due; return the seconds until the next one, or None if the run is not running."""
        if self.state != "running":
            return None
        wait = self._next_step_at - time.monotonic()
        if self.speed and wait > 0:
            return wait
        self._next_step_at = time.monotonic() + (1 / self.speed if self.speed else 0)
        self._step()
        return 0.0

    def _step(self) -> None:
        t = self.trainer
        try:
            t.step()
            if t.knn_due():
                t.history.knn.append((t.steps_done, t.knn()))
            if t.steps_done >= t.total_steps:
                self._halt("done")
            elif self._goal is not None and t.steps_done >= self._goal:
                self._halt("paused")
            elif self.measuring and time.perf_counter() >= self._measure_at:
                self._measure()
            else:
                self._publish()
        except Exception as error:
            self._fail(error)

    def _measure(self) -> None:
        measure = measure_run(self.trainer, self.measured.images, self.snapshot.measure)
        self._measure_at = time.perf_counter() + measure.seconds / MEASURE_SHARE
        self._publish(measure=measure)

    def _halt(self, state: str) -> None:
        """Stop advancing, measure the run a last time, and enter this state."""
        self.trainer.feed.close()
        if self.measuring and self.trainer.steps_done:
            try:
                self._measure()
            except DivergedError as error:  # its weights have overflowed since the last step
                self._fail(error)
                return
        self._publish(state=state)
        self._report_stopped()

    def _fail(self, error: Exception) -> None:
        self.error = error
        self.trainer.feed.close()
        self._publish(state="failed", error=f"{error}" or type(error).__name__)
        self._report_stopped()

    def _report_stopped(self) -> None:
        stopping, self._stopping = self._stopping, []
        for stopped in stopping:
            stopped.set_result(None)

    # --- what other threads read ------------------------------------------------------------------

    @property
    def state(self) -> str:
        """The state, one of STATES in snapshot.py."""
        return self.snapshot.state

    @property
    def config(self) -> Config:
        """The config with the changes made so far."""
        return self.snapshot.config

    def _publish(self, **fields: Any) -> None:
        """Make a new Snapshot with these fields, and call the subscribers with it. They get the snapshots in order."""
        h = self.trainer.history
        self.snapshot = replace(
            self.snapshot,
            step=self.trainer.steps_done,
            config=self.trainer.config,
            knn=tuple(h.knn),
            changes=tuple(h.changes),
            **fields,
        )
        self.subscribers.notify(self.snapshot)
