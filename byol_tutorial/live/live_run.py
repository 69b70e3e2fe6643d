"""LiveRun: a run that begins, trains, pauses and changes between two steps, as commands ask for it.

All of it happens on one thread, that of a Session's command queue, and so needs no lock. What other threads may see
is the Snapshot, which never changes and is replaced after every step.
"""

import time
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import torch

from ..config.config import LIVE, Config
from ..config.errors import SessionError
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..train.monitor import looked_at
from ..train.trainer import Trainer
from .snapshot import Snapshot, measure_run
from .subscribers import Subscribers

MEASURE_SHARE = 0.02  # share of the time that measures may take while the run goes on
ONE_GESTURE = 1.0  # seconds between two changes of the same fields that are undone together: a slider being dragged


class LiveRun:
    """A trainer, the state it is in, and the commands that move it from one state to another.

    States: see Session. `subscribers` get each new Snapshot.
    """

    def __init__(
        self,
        config: Config,
        train: ImageSet | StreamedSet,
        test: ImageSet | StreamedSet | None,
        device: str | torch.device,
    ):
        self.train, self.test, self.device = train, test, device
        self.speed: float | None = None  # steps a second at most; None: as fast as it goes
        self.measuring = True
        self.error: Exception | None = None
        self.subscribers = Subscribers()
        self._arrivals: list[Future] = []  # done when the run stands still
        self._next_step_at = 0.0  # in the seconds of time.monotonic, where speed is a limit
        self._resets = -1  # the first beginning is no reset
        self.begin(config)

    # --- commands -------------------------------------------------------------------------------

    def begin(self, config: Config) -> None:
        """Build the run anew, at step 0."""
        self.trainer = Trainer(config, self.train, self.test, self.device)
        self._resets += 1
        self.error = None
        self._goal: int | None = None  # the step at which to pause
        self._arrive()
        self._undoable: list[tuple[float, dict]] = []  # when a change was made, and the values before it
        self._measure_at = 0.0
        self.measured = looked_at(self.trainer)
        t = self.trainer
        self.snapshot = Snapshot(
            "idle", 0, t.total_steps, t.steps_per_epoch, config, config, (), (), None, None, "", self._resets, t.history
        )
        self._publish()

    def take_up(self, trainer: Trainer, first_config: Config) -> None:
        """Go on with a trainer's run in the place of the one that has just begun."""
        start_knn = self.trainer.knn() if self.trainer.has_labels else None  # its encoder is the untrained one
        self.trainer = trainer
        made, total = trainer.steps_done, trainer.total_steps
        state = "idle" if made == 0 else "paused" if made < total else "done"
        news = {"state": state, "total_steps": total, "first_config": first_config, "_history": trainer.history}
        if made:
            self._measure()
            news["start_knn"] = start_knn
        self._publish(**news)

    def go(self, steps: int | None = None, arrived: Future | None = None) -> None:
        """Train on, for so many steps or to the end of the schedule; `arrived` is done when the run stands still."""
        if self.state in ("failed", "done"):
            raise SessionError(f"the run is {self.state}: reset it to train again")
        self._goal = None if steps is None else self.trainer.steps_done + steps
        if self.measuring and self.snapshot.measure is None:
            self._measure()
            if self.trainer.steps_done == 0 and self.trainer.has_labels:
                self._publish(start_knn=self.trainer.knn())
        if arrived is not None:
            self._arrivals.append(arrived)
        self._publish(state="running")

    def pause(self) -> None:
        if self.state == "running":
            self._stand("paused")

    def stop(self) -> None:
        if self.state not in ("done", "failed"):
            self._stand("done")

    def end(self) -> None:
        """Stop for good. A run that stands still has been measured already."""
        if self.state == "running":
            self._stand("done")
        elif self.state not in ("done", "failed"):
            self._publish(state="done")
        self.subscribers.clear()

    def change(self, fields: dict) -> None:
        """Change these fields of the config: between two steps where all are live, else with a new beginning."""
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
        if not self._undoable:
            raise SessionError("there is no change to undo")
        _, before = self._undoable.pop()
        self.trainer.change(**before)
        self._publish()

    # --- work, between commands -------------------------------------------------------------------

    def work(self) -> float | None:
        """Make one step if it is due; return the seconds until the next one, or None where the run stands still."""
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
                self._stand("done")
            elif self._goal is not None and t.steps_done >= self._goal:
                self._stand("paused")
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

    def _stand(self, state: str) -> None:
        """Stand still in this state, with a last measure of what the run has become."""
        self.trainer.feed.close()
        if self.measuring and self.trainer.steps_done:
            self._measure()
        self._publish(state=state)
        self._arrive()

    def _fail(self, error: Exception) -> None:
        self.error = error
        self.trainer.feed.close()
        self._publish(state="failed", error=f"{error}" or type(error).__name__)
        self._arrive()

    def _arrive(self) -> None:
        arrivals, self._arrivals = self._arrivals, []
        for arrived in arrivals:
            arrived.set_result(None)

    # --- what other threads see -------------------------------------------------------------------

    @property
    def state(self) -> str:
        """One of STATES in snapshot.py."""
        return self.snapshot.state

    @property
    def config(self) -> Config:
        """The config with the changes made so far."""
        return self.snapshot.config

    def _publish(self, **news: Any) -> None:
        """Make a new Snapshot and show it to the subscribers; they see snapshots in order."""
        h = self.trainer.history
        self.snapshot = replace(
            self.snapshot,
            step=self.trainer.steps_done,
            config=self.trainer.config,
            knn=tuple(h.knn),
            changes=tuple(h.changes),
            **news,
        )
        self.subscribers.notify(self.snapshot)
