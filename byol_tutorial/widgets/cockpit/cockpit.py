"""The cockpit's widget: one run, its controls, its curves, its map and its verdict, while it trains.

    bt.widgets.cockpit()                                  # "shapes", the default recipe
    bt.widgets.cockpit(config, train, test)
    panel = bt.widgets.cockpit(session)                   # an existing session, or one that bt.rebuild made
    panel.session.run(steps=100)                          # train from a cell; the panel follows

A slider sends its value at once; the session applies it between two steps, and the curves show a mark there. Training
happens on the session's thread and drawing in the browser. Python only sends the numbers, about ten times a second, or less
often where a frame takes long: a frame that costs c seconds is followed by none for c / FRAME_SHARE.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future

import torch
import traitlets

from ...config.config import LIVE, Config
from ...config.errors import UserError
from ...config.presets import preset
from ...data.fingerprint import fingerprint
from ...data.image_set import ImageSet
from ...data.loading import load
from ...data.streaming import StreamedSet
from ...live.session import Session
from ...live.snapshot import Measure, Snapshot
from ..assets import script, source
from ..panel import Panel
from ..predictions import answers, questions
from .controls import PRESETS, changed_value, controls, main_controls
from .frames import changes_of, code_of, curves_of, frame_of, link_of, maps_of, passed_of, setup_of

FRAME = 0.08  # seconds between two frames, at least, while only steps are made; a change is sent at once
FRAME_SHARE = 0.018  # of the time, at most, is spent on such frames
SAME, LAST = "no change yet", "the last change"  # branches without a preset of their name


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

    setup: what stays the same. frame: everything that changes, as one record, replaced about ten times a second.
    passed: what went through the networks in the last step that was measured. before: the curves of the run before the
    last reset, drawn pale behind the new ones. See frames.py.
    """

    _esm = source("plots", "js") + "".join(
        script(f"{name}.js")
        for name in ("dots", "hints", "diagram", "switches", "tour", "share", "cockpit_tour", "cockpit")
    )
    _css = source("cockpit", "css")
    setup = traitlets.Dict().tag(sync=True)
    frame = traitlets.Dict().tag(sync=True)
    passed = traitlets.Dict().tag(sync=True)
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
        self._own_speed: float | None = None  # the session's own limit while the tour lets it train slowly
        self._slowed = False
        self._shown: Snapshot | None = None  # the last one that was sent to the browser
        self._mapped: tuple[Measure | None, dict[str, bytes]] = (None, {})  # the last measure shown, and its maps
        self._frame_due = 0.0  # when the next frame is sent, by time.monotonic
        self._code, self._link = "", {"fragment": "", "why": ""}  # the run as a line of Python, and for the playground
        self._code_due = 0.0  # when both are written again while the run trains
        self._paused_unwatched = False  # whether the run stands because the panel paused it: no page showed it
        self._may_pause = True  # once while no page shows it; a run that is started again meanwhile goes on
        session.branching = True
        super().__init__(
            setup=self._setup(), frame=self._frame(session.snapshot()), passed=passed_of(session.snapshot())
        )
        self._unsubscribe = session.subscribe(self._on_snapshot)

    # --- commands from the browser, passed on to the session -------------------------------------

    def do_play(self) -> None:
        """Train on."""
        self._show_error_of(self.session.start())

    def do_pause(self) -> None:
        """Pause the run."""
        self._show_error_of(self.session.pause(self._by_hand))

    def do_step(self, n: int = 1) -> None:
        """Make n steps, then pause."""
        self._show_error_of(self.session.step(n))

    def do_reset(self) -> None:
        """Start again at step 0."""
        self.prediction = None
        self._show_error_of(self.session.reset())

    def do_undo(self) -> None:
        """Undo the last change."""
        self._show_error_of(self.session.undo())

    def do_speed(self, value: float | None) -> None:
        """Limit the steps a second; None removes the limit."""
        self.session.speed, self._slowed = value, False

    def do_slow(self, value: float | None) -> None:
        """Limit the steps a second for a while; None ends this with the limit that was there before, or was set since."""
        if value is not None and not self._slowed:
            self._own_speed, self._slowed = self.session.speed, True
        if self._slowed:
            self.session.speed = self._own_speed if value is None else value
            self._slowed = value is not None

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
        last = self._shown
        if s.state == "running" and (last is None or last.state != "running"):
            self._paused_unwatched = False
        if s.state == "running" and self._may_pause and not self.session.awaited and self.abandoned:
            self.session.pause(self._unwatched)
        if last is not None and not s.is_run_of(last):
            self._follow(s, last)
        if s.measure is not None and (not self._ranks or self._ranks[-1][0] != s.measure.step):
            self._ranks.append((s.measure.step, s.measure.report.rank))
        changed = last is None or not s.is_run_of(last) or (s.state, s.changes) != (last.state, last.changes)
        if changed or time.monotonic() >= self._frame_due:
            self._show_frame(s)

    def _show_frame(self, s: Snapshot) -> None:
        if s.state == "running" and not self.abandoned:
            self._may_pause, self.note = True, ""
        start, worked = time.perf_counter(), time.thread_time()
        self.show(frame=self._frame(s))
        if self._shown is None or s.measure is not self._shown.measure:
            self.show(passed=passed_of(s))
        # Without the time in which other programs have the core, and never more than has passed: some clocks are coarse.
        taken = min(time.perf_counter() - start, time.thread_time() - worked)
        self._frame_due, self._shown = time.monotonic() + max(FRAME, taken / FRAME_SHARE), s

    def _follow(self, s: Snapshot, last: Snapshot) -> None:
        """Show another run than before: after a reset, a branch, or a swap of the two that are kept."""
        if s.beside is None:  # a reset
            self._ranks, ranks, self._beside = [], self._ranks, None
            if last.step > 1:
                self.show(before=curves_of(last, self.frame["name"], ranks))
            return
        kept = self.name, self._ranks
        if last.beside is not None and s.is_run_of(last.beside) and self._beside is not None:
            self.name, self._ranks = self._beside
        else:
            at = s.branched_at or 0
            *_, (step, words, _) = [[None, "", ""], *changes_of(s)]
            self.name = f"branch at step {at}: {words if step == at else 'no change yet'}"
            self._ranks = [rank for rank in self._ranks if rank[0] <= at]
        self._beside = kept
        self.show(before=curves_of(s.beside, *kept) | {"at": s.branched_at})

    def _setup(self) -> dict:
        return setup_of(self.session, self.controls) | {
            "presets": list(self.presets),
            "branches": list(self.branches),
            "main": main_controls(self.controls),
            "questions": {
                name: {"text": text, "answers": list(answers)} for name, (text, answers) in self.questions.items()
            },
        }

    def _frame(self, s: Snapshot) -> dict:
        now = time.monotonic()
        if s.state != "running" or now >= self._code_due:
            own = self.session.trainer.transform
            transform = None if own is None else own.name
            self._code, self._link = code_of(s, self._data, transform), link_of(s, self._data, transform)
            self._code_due = now + 1
        if s.measure is not self._mapped[0]:  # many frames show one measure
            self._mapped = s.measure, maps_of(s.measure)
        return frame_of(s, self.controls, self._ranks, self._mapped[1]) | {
            "name": self.name,
            "note": self.note,
            "code": self._code,
            "link": self._link,
            "outcome": None if self.prediction is None else answers(s, self.prediction, self.questions),
        }

    def prepare_picture(self, steps: int = 400) -> None:
        """Train a little if the run is at step 0, so that a page without a kernel has something to show."""
        s = self.session.snapshot()
        if s.step == 0:
            self.session.run(steps=min(steps, s.total_steps // 4))
            self._show_frame(self.session.snapshot())

    # --- its end ---------------------------------------------------------------------------------

    def _unwatched(self) -> bool:
        """Return whether to pause because no page shows the run. A step() or run() goes on to its end: a cell waits for it.

        Like the two functions below it is asked on the session's thread, so that the order of commands decides.
        """
        paused = self.session.state == "running" and not self.session.awaited and self.abandoned
        if paused:
            self._paused_unwatched, self._may_pause = True, False
            self.note = "paused, because no page showed it any more"
        return paused

    def _by_hand(self) -> bool:
        """Note that the user pauses the run, so that it stays paused when a page comes back."""
        self._paused_unwatched = False
        return True

    def returned(self) -> None:
        """Go on with a run that was paused while the network was down, or the browser had suspended the page."""
        self.session.start(lambda: self._paused_unwatched and self.session.state == "paused")

    def interrupted(self) -> None:
        """Pause the run when the kernel is interrupted."""
        self.session.pause(self._by_hand)

    def end(self) -> None:
        """End the session when the panel is closed."""
        self._unsubscribe()
        self.session.close()
