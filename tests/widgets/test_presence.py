"""Who shows a panel: a closed view is noticed within ten seconds, a hidden or a sleeping one is not taken for closed."""

import threading

import pytest

import byol_tutorial as bt
from byol_tutorial.widgets import lifecycle
from byol_tutorial.widgets.presence import MOST, Presence


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def presence(clock):
    return Presence(clock)


def gone_after(presence, clock) -> int:
    """Return after how many whole seconds the panel counts as gone."""
    start = clock.now
    while not presence.gone:
        clock.now += 1
        assert clock.now < start + 1000
    return round(clock.now - start)


def test_without_a_page_nothing_is_gone(presence, clock):
    presence.left("a")  # an answer to a page that never said that it shows the panel
    clock.now += 1000
    assert not presence.gone


@pytest.mark.parametrize(("hidden", "low", "high"), [(False, 5, 10), (True, 120, 200)])
def test_a_silent_view_counts_as_closed_and_a_hidden_one_much_later(presence, clock, hidden, low, high):
    for _ in range(100):
        presence.shows("a", hidden)
        clock.now += 2
        assert not presence.gone
    assert low <= gone_after(presence, clock) <= high


def test_a_page_that_is_hidden_is_not_closed_when_its_timers_run_once_a_minute(presence, clock):
    presence.shows("a", False)
    presence.shows("a", True)  # it says so at once
    for _ in range(30):
        clock.now += 61
        assert not presence.gone
        presence.shows("a", True)
    presence.shows("a", False)
    assert gone_after(presence, clock) <= 10


@pytest.mark.parametrize("hidden", [False, True])
def test_a_view_that_leaves_is_closed_within_ten_seconds_also_when_hidden(presence, clock, hidden):
    presence.shows("a", hidden)
    presence.left("a")
    assert not presence.gone  # a page that is loaded again is back by then
    assert 2 <= gone_after(presence, clock) <= 10


def test_another_view_of_the_panel_keeps_it(presence, clock):
    presence.shows("a", False)
    presence.shows("b", False)
    presence.left("a")
    for _ in range(20):
        clock.now += 2
        presence.shows("b", False)
        assert not presence.gone
    presence.left("b")
    assert gone_after(presence, clock) <= 10


def test_only_a_silent_view_or_the_first_one_after_all_left_comes_back(presence, clock):
    """A view that was cut off and sends again goes on, and the first one after all have left; not another one."""
    assert not presence.shows("a", False)
    clock.now += 60
    assert presence.gone
    assert not presence.shows("b", False)
    assert presence.shows("a", False)
    assert not presence.shows("a", False)
    presence.left("a")
    presence.left("b")
    assert not presence.shows("a", False)  # within the time that a page takes to load, nothing was paused
    presence.left("a")
    clock.now += 60
    assert presence.shows("c", False)
    assert not presence.shows("d", False)


def test_a_page_that_takes_seconds_to_load_again_is_not_gone(presence, clock):
    presence.shows("a", False)
    presence.left("a")
    clock.now += 7
    assert not presence.gone


def test_an_idle_view_may_be_silent_for_longer_until_it_sees_a_run(presence, clock):
    for _ in range(10):
        assert not presence.shows("a", False, idle=True)
        clock.now += 61  # also where a timer of half a minute fires once in two minutes
        assert not presence.gone
    presence.shows("a", False)
    assert gone_after(presence, clock) <= 10


def test_views_without_end_are_not_all_kept(presence):
    for k in range(10 * MOST):
        presence.shows(str(k), False)
    assert len(presence._until) == MOST


# --- a panel ------------------------------------------------------------------------------------


@pytest.fixture
def panel(monkeypatch, clock):
    images = bt.load("shapes", limit=44), bt.load("shapes", "test", limit=40)
    config = bt.Config(width=4, hidden_dim=16, projection_dim=8, batch_size=8, epochs=100_000, knn_every=0)
    monkeypatch.setattr("byol_tutorial.widgets.presence.time.monotonic", clock)
    panel = bt.widgets.cockpit(config, *images, device="cpu")
    panel.send = lambda *_: None
    yield panel
    panel.close()


def waits_for(panel, *states):
    reached = threading.Event()
    stop = panel.session.subscribe(lambda s: s.state in states and reached.set())
    assert panel.session.state in states or reached.wait(60)
    stop()


def test_a_run_goes_on_when_its_silent_page_speaks_again_and_not_when_it_was_paused_by_hand(panel, clock):
    panel.command({"do": "ping", "view": "a", "hidden": False})
    panel.command({"do": "play"})
    waits_for(panel, "running")
    clock.now += 9
    waits_for(panel, "paused")
    assert "no page" in panel.frame["note"]
    panel.command({"do": "ping", "view": "a", "hidden": False})
    waits_for(panel, "running")
    panel.session.pause().result(60)
    clock.now += 9
    panel.command({"do": "ping", "view": "a", "hidden": False})
    panel.session.change().result(60)
    assert panel.session.state == "paused"


