"""Messages that are no commands, or have wrong arguments: every panel says so in its line, and nothing else happens."""

import inspect
import json
import logging
import math
import time

import hostile
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import byol_tutorial as bt
from byol_tutorial.live.command_queue import CommandQueue
from byol_tutorial.widgets.messages import LONGEST, fits, words

WAIT = 60
KINDS = ("Cockpit", "LaboratoryBox", "Explorer", "Film", "PhasePlane", "Strip", "Board")
MEGABYTES = "x" * 10_000_000
DEEP = json.loads("[" * 900 + "]" * 900)
# What is wrong for every argument of every command. A number beyond 1.8e308 is a whole number in Python.
WRONG = [[], {}, [None], {"a": {"b": [1, {}]}}, MEGABYTES, math.nan, math.inf, -math.inf, 10**400, DEEP, b"bytes"]


@pytest.fixture(scope="module")
def panels():
    """Return a panel of each kind, named by its class; the cockpit's run has made three steps."""
    made = hostile.panels()
    made["Cockpit"].session.run(steps=3)
    yield made
    for panel in made.values():
        panel.close()


def of(panels, kind):
    return getattr(panels[kind], "panel", panels[kind])


def finished(panel) -> None:
    """Wait until the panel has carried out all commands."""
    if hasattr(panel, "session"):
        panel.session.change().result(WAIT)
    if hasattr(panel, "lab"):
        panel.lab._queue.submit(lambda: None).result(WAIT)
    if hasattr(panel, "scene"):
        panel._queue.submit(lambda: None).result(WAIT)


def state(panel) -> tuple:
    """Return everything that a command could change."""
    if hasattr(panel, "session"):
        s = panel.session.snapshot()
        run = (s.state, s.step, s.config, s.first_config, s.changes, s.resets, s.error)
        return *run, panel.session.speed, panel.name, panel.prediction, panel.frame["values"], panel.frame["code"]
    if hasattr(panel, "lab"):
        lab = panel.lab
        return lab.state, lab.chosen, lab.rate, lab.processes, panel.opened, panel.box.bench.children
    if hasattr(panel, "scene"):
        return panel.scene, panel.linked, panel._refused, panel.settings, panel.bars
    return tuple(panel.trait_values(sync=True)[n] for n in ("about", "runs", "values", "start") if panel.has_trait(n))


def refused(panel, message, capsys=None) -> str:
    """Send a message; check that it is refused and has changed nothing; return the line that the panel shows."""
    finished(panel)
    panel.show(problem="")
    before = state(panel)
    panel.command(message)
    finished(panel)
    assert state(panel) == before
    assert 0 < len(panel.problem) <= LONGEST
    return panel.problem


NO_MESSAGES = [5, None, "play", ["play"], [], {}, {"do": None}, {"do": 5}, {"do": ["play"]}, {"do": {"do": "play"}},
               {"do": "fly"}, {"do": "__init__"}, {"do": ""}, {"play": True}, {"do": MEGABYTES}, MEGABYTES, DEEP,
               {"do": DEEP}, math.nan, True, b"play"]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_message_is_refused(panels, kind):
    for message in NO_MESSAGES:
        line = refused(of(panels, kind), message)
        assert "is not a message" in line or "is not a command" in line


def commands(panel) -> dict[str, inspect.Signature]:
    return {n.removeprefix("do_"): inspect.signature(getattr(panel, n)) for n in dir(panel) if n.startswith("do_")}


def arguments(panel) -> list[tuple[str, str]]:
    """Return each command with each of its arguments, and the settings that the explorer's "set" takes."""
    pairs = [(c, a) for c, s in commands(panel).items() for a, p in s.parameters.items() if p.kind is not p.VAR_KEYWORD]
    return pairs + [("set", name) for name in getattr(panel, "settings", {}).get("values", ())]


ENOUGH = {"change": {"name": "tau_base", "value": 0.5}, "preset": {"name": "healthy"}, "open": {"cell": hostile.NAMES[0]},
          "choose": {"tables": [""]}, "fork": {"step": 0}, "speed": {"value": 1.0}, "slow": {"value": 1.0}, "link": {"on": True}, "recipe": {"name": "as given"}}  # fmt: skip


def test_each_kind_has_its_commands(panels):
    found = {kind: set(commands(of(panels, kind))) for kind in KINDS}
    each = {"ping", "left"}  # what every page says by itself
    assert all(each <= names for names in found.values())
    found = {kind: names - each for kind, names in found.items()}
    assert found["Cockpit"] == {
        "play",
        "pause",
        "step",
        "reset",
        "undo",
        "speed",
        "slow",
        "change",
        "preset",
        "fork",
        "swap",
    }
    assert found["LaboratoryBox"] == {"play", "pause", "reset", "speed", "choose", "open"}
    assert found["Explorer"] == {"set", "go", "another", "link", "recipe"}
    assert all(not found[kind] for kind in ("Film", "PhasePlane", "Strip", "Board"))


