"""Session and Experiment: commands from any thread, carried out between two steps; a run from one line of text."""

import gc
import json
import random
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
import torch
from leftovers import wait_until_no_more

import byol_tutorial as bt
from byol_tutorial.config.config import LIVE
from byol_tutorial.config.errors import ConfigError, DataError, DivergedError, ExperimentError, SessionError
from byol_tutorial.course.measures import measure
from byol_tutorial.evaluate.features import settled
from byol_tutorial.live import live_run
from byol_tutorial.live.experiment import Experiment
from byol_tutorial.live.live_run import LiveRun
from byol_tutorial.live.moments import Moments
from byol_tutorial.live.recorder import neighbours_and_vote, record
from byol_tutorial.live.snapshot import STATES, Measure, measure_run
from byol_tutorial.train.moment import bytes_of

TINY = {"width": 4, "hidden_dim": 16, "projection_dim": 8, "batch_size": 8, "epochs": 6, "warmup_epochs": 1.0}
WAIT = 60  # seconds after which a test gives up


@pytest.fixture(scope="module")
def train():
    return bt.load("shapes", limit=44)


@pytest.fixture(scope="module")
def test_set():
    return bt.load("shapes", "test", limit=40)


@pytest.fixture
def session(train, test_set):
    with bt.Session(bt.Config(**TINY), train, test_set, device="cpu") as session:
        yield session


def until(session, condition):
    """Wait for a snapshot for which the condition is true, and return it."""
    seen = threading.Event()
    found = []

    def look(snapshot):
        if condition(snapshot) and not found:
            found.append(snapshot)
            seen.set()

    unsubscribe = session.subscribe(look)
    look(session.snapshot())
    assert seen.wait(WAIT), f"never seen; now {session!r}"
    unsubscribe()
    return found[0]


class Blocker:
    """An object that holds the session's thread inside a step until `go` is set."""

    def __init__(self, session):
        self.entered, self.go = threading.Event(), threading.Event()
        step = session.trainer.step

        def held():
            self.entered.set()
            assert self.go.wait(WAIT)
            return step()

        session.trainer.step = held


# --- states -------------------------------------------------------------------------------------


def test_the_way_through_the_states(session):
    assert session.state == "idle"
    session.step(3).result(WAIT)
    assert until(session, lambda s: s.state == "paused").step == 3
    session.resume().result(WAIT)
    done = until(session, lambda s: s.state == "done")
    assert done.step == done.total_steps == 30
    with pytest.raises(SessionError, match="done: reset"):
        session.start().result(WAIT)
    session.reset().result(WAIT)
    assert (session.state, session.snapshot().step, session.snapshot().resets) == ("idle", 0, 1)
    assert {"idle", "paused", "done"} < set(STATES)


def test_it_trains_as_a_trainer_does_bit_for_bit(session, train, test_set):
    alone = bt.Trainer(bt.Config(**TINY), train, test_set, device="cpu").run(progress=False)
    session.run()
    assert session.snapshot().series("loss") == alone.history.loss
    assert list(session.snapshot().knn) == alone.history.knn


def test_run_returns_when_the_steps_are_done(session):
    session.run(steps=4)
    assert (session.state, session.snapshot().step) == ("paused", 4)
    session.run(epochs=2)
    assert session.snapshot().step == 4 + 2 * session.snapshot().steps_per_epoch
    session.run()
    assert session.state == "done"
    with pytest.raises(SessionError, match="not both"):
        session.run(steps=1, epochs=1)


def test_pause_takes_effect_between_two_steps_and_freezes_the_counter(session):
    hold = Blocker(session)
    session.start()
    assert hold.entered.wait(WAIT)
    paused = session.pause()
    assert not paused.done()  # the step is not interrupted
    hold.go.set()
    paused.result(WAIT)
    assert (session.state, session.snapshot().step) == ("paused", 1)
    session.step(2).result(WAIT)
    assert until(session, lambda s: s.state == "paused" and s.step > 1).step == 3


def test_a_paused_session_has_no_thread(session):
    def alive():
        return [t for t in threading.enumerate() if t.name == "byol session"]

    session.run(steps=2)
    for thread in alive():
        thread.join(WAIT)
    assert alive() == []


def test_stop_ends_the_run_where_it_stands(session):
    session.run(steps=2)
    session.stop().result(WAIT)
    assert (session.state, session.snapshot().step) == ("done", 2)


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "3"])
def test_step_refuses_all_but_positive_whole_numbers(session, n):
    with pytest.raises(SessionError, match="whole number, at least 1"):
        session.step(n)