def test_a_run_whose_page_was_closed_goes_on_when_a_page_opens_it_again(panel, clock):
    panel.command({"do": "ping", "view": "a", "hidden": False})
    panel.command({"do": "play"})
    waits_for(panel, "running")
    panel.command({"do": "left", "view": "a"})
    clock.now += 9
    waits_for(panel, "paused")
    panel.command({"do": "ping", "view": "b", "hidden": False})
    waits_for(panel, "running")


def paused_unwatched(panel, clock):
    panel.command({"do": "ping", "view": "a", "hidden": False})
    panel.command({"do": "play"})
    waits_for(panel, "running")
    clock.now += 9
    waits_for(panel, "paused")
    assert "no page" in panel.frame["note"]


@pytest.mark.parametrize(
    "stop", [lambda p: p.command({"do": "pause"}), lambda p: p.interrupted()], ids=["pause", "interrupt"]
)
def test_a_run_that_the_user_stopped_stays_paused_when_its_page_is_back(panel, clock, stop):
    paused_unwatched(panel, clock)
    stop(panel)
    panel.command({"do": "ping", "view": "a", "hidden": False})
    panel.session.change().result(60)
    assert panel.session.state == "paused"


def test_a_cell_that_waits_for_steps_gets_all_of_them_and_the_page_that_is_back_makes_no_more(panel, clock):
    panel.command({"do": "ping", "view": "a", "hidden": False})
    clock.now += 9
    panel.session.run(steps=12)
    assert panel.session.snapshot().step == 12
    stepped, seen = threading.Event(), []
    panel.session.subscribe(lambda s: (seen.append(s.step), s.state == "paused" and stepped.set()))
    panel.session.step(3).result(60)
    assert stepped.wait(60)
    assert seen[-1] == 15
    paused_unwatched(panel, clock)
    clock.now += 9
    begun, at = threading.Event(), panel.session.snapshot().step

    def back(s):  # within a step that a cell waits for
        if s.step == at + 2 and not begun.is_set():
            begun.set()
            panel.command({"do": "ping", "view": "a", "hidden": False})

    panel.session.subscribe(back)
    panel.session.run(steps=5)
    panel.session.change().result(60)
    assert (begun.is_set(), panel.session.snapshot().step, panel.session.state) == (True, at + 5, "paused")


def test_a_page_that_is_back_before_the_pause_takes_effect_keeps_the_run(panel, clock):
    """The pause waits in the queue until the present step is over; the page sends a message before or while it is carried out."""
    for when in ("before", "after"):
        panel.command({"do": "ping", "view": "a", "hidden": False})
        asked = []
        pause = panel.session.pause

        def meanwhile(only_if, when=when, asked=asked, pause=pause):
            def ask():
                if when == "before":
                    panel.command({"do": "ping", "view": "a", "hidden": False})
                asked.append(only_if())
                if when == "after":  # it has been decided, and the state is "running" still
                    panel.command({"do": "ping", "view": "a", "hidden": False})
                return asked[-1]

            return pause(ask)

        panel.session.pause = meanwhile
        panel.command({"do": "play"})
        waits_for(panel, "running")
        clock.now += 9
        over = threading.Event()
        panel.session.subscribe(lambda s, asked=asked, over=over: asked and s.state == "running" and over.set())
        assert over.wait(60)
        del panel.session.pause
        panel.session.change().result(60)
        assert asked == [when == "after"]
        assert panel.session.state == "running"
        assert panel.note == ""
        panel.session.pause().result(60)


def test_silence_while_a_cell_runs_is_no_silence_where_messages_wait_for_cells(panel, clock, monkeypatch):
    panel.command({"do": "ping", "view": "a", "hidden": False})  # on the main thread, as before ipykernel 7
    monkeypatch.setattr(lifecycle, "_cell_ended", float("inf"))
    clock.now += 600
    assert not panel.abandoned
    monkeypatch.setattr(lifecycle, "_cell_ended", clock.now)  # it ends: now the waiting messages are read
    assert not panel.abandoned
    clock.now += 9
    assert panel.abandoned


def test_a_page_that_pings_leaves_the_problem_of_the_last_command(panel):
    panel.command({"do": "change", "name": "lr", "value": -1.0})
    panel.session.change().result(60)
    assert panel.problem
    panel.command({"do": "ping", "view": "a", "hidden": True})
    assert panel.problem
    for wrong in ({"view": 3}, {"hidden": "yes"}, {"view": "x" * 2000}):
        panel.command({"do": "ping"} | wrong)
        assert "ping" in panel.problem
