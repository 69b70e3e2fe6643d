"""The cockpit's tour, and what a reader keeps of it: code, link, picture, curves and clip."""

import base64
import csv
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from test_cockpit_page import TINY, WAIT, images, region, show  # noqa: F401

import byol_tutorial as bt
from byol_tutorial.widgets.cockpit.frames import link_of

pytestmark = pytest.mark.browser
ADDRESS = "http://127.0.0.1:9/cockpit"  # a page with an address has a memory
COPIES = "() => Object.defineProperty(navigator, 'clipboard', {value: {writeText: async (text) => { window.copied = text; }}})"


@pytest.fixture
def addressed(page):
    page.route(
        ADDRESS, lambda route: route.fulfill(body="<!doctype html><title>cockpit</title>", content_type="text/html")
    )
    page.goto(ADDRESS)


def until(bridge, condition):
    """Bring the page's messages to the panel and the panel's values to the page until the condition holds."""
    for _ in range(600):
        bridge.settle()
        if condition():
            return
        bridge.page.wait_for_timeout(50)
    raise AssertionError("it has not happened")


def own_clock(page):
    """Give the page a clock that the test can put forward, which says when a moment is kept for a clip."""
    page.evaluate(
        "() => { const now = performance.now.bind(performance); window.ahead = 0; performance.now = () => now() + ahead; }"
    )


def settle_later(bridge):
    """Let what is new reach the page at least a quarter of a second after what came before, so that it is kept."""
    bridge.page.evaluate("() => { ahead += 260; }")
    bridge.settle()


def apart(a: dict, b: dict) -> bool:
    return (
        a["x"] + a["width"] <= b["x"]
        or b["x"] + b["width"] <= a["x"]
        or a["y"] + a["height"] <= b["y"]
        or b["y"] + b["height"] <= a["y"]
    )


# --- the tour -----------------------------------------------------------------------------------


def test_the_tour_trains_slowly_asks_and_shows_a_collapse_beside_the_run_that_is_kept(addressed, show, page):  # noqa: F811
    bridge = show(config=bt.Config(**TINY | {"epochs": 4000}))
    session, tour = bridge.panel.session, region(page).get_by_role("note", name="Tour")
    expect(tour).to_be_hidden()
    session.speed = None
    height = region(page).bounding_box()["height"]
    region(page).get_by_role("button", name="take the tour").click()
    expect(tour).to_contain_text("1 of 6")
    expect(tour.get_by_role("button", name="next")).to_be_focused()
    assert region(page).bounding_box()["height"] == height  # it takes no room
    assert session.state == "idle"
    tour.get_by_role("button", name="next").click()
    until(bridge, lambda: session.snapshot().step >= 3)
    assert session.speed == 20
    tour.get_by_role("button", name="next").click()
    tour.get_by_role("button", name="next").click()
    expect(tour).to_contain_text("Guess first")
    bridge.settle()
    assert session.snapshot().branched_at is None
    tour.get_by_role("button", name="rises").click()
    until(
        bridge,
        lambda: (
            session.snapshot().branched_at is not None and session.snapshot().step > session.snapshot().branched_at + 1
        ),
    )
    s = session.snapshot()
    assert s.config.predictor == "identity"
    assert s.beside.config.predictor == "mlp"
    until(bridge, lambda: "After" in tour.inner_text())
    expect(tour).to_contain_text(
        re.compile(r"After \d+ steps: loss [\d.e-]+, was [\d.e-]+; spread [\d.e-]+, was [\d.e-]+")
    )
    tour.get_by_role("button", name="next").click()
    tour.get_by_role("button", name="done").click()
    expect(tour).to_be_hidden()
    until(bridge, lambda: session.state == "paused")
    assert session.speed is None
    assert page.evaluate("localStorage.getItem('byol-cockpit-tour')")
    expect(region(page).get_by_role("button", name="take the tour")).to_be_hidden()