def test_speed_is_a_limit(session):
    session.speed = 200.0
    start = time.perf_counter()
    session.run(steps=21)
    assert time.perf_counter() - start >= 20 / 200  # the first step may come at once


def test_ctrl_c_pauses_a_synchronous_run(session, monkeypatch):
    def interrupted(_futures, timeout):
        until(session, lambda s: s.step >= 2)
        raise KeyboardInterrupt

    monkeypatch.setattr("byol_tutorial.live.session.wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        session.run()
    assert session.state in ("paused", "done")
    assert session.snapshot().step >= 2


# --- changes ------------------------------------------------------------------------------------


def test_a_change_is_carried_out_between_two_steps_and_recorded_with_its_step(session):
    hold = Blocker(session)
    session.start()
    assert hold.entered.wait(WAIT)
    changed = session.change(tau_base=0.5, predictor="identity")
    assert session.config.tau_base == 0.9  # not yet
    hold.go.set()
    changed.result(WAIT)
    snapshot = until(session, lambda s: s.step >= 2)
    assert snapshot.changes == ((1, {"tau_base": 0.5, "predictor": "identity"}),)
    assert (snapshot.config.tau_base, snapshot.first_config.tau_base) == (0.5, 0.9)


def test_a_live_change_changes_the_run(session, train, test_set):
    with bt.Session(bt.Config(**TINY), train, test_set, device="cpu") as other:
        for one in (session, other):
            one.run(steps=3)
        other.change(lr=0.01).result(WAIT)
        for one in (session, other):
            one.run(steps=3)
        a, b = session.snapshot().series("loss"), other.snapshot().series("loss")
    assert a[:4] == b[:4]  # step 4 was made with the old weights, its loss is the same
    assert a[4:] != b[4:]


def test_changes_queue_in_order_and_those_between_two_steps_are_one(session):
    hold = Blocker(session)
    session.start()
    assert hold.entered.wait(WAIT)
    futures = [session.change(tau_base=tau) for tau in (0.1, 0.2, 0.3)]
    hold.go.set()
    for future in futures:
        future.result(WAIT)
    session.pause().result(WAIT)
    assert session.config.tau_base == 0.3
    ((step, fields),) = session.snapshot().changes  # all while one step was made
    assert (step, fields) == (1, {"tau_base": 0.3})


def test_what_is_changed_and_changed_back_between_two_steps_is_no_change(session, train, test_set):
    session.run(steps=2)
    for fields in ({"lr": 0.1}, {"hue": 0.2, "lr": 0.2}, {"lr": session.config.lr}):
        session.change(**fields).result(WAIT)
    assert session.snapshot().changes == ((2, {"hue": (0.2, 0.2)}),)
    session.undo().result(WAIT)  # lr is 0.2 again
    session.run(steps=2)
    session.change(hue=0.5).result(WAIT)
    assert session.snapshot().changes == ((2, {"hue": (0.2, 0.2), "lr": 0.2}), (4, {"hue": (0.5, 0.5)}))
    session.run(steps=1)
    text = str(Experiment.of(session))
    assert bt.rebuild(text, train, test_set, device="cpu").snapshot().series("loss") == session.snapshot().series(
        "loss"
    )


def test_changes_from_before_a_session_took_over_stay_as_they_were_recorded(train, test_set):
    trainer = bt.Trainer(bt.Config(**TINY), train, test_set, device="cpu")
    trainer.run(epochs=0.4, progress=False)
    trainer.change(tau_base=0.5)
    with bt.Session.of(trainer, bt.Config(**TINY)) as session:
        session.change(lr=0.1).result(WAIT)
        assert session.snapshot().changes == ((2, {"tau_base": 0.5}), (2, {"lr": 0.1}))


def test_a_structural_change_begins_anew_and_goes_on_if_it_was_running(session):
    session.run(steps=3)
    session.change(width=8).result(WAIT)
    assert (session.state, session.snapshot().step, session.config.width) == ("idle", 0, 8)
    session.start()
    session.change(seed=3).result(WAIT)
    assert until(session, lambda s: s.state == "done").first_config.seed == 3
    assert session.snapshot().resets == 2


def test_the_config_decides_which_fields_are_live(session):
    resets = 0
    for name, value in (("tau_base", 0.5), ("epochs", 4), ("hue", 0.1), ("projection_dim", 16)):
        session.change(**{name: value}).result(WAIT)
        resets += name not in LIVE
        assert session.snapshot().resets == resets


def test_a_field_that_gets_its_present_value_is_not_changed(session):
    session.run(steps=2)
    session.change(tau_base=0.9, width=4, hue=(0.5, 0.5)).result(WAIT)
    session.change().result(WAIT)
    assert (session.snapshot().step, session.snapshot().changes, session.snapshot().resets) == (2, (), 0)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"taubase": 0.5}, "did you mean .tau_base"),
        ({"tau_base": 2.0}, "at most 1"),
        ({"batch_size": 100}, "44 images"),
    ],
)
def test_a_bad_change_is_refused_and_the_run_goes_on(session, fields, words):
    session.run(steps=2)
    with pytest.raises(ConfigError, match=words):
        session.change(**fields).result(WAIT)
    assert (session.state, session.snapshot().step, session.snapshot().changes) == ("paused", 2, ())
    session.run(steps=1)
    assert session.snapshot().step == 3


