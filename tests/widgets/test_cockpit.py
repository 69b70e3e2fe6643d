"""The cockpit without a browser: commands reach the session, frames hold its state, and nothing is left behind."""

import gc
import os
import sys
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
from ipywidgets.widgets import widget as registry

import byol_tutorial as bt
from byol_tutorial.config.config import FIELDS, LIVE
from byol_tutorial.config.errors import SessionError
from byol_tutorial.config.fields import METHODS
from byol_tutorial.live.curves import shortened
from byol_tutorial.widgets.cockpit import Cockpit, cockpit
from byol_tutorial.widgets.cockpit.controls import BYOL_PRESETS, CONTROLS
from byol_tutorial.widgets.cockpit.explanations import TEXTS
from byol_tutorial.widgets.cockpit.inert import inert
from byol_tutorial.widgets.explained import LESSONS
from byol_tutorial.widgets.predictions import QUESTIONS, outcomes

TINY = {"width": 4, "hidden_dim": 16, "projection_dim": 8, "batch_size": 8, "epochs": 20, "warmup_epochs": 1.0}
WAIT = 60


@pytest.fixture(scope="module")
def images():
    return bt.load("shapes", limit=44), bt.load("shapes", "test", limit=40)


@pytest.fixture
def panel(images):
    panel = cockpit(bt.Config(**TINY), *images, device="cpu")
    yield panel
    panel.close()


def send(panel, **message):
    """Send a message as the browser does, and wait until it is carried out. One more command waits for all before."""
    panel.command(message)
    panel.session.change().result(WAIT)


def arrays(frame):
    return np.frombuffer(frame["curves"], np.float32).reshape(3, -1)


# --- commands -----------------------------------------------------------------------------------


def test_play_pause_step_and_reset(panel):
    send(panel, do="play")
    assert panel.frame["state"] == "running"
    send(panel, do="pause")
    assert panel.frame["state"] == panel.session.state == "paused"
    step = panel.session.snapshot().step
    send(panel, do="step", n=1)
    panel.session.run(steps=1)
    assert panel.frame["step"] > step
    send(panel, do="reset")
    assert (panel.frame["state"], panel.frame["step"]) == ("idle", 0)


EACH = [(method, row[1]) for method in METHODS for row in CONTROLS if method in FIELDS[row[1]].metadata["of"]]


@pytest.mark.parametrize(
    ("method", "name"), [(m, n) for m, n in EACH if m == "byol" or "byol" not in FIELDS[n].metadata["of"]]
)
def test_every_control_changes_the_config_or_begins_anew(images, method, name):
    panel = cockpit(bt.Config(method=method, **TINY), *images, device="cpu")
    spec = next(c for c in panel.setup["controls"] if c["name"] == name)
    others = [o for o in spec["options"] if o != spec["value"] and (name != "batch_size" or o <= 44)]
    value = {"switch": lambda: not spec["value"], "choice": lambda: others[0]}.get(
        spec["kind"], lambda: (spec["low"] + spec["high"]) / 3
    )()
    panel.session.run(steps=2)
    send(panel, do="change", name=name, value=value)
    assert panel.problem == ""
    now = getattr(panel.session.config, name)
    now = now[0] if isinstance(now, tuple) else now
    assert now == panel.frame["values"][name] == value
    if name in LIVE:
        assert panel.session.snapshot().step == 2
        assert panel.frame["changes"][-1][0] == 2
    else:
        assert panel.session.snapshot().step == 0
    assert spec["live"] == (name in LIVE)
    assert spec["help"] == FIELDS[name].metadata["help"]
    panel.close()