def test_the_tour_replaces_no_branch_that_the_reader_made_and_gives_the_speed_back(addressed, show, page):  # noqa: F811
    bridge = show(config=bt.Config(**TINY | {"epochs": 4000}))
    session, tour = bridge.panel.session, region(page).get_by_role("note", name="Tour")
    session.run(steps=6)
    session.fork(3, lr=0.1).result(WAIT)
    session.speed = 7.0
    bridge.settle()
    beside = session.snapshot().beside
    region(page).locator("button", has_text=re.compile("^tour$")).dispatch_event("click")
    for _ in range(3):
        tour.get_by_role("button", name="next").click()
    until(bridge, lambda: session.speed == 20)
    expect(tour).to_contain_text("this run has one already")
    expect(tour.get_by_role("button", name="rises")).to_have_count(0)
    tour.get_by_role("button", name="next").click()
    expect(tour).to_contain_text("6 of 6")
    tour.get_by_role("button", name="done").click()
    until(bridge, lambda: (session.state, session.speed) == ("paused", 7))
    assert not [message for message in bridge.sent if message["do"] == "fork"]
    assert session.snapshot().beside.is_run_of(beside)
    assert session.config.predictor == "mlp"
    # a limit that the reader sets during the tour stays
    bridge.panel.command({"do": "slow", "value": 5})
    bridge.panel.command({"do": "speed", "value": 1})
    bridge.panel.command({"do": "slow", "value": None})
    assert session.speed == 1


def test_the_tour_of_a_run_that_is_done_does_not_say_that_it_trains(addressed, show, page):  # noqa: F811
    bridge = show()
    bridge.panel.session.run()
    bridge.settle()
    assert bridge.panel.session.state == "done"
    region(page).locator("button", has_text=re.compile("^tour$")).dispatch_event("click")
    tour = region(page).get_by_role("note", name="Tour")
    expect(tour).to_contain_text("this run has ended")
    expect(tour).not_to_contain_text("trains")


def test_the_collapse_is_said_with_the_guess_beside_it(addressed, show, page):  # noqa: F811
    """The frames of a run that collapses, without its training."""
    bridge = show(config=bt.Config(**TINY | {"epochs": 4000}))
    session, tour = bridge.panel.session, region(page).get_by_role("note", name="Tour")
    session.run(steps=12)
    bridge.settle()
    region(page).get_by_role("button", name="take the tour").click()
    for _ in range(3):
        tour.get_by_role("button", name="next").click()
    tour.get_by_role("button", name="rises").click()
    until(bridge, lambda: session.snapshot().branched_at is not None)
    session.pause().result(WAIT)
    bridge.settle()
    frame = dict(bridge.panel.frame)
    at = frame["branched_at"]
    curves = np.stack([np.arange(1, at + 41), np.full(at + 40, 0.01), np.full(at + 40, 0.02)]).astype(np.float32)
    bridge.panel.show(frame=frame | {"step": at + 40, "curves": curves.tobytes()})
    bridge.settle()
    expect(tour).to_contain_text("After 40 steps: loss 0.01")
    expect(tour).to_contain_text("You said that the loss rises. It falls: one answer for all pictures")


@pytest.mark.parametrize("way", ["no, thanks", "skip the tour", "Escape"])
def test_the_tour_can_be_left_at_once_and_is_not_offered_again(addressed, show, page, way):  # noqa: F811
    bridge = show()
    offer = region(page).get_by_role("button", name="take the tour")
    expect(offer).to_be_visible()
    if way == "no, thanks":
        region(page).get_by_role("button", name=way).click()
    else:
        offer.click()
        if way == "Escape":
            page.keyboard.press("Escape")
        else:
            region(page).get_by_role("button", name=way).click()
    expect(region(page).get_by_role("note", name="Tour")).to_be_hidden()
    expect(offer).to_be_hidden()
    bridge.settle()
    assert bridge.sent == []  # the run is as it was
    assert page.evaluate("localStorage.getItem('byol-cockpit-tour')") == "seen"


