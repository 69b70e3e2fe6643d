"""The augmentation explorer in a page, with the widget itself behind it."""

import re

import numpy as np
import pytest
from bridge import Bridge
from playwright.sync_api import expect

import byol_tutorial as bt
from byol_tutorial.widgets import explorer

pytestmark = pytest.mark.browser


def finished(panel) -> None:
    panel._queue.submit(lambda: None).result(timeout=60)


@pytest.fixture(scope="module")
def images():
    return bt.load("shapes", limit=300)


@pytest.fixture
def show(page, images):
    """Show an explorer in the page."""
    panels = []

    def show(config=None, width=900, **options) -> Bridge:
        page.set_viewport_size({"width": width, "height": 900})
        panel = explorer(images, config)
        panels.append(panel)
        return Bridge(page, panel, finished=lambda: finished(panel), **options)

    yield show
    for panel in panels:
        panel.close()


def pixels(page, selector: str) -> list[np.ndarray]:
    """Return the pixels of these canvases: uint8 (H, W, 4) each."""
    found = page.locator(selector).evaluate_all(
        "(all) => all.map((c) => [c.height, c.width, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]])"
    )
    return [np.array(data, np.uint8).reshape(h, w, 4) for h, w, data in found]


def test_pictures_and_texts_are_those_of_the_panel(page, show):
    bridge = show()
    bridge.panel.go(index=3, seed=2, pair=1, many=True)
    bridge.settle()
    sent = np.frombuffer(bridge.panel.pictures, np.uint8).reshape(-1, 32, 32, 4)
    canvases = pixels(page, ".bt-chain canvas")
    np.testing.assert_array_equal(np.stack([canvases[0], *canvases[1:10], *canvases[11:]]), sent[:19])
    np.testing.assert_array_equal(canvases[10], sent[0])
    pairs = pixels(page, ".bt-pair canvas")
    np.testing.assert_array_equal(np.stack(pairs[::2] + pairs[1::2]), sent[19:])
    for view, way in bridge.panel.stages().items():
        steps = page.get_by_role("region", name=f"{view}, step by step")
        for stage in way:
            expect(steps.get_by_role("img", name=f"{view}, {stage.name}: {stage.words}", exact=True)).to_be_visible()


def test_a_slider_changes_t_prime_with_t_while_they_are_linked(page, show):
    bridge = show()
    t, t_prime = page.get_by_label("hue, T", exact=True), page.get_by_label("hue, T′", exact=True)
    expect(page.get_by_label("T′ as T")).to_be_checked()
    expect(t_prime).to_be_disabled()
    t.fill("0.1")
    expect(t_prime).to_have_value("0.1")
    bridge.settle()
    assert bridge.panel.config.hue == (0.1, 0.1)
    expect(page.locator(".bt-code code")).to_have_text('config = bt.preset("shapes", hue=0.1)')

    page.get_by_label("T′ as T").uncheck()
    bridge.settle()
    t_prime.fill("0.4")
    bridge.settle()
    assert bridge.panel.config.hue == (0.1, 0.4)
    expect(t).to_have_value("0.1")
    page.get_by_label("T′ as T").check()
    bridge.settle()
    assert bridge.panel.config.hue == (0.1, 0.1)


@pytest.mark.parametrize(
    "name", ["crop area, from", "crop ratio, to", "blur sigma, from", "solarize p, T", "jitter p, T"]
)
def test_sliders_move_by_keys_and_send_short_numbers(page, show, name):
    bridge = show()
    bridge.panel.set(blur_p=0.5)  # otherwise the width of the blur has no effect, and its sliders are off
    bridge.settle()
    slider = page.get_by_label(name, exact=True)
    field, end = name.replace(" ", "_").split(",_")
    before = getattr(bridge.panel.config, field)[end in ("to", "T′")]
    slider.focus()
    for key in ("ArrowRight", "ArrowLeft", "ArrowLeft") if before > 0 else ("ArrowRight",):
        page.keyboard.press(key)
        bridge.settle()
    after = getattr(bridge.panel.config, field)[end in ("to", "T′")]
    assert after != before
    assert len(f"{after!r}") <= 6
    expect(slider).to_have_attribute("aria-valuetext", re.compile(rf"^{after:g}"))


def test_ends_of_a_slider_are_the_bounds(page, show):
    bridge = show()
    bridge.panel.set(blur_p=0.5)
    bridge.settle()
    for key, expected in (("Home", 0.001), ("End", 1.0)):
        page.get_by_label("crop area, from").press(key)
        bridge.settle()
        assert bridge.panel.config.crop_area[0] == expected
    page.get_by_label("blur sigma, to").press("End")
    bridge.settle()
    assert bridge.panel.config.blur_sigma == (0.1, 20.0)