def test_every_control_plot_and_button_has_an_explanation_that_leads_to_a_lesson(panel):
    names = [row[1] for row in CONTROLS]
    parts = [
        "loss",
        "std",
        "rank",
        "knn",
        "map",
        "verdict",
        "play",
        "step",
        "reset",
        "undo",
        "fork",
        "swap",
        "seed",
        "preset",
    ]
    assert set(names + parts) <= TEXTS.keys()
    notebooks = Path(__file__).parents[2] / "notebooks"
    assert all((notebooks / f"{file}.md").exists() for file, _ in LESSONS.values())
    assert {lesson for *_, lesson in TEXTS.values()} <= LESSONS.keys()
    assert len(panel.setup["main"]) == 6
    assert panel.setup["about"]["tau_base"]["equation"] == "ξ ← τ ξ + (1 − τ) θ"


@pytest.mark.parametrize("method", METHODS)
def test_a_method_has_the_controls_presets_and_questions_that_mean_something_in_it(images, method):
    panel = cockpit(bt.preset(method if method != "byol" else "shapes", **TINY), *images, device="cpu")
    try:
        assert [c["name"] for c in panel.setup["controls"]] == [name for m, name in EACH if m == method]
        assert list(panel.setup["questions"]) == [q for q in QUESTIONS if q != "loss" or method == "byol"]
        for name in panel.setup["presets"]:
            send(panel, do="preset", name=name, prediction={"knn": "stays near it"})
            send(panel, do="pause")
            assert panel.problem == ""
            assert panel.frame["name"] == name
            expected = bt.preset(method if method != "byol" else "shapes", **TINY).replace(**panel.presets[name])
            assert panel.session.config == expected
    finally:
        panel.close()


def test_the_crop_slider_moves_the_smallest_area_alone(panel):
    send(panel, do="change", name="crop_area", value=0.3)
    assert panel.session.config.crop_area == (0.3, 1.0)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"do": "change", "name": "tau_base", "value": 3}, "tau_base=3: give a number at least 0 and at most 1"),
        ({"do": "change", "name": "batch_size", "value": 128}, "the set has 44 images"),
        ({"do": "change", "name": "width", "value": 1024}, "choose one of 4, 8, 16"),
        ({"do": "change", "name": "lr", "value": 11}, "lr=11: the slider goes from 0.001 to 10"),
        ({"do": "change", "name": "method", "value": "dino"}, "'method' has no control here"),
        ({"do": "change", "name": "no_such", "value": 1}, "not a field of Config"),
        ({"do": "fly"}, "'fly' is not a command"),
        ({"do": "preset", "name": "fastest"}, "choose one of healthy"),
        ({"do": "undo"}, "no change to undo"),
        ({"do": "step", "n": 0}, "at least 1"),
        ({"do": "fork", "step": 1}, "0 to 0"),
        ({"do": "fork", "step": 0, "change": "magic"}, "choose one of no change yet"),
        ({"do": "swap"}, "no other run"),
    ],
)
def test_a_bad_command_shows_an_error_and_changes_nothing(panel, message, words):
    before = panel.session.config
    send(panel, **message)
    assert words in panel.problem
    assert panel.session.config == before
    send(panel, do="change", name="tau_base", value=0.5)
    assert panel.problem == ""  # and it goes with the next command


def test_a_failing_run_shows_its_error(panel):
    def broken():
        raise MemoryError("no more room")

    panel.session.trainer.step = broken
    with pytest.raises(SessionError):
        panel.session.run()
    assert panel.frame["state"] == "failed"
    assert "no more room" in panel.frame["verdict"]


def test_undo_gives_the_control_its_value_back(panel):
    send(panel, do="change", name="tau_base", value=0.5)
    assert panel.frame["values"]["tau_base"] == 0.5
    send(panel, do="undo")
    assert panel.frame["values"]["tau_base"] == bt.Config(**TINY).tau_base


@pytest.mark.parametrize("name", BYOL_PRESETS)
def test_a_preset_is_the_first_config_with_one_change(panel, name):
    send(panel, do="change", name="tau_base", value=0.5)
    send(panel, do="preset", name=name)
    assert panel.session.snapshot().first_config == bt.Config(**TINY).replace(**BYOL_PRESETS[name])
    send(panel, do="pause")
    assert panel.frame["name"] == name
    send(panel, do="change", name="hue", value=0.1)
    panel.session.run(steps=1)
    assert panel.frame["name"] == f"{name}, changed"


