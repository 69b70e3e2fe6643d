"""The playground in Firefox, from the disk: it trains, its switches work, and closing it ends its worker."""

import json
import re
import time

import pytest
from firefox import Firefox, firefox

import byol_tutorial as bt
from byol_tutorial.widgets.static import save_html

pytestmark = pytest.mark.skipif(firefox() is None, reason="no Firefox on this machine: apt-get install firefox-esr")

COUNTER = "document.querySelector('.bt-counter').textContent"
STEP = f"Number({COUNTER}.match(/step (\\d+)/)[1])"
VERDICT = "document.querySelector('.bt-verdict').textContent"
READY = f"document.querySelector('.bt-verdict') && {VERDICT}.includes('not trained yet')"


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """Return a running Firefox. Its name is not `browser`, which is Chromium everywhere else."""
    firefox = Firefox(tmp_path_factory.mktemp("firefox"))
    yield firefox
    firefox.close()


@pytest.fixture
def show(started, tmp_path):
    """Return a function that opens a playground from the disk; an error on the console of the page fails the test."""
    panel = bt.widgets.playground()
    save_html(panel, tmp_path / "playground.html")
    started.faults.clear()

    def open_page(fragment: str) -> Firefox:
        started.open("about:blank")
        started.open((tmp_path / "playground.html").as_uri() + fragment)
        started.wait(READY)
        return started

    yield open_page
    panel.close()
    started.evaluate("1")  # what the console says arrives before the answer
    assert started.faults == []


def test_it_trains_in_a_worker_by_webassembly_and_says_what_happens(show):
    page = show("#playground&stop_gradient=false&steps=100")
    assert "in a worker, by WebAssembly" in page.evaluate("document.querySelector('.bt-playground').textContent")
    page.click("button", "▶ train")
    page.wait(f"{COUNTER}.includes('paused') && {STEP} === 100")
    assert page.evaluate(VERDICT).startswith("collapse: every image gets nearly the same direction")
    spread = page.evaluate(VERDICT).split("√d·std ")[1]
    assert float(re.match(r"[\d.]+", spread)[0]) < 0.1


def test_switches_work_while_it_trains_and_are_in_the_address(show):
    page = show("#playground&steps=100000")
    page.click("button", "▶ train")
    page.wait(f"{STEP} >= 10")
    page.click("checkbox", "stop-gradient")
    page.wait("/&\\d+:stop_gradient=false/.test(location.hash)")
    page.evaluate(
        "[...document.querySelectorAll('.bt-control')].find((e) => e.textContent.startsWith('predictor')).querySelector('select').focus()"
    )
    for _ in range(2):
        page.press("ArrowDown")
    page.press("Enter")
    page.wait("/&\\d+:predictor=identity/.test(location.hash)")
    before = page.evaluate(STEP)
    page.wait(f"{STEP} > {before} + 20")
    page.click("button", "❚❚ pause")
    page.wait(f"{COUNTER}.includes('paused')")
    image = "document.querySelector('canvas[aria-label^=\"Network: no predictor\"]')"
    assert page.evaluate(f"{image} !== null")


def test_a_card_asks_for_a_prediction_and_answers_it(show):
    page = show("")
    page.click("button", "no predictor")
    page.click("button", "run without predicting")
    page.wait(f"{STEP} >= 60")
    page.wait(f"{VERDICT}.startsWith('collapse')")
    assert page.evaluate("location.hash").startswith("#playground&predictor=identity")


def test_disposing_the_panel_ends_its_worker(show):
    page = show("")
    page.open("about:blank")
    panel = bt.widgets.playground()
    state = {"about": panel.about, "plans": panel.plans}
    module = str(panel._esm)
    panel.close()
    page.evaluate(
        f"""(async () => {{
          const module = await import(URL.createObjectURL(new Blob([{json.dumps(module)}], {{type: "text/javascript"}})));
          const state = {json.dumps(state)}, el = document.createElement("div");
          document.body.append(el);
          window.dispose = module.default.render({{model: {{recorded: false, get: (name) => state[name]}}, el}});
        }})()"""
    )
    page.wait(READY)
    assert page.workers() == 1
    page.click("button", "▶ train")
    page.wait(f"{STEP} >= 2")
    page.evaluate("dispose()")
    end = time.monotonic() + 60
    while page.workers():
        assert time.monotonic() < end, "the worker still runs"