def test_an_answer_that_comes_late_does_not_move_the_slider_back(page, show):
    bridge = show()
    slider = page.get_by_label("hue, T", exact=True)
    bridge.hold()
    for value in ("0.4", "0.3", "0.2"):
        slider.fill(value)
        bridge.settle()
    assert [message["hue"][0] for message in bridge.held] == [0.4, 0.3, 0.2]
    bridge.deliver(2)
    bridge.settle()
    assert bridge.panel.config.hue == (0.3, 0.3)
    expect(slider).to_have_value("0.2")
    bridge.deliver()
    bridge.settle()
    assert bridge.panel.config.hue == (0.2, 0.2)
    bridge.panel.set(hue=0.5)  # from a cell, when no message is on its way
    bridge.settle()
    expect(slider).to_have_value("0.5")


def test_many_moves_within_a_frame_are_one_message(page, show):
    bridge = show()
    page.get_by_label("hue, T", exact=True).evaluate(
        "(e) => { for (let i = 0; i < 50; i++) { e.value = i / 100; e.dispatchEvent(new Event('input')); } }"
    )
    bridge.settle()
    assert [message["hue"] for message in bridge.sent] == [[0.49, 0.49]]


def test_a_bad_setting_shows_an_error_and_the_last_picture_stays(page, show):
    bridge = show()
    before = pixels(page, ".bt-chain canvas")
    page.get_by_label("crop area, to").fill("0.3")
    bridge.settle()
    expect(page.get_by_role("alert")).to_have_text(
        "crop_area=(0.5, 0.3): the first is larger than the second; exchange them"
    )
    for a, b in zip(before, pixels(page, ".bt-chain canvas"), strict=True):
        np.testing.assert_array_equal(a, b)
    expect(page.get_by_label("crop area, to")).to_have_value(re.compile("^0.3"))
    page.get_by_label("crop area, from").fill("0.2")
    bridge.settle()
    expect(page.get_by_role("alert")).to_be_empty()
    assert bridge.panel.config.crop_area == (0.2, 0.3)


def test_pictures_and_draws(page, show):
    bridge = show()
    panel, button = bridge.panel, lambda name: page.get_by_role("button", name=name, exact=True)

    def click(name):
        button(name).click()
        bridge.settle()

    click("previous picture")
    assert panel.scene.index == 299
    click("next picture")
    click("next picture")
    assert panel.scene.index == 1
    expect(page.get_by_role("button", name="picture 1: ")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name=re.compile("^picture 7: ")).click()
    bridge.settle()
    assert panel.scene.index == 7
    page.get_by_label("picture", exact=True).fill("120")
    page.get_by_label("picture", exact=True).press("Enter")
    bridge.settle()
    assert panel.scene.index == 120
    expect(page.get_by_role("button", name=re.compile("^picture 131: "))).to_be_visible()

    click("another draw")
    expect(page.get_by_label("seed")).to_have_value("1")
    first = pixels(page, ".bt-pair canvas")
    page.get_by_label("seed").fill("5")
    page.get_by_label("seed").press("Enter")
    bridge.settle()
    assert panel.scene.seed == 5
    page.get_by_label("seed").fill("1")
    page.get_by_label("seed").press("Enter")
    bridge.settle()
    np.testing.assert_array_equal(first, pixels(page, ".bt-pair canvas"))

    page.get_by_role("button", name=re.compile("^pair 4")).click()
    page.get_by_label("a picture for each pair").check()
    bridge.settle()
    assert (panel.scene.pair, panel.scene.many) == (3, True)
    expect(page.get_by_role("button", name=re.compile("^pair 4"))).to_have_attribute("aria-pressed", "true")


def test_recipes_and_copying(page, show):
    bridge = show()
    button = page.get_by_role("button", name="the paper's T and T′")
    button.click()
    bridge.settle()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_label("T′ as T")).not_to_be_checked()
    expect(page.get_by_label("solarize p, T′")).to_have_value("0.2")
    assert bridge.panel.config == bt.preset("shapes", **bt.config.presets.PAPER_VIEWS)
    page.evaluate(
        "Object.defineProperty(navigator, 'clipboard', {value: {writeText: async (t) => { window.copied = t; }}})"
    )
    copy = page.locator(".bt-code button")
    copy.click()
    expect(copy).to_have_text("copied")
    scope = {"bt": bt}
    exec(page.evaluate("window.copied"), scope)
    assert scope["config"] == bridge.panel.config


def test_bars_show_what_is_shared(page, show):
    bridge = show()
    bridge.panel.set(jitter_p=0.0, grayscale_p=0.0)
    bridge.settle()
    hue = page.get_by_role("list", name="What two views still share").get_by_role("listitem").first
    expect(hue).to_contain_text("hue100 %The hue of one view tells you 100")
    track, bar = hue.locator(".bt-track").bounding_box(), hue.locator(".bt-track i").bounding_box()
    assert bar["width"] > 0.97 * track["width"]
    bridge.panel.set(jitter_p=1.0)
    bridge.settle()
    assert hue.locator(".bt-track i").bounding_box()["width"] < 0.13 * track["width"]