def test_a_preset_keeps_the_seed(panel):
    send(panel, do="change", name="seed", value=7)
    send(panel, do="preset", name="no predictor")
    assert panel.session.config.seed == 7


# --- what is said -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"predictor": "identity"}, "predictor removed"),
        ({"predictor": "linear"}, "predictor q mlp → linear"),
        ({"stop_gradient": False}, "stop-gradient cut"),
        ({"tau_base": 0.99}, "decay rate τ 0.7 → 0.99"),
        ({"lr": 10.0, "symmetric": False}, "learning rate 0.5 → 10, symmetric loss off"),
        ({"crop_area": (0.3, 1.0)}, "smallest crop, of the area 0.5 → 0.3"),
        ({"grayscale_p": 0.0}, "P(grayscale) 0.3 → 0"),
        ({"jitter_p": (0.0, 1.0)}, "jitter_p 1 → (0, 1)"),  # it has no control
    ],
)
def test_a_change_in_words(images, fields, words):
    panel = cockpit(bt.Config(**TINY, tau_base=0.7, lr=0.5), *images, device="cpu")
    panel.session.run(steps=1)
    panel.session.change(**fields).result(WAIT)
    assert panel.frame["changes"] == [[1, words, ""]]
    panel.close()


def test_words_name_the_value_that_each_change_found(panel):
    panel.session.run(steps=1)
    for name, value in (("predictor", "identity"), ("predictor", "mlp"), ("lr", 0.1), ("lr", 0.2)):
        send(panel, do="change", name=name, value=value)
        panel.session.run(steps=1)
    words = [words for _, words, _ in panel.frame["changes"]]
    assert words[:2] == ["predictor removed", "predictor back: mlp"]
    assert words[3] == "learning rate 0.1 → 0.2"


def test_what_came_of_a_change_is_said_after_thirty_steps(panel):
    panel.session.run(steps=20)
    send(panel, do="change", name="lr", value=0.01)
    panel.session.run(steps=29)
    assert panel.frame["changes"][0][2] == ""
    panel.session.run(steps=1)
    said = panel.frame["changes"][0][2]
    std = panel.session.trainer.history.std
    assert said.startswith(f"spread {sum(std[10:20]) / 10:.2f} → {sum(std[45:50]) / 5:.2f} while the loss ")


def test_a_late_change_and_the_way_back(panel):
    panel.session.run(steps=90)
    assert panel.frame["late"] is None
    send(panel, do="change", name="predictor", value="identity")
    late = panel.frame["late"]
    assert "little can change now; go back to epoch" in late["words"]
    send(panel, do="fork", step=late["step"], change="the last change")
    send(panel, do="pause")
    assert panel.session.snapshot().changes == ((late["step"], {"predictor": "identity"}),)
    assert panel.frame["late"] is None
    assert panel.frame["step"] < 90


def test_a_run_that_has_ended_says_what_to_do_next(panel):
    assert panel.frame["next"] == ""
    panel.session.run()
    assert panel.frame["next"].startswith("finished: branch")
    assert set(panel.frame["inert"]) == set(LIVE)
    send(panel, do="fork", step=50, change="no predictor")
    send(panel, do="pause")
    assert panel.frame["next"] == ""
    assert panel.frame["inert"].keys() == {"temperature", "predictor_lr_multiplier"}


SWITCHED_OFF = [
    ({}, {"temperature"}),
    ({"negatives_weight": 0.5}, set()),
    ({"target": "online"}, {"temperature", "tau_base"}),
    ({"target": "random"}, {"temperature", "tau_base"}),
    ({"stop_gradient": False}, {"temperature", "tau_base", "target"}),
    ({"predictor": "fixed"}, {"temperature", "predictor_lr_multiplier"}),
    ({"jitter_p": 0.0}, {"temperature", "hue", "brightness", "contrast", "saturation"}),
    ({"grayscale_p": 1.0}, {"temperature"}),  # colours are changed before they are taken away
]