def test_undo_reverses_the_last_change(session, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("byol_tutorial.live.live_run.time.monotonic", lambda: clock[0])
    session.change(tau_base=0.5).result(WAIT)
    clock[0] = 10
    for lr in (0.7, 0.6, 0.5):  # one gesture
        clock[0] += 0.1
        session.change(lr=lr).result(WAIT)
    session.undo().result(WAIT)
    assert (session.config.lr, session.config.tau_base) == (0.8, 0.5)
    session.undo().result(WAIT)
    assert session.config == bt.Config(**TINY)
    with pytest.raises(SessionError, match="no change"):
        session.undo().result(WAIT)
    assert session.snapshot().changes == ()  # no step was made with other values
    session.run(steps=1)
    session.change(lr=0.1).result(WAIT)
    session.run(steps=1)
    session.undo().result(WAIT)
    assert session.snapshot().changes == ((1, {"lr": 0.1}), (2, {"lr": 0.8}))  # undoing is a change of the run too


# --- faults -------------------------------------------------------------------------------------


def test_a_failed_step_keeps_its_cause_and_reset_begins_anew(session):
    session.run(steps=2)

    def broken():
        raise MemoryError("no more room")

    session.trainer.step = broken
    with pytest.raises(SessionError, match="no more room") as caught:
        session.run()
    assert isinstance(caught.value.__cause__, MemoryError)
    snapshot = session.snapshot()
    assert (snapshot.state, snapshot.step, snapshot.error) == ("failed", 2, "no more room")
    assert "no more room" in snapshot.verdict
    with pytest.raises(SessionError, match="failed: reset"):
        session.start().result(WAIT)
    session.reset().result(WAIT)
    assert session.error is None
    session.run()
    assert session.state == "done"


def test_a_diverging_run_fails_with_advice(train):
    with bt.Session(bt.Config(**TINY | {"lr": 1e30, "warmup_epochs": 0.0, "loss_normalization": "none"}), train) as s:
        with pytest.raises(SessionError, match="lower lr"):
            s.run()
        assert s.state == "failed"


def test_weights_that_overflow_after_a_finite_loss_are_reported_as_a_divergence(train, test_set):
    """The loss of a step is finite, but its update is not; the next measure of the run finds this, not the loss."""
    with bt.Session(bt.Config(**TINY), train, test_set, device="cpu") as s:
        s.step(1).result(WAIT)
        until(s, lambda snapshot: snapshot.state == "paused")
        with torch.no_grad():
            next(s.trainer.model.encoder.parameters()).fill_(torch.inf)
        with pytest.raises(DivergedError, match=r"the representations are not finite after step 1, .*lower lr"):
            measure_run(s.trainer, s.measured.images)


def test_a_run_has_one_spread_rank_and_accuracy_wherever_they_are_read(train, test_set):
    """In the panel, the verdict, the report, a film, a tracked measure and by hand: the same images give one number."""
    config = bt.Config(**TINY | {"knn_every": 3})
    with bt.Session(config, train, test_set, device="cpu") as session:
        session.run()
        panel, trainer = session.snapshot(), session.trainer
    film = record(bt.Trainer(config, train, test_set, device="cpu"), test_set, every=6, progress=False)
    y = bt.features(trainer.model.encoder, test_set)
    assert (
        settled(trainer.model.online) is not None
    )  # after these few steps the averages still contain part of their start values
    with torch.no_grad():
        online = settled(trainer.model.online).eval()
        mean, std = (torch.tensor(values)[:, None, None] for values in (trainer.mean, trainer.std))
        by_hand = bt.collapse_report(online.projector(online.encoder((test_set.images / 255 - mean) / std)))
    report = trainer.report()
    assert report == trainer.diagnosis().report
    for other in (panel.measure.report, by_hand):
        assert (other.std, other.rank, other.verdict) == pytest.approx((report.std, report.rank, report.verdict))
    assert float(film.spread[-1]) == pytest.approx(report.std, rel=1e-6)
    assert float(measure(trainer, ("rank",))["rank"]) == pytest.approx(report.rank)
    assert f"√d·std {report.std:.2f}" in panel.verdict
    assert f"rank {report.rank:.1f} of {report.dimensions}" in panel.verdict
    bank = bt.features(trainer.model.encoder, train)
    accuracy = bt.knn_accuracy(bank, train.labels, y, test_set.labels)
    assert panel.knn[-1] == (30, trainer.knn()) == (30, accuracy)
    assert float(film.knn[-1]) == pytest.approx(neighbours_and_vote(y, test_set.labels)[1])


def test_a_slow_first_measure_does_not_set_when_the_next_ones_come(train, test_set, monkeypatch):
    """The first one in a process also loads libraries: by its time, the map would stand still for a minute and more."""
    now, takes = [100.0], iter([0.9, 0.1, 0.3])
    run = LiveRun(bt.Config(**TINY), train, test_set, "cpu")

    def measure(*_, **__):
        seconds = next(takes)
        now[0] += seconds
        return Measure(0, run.trainer.report(), {}, seconds)

    clock = SimpleNamespace(perf_counter=lambda: now[0], thread_time=lambda: now[0], monotonic=lambda: now[0])
    monkeypatch.setattr(live_run, "time", clock)
    monkeypatch.setattr(live_run, "measure_run", measure)
    waits = []
    for _ in range(3):
        run._new_measure()
        waits.append(run._measure_at - now[0])
    assert waits == pytest.approx([2.0, 0.1 / 0.015, 0.1 / 0.015])


@pytest.mark.parametrize("predictor", ["mlp", "identity"])
def test_the_first_measure_of_a_run_does_not_report_a_collapse(predictor):
    """The start of BatchNorm's running averages would give √d·std 0.07 at step 3, where a batch has 0.73 to 0.75."""
    train, test = bt.load("shapes"), bt.load("shapes", "test")
    trainer = bt.Trainer(bt.preset("shapes").replace(predictor=predictor), train, test, device="cpu")
    for _ in range(3):
        assert trainer.report().verdict == "healthy"
        trainer.step()
    assert abs(trainer.report().std - trainer.history.std[-1]) < 0.05


def test_a_subscriber_may_close_the_session(session):
    session.subscribe(lambda snapshot: session.close() if snapshot.step == 3 else None)
    session.start()
    until_ended = session._queue.thread
    until_ended.join(WAIT)
    assert not until_ended.is_alive()
    assert (session.state, session.snapshot().step) == ("done", 3)


@pytest.mark.parametrize("command", ["pause", "stop", "close"])
def test_a_run_whose_weights_have_overflowed_can_be_stopped(session, command):
    hold = Blocker(session)
    session.start()
    assert hold.entered.wait(WAIT)
    asked = threading.Thread(target=lambda: getattr(session, command)())
    with torch.no_grad():
        next(session.trainer.model.encoder.parameters()).fill_(torch.inf)
    session.trainer.step = lambda: None  # the steps after it change nothing
    asked.start()
    hold.go.set()
    asked.join(WAIT)
    assert not asked.is_alive()
    thread = session._queue.thread
    if thread is not None:
        thread.join(WAIT)
    assert session.state == "failed"


@pytest.mark.parametrize("speed", ["fast", 0, -1, True, float("nan")])
def test_a_speed_that_cannot_be_is_refused(session, speed):
    with pytest.raises(SessionError, match="speed="):
        session.speed = speed


def test_a_subscriber_that_raises_is_called_no_more_and_the_run_goes_on(session):
    calls = []

    def broken(snapshot):
        calls.append(snapshot)
        raise RuntimeError("drawing failed")

    session.subscribe(broken)
    session.run()
    assert session.state == "done"
    assert len(calls) == 1
    assert "drawing failed" in str(session.subscriber_errors)


# --- snapshots ----------------------------------------------------------------------------------


def test_snapshots_do_not_change(session):
    session.run(steps=3)
    early = session.snapshot()
    losses, knn = early.series("loss"), early.knn
    session.change(tau_base=0.2).result(WAIT)
    session.run()
    assert (early.step, early.series("loss"), early.knn, early.changes) == (3, losses, knn, ())
    with pytest.raises(AttributeError):
        early.step = 9
    session.reset().result(WAIT)
    assert early.series("loss") == losses


def test_snapshots_come_in_order_one_for_every_step(session):
    steps = []
    session.subscribe(lambda s: steps.append(s.step))
    session.run()
    assert steps == sorted(steps)
    assert set(steps) >= set(range(1, 31))


def test_measures_do_not_change_the_run(train, test_set):
    losses = []
    for measuring in (True, False):
        with bt.Session(bt.Config(**TINY), train, test_set, device="cpu") as session:
            session.measuring = measuring
            session.run()
            losses.append(session.snapshot().series("loss"))
            measure = session.snapshot().measure
            assert (measure is not None) == measuring
    assert losses[0] == losses[1]


def test_a_measure_has_the_rank_and_a_map_of_the_test_images(session):
    session.run(steps=5)
    measure = session.snapshot().measure
    assert measure.step == 5
    for points in measure.maps.values():
        assert points.shape == (40, 2)
        assert points.dtype == torch.float32
    assert set(measure.maps) == {"z", "y"}
    assert measure.maps["z"].abs().max() <= 2
    assert 0 <= measure.report.rank <= 8


# --- several threads ----------------------------------------------------------------------------


def test_called_from_several_threads_at_once_every_command_is_carried_out_once(session):
    """Eight threads give two hundred commands; the trainer makes exactly the changes that were accepted."""
    accepted, wrong, made = [], [], []
    change = session.trainer.change
    session.trainer.change = lambda **fields: (made.append(fields["tau_base"]), change(**fields))
    lock = threading.Lock()

    def hammer(number):
        draw = random.Random(number)
        for i in range(25):
            kind = draw.choice(["change", "change", "change", "bad", "start", "pause", "step", "look"])
            if kind == "change":
                value = (number * 25 + i + 1) / 1000
                session.change(tau_base=value).result(WAIT)
                with lock:
                    accepted.append(value)
            elif kind == "bad":
                try:
                    session.change(tau_base=7.0).result(WAIT)
                    wrong.append("a bad change was accepted")
                except ConfigError:
                    pass
            elif kind == "look":
                snapshot = session.snapshot()
                if not len(snapshot.series("loss")) == len(snapshot.series("std")) == snapshot.step:
                    wrong.append("a torn snapshot")
            elif session.state != "done":
                future = session.step(2) if kind == "step" else getattr(session, kind)()
                try:
                    future.result(WAIT)
                except SessionError as error:  # the run was done by then
                    if "done" not in str(error):
                        wrong.append(error)

    threads = [threading.Thread(target=hammer, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
        assert not thread.is_alive()
    assert wrong == []
    assert sorted(made) == sorted(accepted)
    steps = [step for step, _ in session.snapshot().changes]
    assert steps == sorted(set(steps))  # one entry for all that was changed between the same two steps
    steps = [step for step, _ in session.snapshot().changes]
    assert steps == sorted(steps)


def test_two_sessions_side_by_side_do_not_share_random_numbers(train, test_set):
    configs = [bt.Config(**TINY | {"epochs": 2}, seed=seed) for seed in (0, 1)]
    alone = [bt.Trainer(c, train, test_set, device="cpu").run(progress=False).history.loss for c in configs]
    for _ in range(3):
        sessions = [bt.Session(c, train, test_set, device="cpu") for c in configs]
        for session in sessions:  # also built again at the same time
            session.reset()
            session.start()
        torch.manual_seed(5)
        torch.rand(1000)
        for session, losses in zip(sessions, alone, strict=True):
            assert until(session, lambda s: s.state == "done").series("loss") == losses
            session.close()


@pytest.mark.slow
def test_python_ends_without_an_error_while_a_session_runs():
    code = (
        "import byol_tutorial as bt\n"
        f"session = bt.Session(bt.Config(**{TINY | {'epochs': 100_000}}), bt.load('shapes', limit=44), device='cpu')\n"
        "session.run(steps=2)\n"
        "session.start().result()\n"
        "print(session.state)"
    )
    end = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=WAIT * 2)
    assert (end.returncode, end.stdout, end.stderr) == (0, "running\n", "")


@pytest.mark.slow
def test_many_sessions_leave_nothing_behind(train):
    def count():
        gc.collect()
        return threading.active_count(), sum(type(o) is bt.Session for o in gc.get_objects())

    before = count()
    for _ in range(30):
        with bt.Session(bt.Config(**TINY), train, device="cpu") as session:
            session.run(steps=1)
        del session
    wait_until_no_more(count, before, WAIT)


# --- experiments --------------------------------------------------------------------------------


def test_an_experiment_rebuilds_the_same_run_bit_for_bit(session, train, test_set):
    session.change(lr=0.5).result(WAIT)
    session.run(steps=4)
    session.change(predictor="identity", hue=(0.1, 0.2)).result(WAIT)
    session.run(steps=5)
    session.undo().result(WAIT)
    session.run(steps=2)
    text = str(Experiment.of(session))
    assert "\n" not in text
    assert json.loads(text)["config"]["width"] == 4
    with bt.rebuild(text, train, test_set, device="cpu") as again:
        assert (again.state, again.snapshot().step) == ("paused", 11)
        assert again.snapshot().series("loss") == session.snapshot().series("loss")
        assert again.snapshot().changes == session.snapshot().changes
        assert again.config == session.config
        weights = zip(again.trainer.model.parameters(), session.trainer.model.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in weights)
        assert str(Experiment.of(again)) == text


def test_the_copied_line_is_python_and_needs_no_images_for_embedded_sets(session):
    session.run(steps=2)
    names = {"bt": bt}
    exec(Experiment.of(session).code, names)
    with names["session"] as again:
        assert again.snapshot().series("loss") == session.snapshot().series("loss")


def test_after_a_reset_the_experiment_is_the_new_run(session):
    session.run(steps=3)
    session.change(tau_base=0.2).result(WAIT)
    session.reset().result(WAIT)
    experiment = Experiment.of(session)
    assert (experiment.config.tau_base, experiment.changes, experiment.steps) == (0.2, (), 0)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("", ExperimentError, "whole text"),
        ('{"byol": 1', ExperimentError, "whole text"),
        ('{"byol": 99}', ExperimentError, "upgrade"),
        ("[1, 2]", ExperimentError, "whole text"),
        (
            '{"byol": 1, "version": "0", "data": {}, "config": {"tau": 1}, "changes": [], "steps": 0}',
            ConfigError,
            "tau",
        ),
        (
            '{"byol": 1, "version": "0", "data": {}, "config": {}, "changes": [[0, {"tau": 1}]], "steps": 0}',
            ConfigError,
            "tau",
        ),
        (
            '{"byol": 1, "version": "0", "data": {"name": "cats", "images": 9}, "config": {}, "changes": [], "steps": 0}',
            DataError,
            "9 images of 'cats'",
        ),
    ],
)
def test_a_text_that_is_no_experiment_is_refused(text, error, words):
    with pytest.raises(error, match=words):
        bt.rebuild(text)


