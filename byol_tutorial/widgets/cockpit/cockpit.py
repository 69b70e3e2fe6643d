"""The cockpit's widget: one run, its controls, its curves, its map and its verdict, while it trains.

    bt.widgets.cockpit()                                  # "shapes", the default recipe
    bt.widgets.cockpit(config, train, test)
    panel = bt.widgets.cockpit(session)                   # an existing session, or one that bt.rebuild made
    panel.session.run(steps=100)                          # train from a cell; the panel follows

A slider sends its value at once; the session applies it between two steps, and the curves show a mark there. Training
happens on the session's thread and drawing in the browser. Python only sends the numbers, up to ten times a second.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
import torch
import traitlets

from ...config.config import LIVE, Config
from ...config.errors import ExperimentError, UserError
from ...config.presets import preset
from ...data.fingerprint import fingerprint
from ...data.image_set import ImageSet
from ...data.loading import load
from ...data.names import described
from ...data.streaming import StreamedSet
from ...evaluate.balance import floor_if_uneven
from ...live.curves import shortened
from ...live.effects import effect
from ...live.experiment import Experiment
from ...live.reach import late_change
from ...live.session import Session
from ...live.snapshot import Snapshot
from ..assets import script, source
from ..film import hue_circle
from ..panel import Panel
from .controls import PRESETS, change_words, changed_value, controls, main_controls, shown_value
from .explanations import explanations
from .inert import inert
from .predictions import outcomes, questions

FRAME = 0.1  # seconds between two frames, at least, while only steps are made; a change is sent at once
FRAME_SHARE = 0.015  # of the time, at most, is spent on such frames
POINTS = 800  # values of a curve, at most; longer curves are averaged in blocks
HUES = 24  # colours of the circle
SAME, LAST = "no change yet", "the last change"  # branches that are no presets
PARTS = ("loss", "std", "rank", "knn", "map", "verdict", "state", "names", "ask", "counter", "play", "step", "reset", "undo",
         "fork", "swap", "speed", "seed", "code", "preset")  # fmt: skip


def cockpit(
    run: Session | Config | None = None,
    train: ImageSet | StreamedSet | None = None,
    test: ImageSet | StreamedSet | None = None,
    device: str | torch.device = "auto",
) -> "Cockpit":
    """Make a panel for one run. The run begins when play is pressed.

    Args:
        run: a Config, or an existing Session. Default: the recipe for "shapes".
        train, test: as for Trainer. Default: "shapes".
        device: as for Trainer.

    Raises:
        ConfigError, DataError, TrainingError: as Trainer does.
    """
    if not isinstance(run, Session):
        if train is None:
            train, test = load("shapes"), load("shapes", "test") if test is None else test
        run = Session(run or preset("shapes"), train, test, device)
    return Cockpit(run)


class Cockpit(Panel):
    """The panel of one run; see `cockpit`. `session` is the run.

    setup: what stays the same. frame: everything that changes, as one record, replaced up to ten times a second.
    before: the curves of the run before the last reset, drawn pale behind the new ones.
    """

    _esm = source("plots", "js") + script("hints.js") + script("cockpit.js")
    _css = source("cockpit", "css")
    setup = traitlets.Dict().tag(sync=True)
    frame = traitlets.Dict().tag(sync=True)
    before = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)

    def __init__(self, session: Session):
        self.session = session
        self.start = session.snapshot().first_config
        self.presets = PRESETS[self.start.method]
        self.questions = questions(self.start.method)
        self.controls = controls(self.start)
        live = {name: fields for name, fields in self.presets.items() if fields and LIVE.issuperset(fields)}
        self.branches: dict[str, dict] = {SAME: {}, LAST: {}} | live
        self.name = "your settings"
        self._beside: tuple[str, list] | None = None  # name and ranks of the run that is kept beside this one
        self.prediction: dict | None = None
        self.note = ""
        self._data = fingerprint(session.train)
        self._ranks: list[tuple[int, float]] = []
        self._shown: Snapshot | None = None  # the last one that was sent to the browser
        self._frame_due = 0.0  # when the next frame is sent, by time.monotonic
        self._paused_unwatched = False  # whether the panel has paused the run because no page showed it
        session.branching = True
        super().__init__(setup=self._setup(), frame=self._frame(session.snapshot()))
        self._unsubscribe = session.subscribe(self._on_snapshot)

    # --- commands from the browser, passed on to the session -------------------------------------

    def do_play(self) -> None:
        """Train on."""
        self._show_error_of(self.session.start())

    def do_pause(self) -> None:
        """Pause the run."""
        self._show_error_of(self.session.pause())

    def do_step(self, n: int = 1) -> None:
        """Make n steps, then pause."""
        self._show_error_of(self.session.step(n))

    def do_reset(self) -> None:
        """Begin anew at step 0."""
        self.prediction = None
        self._show_error_of(self.session.reset())

    def do_undo(self) -> None:
        """Undo the last change."""
        self._show_error_of(self.session.undo())

    def do_speed(self, value: float | None) -> None:
        """Limit the steps a second; None removes the limit."""
        self.session.speed = value

    def do_change(self, name: str, value: float | bool | str) -> None:
        """Change the field whose control was moved. A structural field begins a new run; see Session.change."""
        changed = changed_value(self.controls, self.session.config, name, value)

        def rename() -> None:
            if self.name in self.presets and name != "seed":
                self.name = f"{self.name}, changed"
                self._show_frame(self.session.snapshot())

        self._show_error_of(self.session.change(**{name: changed}), rename)

    def do_preset(self, name: str, prediction: dict[str, str] | None = None) -> None:
        """Begin a new run with the first config, changed as the preset says, and play it."""
        if name not in self.presets:
            raise UserError(f"preset {name!r}: choose one of {', '.join(self.presets)}")
        guesses = {key: guess for key, guess in (prediction or {}).items() if key in self.questions and guess}
        for key, guess in guesses.items():
            if guess not in self.questions[key][1]:
                raise UserError(f"{key}={guess!r}: choose one of {', '.join(self.questions[key][1])}")
        changes = self.presets[name] | {"seed": self.session.config.seed}

        def play() -> None:
            self.name, self.prediction = name, guesses or None
            self._show_error_of(self.session.start())

        self._show_error_of(self.session.reset(self.start, **changes), play)

    def do_fork(self, step: int, change: str = SAME) -> None:
        """Keep the run, go back to this step, and go on from there with a change: one of `self.branches`."""
        if change not in self.branches:
            raise UserError(f"change {change!r}: choose one of {', '.join(self.branches)}")
        s = self.session.snapshot()
        fields = s.changes[-1][1] if change == LAST and s.changes else self.branches[change]
        self._show_error_of(self.session.fork(step, **fields), lambda: self._show_error_of(self.session.start()))

    def do_swap(self) -> None:
        """Go on with the run that is kept beside this one."""
        self._show_error_of(self.session.swap())

    def _show_error_of(self, command: Future, then: Callable[[], None] = lambda: None) -> None:
        """Show the command's error in the panel when it is done. If it has none, clear the last error and call `then`."""

        def done(command: Future) -> None:
            error = command.exception()
            if error is None:
                self.show(problem="")
                then()
            else:
                self.refuse(error)
                self._show_frame(self.session.snapshot())  # sets the control back to the value of the config

        command.add_done_callback(done)

    # --- frames to the browser -------------------------------------------------------------------

    def _on_snapshot(self, s: Snapshot) -> None:
        """Send a frame if one is due. The session's thread calls this after every step."""
        if s.state == "running" and self.abandoned and not self._paused_unwatched:
            self._paused_unwatched = True
            self.note = "paused, because no page showed it any more"
            self.session.pause()
        last = self._shown
        if last is not None and not s.is_run_of(last):
            self._follow(s, last)
        if s.measure is not None and (not self._ranks or self._ranks[-1][0] != s.measure.step):
            self._ranks.append((s.measure.step, s.measure.report.rank))
        changed = last is None or not s.is_run_of(last) or (s.state, s.changes) != (last.state, last.changes)
        if changed or time.monotonic() >= self._frame_due:
            self._show_frame(s)

    def _show_frame(self, s: Snapshot) -> None:
        if s.state == "running" and not self.abandoned:
            self._paused_unwatched, self.note = False, ""
        start = time.perf_counter()
        self.show(frame=self._frame(s))
        taken = time.perf_counter() - start
        self._frame_due, self._shown = time.monotonic() + max(FRAME, taken / FRAME_SHARE), s

    def _follow(self, s: Snapshot, last: Snapshot) -> None:
        """Show another run than before: after a reset, a branch, or a swap of the two that are kept."""
        if s.beside is None:  # a reset
            self._ranks, ranks, self._beside = [], self._ranks, None
            if last.step > 1:
                self.show(before=self._curves(last, self.frame["name"], ranks))
            return
        kept = self.name, self._ranks
        if last.beside is not None and s.is_run_of(last.beside) and self._beside is not None:
            self.name, self._ranks = self._beside
        else:
            at = s.branched_at or 0
            *_, (step, words, _) = [[None, "", ""], *self._changes(s)]
            self.name = f"branch at step {at}: {words if step == at else 'no change yet'}"
            self._ranks = [rank for rank in self._ranks if rank[0] <= at]
        self._beside = kept
        self.show(before=self._curves(s.beside, *kept) | {"at": s.branched_at})

    def _curves(self, s: Snapshot, name: str, ranks: list) -> dict:
        """Return the name and the curves of a run that no longer trains."""
        _, curves = shortened(POINTS, range(1, s.step + 1), s.series("loss"), s.series("std"))
        return {
            "name": name,
            "step": s.step,
            "curves": curves.astype(np.float32).tobytes(),
            "knn": [list(pair) for pair in s.knn],
            "ranks": [list(pair) for pair in ranks],
            "at": None,
        }

    def _setup(self) -> dict:
        source = self.session.test if self.session.test is not None else self.session.train
        shown = self.session.measured
        labels = np.zeros(len(shown), np.uint8) if shown.labels is None else shown.labels.numpy().astype(np.uint8)
        factors = {} if shown.factors is None else {"hue": shown.factors.hue.numpy().astype(np.float32).tobytes()}
        return {
            "controls": self.controls,
            "presets": list(self.presets),
            "branches": list(self.branches),
            "main": main_controls(self.controls),
            "about": explanations([*PARTS, *(control["name"] for control in self.controls)]),
            "questions": {
                name: {"text": text, "answers": list(answers)} for name, (text, answers) in self.questions.items()
            },
            "loss_low": -1 if self.start.method == "simsiam" else 0,
            "classes": list(source.classes or ()) if shown.labels is not None else [],
            "labels": labels.tobytes(),
            "factors": factors,
            "circle": hue_circle(HUES),
            "data": described(self.session.train),
            "floor": floor_if_uneven(source.labels),
        }

    def _frame(self, s: Snapshot) -> dict:
        loss = s.series("loss")
        _, curves = shortened(POINTS, range(1, len(loss) + 1), loss, s.series("std"))
        maps = {} if s.measure is None else s.measure.maps
        fields = [control["name"] for control in self.controls]
        return {
            "state": s.state,
            "step": s.step,
            "total": s.total_steps,
            "epoch": s.steps_per_epoch,
            "resets": s.resets,
            "name": self.name,
            "verdict": s.verdict,
            "note": self.note,
            "values": {name: shown_value(s.config, name) for name in fields} | {"seed": s.config.seed},
            "changes": self._changes(s),
            "late": late_change(s),
            "next": next_words(s),
            "inert": inert(s.config, s.state == "done"),
            "branched_at": s.branched_at,
            "curves": curves.astype(np.float32).tobytes(),
            "knn": [list(pair) for pair in s.knn],
            "start_knn": s.start_knn,
            "ranks": [list(pair) for pair in self._ranks],
            "dimensions": s.config.projection_dim,
            "maps": {name: _as_int16(points.numpy(), name == "z") for name, points in maps.items()},
            "map_step": None if s.measure is None else s.measure.step,
            "code": self._code(s),
            "outcome": None if self.prediction is None else self._outcome(s, self.prediction),
        }

    def _changes(self, s: Snapshot) -> list[list]:
        """Return each change as its step, its words, and what came of it; empty as long as that cannot be said."""
        rows: list[list] = []
        config = s.first_config
        for index, (step, fields) in enumerate(s.changes):
            rows.append([step, change_words(config, fields), effect(s, index) or ""])
            config = config.replace(**fields)
        return rows

    def _code(self, s: Snapshot) -> str:
        """Return the line of Python that rebuilds the run, or a comment that says why none can."""
        try:
            own = self.session.trainer.transform
            return Experiment(
                self._data, s.first_config, s.changes, s.step, transform=None if own is None else own.name
            ).code
        except ExperimentError as error:
            return f"# {error}"

    def _outcome(self, s: Snapshot, prediction: dict) -> dict:
        """Return the learner's answers beside those that hold for the run so far."""
        right = outcomes(s)
        return {
            name: {"guess": guess, "seen": right.get(name), "text": self.questions[name][0]}
            for name, guess in prediction.items()
        }

    def prepare_picture(self, steps: int = 400) -> None:
        """Train a little if the run is at step 0, so that a page without a kernel has something to show."""
        s = self.session.snapshot()
        if s.step == 0:
            self.session.run(steps=min(steps, s.total_steps // 4))
            self._show_frame(self.session.snapshot())

    # --- its end ---------------------------------------------------------------------------------

    def interrupted(self) -> None:
        """Pause the run when the kernel is interrupted."""
        self.session.pause()

    def end(self) -> None:
        """End the session when the panel is closed."""
        self._unsubscribe()
        self.session.close()


def next_words(s: Snapshot) -> str:
    """Return what can be done with a run that has ended, or an empty text."""
    if s.state == "done":
        return "finished: branch from an earlier step with one change, reset to begin anew, or copy the experiment"
    if s.state == "failed":
        return "it cannot go on: branch from a step before it failed, or lower the learning rate and reset"
    return ""


def _as_int16(points: np.ndarray, directions: bool) -> bytes:
    """Return a map (M, 2) as int16 in units of 1/32000; empty if a number is not finite.

    A map of directions keeps its scale, because its spread shows a collapse. Others are scaled to fill [−1, 1].
    """
    if not np.isfinite(points).all():
        return b""
    points = points - (points.max(0) + points.min(0)) / 2
    scale = 1.0 if directions else max(np.abs(points).max(), 1e-12)
    return (points / scale * 32000).clip(-32767, 32767).astype(np.int16).tobytes()
