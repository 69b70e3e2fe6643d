"""Explorer, laboratory and phase plane show causes and effects on one screen, and explain themselves on hover and focus.

JupyterLab leaves a panel 647 px of height on a screen of 1366×768 with the list of files open, and 959 px on 1920×1080;
test_panels_lab.py measures the same there.
"""

import re

import pytest
from bridge import Bridge
from playwright.sync_api import expect
from test_laboratory_page import ACCURACIES, BASE, seen

import byol_tutorial as bt

pytestmark = pytest.mark.browser
SCREENS = {"1366x768": (934, 647), "1920x1080": (1488, 959)}  # width and height that JupyterLab leaves
NAMES = ("explorer", "laboratory", "phase")


@pytest.fixture(scope="module")
def images():
    return bt.load("shapes", limit=64), bt.load("shapes", "test", limit=40)


@pytest.fixture
def show(page, images):
    """Show a panel in a page of this width, and return the bridge."""
    made = []

    def show(name: str, width: int, height: int = 900) -> Bridge:
        page.set_viewport_size({"width": width, "height": height})
        if name == "explorer":
            made.append(bt.widgets.explorer(images[0]))
            queue = made[-1]._queue
            bridge = Bridge(page, made[-1], finished=lambda: queue.submit(lambda: None).result(60))
        elif name == "phase":
            made.append(bt.widgets.phase_plane())
            bridge = Bridge(page, made[-1])
        else:
            made.append(bt.widgets.laboratory(*images, BASE, workers=1))
            bridge = Bridge(page, made[-1].panel)
            bridge.box = made[-1]
            seen(made[-1], 32, "done", **ACCURACIES)
            bridge.settle()
        page.evaluate("document.body.style.margin = 0")
        return bridge

    yield show
    for panel in made:
        panel.close()


def box(page, selector: str = ".bt") -> dict:
    return page.locator(selector).first.bounding_box()


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("name", NAMES)
def test_a_panel_fits_the_screen(page, show, name, screen):
    width, height = SCREENS[screen]
    show(name, width)
    assert box(page)["height"] <= height
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", NAMES)
def test_on_a_phone_nothing_is_outside(page, show, name):
    show(name, 480)
    assert page.evaluate("document.documentElement.scrollWidth") <= 480


def test_all_runs_of_the_laboratory_are_seen_at_once(page, show):
    width, height = SCREENS["1366x768"]
    show("laboratory", width, height)
    cells = page.get_by_role("article")
    expect(cells).to_have_count(13)
    places = [cell.bounding_box() for cell in cells.all()]
    assert all(p["width"] >= 150 and p["y"] + p["height"] <= height for p in places)
    assert len({round(p["height"]) for p in places}) == 1  # a long name or sentence moves nothing
    cells.last.click()
    for button in ("open no predictor, no target in cockpit", "copy code of no predictor, no target"):
        expect(page.get_by_role("button", name=button)).to_be_in_viewport()


@pytest.mark.parametrize("width", [SCREENS["1366x768"][0], 480])
@pytest.mark.parametrize("linked", [True, False])
def test_sliders_of_the_explorer_are_long_and_its_words_are_whole(page, show, linked, width):
    bridge = show("explorer", width)
    bridge.panel.link(linked)
    bridge.settle()
    sliders = page.locator(".bt-explorer input[type=range]:visible")
    assert sliders.count() == (28 - 11 if linked else 28)
    assert min(s.bounding_box()["width"] for s in sliders.all()) >= 90
    cut = "(all) => all.filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent)"
    assert page.locator(".bt-explorer :is(strong, label, button, h4, summary)").evaluate_all(cut) == []


def test_the_bars_of_the_explorer_are_beside_its_sliders(page, show):
    width, height = SCREENS["1366x768"]
    show("explorer", width, height)
    for name in ("hue, T", "solarize p, T"):
        expect(page.get_by_label(name, exact=True)).to_be_in_viewport()
    expect(page.get_by_role("list", name="What two views still share")).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("button", name=re.compile("^pair 8"))).to_be_in_viewport(ratio=1)


def test_disclosures_have_their_triangle(page, show):
    show("laboratory", 900)
    styles = page.locator(".bt-lab summary").evaluate_all(
        "(all) => all.map((e) => [getComputedStyle(e).display, getComputedStyle(e).listStyleType])"
    )
    assert styles == [["list-item", "disclosure-closed"]] * 2