@pytest.mark.parametrize("kind", KINDS[:3])
def test_a_wrong_argument_is_refused_whatever_the_others_are(panels, kind):
    panel = of(panels, kind)
    for name, argument in arguments(panel):
        for wrong in WRONG:
            message = {"do": name} | ENOUGH.get(name, {}) | {argument: wrong}
            if (name, argument, wrong) == ("preset", "prediction", {}):
                continue  # no guess at all
            assert argument in refused(panel, message) or wrong == [], message
    for name in commands(panel):
        refused(panel, {"do": name} | ENOUGH.get(name, {}) | {"colour of the moon": 1})
        refused(panel, {"do": name} | ENOUGH.get(name, {}) | {"self": 1})


@pytest.mark.parametrize(
    ("kind", "message", "line"),
    [
        ("Cockpit", {"do": "speed", "value": -1}, "speed=-1: give steps a second, above 0"),
        ("Cockpit", {"do": "speed", "value": 0}, "speed=0: give steps a second, above 0"),
        ("Cockpit", {"do": "speed", "value": math.nan}, "speed: value=nan; give a number or nothing"),
        ("Cockpit", {"do": "speed", "value": True}, "speed: value=True; give a number or nothing"),
        ("Cockpit", {"do": "speed"}, "speed: value is missing; give a number or nothing"),
        ("Cockpit", {"do": "step", "n": -1}, "step: n=-1; give a whole number, at least 1"),
        ("Cockpit", {"do": "step", "n": "3"}, "step: n='3'; give a whole number"),
        ("Cockpit", {"do": "change", "name": "seed", "value": -1}, "seed=-1: give a whole number at least 0"),
        ("Cockpit", {"do": "change", "name": "stop_gradient", "value": 1}, "stop_gradient=1: give True or False"),
        ("Cockpit", {"do": "preset", "name": "healthy", "prediction": {"knn": "42"}}, "knn='42': choose one of rises"),
        ("LaboratoryBox", {"do": "speed", "rate": -1}, "rate=-1: give steps a second, above 0"),
        ("LaboratoryBox", {"do": "speed", "rate": 0}, "rate=0: give steps a second, above 0"),
        ("LaboratoryBox", {"do": "speed", "rate": math.nan}, "speed: rate=nan; give a number or nothing"),
        ("LaboratoryBox", {"do": "choose", "tables": ["5c"]}, "no runs chosen"),
        ("LaboratoryBox", {"do": "open", "cell": "another"}, "'another' is not a run of this laboratory"),
        ("Explorer", {"do": "set", "hue": [0.1, 9]}, "hue=9: give a number at least 0 and at most 0.5"),
        ("Explorer", {"do": "set", "hue": 0.1}, "hue=0.1: give two numbers"),
        ("Explorer", {"do": "set", "lr": [1, 1]}, "'lr' has no control here"),
        ("Explorer", {"do": "go", "index": -1}, "index=-1: give a whole number from 0"),
        ("Explorer", {"do": "go", "many": 1}, "go: many=1; give true or false or nothing"),
        ("Film", {"do": "play"}, "'play' is not a command of this panel"),
    ],
)  # fmt: skip
def test_the_line_names_the_value_and_what_is_allowed(panels, kind, message, line):
    assert line in refused(of(panels, kind), message)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from(hostile.NAMES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMED = st.dictionaries(
    st.sampled_from(["name", "value", "n", "rate", "cell", "tables", "index", "hue", "on", "x"]), VALUES
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    message=VALUES | NAMED,
    do=st.none() | st.sampled_from(["step", "change", "preset", "open", "choose", "set", "go", "link"]),
)
def test_random_messages_are_refused_or_carried_out_but_never_raise(panels, kind, message, do):
    """Whatever comes: if the panel shows a problem, nothing has changed; if not, it was a command of this panel."""
    panel = of(panels, kind)
    finished(panel)
    if do is not None and isinstance(message, dict):
        message = message | {"do": do}
    before = state(panel)
    panel.show(problem="")
    panel.command(message)
    finished(panel)
    if panel.problem:
        assert state(panel) == before
    else:
        assert message["do"] in commands(panel)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "data", [None, 5, "custom", {}, {"method": "update", "state": {"problem": 5, "frame": 5}}, {"method": ["custom"]},
             {"method": "custom"}, {"method": "fly"}, {"method": "update", "state": 5, "buffer_paths": 5}]
)  # fmt: skip
def test_what_no_panel_sends_is_refused_before_it_reaches_a_trait(panels, kind, data, capsys, monkeypatch):
    logged = []
    monkeypatch.setattr(logging.Logger, "handle", lambda _, record: logged.append(record))
    panel = of(panels, kind)
    before = state(panel)
    panel._handle_msg({"content": {"data": data}, "buffers": []})
    assert "not a command" in panel.problem
    assert state(panel) == before
    panel._handle_msg({"content": {}})
    assert capsys.readouterr() == ("", "")
    assert not logged


