"""The cockpit in a page, with the widget itself behind it: what is visible, what a gesture sends, branches, explanations."""

import io
import re

import numpy as np
import pytest
from bridge import Bridge
from PIL import Image
from playwright.sync_api import expect

import byol_tutorial as bt
from byol_tutorial.widgets.cockpit import cockpit

pytestmark = pytest.mark.browser

TINY = {"width": 4, "hidden_dim": 16, "projection_dim": 8, "batch_size": 8, "epochs": 20, "warmup_epochs": 1.0}
WAIT = 60
# The output area of a notebook in JupyterLab with the file list open: pixels of the window, and of the panel's place.
PLACES = {"1366x768": (1366, 768, 934, 647), "1920x1080": (1920, 1080, 1488, 959)}


@pytest.fixture(scope="module")
def images():
    return bt.load("shapes", limit=44), bt.load("shapes", "test", limit=40)


@pytest.fixture
def show(page, images):
    """Show a cockpit in a page of this size, and return the bridge."""
    panels = []

    def show(width=909, height=760, config=None, **options) -> Bridge:
        page.set_viewport_size({"width": width + 16, "height": height})
        panel = cockpit(config or bt.Config(**TINY), *images, device="cpu")
        panels.append(panel)
        return Bridge(page, panel, finished=lambda: panel.session.change().result(WAIT), **options)

    yield show
    for panel in panels:
        panel.close()


def region(page):
    return page.get_by_role("region", name="BYOL cockpit")


# --- one screen ---------------------------------------------------------------------------------