def test_the_axis_of_epochs_ends_where_the_furthest_run_is(page, show):
    """Before any run has begun, it has all epochs of the config."""
    bridge = show("laboratory", 900)
    page.evaluate("""() => { window.words = []; const fill = CanvasRenderingContext2D.prototype.fillText;
        CanvasRenderingContext2D.prototype.fillText = function (text, ...at) { words.push(text); fill.call(this, text, ...at); }; }""")

    def axis():
        # what was asked for before is drawn first
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        page.evaluate("words.length = 0")
        bridge.box.panel.show(frame=bridge.box.panel._frame())
        bridge.settle()
        return {word for word in page.evaluate("words") if "epoch" in word}

    for step, words in ((3, "1 epoch"), (9, "2 epochs"), (32, "4 epochs")):  # of 8 steps each, 4 in all
        seen(bridge.box, step)
        assert axis() == {words}
    bridge.box.reset()
    assert axis() == {f"{BASE.epochs} epochs"}


EXPLAINED = {
    "explorer": [("hue", "h → h + δ"), ("crop area", "area"), ("What two views still share", "partner")],
    "phase": [("α, predictor's rate", "s = p²/α"), ("keep this trajectory", "beside those"), ("time t", "press play")],
    "laboratory": [("speed", "watch a collapse"), ("y-axis", "straight line"), ("copy code of τ = 1", "makes this run again")],
}  # fmt: skip


@pytest.mark.parametrize("name", EXPLAINED)
def test_controls_explain_themselves_on_hover_and_focus(page, show, name):
    show(name, SCREENS["1366x768"][0], 700)
    hint = page.get_by_role("tooltip")
    for part, words in EXPLAINED[name]:
        target = page.locator(".bt").get_by_text(part, exact=True).first
        if part.startswith("copy code"):
            target = page.get_by_role("button", name=part, exact=True)
        target.hover()
        expect(hint).to_contain_text(words)
        expect(hint).to_contain_text(re.compile(r"Lesson \d+: "))
        page.mouse.move(1, 1)
        expect(hint).to_be_hidden()
    page.locator(".bt :is(button, input):not(:disabled)").first.focus()
    seen_words = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        # at once, because it hides when the focus has been elsewhere for a moment
        shown = (
            "() => { const e = document.querySelector('.bt-hint'); return e.matches(':popover-open') && e.innerText; }"
        )
        seen_words.add(page.evaluate(shown))
    assert len(seen_words - {False}) >= 4
    page.keyboard.press("Escape")
    expect(hint).to_be_hidden()


def test_a_slider_without_effect_is_off_and_says_why(page, show):
    bridge = show("explorer", 934)
    hue = page.get_by_label("hue, T", exact=True)
    expect(hue).to_be_enabled()
    bridge.panel.set(jitter_p=0.0)
    bridge.settle()
    for name in ("hue, T", "contrast, T", "brightness, T", "saturation, T"):
        expect(page.get_by_label(name, exact=True)).to_be_disabled()
    page.get_by_text("hue", exact=True).first.hover()
    expect(page.get_by_role("tooltip")).to_contain_text("colours are never changed, because jitter p is 0")
    bridge.panel.set(jitter_p=1.0, blur_p=0.0)
    bridge.settle()
    expect(hue).to_be_enabled()
    expect(page.get_by_label("blur sigma, to")).to_be_disabled()
    bridge.panel.set(grayscale_p=1.0)
    bridge.settle()
    expect(hue).to_be_disabled()
    expect(page.get_by_label("contrast, T", exact=True)).to_be_enabled()


def test_time_is_played_from_the_start_to_the_end(page, show):
    page.clock.install(time=0)
    show("phase", 934)
    page.clock.pause_at(600)  # seconds; from now on time passes only where it is told to
    clock = page.get_by_role("slider", name="time t")
    expect(clock).to_have_value("0")
    page.get_by_role("button", name="play time").click()
    page.clock.run_for(2500)
    assert float(clock.input_value()) == pytest.approx(0.5, abs=0.05)
    page.get_by_role("button", name="pause time").click()
    paused = clock.input_value()
    page.clock.run_for(2000)
    assert clock.input_value() == paused
    page.get_by_role("button", name="play time").click()
    page.clock.run_for(6000)
    expect(clock).to_have_value("1")
    expect(page.get_by_role("button", name="play time")).to_be_visible()
    page.evaluate("unmount()")
    assert page.evaluate("model.listeners()") == 0
