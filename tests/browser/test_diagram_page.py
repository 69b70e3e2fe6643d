"""The cockpit's diagram of the network: its parts are switches, its pictures and numbers are those of the run."""

import io
import time

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
ORANGE, GREEN = (255, 49, 0), (77, 147, 0)  # of gradient and moving average
SCREENS = {"1366x768": (909, 647), "1920x1080": (1463, 959), "phone": (456, 900)}


@pytest.fixture(scope="module")
def images():
    return bt.load("shapes", limit=44), bt.load("shapes", "test", limit=40)


@pytest.fixture
def show(page, images):
    panels = []

    def show(width=909, height=760, config=None, **options) -> Bridge:
        page.set_viewport_size({"width": width + 16, "height": height + 16})
        panel = cockpit(config or bt.Config(**TINY), *images, device="cpu")
        panels.append(panel)
        return Bridge(page, panel, finished=lambda: panel.session.change().result(WAIT), **options)

    yield show
    for panel in panels:
        panel.close()


def part(page, name):
    """Return the button of a part of the diagram: its name begins with these words."""
    return page.locator(f'.bt-network button[aria-label^="{name}"]')


def pixels(page, box=None) -> np.ndarray:
    """Return the colours of a place of the page, int (rows, columns, 3); default: the whole diagram."""
    box = box or page.locator(".bt-network").bounding_box()
    return np.asarray(Image.open(io.BytesIO(page.screenshot(clip=box))).convert("RGB")).astype(int)


def how_many(picture, colour) -> int:
    return int((np.abs(picture - colour).max(2) <= 8).sum())


def changes(bridge):
    return [(message["name"], message["value"]) for message in bridge.sent if message["do"] == "change"]


# part of the diagram, field, label of the control beside it, and the values that presses give it one after the other
SWITCHES = [
    ("Gradient into the target", "stop_gradient", "stop-gradient", [False, True]),
    ("Predictor", "predictor", "predictor q", ["linear", "identity", "mlp"]),
    ("Moving average", "tau_base", "decay rate τ", [0.99, 0.999, 1, 0, 0.5, 0.9]),
    ("Target", "target", "target network", ["online", "random", "ema"]),
    ("Both directions", "symmetric", "symmetric loss", [False, True]),
]


def test_every_part_is_the_switch_that_its_control_is_by_mouse_and_by_keyboard(show, page):
    bridge = show(config=bt.Config(**TINY, tau_base=0.9))
    bridge.panel.session.run(steps=3)
    bridge.settle()
    for name, field, label, values in SWITCHES:
        button = part(page, name)
        assert min(button.bounding_box()[side] for side in ("width", "height")) >= 22
        for i, value in enumerate(values):
            said = button.get_attribute("aria-label")
            if i % 2:
                button.focus()
                page.keyboard.press("Enter" if i % 4 == 1 else "Space")
            else:
                button.click()
            bridge.settle()
            assert changes(bridge)[-1] == (field, value)
            assert getattr(bridge.panel.session.config, field) == value
            assert button.get_attribute("aria-label") != said
        assert len(changes(bridge)) == len(values)
        bridge.sent.clear()
        # the control has followed, and what it is set to, the part follows
        control = page.get_by_label(label, exact=True)
        if control.get_attribute("type") == "checkbox":
            assert control.is_checked() == values[-1]
        elif label != "decay rate τ":
            assert control.input_value() == values[-1]
            control.select_option(values[0])
            bridge.settle()
            by_control, said = changes(bridge), button.get_attribute("aria-label")
            control.select_option(values[-1])
            bridge.settle()
            bridge.sent.clear()
            button.click()
            bridge.settle()
            assert changes(bridge) == by_control
            assert button.get_attribute("aria-label") == said
            control.select_option(values[-1])
            bridge.settle()
            bridge.sent.clear()
    assert bridge.panel.session.config == bt.Config(**TINY, tau_base=0.9)


def test_a_part_without_effect_is_off_and_says_why_and_each_explains_itself(show, page):
    bridge = show()
    bridge.panel.session.run(steps=2)
    hint = page.get_by_role("tooltip")
    for name, *_ in SWITCHES:
        bridge.settle()
        part(page, name).hover()
        expect(hint).to_contain_text("Lesson")
        assert part(page, name).get_attribute("aria-description") in hint.inner_text()
        page.keyboard.press("Escape")
    part(page, "Gradient into").click()  # without stop-gradient the target is the online network
    bridge.settle()
    bridge.sent.clear()
    for name in ("Moving average", "Target"):
        button = part(page, name)
        expect(button).to_have_attribute("aria-disabled", "true")
        button.click(force=True)
        button.press("Enter")
        bridge.settle()
        assert changes(bridge) == []
        page.mouse.move(1, 1)
        button.hover(force=True)
        expect(hint).to_contain_text("without stop-gradient the target is the online network")
        page.keyboard.press("Escape")
    bridge.answers = False
    page.evaluate("() => model.lose()")
    expect(part(page, "Predictor")).to_have_attribute("aria-disabled", "true")
    part(page, "Predictor").click(force=True)
    bridge.settle()
    assert changes(bridge) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_gradients_colour_ends_where_the_switch_stops_it(show, page, scheme):
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    bridge = show()
    bridge.panel.session.run(steps=2)
    bridge.settle()
    page.mouse.move(1, 1)
    whole, target = page.locator(".bt-network").bounding_box(), part(page, "Target").bounding_box()
    online = target | {"x": whole["x"], "width": target["x"] - whole["x"] - 30}
    stopped = {name: how_many(pixels(page, box), ORANGE) for name, box in (("target", target), ("online", online))}
    assert stopped["target"] == 0
    assert stopped["online"] > 50
    green = how_many(pixels(page), GREEN)
    assert green > 50
    part(page, "Gradient into").click()
    bridge.settle()
    page.mouse.move(1, 1)
    assert how_many(pixels(page, target), ORANGE) > 50
    assert how_many(pixels(page, online), ORANGE) == stopped["online"]
    assert how_many(pixels(page), GREEN) == 0  # one network, no moving average
    alt = page.locator(".bt-network canvas").get_attribute("aria-label")
    assert "the gradient also passes through the target, both branches are the same network" in alt


