"""The maps of cockpit and film: they glide, show the image under the pointer, and can be looked at closer and encircled."""

import re
from collections import Counter

import numpy as np
import pytest
from bridge import Bridge
from playwright.sync_api import expect

import byol_tutorial as bt
from byol_tutorial.widgets.cockpit import cockpit

pytestmark = pytest.mark.browser

TINY = {"width": 4, "hidden_dim": 16, "projection_dim": 8, "batch_size": 8, "epochs": 20, "warmup_epochs": 1.0}
WAIT = 60


@pytest.fixture(scope="module")
def images():
    return bt.load("shapes", limit=44), bt.load("shapes", "test", limit=40)


@pytest.fixture
def show(page, images):
    panels = []

    def show(panel) -> Bridge:
        page.set_viewport_size({"width": 925, "height": 760})
        panels.append(panel)
        done = (lambda: panel.session.change().result(WAIT)) if hasattr(panel, "session") else (lambda: None)
        return Bridge(page, panel, finished=done)

    yield show
    for panel in panels:
        panel.close()


def places(panel, box, zoom=1.0, at=None) -> np.ndarray:
    """Return where the points of the cockpit's map of z are on the page, worked out from the numbers that it was sent."""
    points = np.frombuffer(panel.frame["maps"]["z"], np.int16).reshape(-1, 2) / 32000 * [1, -1]
    middle, half = np.array([box["width"], box["height"]]) / 2, (min(box["width"], box["height"]) - 8) / 2
    on_map = middle + points * half
    if at is not None:  # what was at this place stays there, unless the map's edge would leave the edge of its picture
        left = np.clip(at - at / zoom, 0, 2 * middle * (1 - 1 / zoom))
        on_map = (on_map - left) * zoom
    return on_map + np.array([box["x"], box["y"]])


def lone(found, box) -> int:
    """Return the point that is furthest from all others, of those well within the map."""
    inside = (np.abs(found - [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]) < box["width"] / 2 - 20).all(
        1
    )
    apart = np.linalg.norm(found[:, None] - found, axis=2) + 1e9 * np.eye(len(found))
    return int(np.where(inside, apart.min(1), -1).argmax())


def test_the_cockpits_map_shows_images_is_looked_at_closer_and_encircled(show, page, images):
    panel = cockpit(bt.Config(**TINY), *images, device="cpu")
    bridge = show(panel)
    panel.session.run(steps=6)
    bridge.settle()
    canvas, words = page.locator(".bt-map canvas"), page.locator(".bt-map figcaption")
    page.wait_for_function("!document.querySelector('.bt-map canvas').hasAttribute('data-moves')")  # it has arrived
    box = canvas.bounding_box()
    found = places(panel, box)
    i, classes, labels = lone(found, box), images[1].classes, panel.session.measured.labels.tolist()
    assert "circle" in words.inner_text()  # the size of the unit sphere
    before = canvas.evaluate("(c) => c.toDataURL()")
    page.mouse.move(*found[i])
    expect(words).to_have_text(f"image {i}, {classes[labels[i]]}")
    assert canvas.evaluate("(c) => c.toDataURL()") != before
    page.mouse.move(1, 1)
    expect(words).to_contain_text("unit sphere")
    # closer: the same point is then where the lens puts it
    page.mouse.dblclick(*found[i])
    bridge.settle()
    closer = places(panel, box, 2.0, np.array(found[i]) - [box["x"], box["y"]])
    inside = (closer > [box["x"] + 3, box["y"] + 3]).all(1) & (
        closer < [box["x"] + box["width"] - 3, box["y"] + box["height"] - 3]
    ).all(1)
    others = [j for j in inside.nonzero()[0] if np.sort(np.linalg.norm(closer - closer[j], axis=1))[1] > 6]
    assert others
    for j in others[:3]:
        page.mouse.move(*closer[j])
        expect(words).to_have_text(f"image {j}, {classes[labels[j]]}")
    canvas.focus()
    page.keyboard.press("0")
    bridge.settle()
    # a lasso around the left part
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    page.mouse.down()
    ordered = np.sort(found[:, 0])[10:30]
    widest = np.diff(ordered).argmax()
    middle = round((ordered[widest] + ordered[widest + 1]) / 2)  # the pointer is at whole pixels, and no point near it
    for x, y in (
        (middle, box["y"] + 2),
        (middle, box["y"] + box["height"] - 2),
        (box["x"] + 2, box["y"] + box["height"] - 2),
    ):
        page.mouse.move(x, y, steps=3)
    page.mouse.up()
    page.mouse.move(1, 1)
    encircled = [j for j in range(40) if found[j][0] < middle]
    assert 0 < len(encircled) < 40
    expect(words).to_contain_text(f"{len(encircled)} encircled: ")
    counts = {name: int(n) for n, name in re.findall(r"(\d+) (\w+)", words.inner_text().split(": ")[1])}
    assert counts == Counter(classes[labels[j]] for j in encircled)
    canvas.focus()
    page.keyboard.press("Escape")
    expect(words).to_contain_text("unit sphere")
    page.keyboard.press("ArrowRight")
    first = words.inner_text()
    assert re.fullmatch(r"image \d+, \w+", first)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(words).not_to_have_text(first)