@pytest.mark.parametrize(
    "data",
    [
        {"images": 4096, "pixels": [4000, 4000]},
        {"images": 10**12, "pixels": [32, 32]},
        {"images": 10**12},
        {"images": 64, "pixels": [10**9, 10**9]},
        {"name": "digits", "images": 1437, "pixels": [2000, 2000]},
    ],
)
def test_a_text_cannot_ask_for_more_images_than_memory_holds(monkeypatch, data):
    monkeypatch.setattr("byol_tutorial.live.experiment.load", lambda *_, **__: pytest.fail("they are drawn"))
    parts = {"byol": 1, "version": "0", "data": {"name": "shapes"} | data, "config": {}, "changes": [], "steps": 0}
    with pytest.raises(DataError, match=r"asks for \d+ images of \d+ pixels, .* if you trust it, give them as train="):
        bt.rebuild(json.dumps(parts))


@pytest.mark.parametrize("data", [{}, {"name": "shapes"}, {"images": 44}, {"pixels": [32, 32]}])
def test_a_text_that_does_not_say_its_images_takes_none(train, data):
    parts = {"byol": 1, "version": "0", "data": data, "config": TINY, "changes": [], "steps": 0}
    with pytest.raises(DataError, match="does not say of which images it is"):
        bt.rebuild(json.dumps(parts), train, device="cpu")