def test_pictures_and_numbers_are_those_of_the_last_step(show, page):
    bridge = show()
    assert (
        page.locator(".bt-network canvas").get_attribute("aria-label").startswith("Network: a predictor of two layers")
    )
    bridge.panel.session.run(steps=5)
    bridge.settle()
    page.mouse.move(1, 1)
    passed = bridge.panel.session.snapshot().measure.passed
    seen = pixels(page)
    windows = np.lib.stride_tricks.sliding_window_view(seen, (30, 30), (0, 1))  # the outermost pixels are the frame's
    for picture in passed.pictures.permute(0, 2, 3, 1).numpy().astype(int)[:, 1:-1, 1:-1]:
        corner = np.abs(windows[..., 15, 15].transpose(0, 1, 2) - picture[15, 15]).max(2) == 0
        found = [
            at
            for at in zip(*corner.nonzero(), strict=True)
            if np.abs(windows[at].transpose(1, 2, 0) - picture).max() == 0
        ]
        assert found
    alt = page.locator(".bt-network canvas").get_attribute("aria-label")
    rounded = lambda x, digits=3: f"{float(f'{x:.{digits}g}'):g}"  # noqa: E731
    for name, key in (("y", "y"), ("z", "z"), ("p", "p"), ("z′", "target")):
        assert f"‖{name}‖ {rounded(passed.lengths[key])}" in alt
    assert f"spread {rounded(passed.spreads['target'], 2)}" in alt
    assert f"loss {rounded(bridge.panel.session.snapshot().series('loss')[-1])}" in alt


def test_gradients_flow_once_for_each_single_step_and_leave_no_nodes(show, page):
    bridge = show()
    network = page.locator(".bt-network")
    flows = lambda: int(network.get_attribute("data-flows") or 0)  # noqa: E731
    bridge.settle()
    assert flows() == 0
    nodes = page.evaluate("document.querySelectorAll('*').length")
    for n in range(1, 4):
        page.get_by_role("button", name="step", exact=True).click()
        end = time.monotonic() + WAIT
        while bridge.panel.session.snapshot().step < n:
            assert time.monotonic() < end
            bridge.settle()
        bridge.settle()
        assert flows() == n
    # a dot is on its way for a while, and gone afterwards: the picture then stays as it is
    page.wait_for_function(
        """() => {
            const drawn = document.querySelector(".bt-network canvas").toDataURL(), same = window.drawnBefore === drawn;
            window.drawnBefore = drawn;
            return same;
        }""",
        polling=500,
    )
    bridge.panel.session.run(steps=40)
    bridge.settle()
    seen = flows()
    assert seen <= 4  # steps that come too fast to be followed are not shown one by one; the first may come alone
    page.emulate_media(reduced_motion="reduce")
    bridge.panel.session.run(steps=1)
    bridge.settle()
    assert flows() == seen
    for _ in range(3):
        part(page, "Predictor").click()
        bridge.settle()
    kept = page.evaluate("document.querySelectorAll('*').length") - nodes
    log = page.locator(".bt-log li").count() + page.locator(".bt-log li span").count()
    assert kept <= log  # only the changes have become more
    page.evaluate("unmount()")
    assert page.evaluate("model.listeners()") == 0


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("method", ["byol", "simsiam", "simclr", "dino"])
def test_the_diagram_is_seen_whole_beside_the_effects(show, page, screen, method):
    width, height = SCREENS[screen]
    bridge = show(width, height, bt.preset(method if method != "byol" else "shapes", **TINY))
    bridge.panel.session.run(steps=4)
    bridge.settle()
    panel, network = (page.locator(s).bounding_box() for s in (".bt-cockpit", ".bt-network"))
    assert network["width"] >= 220
    assert network["height"] >= 240
    if screen != "phone":
        assert network["y"] + network["height"] - panel["y"] <= height
        plots = page.locator(".bt-plots canvas").first.bounding_box()
        assert plots["width"] >= 170
    for button in page.locator(".bt-network button").all():
        box = button.bounding_box()
        assert network["x"] <= box["x"]
        assert box["x"] + box["width"] <= network["x"] + network["width"] + 1
        assert network["y"] <= box["y"]
        assert box["y"] + box["height"] <= network["y"] + network["height"] + 1
        assert not (button.get_attribute("aria-label") or "").endswith("undefined")