def test_a_scroll_by_finger_an_empty_lasso_and_a_click_select_nothing(show, page, images):
    panel = cockpit(bt.Config(**TINY), *images, device="cpu")
    bridge = show(panel)
    panel.session.run(steps=6)
    bridge.settle()
    page.wait_for_function("!document.querySelector('.bt-map canvas').hasAttribute('data-moves')")
    canvas, words = page.locator(".bt-map canvas"), page.locator(".bt-map figcaption")
    box = canvas.bounding_box()
    assert canvas.evaluate("(c) => getComputedStyle(c).touchAction") == "pan-y"
    drawn = lambda: canvas.evaluate("(c) => c.toDataURL()")  # noqa: E731

    def encircle_all():
        page.mouse.move(box["x"] + 2, box["y"] + 2)
        page.mouse.down()
        for x, y in ((box["width"] - 2, 2), (box["width"] - 2, box["height"] - 2), (2, box["height"] - 2)):
            page.mouse.move(box["x"] + x, box["y"] + y, steps=3)

    page.mouse.move(1, 1)
    expect(words).to_contain_text("unit sphere")
    plain = drawn()
    # a finger that moves on as a scroll of the page: the browser cancels it
    for moved in (8, 30):
        canvas.evaluate(
            """(c, moved) => { const box = c.getBoundingClientRect(); c.setPointerCapture = () => {};
              const send = (type, y) => c.dispatchEvent(new PointerEvent(type, {pointerId: 7, pointerType: "touch", button: 0, clientX: box.left + 40, clientY: box.top + y}));
              send("pointerdown", 20); send("pointermove", 20 + moved); send("pointercancel", 20 + moved); send("pointerleave", 20 + moved); delete c.setPointerCapture; }""",
            moved,
        )
        expect(words).to_contain_text("unit sphere")
        page.wait_for_timeout(50)  # it is drawn meanwhile
        assert drawn() == plain
    # a lasso of a place without points
    page.mouse.move(box["x"] + 1, box["y"] + 1)
    page.mouse.down()
    page.mouse.move(box["x"] + 9, box["y"] + 1)
    page.mouse.move(box["x"] + 9, box["y"] + 4)
    page.mouse.up()
    page.mouse.move(1, 1)
    expect(words).to_contain_text("unit sphere")
    assert drawn() == plain
    # a click removes a lasso
    encircle_all()
    page.mouse.up()
    page.mouse.move(1, 1)
    expect(words).to_contain_text("40 encircled")
    page.mouse.click(box["x"] + 2, box["y"] + 2)
    page.mouse.move(1, 1)
    expect(words).to_contain_text("unit sphere")
    assert drawn() == plain


def test_the_map_glides_in_every_frame_until_it_has_arrived(show, page, images):
    page.clock.install(time=0)
    panel = cockpit(bt.Config(**TINY), *images, device="cpu")
    bridge = show(panel)
    panel.session.run(steps=6)
    bridge.settle()
    page.clock.pause_at(600)  # seconds; from now on time passes only where it is told to
    page.evaluate("""() => { window.pictures = new Set(); window.draws = 0; const {putImageData} = CanvasRenderingContext2D.prototype;
        CanvasRenderingContext2D.prototype.putImageData = function (...a) { putImageData.apply(this, a);
            if (this.canvas.closest?.(".bt-map")) { draws++; pictures.add(this.canvas.toDataURL()); } }; }""")
    panel.session.run(steps=30)
    page.evaluate("(frame) => model.receive('frame', frame)", panel.frame)
    page.clock.run_for(320)
    moving = page.evaluate("[draws, pictures.size]")
    assert moving[0] >= 18  # a frame every 16 ms
    assert moving[1] >= 15  # each of them another picture, except where points move by less than a pixel
    page.clock.run_for(2500)
    page.evaluate("() => { draws = 0; }")
    page.clock.run_for(500)
    assert page.evaluate("draws") == 0


def test_the_films_map_is_looked_at_closer_and_encircled(show, page, images):
    trainer = bt.Trainer(bt.Config(**TINY | {"epochs": 2}), images[0], device="cpu")
    bridge = show(bt.widgets.film(bt.record(trainer, images[1], progress=False)))
    side, canvas = page.locator(".bt-look"), page.locator(".bt-film canvas").first
    box = canvas.bounding_box()
    drag = [(4, 4), (box["width"] - 4, 4), (box["width"] - 4, box["height"] - 4), (4, box["height"] - 4)]
    page.mouse.move(box["x"] + 4, box["y"] + 4)
    page.mouse.down()
    for x, y in drag[1:]:
        page.mouse.move(box["x"] + x, box["y"] + y, steps=3)
    page.mouse.up()
    page.mouse.move(1, 1)
    expect(side).to_contain_text("40 encircled")
    assert side.locator("canvas").count() == 20
    counts = {name: int(n) for n, name in re.findall(r"(\d+) (\w+)", side.locator("p").inner_text())}
    assert counts == {name: n for k, name in enumerate(images[1].classes) if (n := int((images[1].labels == k).sum()))}
    canvas.focus()
    drawn = canvas.evaluate("(c) => c.toDataURL()")
    page.keyboard.press("+")
    bridge.settle()
    expect(side).not_to_contain_text("encircled")
    assert canvas.evaluate("(c) => c.toDataURL()") != drawn
    page.keyboard.press("ArrowRight")
    expect(side).to_contain_text("image x")
