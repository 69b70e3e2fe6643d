"""The panel with which the course begins, in Chromium from the disk: it trains by itself, asks, and shows a collapse."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from test_playground_page import PATIENT, wait_for

import byol_tutorial as bt
from byol_tutorial.widgets.static import save_html

pytestmark = pytest.mark.browser
STEP = "Number(document.querySelector('.bt-counter').textContent.match(/\\d+/)[0])"


@pytest.fixture
def panel(page, tmp_path):
    made = bt.widgets.first_look()
    save_html(made, tmp_path / "first.html")
    page.add_init_script(PATIENT)
    page.set_viewport_size({"width": 934, "height": 647})
    page.goto((tmp_path / "first.html").as_uri())
    yield page.get_by_role("region", name="BYOL at first sight")
    made.close()


def settings(page) -> dict:
    return page.evaluate("frames.at(-1).settings")


def test_it_trains_when_it_is_seen_asks_before_it_acts_and_says_what_came_of_it(page, panel):
    button = panel.get_by_role("button", name="remove the predictor")
    wait_for(page, f"() => {STEP} >= 60")  # nothing was pressed
    expect(panel).to_contain_text("It learns from pictures without labels")
    assert panel.bounding_box()["height"] <= 647
    for part in (
        button,
        panel.get_by_role("img", name=re.compile("^Map")),
        panel.get_by_role("img", name=re.compile("^loss")),
    ):
        expect(part).to_be_in_viewport(ratio=1)
    assert button.bounding_box()["height"] >= 48
    button.click()
    expect(panel.get_by_role("group", name="Your guess")).to_be_visible()
    expect(button).to_be_hidden()
    wait_for(page, f"(n) => {STEP} >= n", 80)
    assert settings(page)["predictor"] == "mlp"  # it waits for the guess
    panel.get_by_role("button", name="it rises").click()
    wait_for(page, "() => frames.at(-1).settings.predictor === 'identity'")
    at = page.evaluate("frames.at(-1).changes[0][0]")
    assert at >= 80
    expect(panel).to_contain_text("You guessed that the loss rises")
    expect(panel).to_contain_text("This is called collapse")
    expect(panel).to_contain_text("it falls")
    loss, std = page.evaluate("[frames.flatMap((f) => f.loss), frames.flatMap((f) => f.std)]")
    assert min(std[-20:]) < 0.3 < min(std[at - 20 : at])
    assert sum(loss[-20:]) < 0.5 * sum(loss[at - 20 : at])
    panel.get_by_role("button", name="start again, with the predictor").click()
    wait_for(page, "() => frames.at(-1).settings.predictor === 'mlp' && frames.at(-1).step > 20")
    expect(button).to_be_visible()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        off = {rule: {"enabled": False} for rule in ("landmark-one-main", "page-has-heading-one", "region")}
        found = Axe().run(page, options={"preload": False, "rules": off}).response["violations"]
        assert [f"{v['id']}: {n['html'][:120]}" for v in found for n in v["nodes"]] == []


def test_never_mind_and_pause_leave_the_run_alone_and_a_phone_has_room(page, panel):
    wait_for(page, f"() => {STEP} >= 5")
    panel.get_by_role("button", name="pause").click()
    wait_for(page, "() => !frames.at(-1).running")
    stopped = page.evaluate("frames.at(-1).step")
    panel.get_by_role("button", name="remove the predictor").click()
    panel.get_by_role("button", name="cancel").click()
    expect(panel.get_by_role("button", name="remove the predictor")).to_be_focused()
    assert page.evaluate("[frames.at(-1).step, frames.at(-1).changes.length]") == [stopped, 0]
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    panel.get_by_role("button", name="train").click()
    wait_for(page, f"(n) => {STEP} > n", stopped)


def test_it_waits_until_it_is_seen(page, panel):
    hide = """(hidden) => { Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
                            document.dispatchEvent(new Event("visibilitychange")); }"""
    wait_for(page, f"() => {STEP} >= 5")
    page.evaluate(hide, True)
    wait_for(page, "() => !frames.at(-1).running")
    stopped = page.evaluate("frames.at(-1).step")
    page.evaluate(hide, False)
    wait_for(page, f"(n) => {STEP} > n", stopped)


def test_of_several_observations_at_once_the_newest_counts(page, panel):
    """A page that was busy gets them together, the oldest first: the panel was out of view, and now it is in view."""
    page.add_init_script("""globalThis.IntersectionObserver = class extends IntersectionObserver {
      constructor(seen) { super((entries) => seen([{isIntersecting: false}, ...entries])); } };""")
    page.reload()
    wait_for(page, f"() => {STEP} >= 5")