@pytest.mark.parametrize(("fields", "off"), SWITCHED_OFF)
def test_a_control_is_off_exactly_where_moving_it_changes_nothing(images, fields, off):
    """Two runs that differ in this field alone make the same steps, and with the field on, others."""
    config = bt.Config(**TINY | fields)
    assert inert(config, done=False).keys() == off
    moved = {"temperature": 0.3, "tau_base": 0.3, "predictor_lr_multiplier": 5.0, "hue": 0.2, "saturation": 0.2}
    if "target" not in fields:
        moved["target"] = "random"

    def losses(config):
        trainer = bt.Trainer(config, *images, device="cpu")
        return [trainer.step() for _ in range(8)]

    own = losses(config)
    for name, value in moved.items():
        assert (losses(config.replace(**{name: value})) == own) == (name in off), name


# --- branches -----------------------------------------------------------------------------------


def test_a_branch_keeps_names_curves_and_ranks_of_both_runs(panel):
    panel.session.run(steps=12)
    panel.session.run(steps=18)
    loss, ranks = arrays(panel.frame)[1].tolist(), panel.frame["ranks"]
    send(panel, do="fork", step=15, change="no predictor")
    send(panel, do="pause")
    assert panel.frame["name"] == "branch at step 15: predictor removed"
    assert panel.frame["branched_at"] == panel.before["at"] == 15
    assert (panel.before["name"], panel.before["step"]) == ("your settings", 30)
    assert np.frombuffer(panel.before["curves"], np.float32).reshape(3, -1)[1].tolist() == loss
    assert panel.before["ranks"] == ranks
    assert [r for r in panel.frame["ranks"] if r[0] < 15] == [r for r in ranks if r[0] < 15]
    assert panel.frame["ranks"][-1][0] == panel.frame["step"]
    send(panel, do="swap")
    assert (panel.frame["name"], panel.before["name"]) == ("your settings", "branch at step 15: predictor removed")
    assert (panel.frame["step"], arrays(panel.frame)[1].tolist()) == (30, loss)
    assert panel.frame["ranks"] == ranks
    send(panel, do="preset", name="healthy")
    send(panel, do="pause")
    assert panel.frame["branched_at"] is panel.before["at"] is None


def test_a_branch_made_in_a_cell_is_followed_too(panel):
    panel.session.run(steps=20)
    panel.session.fork(10, lr=0.01).result(WAIT)
    assert panel.frame["name"] == "branch at step 10: learning rate 0.8 → 0.01"
    panel.session.run(steps=2)
    panel.session.fork(11).result(WAIT)
    assert panel.frame["name"] == "branch at step 11: no change yet"
    assert panel.before["name"] == "branch at step 10: learning rate 0.8 → 0.01"


# --- frames -------------------------------------------------------------------------------------


def test_the_frame_holds_the_history(panel):
    panel.session.run(steps=12)
    frame, history = panel.frame, panel.session.trainer.history
    steps, loss, std = arrays(frame)
    assert steps.tolist() == list(range(1, 13))
    assert loss.tolist() == pytest.approx(history.loss)
    assert std.tolist() == pytest.approx(history.std)
    assert [tuple(p) for p in frame["knn"]] == history.knn
    assert frame["ranks"][-1][0] == 12
    assert len(np.frombuffer(frame["maps"]["z"], np.int16)) == 2 * 40
    assert len(panel.setup["labels"]) == 2 * 40


def test_the_code_of_the_frame_rebuilds_the_run(panel, images):
    panel.session.run(steps=3)
    send(panel, do="change", name="predictor", value="identity")
    panel.session.run(steps=3)
    text = panel.frame["code"].removeprefix("session = bt.rebuild('").removesuffix("')")
    with bt.rebuild(text, *images, device="cpu") as again:
        assert again.snapshot().series("loss") == panel.session.snapshot().series("loss")