def test_other_images_are_refused_by_name(session):
    with pytest.raises(DataError, match="other images"):
        bt.rebuild(str(Experiment.of(session)), bt.load("shapes", limit=44, seed=5))


def test_closing_a_paused_session_starts_no_thread(session, monkeypatch):
    session.run(steps=1)
    monkeypatch.setattr(threading.Thread, "start", lambda _: pytest.fail("a thread was started"))
    for thread in threading.enumerate():
        if thread.name == "byol session":
            thread.join(WAIT)
    session.close()
    assert session.state == "done"
    session.close()


# --- branches -----------------------------------------------------------------------------------


@pytest.fixture
def forkable(session):
    session.branching = True
    session._run.moments.every = 8  # a run of 30 steps has several
    return session


def alone(train, test_set, changes, steps, **config):
    """Train a run with these changes by a Trainer, which has no branches."""
    trainer = bt.Trainer(bt.Config(**TINY | config), train, test_set, device="cpu")
    for k in range(steps):
        if k in changes:
            trainer.change(**changes[k])
        trainer.step()
    return trainer


def same(session, trainer):
    """Return whether weights, optimiser and every measure of each step agree to the last bit."""
    mine, theirs = session.trainer.model.state_dict(), trainer.model.state_dict()
    weights = all(torch.equal(mine[name], theirs[name]) for name in theirs)
    momentum = [list(t.optimizer.state_dict()["state"].values()) for t in (session.trainer, trainer)]
    momenta = all(torch.equal(a["momentum_buffer"], b["momentum_buffer"]) for a, b in zip(*momentum, strict=True))
    names = ("loss", "std", "lr", "tau", "gradient_norm", "positive", "negative")
    history = [[getattr(t.history, name) for name in names] for t in (session.trainer, trainer)]
    return weights and momenta and history[0] == history[1]