PARTS = {
    "plots": ".bt-plots canvas",
    "map": ".bt-map canvas",
    "network": ".bt-network canvas",
    "verdict": ".bt-verdict",
    "what is said": ".bt-saying",
    "play": ".bt-play",
    "controls": ".bt-main-controls > *",
    "branch": ".bt-forks",
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("method", ["byol", "simclr", "dino"])
def test_all_that_matters_is_on_one_screen(show, page, place, method):
    _, _, width, height = PLACES[place]
    bridge = show(width, height, bt.preset(method if method != "byol" else "shapes", **TINY))
    bridge.panel.session.run(steps=30)
    bridge.panel.command({"do": "change", "name": "lr", "value": 0.1})
    bridge.settle()
    top = region(page).bounding_box()["y"]
    for name, selector in PARTS.items():
        boxes = [one.bounding_box() for one in region(page).locator(selector).all()]
        assert len(boxes) == {"plots": 4, "controls": 6}.get(name, 1), name
        for box in boxes:
            assert box["y"] + box["height"] - top <= height, name
            assert box["width"] >= 60
            assert box["height"] >= (100 if name in ("plots", "map", "network") else 14)
    assert region(page).bounding_box()["height"] <= height  # also with the line that unfolds the other controls


@pytest.mark.parametrize("width", [480, 909, 1463])
def test_nothing_overflows_and_nothing_is_empty_beside_the_map(show, page, width):
    bridge = show(width - 16)
    bridge.panel.session.run(steps=30)
    region(page).locator(".bt-more > summary").click()
    bridge.settle()
    assert page.evaluate(
        "() => { const e = document.querySelector('.bt'); return e.scrollWidth <= e.clientWidth + 1; }"
    )
    plots = [one.bounding_box() for one in region(page).locator(".bt-plots figure").all()]
    if width > 700:
        map_ends = region(page).locator(".bt-map").bounding_box()
        assert abs(max(b["y"] + b["height"] for b in plots) - map_ends["y"] - map_ends["height"]) < 6


def test_nothing_moves_when_names_are_long_or_something_is_said(show, page):
    bridge = show()
    bridge.panel.session.run(steps=20)
    bridge.settle()
    before = region(page).locator(".bt-plots canvas").first.bounding_box()
    bridge.panel.name = "a run with a very long name " * 20
    bridge.panel.command({"do": "change", "name": "predictor", "value": "identity"})
    bridge.panel.session.run(steps=40)
    bridge.settle()
    expect(region(page).locator(".bt-said")).to_contain_text("predictor removed: spread")
    assert region(page).locator(".bt-plots canvas").first.bounding_box() == before


# --- plots --------------------------------------------------------------------------------------

SPY = """() => {
  window.written = new Map();
  const {fillText, clearRect} = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.clearRect = function (...a) { written.set(this.canvas, []); return clearRect.apply(this, a); };
  CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
    const wide = this.measureText(text).width, left = {left: x, start: x, center: x - wide / 2, right: x - wide}[this.textAlign];
    (written.get(this.canvas) ?? written.set(this.canvas, []).get(this.canvas)).push([text, left, left + wide, y]);
    return fillText.call(this, text, x, y);
  };
}"""
TEXTS = "() => [...document.querySelectorAll('.bt-plots canvas')].map((c) => ({width: c.clientWidth, texts: window.written.get(c) ?? []}))"


@pytest.mark.parametrize("width", [464, 909])
def test_axes_are_whole_and_have_ticks_before_the_first_step_and_after(show, page, width):
    bridge = show(width)
    page.evaluate(SPY)
    page.set_viewport_size({"width": width + 20, "height": 760})  # draws again
    bridge.settle()
    for plot in page.evaluate(TEXTS):
        assert [text for text, *_ in plot["texts"]] == [
            "press play"
        ]  # no grid line strikes it through, and no scale is made up
    bridge.panel.session.run(steps=30)
    bridge.settle()
    for plot in page.evaluate(TEXTS):
        assert all(left >= 0 and right <= plot["width"] + 0.5 for _, left, right, _ in plot["texts"])
        heights = [y for *_, y in plot["texts"]]
        below = [text for text, _, _, y in plot["texts"] if y == max(heights)]
        assert len(below) >= 2
        assert all(re.fullmatch(r"\d+", text) for text in below)


def test_a_paused_run_without_steps_is_not_told_to_press_play(show, page):
    bridge = show()
    page.evaluate(SPY)
    bridge.panel.show(frame=bridge.panel.frame | {"state": "paused"})
    bridge.settle()
    for plot in page.evaluate(TEXTS):
        assert [text for text, *_ in plot["texts"]] == ["no step made yet"]


def test_a_change_is_marked_in_words_on_every_curve(show, page):
    bridge = show()
    page.evaluate(SPY)
    bridge.panel.session.run(steps=10)
    bridge.panel.command({"do": "change", "name": "predictor", "value": "identity"})
    bridge.panel.session.run(steps=10)
    bridge.settle()
    for plot in page.evaluate(TEXTS):
        assert "predictor removed" in [text for text, *_ in plot["texts"]]


def test_one_crosshair_goes_over_all_plots_by_pointer_and_by_keys(show, page):
    bridge = show()
    bridge.panel.session.run(steps=60)
    bridge.settle()
    captions = region(page).locator(".bt-plots figcaption")
    region(page).locator(".bt-plots canvas").first.hover()
    for caption in captions.all():
        expect(caption).to_have_text(re.compile(r"at step \d+: "))
    steps = {re.search(r"step (\d+)", text)[1] for text in captions.all_inner_texts()}
    assert len(steps) == 1
    page.mouse.move(2, 2)
    expect(captions.first).to_have_text(re.compile("now"))
    plot = region(page).locator(".bt-plots canvas").nth(1)
    plot.focus()
    plot.press("PageUp")
    for _ in range(3):
        plot.press("ArrowLeft")
    loss = bridge.panel.session.snapshot().series("loss")
    expect(captions.first).to_have_text(re.compile(rf"at step 57: {loss[56]:.3g}"))  # 60, then 3 back
    plot.press("Enter")
    expect(region(page).get_by_label("branch from step")).to_have_value("57")


# --- one gesture --------------------------------------------------------------------------------


def changes_sent(bridge):
    return [message for message in bridge.sent if message["do"] == "change"]


def test_a_drag_is_one_change(show, page):
    bridge = show()
    bridge.panel.session.run(steps=5)
    bridge.settle()
    slider = region(page).get_by_label("decay rate τ")
    box = slider.bounding_box()
    page.mouse.move(box["x"] + 10, box["y"] + box["height"] / 2)
    page.mouse.down()
    for part in range(40):
        page.mouse.move(box["x"] + 10 + part * (box["width"] - 20) / 40, box["y"] + box["height"] / 2)
    bridge.settle()
    assert changes_sent(bridge) == []
    page.mouse.up()
    bridge.settle()
    (sent,) = changes_sent(bridge)
    assert str(sent["value"]) == slider.get_attribute("aria-valuetext")
    assert bridge.panel.session.snapshot().changes == ((5, {"tau_base": sent["value"]}),)
    expect(region(page).locator(".bt-log li")).to_have_count(1)


def test_keys_in_a_row_are_one_change_and_a_later_key_is_another(show, page):
    bridge = show()
    page.clock.install()
    slider = region(page).get_by_label("learning rate")
    slider.focus()
    for _ in range(7):
        slider.press("ArrowRight")
        page.clock.run_for(100)
    assert changes_sent(bridge) == []
    page.clock.run_for(400)
    assert len(changes_sent(bridge)) == 1
    slider.press("ArrowLeft")
    page.clock.run_for(400)
    assert len(changes_sent(bridge)) == 2


# --- branches -----------------------------------------------------------------------------------


def test_a_branch_keeps_the_run_and_both_are_named(show, page):
    bridge = show()
    bridge.panel.session.run(steps=40)
    bridge.panel.session.speed = 1000.0
    bridge.settle()
    region(page).get_by_label("branch from step").fill("15")
    region(page).get_by_label("with").select_option("no predictor")
    region(page).get_by_role("button", name="branch", exact=True).click()
    bridge.settle()
    bridge.panel.session.pause().result(WAIT)
    bridge.settle()
    s = bridge.panel.session.snapshot()
    assert (s.changes, s.branched_at, s.beside.step) == (((15, {"predictor": "identity"}),), 15, 40)
    runs = ".bt-names span:not(:has([data-kind=balanced]))"  # the classes of so few test images are uneven
    names = region(page).locator(runs).all_inner_texts()
    assert names == ["branch at step 15: predictor removed", "your settings"]
    region(page).get_by_role("button", name="swap runs").click()
    bridge.settle()
    assert bridge.panel.session.snapshot().step == 40
    assert region(page).locator(runs).all_inner_texts() == names[::-1]


def test_a_late_change_offers_to_go_back_and_the_branch_has_the_change_early(show, page):
    bridge = show()
    bridge.panel.session.run(steps=85)
    bridge.panel.command({"do": "change", "name": "predictor", "value": "identity"})
    bridge.settle()
    expect(region(page).locator(".bt-said")).to_contain_text("late in the schedule")
    bridge.panel.session.speed = 1000.0
    button = region(page).get_by_role("button", name=re.compile(r"go back to epoch \d"))
    epoch = int(button.inner_text().split()[-1])
    button.click()
    bridge.settle()
    bridge.panel.session.pause().result(WAIT)
    assert bridge.panel.session.snapshot().changes == ((5 * epoch, {"predictor": "identity"}),)
    bridge.settle()
    expect(region(page).locator(".bt-said")).not_to_contain_text("late")


# --- explanations, and controls without effect ----------------------------------------------------


def test_every_part_explains_itself_on_hover_and_on_focus(show, page):
    page.clock.install()
    bridge = show(height=1400)
    bridge.panel.session.run(steps=10)
    region(page).locator(".bt-more > summary").click()
    bridge.settle()
    hint = region(page).get_by_role("tooltip")
    places = [
        *region(page).locator(".bt-main-controls > *, .bt-controls > *, .bt-plots figcaption, .bt-verdict, .bt-counter").all(),
        *region(page).locator(".bt-head button, .bt-presets button, .bt-forks button:visible, .bt-codeline button").all(),
    ]  # fmt: skip
    assert len(places) >= 40
    for number, place in enumerate(places):
        if number % 5 == 0:
            bridge.settle()  # the answers to the page's pings, without which it would say that the kernel is gone
        place.hover()
        page.clock.run_for(350)  # in which the pointer rests
        expect(hint).to_be_visible()
        expect(hint).to_contain_text("Lesson")
        described = place.evaluate(
            "(e) => (e.closest('[aria-description]') ?? e.querySelector('[aria-description]')).ariaDescription"
        )
        assert described in hint.inner_text()
        page.keyboard.press("Escape")
        expect(hint).to_be_hidden()
    page.mouse.move(1, 1)
    for text in ("verdict", "counter", "state", "names"):
        place = region(page).locator(f".bt-{text}")
        place.evaluate("(e) => e.focus({focusVisible: true})")
        expect(hint).to_be_visible()
        page.keyboard.press("Escape")
    region(page).get_by_label("predictor q").focus()
    page.keyboard.press("Tab")
    expect(hint).to_contain_text("No gradient flows through z′")
    page.keyboard.press("Tab")
    expect(hint).to_contain_text("Chooses where z′ comes from")


@pytest.mark.parametrize(
    ("fields", "label", "why"),
    [
        ({"target": "online"}, "decay rate τ", "the target is the online network"),
        ({"stop_gradient": False}, "target network", "without stop-gradient"),
        ({"predictor": "identity"}, "predictor's rate ×", "no gradient trains this predictor"),
        ({"jitter_p": 0.0}, "hue", "colour jitter is 0"),
        ({}, "temperature α", "β is 0"),
    ],
)
def test_a_control_without_effect_is_off_and_says_why(show, page, fields, label, why):
    bridge = show(height=1300)
    control = region(page).get_by_label(label, exact=True)
    region(page).locator(".bt-more > summary").click()
    if fields:
        expect(control).to_be_enabled()
    bridge.panel.session.change(**fields).result(WAIT)
    bridge.settle()
    expect(control).to_be_disabled()
    control.locator("xpath=..").hover(force=True)
    expect(region(page).get_by_role("tooltip")).to_contain_text(why)


def test_a_finished_run_says_what_to_do_next_and_nothing_pretends_to_work(show, page):
    bridge = show()
    bridge.panel.session.run()
    bridge.settle()
    expect(region(page).locator(".bt-said")).to_contain_text("finished: branch from an earlier step")
    for control in region(page).locator(".bt-main-controls :is(input, select)").all():
        expect(control).to_be_disabled()
    expect(region(page).get_by_role("button", name="play")).to_be_disabled()
    expect(region(page).get_by_role("button", name="branch", exact=True)).to_be_enabled()
    expect(region(page).get_by_role("button", name="reset")).to_be_enabled()


def test_no_answer_is_chosen_before_the_learner_chooses_one(show, page):
    show()
    region(page).get_by_label("ask me first").check()
    region(page).get_by_role("button", name="no predictor", exact=True).click()
    for choice in region(page).locator(".bt-form select").all():
        expect(choice).to_have_value("")


def test_a_kernel_that_is_gone_is_said_at_once_on_badge_and_buttons(show, page):
    bridge = show()
    bridge.panel.session.run(steps=5)
    bridge.settle()
    bridge.answers = False
    page.evaluate("() => model.lose()")
    expect(region(page).locator(".bt-state")).to_have_text("kernel gone", timeout=1000)
    for button in region(page).locator(".bt-head button, .bt-presets button").all():
        assert button.is_disabled()
    region(page).locator(".bt-play").hover(force=True)
    expect(region(page).get_by_role("tooltip")).to_contain_text("no kernel answers")


def pass_time(page, bridge, seconds: int, every: int = 2) -> list[dict]:
    """Let time pass on the page's clock, and the kernel answer meanwhile; return the pings."""
    bridge.pings.clear()
    for _ in range(seconds // every):
        page.clock.run_for(1000 * every)
        bridge.settle()
    return bridge.pings


def enter(bridge, state: str) -> None:
    """Let the page see that the run has entered this state."""
    bridge.panel.show(frame=bridge.panel.frame | {"state": state})
    bridge.settle()


def test_a_page_speaks_often_only_while_a_run_goes_on(show, page):
    """So that an idle panel keeps no kernel from being ended."""
    page.clock.install()
    bridge = show()
    assert 1 <= len(pass_time(page, bridge, 64, every=4)) <= 3
    bridge.pings.clear()
    enter(bridge, "running")
    assert [ping["idle"] for ping in bridge.pings] == [False]  # at once
    rhythm = [ping["idle"] for ping in pass_time(page, bridge, 20)]
    assert 8 <= len(rhythm) <= 12
    assert not any(rhythm)
    bridge.pings.clear()
    enter(bridge, "paused")
    assert [ping["idle"] for ping in bridge.pings if ping["idle"]] == [True]  # after one of the run, which may be due
    assert 1 <= len(pass_time(page, bridge, 64, every=4)) <= 3
    expect(region(page).locator(".bt-state")).to_have_text("paused")


HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_hidden_tab_is_silent_while_no_run_goes_on(show, page):
    """Then the server may end a kernel that is not in use."""
    page.clock.install()
    bridge = show()
    bridge.pings.clear()
    page.evaluate(HIDE, True)
    bridge.settle()
    assert [ping["hidden"] for ping in bridge.pings] == [True]  # told once
    assert pass_time(page, bridge, 120, every=10) == []
    enter(bridge, "running")
    assert {ping["hidden"] for ping in pass_time(page, bridge, 6)} == {True}
    enter(bridge, "paused")
    bridge.pings.clear()
    page.evaluate(HIDE, False)
    bridge.settle()
    assert [ping["hidden"] for ping in bridge.pings] == [False]


@pytest.mark.parametrize("used", ["pointermove", "keydown", "wheel"])
def test_who_uses_a_page_learns_within_twenty_seconds_that_its_kernel_is_gone(show, page, used):
    """Also in a front end that says nothing when the kernel dies, and just after the kernel has answered."""
    page.clock.install()
    bridge = show()
    state = region(page).locator(".bt-state")
    for _ in range(5):
        page.evaluate("(name) => window.dispatchEvent(new Event(name))", used)
        pass_time(page, bridge, 2)
    bridge.answers = False
    for _ in range(10):
        page.evaluate("(name) => window.dispatchEvent(new Event(name))", used)
        page.clock.run_for(1900)
    expect(state).to_have_text("kernel gone")
    assert len(bridge.pings) <= 2


@pytest.mark.parametrize("state", ["idle", "running"])
def test_pings_do_not_pile_up_behind_a_busy_cell(show, page, state):
    """The run's frames arrive meanwhile, and say that the kernel is alive."""
    page.clock.install()
    bridge = show()
    enter(bridge, state)
    pass_time(page, bridge, 4)
    bridge.answers = False
    bridge.pings.clear()
    for step in range(1, 60):
        page.clock.run_for(5000)
        bridge.panel.show(frame=bridge.panel.frame | {"step": step})
        bridge.settle()
        page.evaluate("window.dispatchEvent(new Event('pointermove'))")
        page.evaluate(HIDE, step % 20 == 10)
    assert len(bridge.pings) <= 1 + 295 // 15  # one that is not answered counts as lost after fifteen seconds
    expect(region(page).locator(".bt-state")).to_have_text(state)
    bridge.answers = True
    bridge.panel.command(bridge.pings[0])  # the cell has ended
    bridge.settle()
    assert len(pass_time(page, bridge, 8)) >= (1 if state == "idle" else 3)


def test_a_page_asks_again_when_an_answer_was_lost_while_frames_arrive(show, page):
    """Otherwise the run would be paused in front of its reader: frames go to the page, and the run sees no page."""
    page.clock.install()
    bridge = show()
    enter(bridge, "running")
    pass_time(page, bridge, 4)
    bridge.answers = False
    bridge.pings.clear()
    page.clock.run_for(2000)
    assert len(bridge.pings) == 1
    bridge.answers = True
    for step in range(1, 20):
        page.clock.run_for(1000)
        bridge.panel.show(frame=bridge.panel.frame | {"step": step})
        bridge.settle()
    assert len(bridge.pings) >= 2


@pytest.mark.parametrize("state", ["idle", "running"])
def test_a_page_asks_again_when_an_answer_was_lost(show, page, state):
    """A connection that was cut while a laptop slept loses the messages on their way, without an error."""
    page.clock.install()
    bridge = show()
    enter(bridge, state)
    pass_time(page, bridge, 4)
    bridge.answers = False
    bridge.pings.clear()
    for _ in range(10):  # twenty seconds
        page.evaluate("window.dispatchEvent(new Event('pointermove'))")
        page.clock.run_for(2000)
    assert 1 <= len(bridge.pings) <= 2
    expect(region(page).locator(".bt-state")).to_have_text("kernel gone")
    bridge.answers = True
    assert pass_time(page, bridge, 60)
    expect(region(page).locator(".bt-state")).to_have_text(state)
    expect(region(page).locator(".bt-play")).to_be_enabled()


# --- looks --------------------------------------------------------------------------------------


def brightness(page, box) -> np.ndarray:
    """Return the brightness, in [0, 255], of every pixel of a place in the page."""
    return np.asarray(Image.open(io.BytesIO(page.screenshot(clip=box))).convert("L")).astype(float)


def test_slider_tracks_do_not_glare_in_the_dark_and_are_seen_in_the_light(show, page):
    show()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        box = region(page).get_by_label("decay rate τ").bounding_box()
        right = {
            "x": box["x"] + box["width"] * 0.7,
            "y": box["y"],
            "width": box["width"] * 0.29,
            "height": box["height"],
        }
        found = brightness(page, right)
        ground = found[0, 0]
        assert (ground < 60) == (scheme == "dark")
        furthest = found.flat[np.abs(found - ground).argmax()]  # the track is all that is there
        assert 40 < abs(furthest - ground) < 130
    assert page.locator(".bt-form").is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_native_controls_follow_the_theme_of_the_page(show, page, scheme):
    show()
    light = "true" if scheme == "light" else "false"
    page.evaluate(f"() => {{ document.body.dataset.jpThemeLight = '{light}'; }}")
    assert page.evaluate("() => getComputedStyle(document.querySelector('.bt select')).colorScheme") == scheme
