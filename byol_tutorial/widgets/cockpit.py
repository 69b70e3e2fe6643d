"""The cockpit: one run, its controls, its curves, its map and its verdict, while it trains.

    bt.widgets.cockpit()                                  # "shapes", the default recipe
    bt.widgets.cockpit(config, train, test)
    panel = bt.widgets.cockpit(session)                   # a session of your own, or one that bt.rebuild made
    panel.session.run(steps=100)                          # drive it from a cell; the panel follows

A slider sends its value at once; the session applies it between two steps and marks it on the curves. Training is
on the session's thread, drawing in the browser; Python only hands over the numbers, twice a second.
"""

import time
from concurrent.futures import Future
from typing import Any

import numpy as np
import torch
import traitlets

from ..config.config import FIELDS, LIVE, Config
from ..config.fields import Pair
from ..config.paper_tables import NO_SHARPENING
from ..config.presets import preset
from ..data.fingerprint import fingerprint
from ..data.image_set import ImageSet
from ..data.loading import load
from ..data.streaming import StreamedSet
from ..evaluate.diagnose import collapse_verdict
from ..live.experiment import Experiment
from ..live.session import Session
from ..live.snapshot import Snapshot
from .assets import script, source
from .film import hue_circle
from .panel import Panel

FRAME = 0.5  # seconds between two pictures while nothing but steps happens; a change is shown at once
POINTS = 800  # a curve has at most so many; longer runs are averaged in blocks
HUES = 24  # colours of the circle
LATE = 25  # steps over which an outcome is averaged

# field, label, and where the slider differs from the field's own bounds
CONTROLS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("Algorithm", "tau_base", "decay rate τ", {"scale": "tau", "low": 0, "high": 1}),
    ("Algorithm", "predictor", "predictor q", {}),
    ("Algorithm", "target", "target network", {}),
    ("Algorithm", "stop_gradient", "stop-gradient", {}),
    ("Algorithm", "symmetric", "symmetric loss", {}),
    ("Algorithm", "negatives_weight", "negatives β", {}),
    ("Algorithm", "negatives", "negatives", {}),
    ("Algorithm", "temperature", "temperature α", {"scale": "log", "low": 0.02, "high": 2}),
    ("Algorithm", "centering", "centring", {}),
    ("Algorithm", "center_momentum", "momentum m of the centre", {}),
    ("Algorithm", "teacher_temperature", "temperature τ_t, teacher", {"scale": "log", "low": 0.002, "high": 0.2}),
    ("Algorithm", "student_temperature", "temperature τ_s, student", {"scale": "log", "low": 0.02, "high": 1}),
    ("Algorithm", "koleo_weight", "weight of KoLeo", {"low": 0, "high": 1}),
    ("Optimiser", "lr", "learning rate", {"scale": "log", "low": 0.001, "high": 10}),
    ("Optimiser", "predictor_lr_multiplier", "predictor's rate, times", {"scale": "log", "low": 0.01, "high": 100, "zero": True}),
    ("Optimiser", "weight_decay", "weight decay", {"scale": "log", "low": 1e-6, "high": 0.1, "zero": True}),
    ("Augmentation", "crop_area", "smallest crop, of the area", {"low": 0.05}),
    ("Augmentation", "hue", "hue", {}),
    ("Augmentation", "brightness", "brightness", {}),
    ("Augmentation", "contrast", "contrast", {}),
    ("Augmentation", "saturation", "saturation", {}),
    ("Augmentation", "grayscale_p", "P(grayscale)", {}),
    ("Augmentation", "blur_p", "P(blur)", {}),
    ("Augmentation", "solarize_p", "P(solarize)", {}),
    ("New run", "batch_size", "batch size", {"scale": "choice", "options": [16, 32, 64, 128]}),
    ("New run", "epochs", "epochs", {"scale": "choice", "options": [4, 8, 12, 24, 48]}),
    ("New run", "width", "encoder width", {"scale": "choice", "options": [8, 16, 24, 32]}),
    ("New run", "norm", "normalisation", {}),
)  # fmt: skip
LOWER_ONLY = {"crop_area"}  # a pair (low, high), of which the slider moves the first