def test_commands_still_work_after_all_this(panels):
    cockpit, lab, explorer = (of(panels, kind) for kind in KINDS[:3])
    step = cockpit.session.snapshot().step
    cockpit._handle_msg(
        {"content": {"data": {"method": "custom", "content": {"do": "change", "name": "tau_base", "value": 0.5}}}}
    )
    finished(cockpit)
    assert (cockpit.problem, cockpit.session.config.tau_base) == ("", 0.5)
    cockpit.session.run(steps=1)
    assert cockpit.session.snapshot().step == step + 1
    lab.command({"do": "speed", "rate": 2})
    finished(lab)
    assert (lab.problem, lab.lab.rate) == ("", 2)
    explorer.command({"do": "set", "stamp": "a", "hue": [0.1, 0.2]})
    finished(explorer)
    assert (explorer.problem, explorer.config.hue, explorer.settings["stamp"]) == ("", (0.1, 0.2), "a")


def test_a_refused_change_does_not_rename_the_run(panels):
    panel = of(panels, "Cockpit")
    panel.command({"do": "preset", "name": "healthy"})
    finished(panel)
    panel.command({"do": "pause"})
    finished(panel)
    refused(panel, {"do": "change", "name": "tau_base", "value": 3})
    refused(panel, {"do": "change", "name": "batch_size", "value": 128})  # the run itself refuses it
    assert panel.frame["name"] == "healthy"
    panel.command({"do": "change", "name": "tau_base", "value": 0.25})
    finished(panel)
    assert panel.frame["name"] == "healthy, changed"


def test_a_setting_that_no_slider_has_does_not_stay_in_the_explorer(panels):
    panel = of(panels, "Explorer")
    for message in ({"no_such": [1, 1]}, {"hue": "red"}, {"hue": [7, 7]}):
        refused(panel, {"do": "set"} | message)
        panel.command({"do": "set", "contrast": [0.3, 0.3]})
        assert panel.problem == ""


@pytest.mark.parametrize("speed", [1e-300, 5e-324])
def test_a_speed_near_zero_leaves_a_run_that_still_takes_commands(panels, speed):
    panel = of(panels, "Cockpit")
    panel.command({"do": "reset"})
    panel.command({"do": "speed", "value": speed})
    panel.command({"do": "play"})
    finished(panel)
    assert panel.session.state == "running"
    panel.command({"do": "pause"})
    panel.command({"do": "speed", "value": None})
    finished(panel)
    assert (panel.session.state, panel.session.speed) == ("paused", None)
    panel.session.run(steps=1)


def test_a_wait_of_any_length_ends_with_the_next_command():
    begun = []

    def work():
        begun.append(time.monotonic())
        return 1e300 if len(begun) == 1 else None

    queue = CommandQueue("q", work)
    queue.submit(lambda: None).result(WAIT)
    while not begun:
        queue.submit(lambda: None).result(WAIT)
    assert queue.submit(lambda: "answer").result(WAIT) == "answer"


@pytest.mark.parametrize(
    ("hint", "right", "wrong"),
    [
        (int, [0, -3, 2**63 - 1], [True, 1.0, "1", None, 10**400]),
        (float, [0, 0.5, -1e308], [True, math.nan, math.inf, 10**400, "1"]),
        (bool, [True, False], [0, 1, "true", None]),
        (str, ["", "a"], [None, 1, MEGABYTES, b"a"]),
        (float | None, [None, 1.5], [False, "x"]),
        (list[str], [[], ["a"]], ["a", ("a",), [1], [["a"]], ["a"] * 10_000]),
        (dict[str, str], [{}, {"a": "b"}], [[], {"a": 1}, {1: "a"}, {"a": {}}]),
    ],
)
def test_types_of_arguments(hint, right, wrong):
    assert all(fits(value, hint) for value in right)
    assert not any(fits(value, hint) for value in wrong)
    assert words(hint)


def test_config_refuses_whole_numbers_that_no_float_can_hold():
    for field in ("lr", "epochs", "hue"):
        with pytest.raises(bt.ConfigError, match=f"{field}: a whole number of more than 308 digits; give a"):
            bt.Config(**{field: 10**400})