def test_the_tour_blocks_nothing_and_does_not_cover_what_it_is_about(addressed, show, page):  # noqa: F811
    bridge = show()
    session, tour = bridge.panel.session, region(page).get_by_role("note", name="Tour")
    region(page).get_by_role("button", name="take the tour").click()
    parts = [
        ".bt-play",
        ".bt-map",
        ".bt-plots figure:nth-of-type(2)",
        ".bt-main-controls > :first-child",
        ".bt-views",
        ".bt-forks",
    ]
    for stop, part in enumerate(parts, 1):
        expect(tour).to_contain_text(f"{stop} of 6")
        box, card = region(page).locator(part).bounding_box(), tour.bounding_box()
        whole = region(page).bounding_box()
        assert card["x"] >= whole["x"]
        assert card["x"] + card["width"] <= whole["x"] + whole["width"] + 1
        if part != ".bt-views":  # they are higher than what is left
            assert apart(box, card), part
        if stop == 1:
            session.run(steps=4)
            bridge.settle()
            region(page).get_by_role("button", name="step", exact=True).click(timeout=5000)
            bridge.settle()
            assert session.snapshot().step == 5
        tour.get_by_role("button", name="next" if stop < 6 else "done").click()
        bridge.settle()


def test_a_connection_that_was_lost_for_a_moment_leaves_the_tour_alone(addressed, show, page):  # noqa: F811
    bridge = show()
    region(page).get_by_role("button", name="take the tour").click()
    page.evaluate("() => model.lose()")
    bridge.settle()
    for name in ("next", "skip the tour"):
        expect(region(page).get_by_role("button", name=name)).to_be_enabled()


def test_other_methods_have_a_tour_without_the_branch(addressed, show, page):  # noqa: F811
    show(config=bt.preset("simclr", **TINY))
    region(page).get_by_role("button", name="take the tour").click()
    expect(region(page).get_by_role("note", name="Tour")).to_contain_text("1 of 4")


# --- to share and to keep -----------------------------------------------------------------------


def opened(bridge, page):
    page.evaluate(COPIES)
    region(page).locator(".bt-more > summary").click()
    bridge.settle()


def test_the_copied_code_is_short_after_a_drag_and_makes_the_run_again(show, page, images):  # noqa: F811
    bridge = show()
    session = bridge.panel.session
    session.run(steps=6)
    bridge.settle()
    box = region(page).get_by_label("decay rate τ").bounding_box()
    page.mouse.move(box["x"] + 10, box["y"] + box["height"] / 2)
    page.mouse.down()
    for part in range(60):
        page.mouse.move(box["x"] + 10 + part, box["y"] + box["height"] / 2)
    page.mouse.up()
    bridge.settle()
    session.run(steps=6)
    opened(bridge, page)
    region(page).get_by_role("button", name="copy code").click()
    code = page.evaluate("window.copied")
    assert len(code) <= 230
    names = {"bt": bt}
    exec(code, names)
    with names["session"] as again:
        assert again.snapshot().series("loss") == session.snapshot().series("loss")
        assert again.config.tau_base != bt.Config().tau_base


def test_a_run_that_no_page_can_make_has_no_link_and_says_why(show, page):  # noqa: F811
    bridge = show()
    opened(bridge, page)
    link = region(page).get_by_role("button", name="copy link")
    expect(link).to_be_disabled()
    link.hover(force=True)
    expect(region(page).get_by_role("tooltip")).to_contain_text("44 images: the page trains on 4096")


def test_the_link_opens_the_run_in_the_playground(show, page):  # noqa: F811
    bridge = show()
    bridge.panel.session.run(steps=2)
    data = bridge.panel._data | {"images": 4096}  # as if it trained on all shapes
    made, changes = bridge.panel.session.snapshot(), ((1, {"predictor": "identity"}),)
    link = link_of(replace(made, first_config=bt.Config(batch_size=32), changes=changes), data, None)
    bridge.panel.show(frame=bridge.panel.frame | {"link": link})
    opened(bridge, page)
    region(page).get_by_role("button", name="copy link").click()
    copied = page.evaluate("window.copied")
    assert copied.startswith("book/play.html#playground&")
    assert copied.endswith("&1:predictor=identity&steps=2")
    assert len(copied) < 200
    assert "transform of your own (blur)" in link_of(made, data, "blur")["why"]