PRESETS: dict[str, dict] = {  # of BYOL; of its relatives PRESETS_OF
    "healthy": {},
    "no predictor": {"predictor": "identity"},
    "no stop-gradient": {"stop_gradient": False},
    "τ = 1": {"target": "random"},
    "τ = 0": {"target": "online"},
    "colour shortcut": {"jitter_p": 0.0, "grayscale_p": 0.0},
}

PRESETS_OF: dict[str, dict[str, dict]] = {
    "byol": PRESETS,
    "simclr": {"healthy": {}, "no negatives": {"negatives": False}, "colour shortcut": PRESETS["colour shortcut"]},
    "simsiam": {name: PRESETS[name] for name in ("healthy", "no predictor", "no stop-gradient", "colour shortcut")},
    "dino": {
        "healthy": {},
        "no centring": {"centering": "none"},
        "no sharpening": NO_SHARPENING,
        "colour shortcut": PRESETS["colour shortcut"],
    },
}

QUESTIONS = {
    "loss": ("The loss", ("goes to zero", "falls, but not to zero", "does not fall")),
    "spread": ("The spread √d·std", ("stays up", "shrinks", "vanishes")),
    "knn": ("The kNN accuracy", ("rises above the untrained encoder's", "stays near it", "falls below it")),
}
SPREAD_ANSWER = {"healthy": 0, "partial collapse": 1, "collapse": 2}  # which answer on the spread is right


def cockpit(
    run: Session | Config | None = None,
    train: ImageSet | StreamedSet | None = None,
    test: ImageSet | StreamedSet | None = None,
    device: str | torch.device = "auto",
) -> "Cockpit":
    """A panel for one run; it stands at the run's first step until play is pressed.

    Args:
        run: a Config, or a Session that exists. Default: the recipe for "shapes".
        train, test: as for Trainer. Default: "shapes".

    Raises:
        ConfigError, DataError, TrainingError: as Trainer does.
    """
    if not isinstance(run, Session):
        if train is None:
            train, test = load("shapes"), load("shapes", "test") if test is None else test
        run = Session(run or preset("shapes"), train, test, device)
    return Cockpit(run)