@pytest.mark.parametrize(
    ("at", "fields"),
    [
        (0, {"predictor": "identity"}),
        (7, {"predictor": "identity"}),
        (8, {"stop_gradient": False}),
        (13, {"lr": 3.0, "hue": 0.1}),
        (20, {"tau_base": 0.2}),
        (20, {}),
    ],
)
def test_a_branch_is_the_run_that_was_changed_at_that_step(forkable, train, test_set, at, fields):
    earlier = {3: {"weight_decay": 0.01}, 10: {"contrast": 0.1}, 18: {"lr": 0.1}}
    for step, values in earlier.items():
        forkable.run(steps=step - forkable.snapshot().step)
        forkable.change(**values).result(WAIT)
    forkable.run(steps=2)
    forkable.fork(at, **fields).result(WAIT)
    assert forkable.snapshot().step == at
    changes = {step: values for step, values in earlier.items() if step < at}
    if fields:
        changes[at] = fields
    forkable.run(steps=25 - at)
    branch = alone(train, test_set, changes, 25)
    assert same(forkable, branch)
    text = str(Experiment.of(forkable))
    with bt.rebuild(text, train, test_set, device="cpu") as again:
        assert same(again, branch)


@pytest.mark.parametrize("method", ["dino", "simclr", "simsiam"])
def test_other_methods_are_branched_too_with_all_that_they_keep(train, test_set, method):
    """A centre, a temperature's schedule and AdamW's moments are part of the state as well."""
    config = bt.preset(method, **TINY, optimizer="adamw", lr=0.01)
    with bt.Session(config, train, test_set, device="cpu") as session:
        session.branching = True
        session.run(steps=19)
        session.fork(11, lr=0.05).result(WAIT)
        session.run(steps=8)
        trainer = bt.Trainer(config, train, test_set, device="cpu")
        for k in range(19):
            if k == 11:
                trainer.change(lr=0.05)
            trainer.step()
        mine, theirs = session.trainer.model.state_dict(), trainer.model.state_dict()
        assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
        assert session.snapshot().series("loss") == trainer.history.loss