def test_every_control_and_every_picture_has_a_name(page, show):
    show()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll(".bt :is(button, input, select, summary, canvas)")].filter((e) =>
          !e.closest("[aria-hidden=true]") && !e.getAttribute("aria-label") && !e.textContent.trim() && !e.labels?.length
        ).map((e) => e.outerHTML)"""
    )
    assert nameless == []
    names = page.evaluate(
        "[...document.querySelectorAll('.bt input[type=range]')].map((e) => e.getAttribute('aria-label'))"
    )
    assert len(names) == len(set(names)) == 28


def test_every_control_can_be_reached_and_keeps_its_keys(page, show):
    """Tab reaches them in the order of the page, and JupyterLab does not handle their keys."""
    bridge = show()
    bridge.panel.link(False)
    bridge.settle()
    wanted = page.locator(".bt :is(button, input, select, summary, [tabindex]):not(:disabled)")
    count = wanted.count()
    assert wanted.evaluate_all("(all) => all.every((e) => e.dataset.lmSuppressShortcuts === 'true')")
    reached = []
    for _ in range(count):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("[...document.querySelectorAll('.bt *')].indexOf(document.activeElement)"))
    assert reached == sorted(reached)
    assert len(set(reached)) == count
    assert -1 not in reached


def test_nothing_jumps_when_pictures_change(page, show):
    """The page has the same canvases in the same places."""
    bridge = show()
    places = "() => [...document.querySelectorAll('.bt canvas, .bt input')].map((e) => { const r = e.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; })"
    page.evaluate("window.canvases = [...document.querySelectorAll('.bt canvas')]")
    before = page.evaluate(places)
    for seed in range(1, 6):
        bridge.panel.go(seed=seed, index=seed)
        bridge.settle()
        assert page.evaluate(places) == before
    assert page.evaluate("window.canvases.every((c, i) => c === document.querySelectorAll('.bt canvas')[i])")


@pytest.mark.parametrize("width", [360, 900, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_read(page, show, width, scheme, tmp_path):
    page.emulate_media(color_scheme=scheme)
    bridge = show(width=width)
    bridge.panel.recipe("the paper's T and T′")
    bridge.settle()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        """() => { const box = document.querySelector(".bt").getBoundingClientRect();
          return [...document.querySelectorAll(".bt :is(button, input, select, canvas, output)")].filter((e) => {
            const r = e.getBoundingClientRect();
            return r.width && (r.left < box.left || r.right > box.right);
          }).map((e) => e.outerHTML); }"""
    )
    assert outside == []
    contrasts = page.evaluate(
        """() => {
          const canvas = new OffscreenCanvas(1, 1).getContext("2d");
          const luminance = (colour) => {
            canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
            const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const ground = luminance(getComputedStyle(document.querySelector(".bt")).backgroundColor);
          return [".bt-quiet", "strong", "h4", "label"].map((s) => {
            const ink = luminance(getComputedStyle(document.querySelector(".bt " + s)).color);
            return (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
          });
        }"""
    )
    assert min(contrasts) > 4.5
    assert (scheme == "dark") == (
        page.evaluate("getComputedStyle(document.querySelector('.bt')).color") != "rgb(0, 0, 0)"
    )
    page.screenshot(path=tmp_path / f"explorer-{scheme}-{width}.png", full_page=True)


def test_recorded_it_shows_the_last_picture_and_says_how_to_run_it(page, show):
    bridge = show(recorded=True)
    expect(page.get_by_text('bt.widgets.explorer(bt.load("shapes"))')).to_be_visible()
    expect(page.locator(".bt-badge")).to_have_text("recorded")
    sent = np.frombuffer(bridge.panel.pictures, np.uint8).reshape(-1, 32, 32, 4)
    np.testing.assert_array_equal(pixels(page, ".bt-chain canvas")[9], sent[9])
    expect(page.get_by_role("button", name="another draw")).to_be_disabled()
    expect(page.get_by_label("hue, T", exact=True)).to_be_disabled()
    expect(page.get_by_role("button", name="copy")).to_be_enabled()
    assert bridge.sent == []


def test_without_a_kernel_it_says_so_and_comes_back(page, show):
    page.clock.install()
    bridge = show()
    expect(page.locator(".bt-badge")).to_have_text("live")
    bridge.answers = False
    page.clock.run_for(50_000)
    expect(page.locator(".bt-badge")).to_have_text("not live")
    expect(page.get_by_text("No kernel answers: this is the last picture.")).to_be_visible()
    expect(page.get_by_role("button", name="another draw")).to_be_disabled()
    bridge.panel.go(seed=4)  # every message of the kernel counts as an answer
    page.clock.run_for(100)
    bridge.answers = True
    page.clock.run_for(6_000)
    page.clock.resume()
    bridge.settle()
    expect(page.locator(".bt-badge")).to_have_text("live")
    expect(page.get_by_label("seed")).to_have_value("4")
    expect(page.get_by_role("button", name="another draw")).to_be_enabled()


def test_removed_from_the_page_it_removes_its_handlers(page, show):
    show()
    page.evaluate("unmount()")
    assert page.evaluate("model.listeners()") == 0
