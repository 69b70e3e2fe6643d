"""Session: a run that trains on a thread of its own and takes orders from any other.

    session = Session(preset("shapes"), load("shapes"), load("shapes", "test"))
    session.start()                           # returns at once; training goes on beside you
    session.change(predictor="identity")      # carried out between two steps
    session.pause()
    session.run(steps=100)                    # or synchronously: returns when the steps are done

Every method only puts an order into a queue. One thread carries orders out between two steps, and nothing else
touches the trainer, so no order can break into a step. The thread lives while there is something to do: a paused
session has none. There is no Jupyter in here; the panels of byol_tutorial.widgets subscribe to a session.
"""

import atexit
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import replace

from ..config.config import LIVE, Config, refuse_unknown
from ..config.errors import SessionError
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..runtime.omp_threads import release_helpers
from ..train.monitor import looked_at
from ..train.trainer import Trainer
from .snapshot import Snapshot, measure_run

MEASURE_SHARE = 0.02  # of the time that measuring may take while the run goes on
ONE_GESTURE = 1.0  # seconds between two changes of the same fields that are undone together: a slider being dragged


_working: weakref.WeakSet["Session"] = weakref.WeakSet()  # sessions that have a thread


@atexit.register
def _end_all() -> None:
    """When Python ends, let no thread be cut off within a step: torch's C++ would abort the process."""
    for session in list(_working):
        session.close()