def test_the_run_beside_a_branch_is_kept_and_can_be_gone_on_with(forkable, train, test_set):
    forkable.run(steps=20)
    forkable.change(hue=0.0).result(WAIT)
    first = forkable.snapshot()
    forkable.fork(9, predictor="identity").result(WAIT)
    forkable.run(steps=6)
    s = forkable.snapshot()
    assert (s.step, s.branched_at, s.beside.step, s.beside.changes) == (15, 9, 20, first.changes)
    assert s.beside.series("loss") == first.series("loss")
    assert s.beside.series("loss")[:9] == s.series("loss")[:9]
    assert [step for step, _ in s.knn] == [5, 10, 15]
    forkable.swap().result(WAIT)
    back = forkable.snapshot()
    assert (back.state, back.step, back.beside.step, back.branched_at) == ("paused", 20, 15, 9)
    forkable.run(steps=4)
    assert same(forkable, alone(train, test_set, {20: {"hue": 0.0}}, 24))
    forkable.swap().result(WAIT)
    forkable.run(steps=3)
    assert same(forkable, alone(train, test_set, {9: {"predictor": "identity"}}, 18))
    forkable.reset().result(WAIT)
    assert forkable.snapshot().beside is None
    with pytest.raises(SessionError, match="no other run"):
        forkable.swap().result(WAIT)


def test_the_change_that_was_made_late_can_be_made_early(forkable, train, test_set):
    """The branch begins with the config of its step, not with that of the run it leaves."""
    forkable.run(steps=20)
    forkable.change(predictor="identity").result(WAIT)
    forkable.fork(6, predictor="identity").result(WAIT)
    assert forkable.snapshot().changes == ((6, {"predictor": "identity"}),)
    forkable.run(steps=4)
    assert same(forkable, alone(train, test_set, {6: {"predictor": "identity"}}, 10))


def test_a_running_session_goes_on_with_its_branch_and_a_finished_one_waits(forkable):
    forkable.run()
    assert forkable.state == "done"
    forkable.fork(30).result(WAIT)  # after its last step no other can follow
    assert forkable.state == "done"
    forkable.fork(4, lr=0.1).result(WAIT)
    assert forkable.state == "paused"
    forkable.speed = 5.0
    forkable.start().result(WAIT)
    forkable.fork(2).result(WAIT)
    assert forkable.state == "running"


