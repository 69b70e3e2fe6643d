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
from ..config.errors import ConfigError, DivergedError, SessionError
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..train.monitor import looked_at
from ..train.trainer import Trainer
from .live_changes import LiveChanges
from .moments import Kept, Moments, repeat
from .snapshot import Measure, Snapshot, measure_run
from .subscribers import Subscribers

MEASURE_SHARE = 0.015  # at most this share of the time is spent on measures while the run trains
SECOND_MEASURE = 2.0  # seconds from the first measure to the second


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
        self.moments: Moments | None = None  # only a run that can be branched keeps any
        self._stopping: list[Future] = []  # these are done when the run has stopped advancing
        self._next_step_at = 0.0  # a time of time.monotonic, used where speed is limited
        self._resets = -1  # the first beginning is no reset
        self.begin(config, encoder)

    # --- commands -------------------------------------------------------------------------------

    def begin(self, config: Config, encoder: nn.Module | None = None) -> None:
        """Build the run again, at step 0, with the user's module where the config says so or it is given."""
        own = self.encoder if config.encoder == OWN else encoder
        self.trainer = Trainer(config, self.train, self.test, self.device, encoder=own, transform=self.transform)
        config = self.trainer.config
        self._resets += 1
        self.error = None
        self._goal: int | None = None  # the step at which to pause
        self._report_stopped()
        self.changes = LiveChanges(self.trainer)
        self._measure_at = 0.0
        self._measure_takes: float | None = None  # seconds of work of the quickest measure so far
        self.kept: Kept | None = None  # the run that is kept beside this one
        self.keep_moments(self.moments is not None)
        self.measured = looked_at(self.trainer)
        t = self.trainer
        self.snapshot = Snapshot(
            "idle", 0, t.total_steps, t.steps_per_epoch, config, config, (), (), None, None, "", self._resets, t.history
        )
        self._publish()

    def continue_from(self, trainer: Trainer, first_config: Config, start_knn: float | None = None) -> None:
        """Replace the run that has just begun by a trainer's run, and continue that."""
        if start_knn is None and self.trainer.has_labels:
            start_knn = self.trainer.check_knn()  # the encoder of the run that has just begun is the untrained one
            if 0 not in dict(trainer.history.knn_balanced):
                trainer.history.knn_balanced[:0] = self.trainer.history.knn_balanced
        self.trainer, self.changes = trainer, LiveChanges(trainer)
        self.keep_moments(self.moments is not None)
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
                self._publish(start_knn=self.trainer.check_knn())
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
        """End the run; drop its moments and its subscribers. A run that is not running has been measured already."""
        try:
            if self.state == "running":
                self._halt("done")
            elif self.state not in ("done", "failed"):
                self._publish(state="done")
        finally:
            self.moments = self.kept = None
            self.subscribers.clear()

    def change(self, fields: dict) -> None:
        """Change these fields of the config. If one of them is not live, the run starts again."""
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
        self.changes.make(fields)
        self._publish()

    def undo(self) -> None:
        """Undo the last live change.

        Raises:
            SessionError: there is no change to undo.
        """
        self.changes.undo()
        self._publish()

    # --- branches -------------------------------------------------------------------------------

    def keep_moments(self, keep: bool) -> None:
        """Keep moments of the run from now on, so that it can be branched; or none."""
        self.moments = Moments() if keep else None
        if self.moments is not None:
            self.moments.add(self.trainer, due=True)

    def fork(self, step: int, fields: dict) -> None:
        """Keep the run as it is beside a branch of it that begins at this step with these live fields changed.

        The branch has the changes that the run had before the step. It goes on if the run was running.

        Raises:
            SessionError: the step was not made, or no moment before it is kept.
            ConfigError: a field that cannot change while training, or a value that is not allowed.
        """
        if self.moments is None:
            raise SessionError("fork: set session.branching = True before the run begins")
        if not 0 <= step <= self.trainer.steps_done:
            raise SessionError(f"fork: step={step}; give one of the steps made, 0 to {self.trainer.steps_done}")
        if not LIVE.issuperset(fields):
            raise ConfigError(
                f"fork: {', '.join(sorted(fields.keys() - LIVE))} cannot change while training: reset instead"
            )
        moment, running = self.moments.before(step), self.state == "running"
        kept, changes = Kept(self.trainer.moment(), self.snapshot), LiveChanges(self.trainer)
        try:
            repeat(self.trainer, moment, step)
            if fields:
                changes.make(fields, gesture=False)
        except BaseException:
            self._return_to(kept)
            raise
        self.kept, self.changes = kept, changes
        self.moments.forget_after(step)
        over = step >= self.trainer.total_steps
        state = "done" if over else "running" if running else "paused" if step else "idle"
        self._show(state, beside=kept.snapshot, branched_at=step)

    def swap(self) -> None:
        """Go on with the run that is kept beside this one, and keep this one.

        Raises:
            SessionError: there is no branch.
        """
        if self.kept is None or self.moments is None:
            raise SessionError("there is no other run: branch this one first")
        this, other = Kept(self.trainer.moment(), self.snapshot), self.kept
        self._return_to(other)
        self.kept, self.changes = this, LiveChanges(self.trainer)
        self.moments.forget_after(this.snapshot.branched_at or 0)
        state = "paused" if other.snapshot.state == "running" else other.snapshot.state
        self._show(state, other.snapshot.error, beside=this.snapshot, branched_at=this.snapshot.branched_at)

    def _return_to(self, kept: Kept) -> None:
        """Put the trainer into the state of a kept run."""
        self.trainer.go_back(kept.moment, kept.snapshot._history)
        self.changes.begin_entry()

    def _show(self, state: str, error: str = "", *, beside: Snapshot, branched_at: int | None) -> None:
        """Publish the run that the trainer has been put into, with the one that is kept beside it."""
        self._goal, self.error = None, SessionError(error) if error else None
        self._report_stopped()
        measured = self.measuring and self.trainer.steps_done > 0 and not error
        self._publish(
            state=state,
            error=error,
            beside=replace(beside, beside=None),
            branched_at=branched_at,
            measure=self._new_measure() if measured else None,
            _history=self.trainer.history,
        )

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
                t.check_knn()
            if self.moments is not None:
                self.moments.add(t)
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
        self._publish(measure=self._new_measure())

    def _new_measure(self) -> Measure:
        worked = time.thread_time()
        measure = measure_run(self.trainer, self.measured.images, self.snapshot.measure, inside=True)
        taken = measure.seconds
        if self.trainer.device.type == "cpu":  # without the time in which other programs have the core
            taken = min(taken, time.thread_time() - worked)
        # The first measure in a process takes several times as long as the next one, because it also loads what it needs.
        if self._measure_takes is None:
            self._measure_takes, wait = taken, SECOND_MEASURE
        else:
            self._measure_takes = min(self._measure_takes, taken)
            wait = self._measure_takes / MEASURE_SHARE
        self._measure_at = time.perf_counter() + wait
        return measure

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
    def awaited(self) -> bool:
        """Whether a step is set at which to pause, or a call waits for the end."""
        return self._goal is not None or bool(self._stopping)

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
            knn_balanced=tuple(h.knn_balanced),
            changes=tuple(h.changes),
            **fields,
        )
        self.subscribers.notify(self.snapshot)