class Session:
    """Start, pause, step, resume, reset, stop and change a run, from any thread.

    States: "idle" before the first step, "running", "paused", "done" after the last step of the schedule or after
    stop(), "failed" when a step raised; `error` then holds what it raised, and reset() begins anew.

    The methods below return a Future at once. Its result() waits until the order has been carried out, and raises
    what the order raised.

    Args:
        config, train, test, device: as for Trainer.

    Raises:
        ConfigError, TrainingError: as Trainer does.
    """

    def __init__(
        self,
        config: Config,
        train: ImageSet | StreamedSet,
        test: ImageSet | StreamedSet | None = None,
        device="auto",
    ):
        self.train, self.test, self.device = train, test, device
        self.speed: float | None = None  # steps a second at most; None: as fast as it goes
        self.measuring = True
        self.error: Exception | None = None
        self.subscriber_errors: list[Exception] = []
        self._lock = threading.RLock()  # of the queue, the subscribers and the thread; never held during a step
        self._orders: deque[tuple[Future, Callable]] = deque()
        self._news = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._subscribers: dict[object, Callable] = {}
        self._arrivals: list[Future] = []  # of run(), which waits until the run stands still
        self._resets = -1  # the first beginning is none
        self._begin(config)

    @classmethod
    def of(cls, trainer: Trainer, first_config: Config | None = None) -> "Session":
        """A session that goes on with a Trainer's run, from where it stands. From now on it is the session's own.

        first_config: the config at step 0, if it has changed since.
        """
        session = cls(trainer.config, trainer.train, trainer.test, trainer.device)
        session._order(lambda: session._take_up(trainer, first_config or trainer.config)).result()
        return session

    # --- orders, from any thread ----------------------------------------------------------------

    def start(self) -> Future:
        """Train on, to the end of the schedule. From "failed" or after stop() only reset() helps."""
        release_helpers()  # of this thread, which has no more to compute for now
        return self._order(lambda: self._go(None))

    resume = start

    def step(self, n: int = 1) -> Future:
        """Make n steps, then pause."""
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise SessionError(f"step: n={n!r}; give a whole number, at least 1")
        release_helpers()
        return self._order(lambda: self._go(n))

    def pause(self) -> Future:
        """Stand still after the step that is being made."""
        return self._order(self._pause)

    def reset(self, config: Config | None = None, **fields) -> Future:
        """Begin anew, at step 0: with this config, or with the present one; in it, these fields replaced."""
        refuse_unknown(fields)
        return self._order(lambda: self._begin((config or self.config).replace(**fields)))

    def stop(self) -> Future:
        """End the run where it stands; the state is "done"."""
        return self._order(self._stop)

    def change(self, **fields) -> Future:
        """Change fields of the Config, in the order in which change is called.

        Live ones (config.LIVE) take effect with the next step and are recorded in history.changes. If any is
        structural, the run begins anew at step 0 with the new config, and goes on if it was running. Values that are
        what they were are no change.

        Raises:
            ConfigError: an unknown field. What else is wrong with a value, the Future's result() raises.
        """
        refuse_unknown(fields)
        return self._order(lambda: self._change(fields))

    def undo(self) -> Future:
        """Take the last live change back; changes of the same fields within a second count as one."""
        return self._order(self._undo)

    def run(self, steps: int | None = None, epochs: float | None = None) -> "Session":
        """Train synchronously: returns when so many steps or epochs are done, or the schedule is; then pauses.

        Ctrl-C pauses after a whole step.

        Raises:
            SessionError: both steps and epochs are given; what made the run fail, as its cause.
        """
        if steps is not None and epochs is not None:
            raise SessionError("run: give steps or epochs, not both")
        if epochs is not None:
            steps = max(1, round(epochs * self.trainer.steps_per_epoch))
        arrived: Future = Future()
        release_helpers()
        self._order(lambda: self._go(steps, arrived)).result()
        try:
            while not wait(
                [arrived], timeout=0.5
            ).done:  # with a timeout, because on Windows Ctrl-C does not end a wait without one
                pass
        except KeyboardInterrupt:
            self.pause().result()
            raise
        if self.error is not None:
            raise SessionError(f"the run has failed: {self.error}") from self.error
        return self

    def close(self) -> None:
        """Stop, wait for the thread's end and forget the subscribers. A closed session may be reset and started again."""
        with self._lock:
            thread = self._thread
            if thread is None and self.state not in ("done", "failed"):  # nobody else is at work
                self._publish(state="done")
        if thread is not None:
            self.stop()
            if thread is not threading.current_thread():
                thread.join()
        with self._lock:
            self._subscribers.clear()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    # --- what is to be seen, from any thread ----------------------------------------------------

    @property
    def state(self) -> str:
        return self._snapshot.state

    @property
    def config(self) -> Config:
        """The config as it stands, with the changes that were carried out."""
        return self._snapshot.config

    def snapshot(self) -> Snapshot:
        return self._snapshot

    def subscribe(self, callback: Callable[[Snapshot], None]) -> Callable[[], None]:
        """Call back with a Snapshot after every step, change, measure and change of state; returns what ends it.

        On the session's thread: be quick. A callback that raises is called no more; see subscriber_errors.
        """
        key = object()
        with self._lock:
            self._subscribers[key] = callback
        return lambda: self._subscribers.pop(key, None)

    # --- the thread -----------------------------------------------------------------------------

    def _order(self, action: Callable) -> Future:
        future: Future = Future()
        with self._news:
            self._orders.append((future, action))
            self._news.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="byol session", daemon=True)
                _working.add(self)
                self._thread.start()
        return future

    def _work(self) -> None:
        due = time.perf_counter()  # when the next step may be made
        while True:
            with self._news:
                waiting = due - time.perf_counter()
                if not self._orders and self.state == "running" and self.speed and waiting > 0:
                    self._news.wait(waiting)
                if not self._orders and self.state != "running":
                    self._thread = None
                    _working.discard(self)
                    return
                order = self._orders.popleft() if self._orders else None
            if order is not None:
                self._carry_out(*order)
            elif time.perf_counter() >= due or not self.speed:
                due = time.perf_counter() + (1 / self.speed if self.speed else 0)
                self._step()

    @staticmethod
    def _carry_out(future: Future, action: Callable) -> None:
        try:
            future.set_result(action())
        except Exception as error:
            future.set_exception(error)

    def _publish(self, **changes) -> None:
        """Make the new Snapshot and tell the subscribers. Only the thread does this, so snapshots come in order."""
        h = self.trainer.history
        self._snapshot = replace(
            self._snapshot,
            step=self.trainer.steps_done,
            config=self.trainer.config,
            knn=tuple(h.knn),
            changes=tuple(h.changes),
            **changes,
        )
        with self._lock:
            subscribers = list(self._subscribers.items())
        for key, callback in subscribers:
            try:
                callback(self._snapshot)
            except Exception as error:
                self.subscriber_errors.append(error)
                self._subscribers.pop(key, None)

    def _begin(self, config: Config) -> None:
        self.trainer = Trainer(config, self.train, self.test, self.device)
        self._resets += 1
        self.error = None
        self._goal: int | None = None
        self._arrive()
        self._undoable: list[tuple[float, dict]] = []  # when, and the values before
        self._measure_at = 0.0
        self.measured = looked_at(self.trainer)
        t = self.trainer
        self._snapshot = Snapshot(
            "idle", 0, t.total_steps, t.steps_per_epoch, config, config, (), (), None, None, "", self._resets, t.history
        )
        self._publish()

    def _take_up(self, trainer: Trainer, first_config: Config) -> None:
        start_knn = self.trainer.knn() if self.trainer.has_labels else None  # its encoder is the untrained one
        self.trainer = trainer
        made, total = trainer.steps_done, trainer.total_steps
        state = "idle" if made == 0 else "paused" if made < total else "done"
        new = {"state": state, "total_steps": total, "first_config": first_config, "_history": trainer.history}
        if made:
            self._measure()
            new["start_knn"] = start_knn
        self._publish(**new)

    def _go(self, steps: int | None, arrived: Future | None = None) -> None:
        if self.state in ("failed", "done"):
            raise SessionError(f"the run is {self.state}: reset it to train again")
        self._goal = None if steps is None else self.trainer.steps_done + steps
        if self.measuring and self._snapshot.measure is None:
            self._measure()
            if self.trainer.steps_done == 0 and self.trainer.has_labels:
                self._publish(start_knn=self.trainer.knn())
        if arrived is not None:
            self._arrivals.append(arrived)
        self._publish(state="running")

    def _pause(self) -> None:
        if self.state == "running":
            self._stand("paused")

    def _stop(self) -> None:
        if self.state not in ("done", "failed"):
            self._stand("done")

    def _stand(self, state: str) -> None:
        """Stop stepping, with a last measure of what the run has become."""
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

    def _change(self, fields: dict) -> None:
        config = self.config.replace(**fields)  # checks them
        fields = {name: getattr(config, name) for name in fields if getattr(config, name) != getattr(self.config, name)}
        if not fields:
            return
        if not LIVE.issuperset(fields):
            running = self.state == "running"
            self._begin(config)
            if running:
                self._go(None)
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

    def _undo(self) -> None:
        if not self._undoable:
            raise SessionError("there is no change to undo")
        _, before = self._undoable.pop()
        self.trainer.change(**before)
        self._publish()

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
        measure = measure_run(self.trainer, self.measured.images, self._snapshot.measure)
        self._measure_at = time.perf_counter() + measure.seconds / MEASURE_SHARE
        self._publish(measure=measure)

    def __repr__(self) -> str:
        s = self._snapshot
        return f"Session({s.state}, step {s.step} of {s.total_steps}: {s.verdict})"