def test_picture_and_curves_hold_what_is_seen(show, page):  # noqa: F811
    bridge = show()
    session = bridge.panel.session
    session.run(steps=12)
    session.reset().result(WAIT)
    session.run(steps=7)
    opened(bridge, page)
    with page.expect_download() as download:
        region(page).get_by_role("button", name="save picture").click()
    picture = np.asarray(Image.open(download.value.path()).convert("L")).astype(float)
    assert download.value.suggested_filename == "byol.png"
    assert picture.shape[1] >= 1500  # twice the panel's width
    parts = [picture[:, : picture.shape[1] // 2], picture[:, picture.shape[1] * 3 // 4 :]]
    assert all(part.std() > 5 for part in parts)  # plots on the left, the map on the right
    with page.expect_download() as download:
        region(page).get_by_role("button", name="save curves").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8"))))
    names = list(dict.fromkeys(row["run"] for row in rows))
    assert names == ["your settings", "your settings, earlier"]
    mine = [row for row in rows if row["run"] == names[0]]
    steps = [row for row in mine if row["loss"]]
    assert [int(row["step"]) for row in steps] == list(range(1, 8))
    assert np.allclose([float(row["loss"]) for row in steps], session.snapshot().series("loss"), rtol=1e-6)
    assert np.allclose([float(row["std"]) for row in steps], session.snapshot().series("std"), rtol=1e-6)
    assert [(int(row["step"]), float(row["knn"])) for row in mine if row["knn"]] == [
        (s, pytest.approx(k)) for s, k in session.snapshot().knn
    ]
    assert len([row for row in rows if row["run"] == names[1] and row["loss"]]) == 12


def test_a_clip_is_a_video_of_what_was_seen_and_the_panel_is_live_again_afterwards(show, page):  # noqa: F811
    bridge = show()
    own_clock(page)
    for _ in range(12):
        bridge.panel.session.run(steps=1)
        settle_later(bridge)
    opened(bridge, page)
    with page.expect_download() as download:
        region(page).get_by_role("button", name="save clip").click()
    data = download.value.path().read_bytes()
    assert download.value.suggested_filename == "byol.webm"
    assert data[:4] == bytes.fromhex("1A45DFA3")  # Matroska
    size = page.evaluate(
        """async (bytes) => { const video = document.createElement("video");
          video.src = URL.createObjectURL(new Blob([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))]));
          await new Promise((done, fail) => { video.onloadeddata = done; video.onerror = () => fail(video.error); });
          return [video.videoWidth, video.videoHeight]; }""",
        base64.b64encode(data).decode(),
    )
    box = region(page).bounding_box()
    assert abs(size[0] - box["width"]) <= 2
    assert size[1] > 300
    expect(region(page).get_by_role("button", name="save clip")).to_be_enabled()
    expect(region(page).locator(".bt-counter")).to_contain_text("step 12 of")


def test_what_is_pressed_while_a_clip_is_recorded_acts_on_the_present(show, page):  # noqa: F811
    bridge = show()
    own_clock(page)
    panel, session = bridge.panel, bridge.panel.session
    session.run(steps=3)
    session.change(predictor="identity").result(WAIT)
    settle_later(bridge)
    panel.show(frame=panel.frame | {"state": "running"})
    settle_later(bridge)
    session.change(predictor="linear").result(WAIT)
    session.run(steps=1)
    settle_later(bridge)
    opened(bridge, page)
    code = panel.frame["code"]
    bridge.sent.clear()
    shown = page.evaluate(
        """() => { const find = (words) => [...document.querySelectorAll(".bt-cockpit button")].find((b) => b.textContent === words);
          const label = () => document.querySelector(".bt-play").textContent, said = [];
          find("save clip").click();
          return new Promise((done) => { const press = () => {
            said.push([document.querySelector(".bt-counter").textContent, label()]);
            if (said.length === 1) document.querySelector('.bt-network button[aria-label^="Predictor"]').click();
            if (document.querySelector(".bt-state").textContent === "running") document.querySelector(".bt-play").click();
            if (find("save clip")) { done(said); return; }
            setTimeout(press, 20); };
            find("copy code").click(); press(); }); }"""
    )
    assert shown[0][0].startswith("step 0 of")  # the past was seen
    assert {label for _, label in shown} == {"▶ play"}
    assert page.evaluate("window.copied") == code
    until(bridge, lambda: len(bridge.sent) >= 2)
    pressed = [(message["do"], message.get("value")) for message in bridge.sent]
    assert pressed[0] == ("change", "identity")  # what comes after the present value
    assert {do for do, _ in pressed[1:]} == {"play"}