def test_the_run_before_stays_as_pale_curves(panel):
    panel.session.run(steps=5)
    loss = arrays(panel.frame)[1].tolist()
    send(panel, do="preset", name="no predictor")
    assert np.frombuffer(panel.before["curves"], np.float32).reshape(3, -1)[1].tolist() == loss
    assert (panel.before["name"], panel.before["step"]) == ("your settings", 5)


def test_a_projection_that_collapses_meets_in_one_point_of_the_map(images):
    """The map of directions has a fixed scale; no stop-gradient at a high rate collapses within the run."""
    spread = {}
    for stop_gradient in (True, False):
        panel = cockpit(bt.Config(**TINY | {"lr": 8.0}, stop_gradient=stop_gradient), *images, device="cpu")
        panel.session.run()
        points = np.frombuffer(panel.frame["maps"]["z"], np.int16).reshape(-1, 2) / 32000
        spread[stop_gradient] = points.std()
        assert arrays(panel.frame)[2][-1] < 0.1 or stop_gradient
        panel.close()
    assert spread[False] < 0.1 < spread[True]


def test_long_curves_are_averaged_in_blocks():
    loss, std = list(np.random.default_rng(0).random(5003)), list(range(5003))
    length, (steps, mean, line) = shortened(800, range(1, 5004), loss, std)
    assert length == 7
    assert len(steps) <= 800
    sizes = np.diff(np.append(np.arange(0, 5003, 7), 5003))
    assert (mean * sizes).sum() == pytest.approx(sum(loss))
    assert line.tolist() == pytest.approx((steps - 1).tolist())
    assert shortened(800, [], [])[1].shape == (2, 0)


def test_frames_are_few_while_only_steps_happen(panel, monkeypatch):
    now = [0.0]
    module = sys.modules[Cockpit.__module__]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    drawn = []
    panel.observe(lambda change: drawn.append(change["new"]["step"]), "frame")
    panel.session.subscribe(lambda s: now.__setitem__(0, 0.06 * s.step))
    monkeypatch.setattr(module.time, "perf_counter", lambda: 0.0)  # frames that take no time
    panel.session.run(steps=60)  # 3.6 s on the clock
    assert 30 <= len(drawn) <= 40
    assert drawn[-1] == 60


def test_curves_arrive_ten_times_a_second(panel, monkeypatch):
    """With 50 steps a second, and frames that take a millisecond each."""
    now, spent = [0.0], [0.0]
    module = sys.modules[Cockpit.__module__]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module.time, "thread_time", lambda: spent.append(spent[-1] + 0.001) or spent[-1])
    monkeypatch.setattr(
        module.time, "perf_counter", lambda: 8 * spent[-1]
    )  # other programs have the core most of the time
    drawn = []
    panel.observe(lambda change: drawn.append(change["new"]["step"]), "frame")
    panel.session.subscribe(lambda s: now.__setitem__(0, 0.02 * s.step))
    panel.session.run(steps=100)  # 2 s on the clock
    assert 20 <= len(drawn) <= 26


def test_frames_that_take_long_are_fewer(panel, monkeypatch):
    """A frame of 30 ms may come every two seconds, so that it takes no more than its share of the time."""
    now, spent = [0.0], [0.0]
    module = sys.modules[Cockpit.__module__]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    for clock in ("perf_counter", "thread_time"):
        monkeypatch.setattr(module.time, clock, lambda: spent.append(spent[-1] + 0.03) or spent[-1])
    drawn = []
    panel.observe(lambda change: drawn.append(change["new"]["step"]), "frame")
    panel.session.subscribe(lambda s: now.__setitem__(0, 0.2 * s.step))
    panel.session.run(steps=60)  # 12 s on the clock
    assert len(drawn) <= 9
    assert drawn[-1] == 60


# --- predictions --------------------------------------------------------------------------------