class Cockpit(Panel):
    """See `cockpit`. `session` is the run.

    frame: all that moves, as one record, replaced up to twice a second. setup: what stays.
    before: the curves of the run before the last reset, drawn pale behind the new ones.
    """

    _esm = source("plots", "js") + script("cockpit.js")
    _css = source("cockpit", "css")
    setup = traitlets.Dict().tag(sync=True)
    frame = traitlets.Dict().tag(sync=True)
    before = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)

    def __init__(self, session: Session):
        self.session = session
        self.start = session.snapshot().first_config
        method = self.start.method
        self.presets = PRESETS_OF[method]
        # the loss of a relative has its own least value, and says less
        self.questions = {key: q for key, q in QUESTIONS.items() if key != "loss" or method == "byol"}
        self.controls = [row for row in CONTROLS if method in FIELDS[row[1]].metadata["of"]]
        if self.start.encoder != "small":
            self.controls = [row for row in self.controls if row[1] != "width"]
        self.name = "your settings"
        self.prediction: dict | None = None
        self.note = ""
        self._data = fingerprint(session.train)
        self._ranks: list[tuple[int, float]] = []
        self._drawn_at = 0.0
        self._drawn: Snapshot | None = None
        self._left_to_itself = False
        super().__init__(setup=self._setup(), frame=self._frame(session.snapshot()))
        self._leave = session.subscribe(self._on_snapshot)

    # --- commands from the browser, which only give orders to the session ------------------------

    def do_play(self) -> None:
        self._watch(self.session.start())

    def do_pause(self) -> None:
        self._watch(self.session.pause())

    def do_step(self, n: int = 1) -> None:
        self._watch(self.session.step(int(n)))

    def do_reset(self) -> None:
        self.prediction = None
        self._watch(self.session.reset())

    def do_undo(self) -> None:
        self._watch(self.session.undo())

    def do_speed(self, value: float | None) -> None:
        self.session.speed = None if value is None else float(value)

    def do_change(self, name: str, value: Any) -> None:
        """One control was moved. A structural field begins a new run; see Session.change."""
        config = self.session.config
        if name in FIELDS and isinstance(getattr(config, name), int) and not isinstance(value, bool):
            value = int(value) if isinstance(value, str) or float(value).is_integer() else value
        if name in LOWER_ONLY:
            value = (value, max(value, getattr(config, name)[1]))
        if self.name in self.presets and name != "seed":
            self.name = f"{self.name}, changed"
        self._watch(self.session.change(**{name: value}))

    def do_preset(self, name: str, prediction: dict | None = None) -> None:
        """Begin a new run with one part of the first config changed, and play it."""
        if name not in self.presets:
            raise ValueError(f"preset {name!r}: choose one of {', '.join(self.presets)}")
        changes = self.presets[name] | {"seed": self.session.config.seed}
        begun = self.session.reset(self.start, **changes)
        begun.add_done_callback(lambda _: setattr(self, "name", name))
        self._watch(begun)
        self.prediction = {k: v for k, v in (prediction or {}).items() if k in self.questions and v} or None
        self._watch(self.session.start())

    def _watch(self, future: Future) -> None:
        """Show what becomes of an order: its error is words in the panel."""

        def done(future: Future) -> None:
            error = future.exception()
            self.show(problem="" if error is None else f"{error}" or type(error).__name__)
            if error is not None:
                self._draw(self.session.snapshot())  # the control goes back to the value in force

        future.add_done_callback(done)

    # --- pictures to the browser -----------------------------------------------------------------

    def _on_snapshot(self, s: Snapshot) -> None:
        """On the session's thread, after every step."""
        if s.state == "running" and self.abandoned and not self._left_to_itself:
            self._left_to_itself = True
            self.note = "paused, since no page showed it any more"
            self.session.pause()
        last = self._drawn
        if last is not None and s.resets != last.resets:
            self._keep_curves(last)
            self._ranks = []
        if s.measure is not None and (not self._ranks or self._ranks[-1][0] != s.measure.step):
            self._ranks.append((s.measure.step, s.measure.report.rank))
        news = last is None or (s.state, s.resets, len(s.changes)) != (last.state, last.resets, len(last.changes))
        if news or time.monotonic() - self._drawn_at >= FRAME:
            self._draw(s)

    def _draw(self, s: Snapshot) -> None:
        if s.state == "running" and not self.abandoned:
            self._left_to_itself, self.note = False, ""
        self.show(frame=self._frame(s))
        self._drawn_at, self._drawn = time.monotonic(), s

    def _keep_curves(self, s: Snapshot) -> None:
        if s.step > 1:
            frame = self.frame
            self.show(before={"name": frame["name"], **{k: frame[k] for k in ("curves", "knn", "ranks", "step")}})

    def _setup(self) -> dict:
        source = self.session.test if self.session.test is not None else self.session.train
        shown = self.session.measured
        labels = np.zeros(len(shown), np.uint8) if shown.labels is None else shown.labels.numpy().astype(np.uint8)
        factors = {} if shown.factors is None else {"hue": shown.factors.hue.numpy().astype(np.float32).tobytes()}
        return {
            "controls": [_control(*row, self.start) for row in self.controls],
            "presets": list(self.presets),
            "questions": {
                key: {"text": text, "answers": list(answers)} for key, (text, answers) in self.questions.items()
            },
            "loss_low": -1 if self.start.method == "simsiam" else 0,
            "classes": list(source.classes or ()) if shown.labels is not None else [],
            "labels": labels.tobytes(),
            "factors": factors,
            "circle": hue_circle(HUES),
            "data": f"{self.session.train!r}",
        }

    def _frame(self, s: Snapshot) -> dict:
        steps, loss, std = _blocks(s.series("loss"), s.series("std"))
        measure = s.measure
        return {
            "state": s.state,
            "step": s.step,
            "total": s.total_steps,
            "epoch": s.steps_per_epoch,
            "resets": s.resets,
            "name": self.name,
            "verdict": s.verdict,
            "note": self.note,
            "values": {name: _shown(s.config, name) for _, name, _, _ in self.controls} | {"seed": s.config.seed},
            "changes": [[step, _words(fields)] for step, fields in s.changes],
            "curves": np.stack((steps, loss, std)).astype(np.float32).tobytes(),
            "knn": [list(pair) for pair in s.knn],
            "start_knn": s.start_knn,
            "ranks": [list(pair) for pair in self._ranks],
            "dimensions": s.config.projection_dim,
            "maps": {} if measure is None else {k: _as_int16(m.numpy(), k == "z") for k, m in measure.maps.items()},
            "map_step": None if measure is None else measure.step,
            "code": Experiment(self._data, s.first_config, s.changes, s.step).code,
            "outcome": None if self.prediction is None else self._outcome(s),
        }

    def _outcome(self, s: Snapshot) -> dict:
        """The learner's answers beside what the run says so far."""
        seen = judged(s)
        return {
            k: {"guess": guess, "seen": seen.get(k), "text": QUESTIONS[k][0]}
            for k, guess in (self.prediction or {}).items()
        }

    def rehearse(self, steps: int = 400) -> None:
        """Train a little, if nobody has: for a page that shows the last picture."""
        s = self.session.snapshot()
        if s.step == 0:
            self.session.run(steps=min(steps, s.total_steps // 4))
            self._draw(self.session.snapshot())

    # --- its end ---------------------------------------------------------------------------------

    def interrupted(self) -> None:
        self.session.pause()

    def end(self) -> None:
        self._leave()
        self.session.close()


def judged(s: Snapshot) -> dict[str, str]:
    """The answers to QUESTIONS that a run gives so far; those that it cannot give yet are missing."""
    answers = {}
    loss, std = s.series("loss"), s.series("std")
    if s.step >= 2 * LATE:
        first, last = sum(loss[:LATE]) / LATE, sum(loss[-LATE:]) / LATE
        answers["loss"] = QUESTIONS["loss"][1][0 if last < 0.1 else 1 if last < 0.9 * first else 2]
        spread = sum(std[-LATE:]) / LATE
        answers["spread"] = QUESTIONS["spread"][1][SPREAD_ANSWER[collapse_verdict(spread)]]
    if s.knn and s.start_knn is not None:
        more = s.knn[-1][1] - s.start_knn
        answers["knn"] = QUESTIONS["knn"][1][0 if more > 0.05 else 1 if more > -0.05 else 2]
    return answers


def _control(group: str, name: str, label: str, over: dict, config: Config) -> dict:
    """What the browser needs to know to draw a control: mostly what the Config's field says of itself."""
    f, meta = FIELDS[name], FIELDS[name].metadata
    kind = "switch" if f.type is bool else "choice" if meta["choices"] or over.get("scale") == "choice" else "slider"
    options = list(meta["choices"] or over.get("options", ()))
    value = _shown(config, name)
    if kind == "choice" and value not in options:
        options = sorted([*options, value])
    return {
        "group": group, "name": name, "label": label, "kind": kind, "options": options, "help": meta["help"],
        "live": name in LIVE, "low": over.get("low", meta["low"]), "high": over.get("high", meta["high"]),
        "scale": over.get("scale", "linear"), "zero": over.get("zero", False), "value": value,
    }  # fmt: skip


def _shown(config: Config, name: str) -> Any:
    """A field's value as its control shows it: of a pair the first."""
    value = getattr(config, name)
    return value[0] if FIELDS[name].type is Pair else value


def _words(fields: dict) -> str:
    def one(name: str, value: Any) -> str:
        if isinstance(value, tuple):
            value = f"{value[0]:g}" if value[0] == value[1] or name in LOWER_ONLY else f"({value[0]:g}, {value[1]:g})"
        elif isinstance(value, float):
            value = f"{value:g}"
        elif isinstance(value, bool):
            value = "on" if value else "off"
        return f"{name} {value}"

    return ", ".join(one(name, value) for name, value in fields.items())


def _blocks(*series: list[float]) -> tuple[np.ndarray, ...]:
    """Steps 1..n and the series, averaged in blocks where they have more than POINTS values."""
    n = len(series[0])
    rows = np.stack([np.arange(1, n + 1), *map(np.asarray, series)]).astype(np.float64)
    size = -(-n // POINTS) or 1
    starts = np.arange(0, n, size)
    if size == 1 or n == 0:
        return tuple(rows)
    return tuple(np.add.reduceat(rows, starts, axis=1) / np.diff(np.append(starts, n)))


def _as_int16(points: np.ndarray, directions: bool) -> bytes:
    """A map in units of 1/32000: of directions as it is, for their spread is the point; others are made to fill [−1, 1].

    Empty where there is nothing finite to show.
    """
    if not np.isfinite(points).all():
        return b""
    points = points - (points.max(0) + points.min(0)) / 2
    scale = 1.0 if directions else max(np.abs(points).max(), 1e-12)
    return (points / scale * 32000).clip(-32767, 32767).astype(np.int16).tobytes()
