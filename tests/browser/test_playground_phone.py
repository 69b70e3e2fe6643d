"""The playground on a phone: 360 pixels wide, touched by a finger, in Chromium's emulation of a device."""

import re

import pytest
from chromium import HERE
from playwright.sync_api import expect

import byol_tutorial as bt
from byol_tutorial.widgets.static import save_html

PHONE = {
    "viewport": {"width": 360, "height": 740},
    "device_scale_factor": 3,
    "is_mobile": True,
    "has_touch": True,
    "user_agent": "Mozilla/5.0 (Linux; Android 14; Mobile) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36",
}
SMALLEST = 24  # CSS pixels of what a finger must hit: success criterion 2.5.8 of WCAG 2.2
STEP = "Number(document.querySelector('.bt-counter').textContent.match(/step (\\d+)/)[1])"


@pytest.fixture(scope="module")
def phone(browser, tmp_path_factory):
    """A playground on a phone's screen, without its tour; an error on the console or another host fails the tests."""
    panel = bt.widgets.playground()
    file = tmp_path_factory.mktemp("phone") / "playground.html"
    save_html(panel, file)
    panel.close()
    context, faults = browser.new_context(**PHONE), []
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.on("request", lambda r: None if HERE.match(r.url) else faults.append(r.url))
    page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: faults.append(str(e)))
    page.add_init_script("try { localStorage.setItem('byol-playground-tour', 'seen'); } catch { /* about:blank */ }")
    page.goto(file.as_uri())
    expect(page.locator(".bt-verdict").first).to_contain_text("not trained yet")
    yield page
    assert faults == []
    context.close()


def test_nothing_is_wider_than_the_screen_or_too_small_for_a_finger(phone):
    assert phone.evaluate("[innerWidth, matchMedia('(pointer: coarse)').matches]") == [360, True]
    assert phone.evaluate("document.documentElement.scrollWidth") <= 360
    sizes = phone.locator(".bt-playground").locator("button, select, input:not([type=checkbox]), .bt-switch label")
    small = "(all) => all.map((e) => [e.textContent || e.type, e.getBoundingClientRect()]).filter(([, b]) => b.width && Math.min(b.width, b.height) < %d).map(([name, b]) => `${name}: ${b.width} × ${b.height}`)"
    assert sizes.evaluate_all(small % SMALLEST) == []


def test_a_finger_trains_pauses_and_changes_a_switch(phone):
    phone.get_by_role("button", name="train").tap()
    phone.wait_for_function(f"() => {STEP} >= 5")
    switch = phone.get_by_role("checkbox", name="stop-gradient")
    switch.scroll_into_view_if_needed()  # the panel still is in view, so it trains on
    switch.tap()
    phone.wait_for_function("() => /&\\d+:stop_gradient=false/.test(location.hash)")
    expect(switch).not_to_be_checked()
    phone.get_by_role("button", name="pause").tap()
    expect(phone.locator(".bt-counter")).to_contain_text("paused")


DOTS = """(canvas) => { // CSS pixels of the map that have a colour, ten of them from all over it
  const {width, height} = canvas, {data} = canvas.getContext("2d").getImageData(0, 0, width, height), found = [];
  for (let i = 0; i < data.length; i += 4) {
    const [r, g, b] = data.subarray(i, i + 3);
    if (Math.max(r, g, b) - Math.min(r, g, b) > 60) found.push([i / 4 % width, Math.floor(i / 4 / width)]);
  }
  const scale = canvas.clientWidth / width;
  return Array.from({length: 10}, (_, k) => found[Math.floor((k + 0.5) / 10 * found.length)].map((v) => v * scale));
}"""


def test_a_finger_on_a_dot_of_the_map_shows_its_picture(phone):
    """The map takes the touch: the picture whose dot is nearest is shown below."""
    shown = phone.get_by_text(re.compile(r"^Picture \d+, "))
    canvas = phone.get_by_role("img", name=re.compile("^Map of z"))
    canvas.scroll_into_view_if_needed()
    box, texts = canvas.bounding_box(), {shown.inner_text()}
    for x, y in canvas.evaluate(DOTS):
        phone.touchscreen.tap(box["x"] + x, box["y"] + y)
        texts.add(shown.inner_text())
    assert len(texts) >= 3
    assert phone.evaluate("scrollX") == 0


def test_a_card_is_predicted_and_run_by_touch_alone(phone):
    phone.get_by_role("button", name="no predictor").tap()
    form = phone.get_by_role("form", name="Your prediction")
    form.get_by_label("The spread √d·std …").select_option("vanishes")
    form.get_by_role("button", name="run it").tap()
    expect(phone.locator(".bt-outcome")).to_contain_text("you said “vanishes”; so far it vanishes ✓")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 360