def test_a_prediction_is_shown_beside_the_outcome(panel):
    guess = {"loss": QUESTIONS["loss"][1][2], "spread": QUESTIONS["spread"][1][0], "knn": "", "nonsense": "x"}
    send(panel, do="preset", name="healthy", prediction=guess)
    panel.session.run()
    outcome = panel.frame["outcome"]
    assert set(outcome) == {"loss", "spread"}
    assert outcome["loss"]["guess"] == "does not fall"
    assert outcome["loss"]["seen"] in QUESTIONS["loss"][1]
    send(panel, do="reset")
    assert panel.frame["outcome"] is None


def fake(loss, std, start_knn, knn):
    class Run:
        step = len(loss)

        @staticmethod
        def series(name):
            return {"loss": loss, "std": std}[name]

    Run.knn, Run.start_knn = ((9, knn),), start_knn
    return Run


@pytest.mark.parametrize(
    ("run", "answers"),
    [
        (fake([4.0] * 30 + [0.01] * 30, [0.8] * 30 + [0.01] * 30, 0.3, 0.2), (0, 2, 2)),
        (fake([4.0] * 30 + [1.0] * 30, [0.8] * 60, 0.3, 0.9), (1, 0, 0)),
        (fake([4.0] * 60, [0.8] * 30 + [0.3] * 30, 0.3, 0.32), (2, 1, 1)),
    ],
)
def test_outcomes_in_words(run, answers):
    expected = {key: QUESTIONS[key][1][i] for key, i in zip(("loss", "spread", "knn"), answers, strict=True)}
    assert outcomes(run) == expected
    assert "loss" not in outcomes(fake([1.0] * 20, [1.0] * 20, None, 0.1))


# --- life ---------------------------------------------------------------------------------------


def test_a_cockpit_takes_a_session_that_exists(images):
    session = bt.Session(bt.Config(**TINY), *images, device="cpu")
    session.run(steps=3)
    panel = cockpit(session)
    assert panel.frame["step"] == 3
    session.run(steps=1)
    assert panel.frame["step"] == 4
    panel.close()


def test_images_without_labels_and_without_a_test_set(images):
    bare = bt.ImageSet("mine", "train", images[0].images, None, ())
    panel = cockpit(bt.Config(**TINY), bare, device="cpu")
    panel.session.run(steps=6)
    assert panel.frame["knn"] == []
    assert panel.frame["start_knn"] is None
    assert panel.setup["classes"] == []
    panel.close()


def test_a_page_that_is_gone_pauses_the_run(panel, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("byol_tutorial.widgets.presence.time.monotonic", lambda: clock[0])
    panel.session.run(steps=1)
    panel.send = lambda *_: None
    panel.command({"do": "ping"})
    clock[0] += 6
    panel.session.run(steps=1)
    assert panel.frame["note"] == ""
    clock[0] += 9
    panel.session.start().result(WAIT)
    panel.session.change().result(WAIT)
    while panel.session.state == "running":
        panel.session.change().result(WAIT)
    assert panel.session.state == "paused"
    assert "no page" in panel.frame["note"]
    panel.command({"do": "ping", "view": "another"})
    panel.session.run(steps=1)
    assert panel.frame["note"] == ""


@pytest.mark.slow
def test_closed_panels_leave_nothing_behind(images):
    def one():
        panel = cockpit(bt.Config(**TINY), *images, device="cpu")
        panel.session.run(steps=1)
        panel.close()

    def count():
        gc.collect()
        return threading.active_count(), len(registry._instances), sum(type(o) is Cockpit for o in gc.get_objects())

    for _ in range(20):
        one()
    before, memory = count(), psutil.Process(os.getpid()).memory_info().rss
    for _ in range(50):
        one()
    left = zip(count(), before, strict=True)
    assert all(now <= then for now, then in left)  # "no more than", because what earlier tests left may end meanwhile
    assert psutil.Process(os.getpid()).memory_info().rss - memory < 15e6  # one panel holds more than 1 MB