def test_a_run_that_failed_can_be_branched_from_before_it_failed(forkable, train, test_set):
    forkable.run(steps=9)
    forkable.change(lr=1e30).result(WAIT)
    with pytest.raises(SessionError, match="has failed"):
        forkable.run()
    forkable.fork(9, lr=0.1).result(WAIT)
    assert forkable.snapshot().beside.state == "failed"
    forkable.run(steps=5)
    assert same(forkable, alone(train, test_set, {9: {"lr": 0.1}}, 14))
    forkable.swap().result(WAIT)
    assert forkable.state == "failed"
    assert "stopped" in forkable.snapshot().verdict


IMPOSSIBLE = [
    (21, {}, SessionError, "0 to 20"),
    (-1, {}, SessionError, "0 to 20"),
    (1.5, {}, SessionError, "whole number"),
    (5, {"width": 8}, ConfigError, "width cannot change"),
    (5, {"lr": -1.0}, ConfigError, "lr"),
    (5, {"no_such": 1}, ConfigError, "no_such"),
    (5, {"centering": "none"}, ConfigError, "no effect in method"),
]


def test_a_branch_that_cannot_be_changes_nothing(forkable, train, test_set, subtests):
    """All of them on one run, which stays the usual one."""
    forkable.run(steps=20)
    usual = alone(train, test_set, {}, 20)
    for step, fields, error, words in IMPOSSIBLE:
        with subtests.test(step=step, fields=fields):
            with pytest.raises(error, match=words):
                forkable.fork(step, **fields).result(WAIT)
            s = forkable.snapshot()
            assert (s.state, s.step, s.beside, s.changes, s.branched_at) == ("paused", 20, None, (), None)
            assert same(forkable, usual)
    forkable.run(steps=2)
    for _ in range(2):
        usual.step()
    assert same(forkable, usual)


def test_a_run_of_which_no_moment_fits_trains_and_says_that_it_cannot_be_branched(forkable):
    forkable._run.moments.most = 1000
    forkable.run(steps=20)
    assert forkable._run.moments.bytes == 0
    with pytest.raises(SessionError, match=r"one moment of it takes .* and 1 kB are kept at most"):
        forkable.fork(10).result(WAIT)
    assert forkable.snapshot().step == 20


def test_a_moment_takes_the_memory_that_was_foreseen(forkable):
    forkable.run(steps=3)
    trainer = forkable.trainer
    assert bytes_of(trainer) == trainer.moment().bytes
    weights = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    assert trainer.moment().bytes > 4 * 2 * weights  # their momentum too


def test_a_closed_session_holds_no_moments(forkable):
    forkable.run(steps=20)
    forkable.fork(10).result(WAIT)
    forkable.close()
    assert not forkable.branching
    assert (forkable._run.moments, forkable._run.kept) == (None, None)


def test_steps_before_branching_was_set_cannot_be_branched_from(session):
    session.run(steps=3)
    with pytest.raises(SessionError, match="branching = True"):
        session.fork(2).result(WAIT)
    session.branching = True
    session.run(steps=3)
    with pytest.raises(SessionError, match="from step 3 on"):
        session.fork(2).result(WAIT)
    session.fork(4).result(WAIT)


def test_moments_keep_within_their_bound_and_still_reach_every_step(forkable, train, test_set):
    moments = forkable._run.moments
    moments.most = 6 * moments.kept[0].bytes  # the later ones also have the momentum
    for _ in range(29):
        forkable.run(steps=1)
        assert moments.bytes <= moments.most
    assert [moment.step for moment in moments.kept] == [0, 8, 16, 24]
    for at in (28, 26, 15, 1):
        forkable.fork(at, tau_base=0.3).result(WAIT)
        forkable.run(steps=2)
        assert moments.bytes <= moments.most
    assert same(forkable, alone(train, test_set, {1: {"tau_base": 0.3}}, 3))


def test_more_moments_than_fit_are_thinned_out_evenly(train, test_set):
    trainer = bt.Trainer(bt.Config(**TINY | {"epochs": 40}), train, test_set, device="cpu")
    later = bt.Trainer(trainer.config, train, test_set, device="cpu")
    later.step()
    moments = Moments(5 * later.moment().bytes)
    moments.every = 8
    moments.add(trainer)
    for _ in range(150):
        trainer.step()
        moments.add(trainer)
    assert [moment.step for moment in moments.kept] == [0, 32, 64, 96, 128]
    assert moments.before(127).step == 96
