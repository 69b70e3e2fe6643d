"""The cockpit as a learner uses it: a notebook in JupyterLab, in Chromium."""

import re
from pathlib import Path

import pytest
from lab import KERNEL_IS_READY, command
from playwright.sync_api import expect
from watched import watched

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
SETUP = """import byol_tutorial as bt
train, test = bt.load("shapes", limit=512), bt.load("shapes", "test", limit=256)"""
PANEL = """panel = bt.widgets.cockpit(bt.preset("shapes", epochs=200, lr=0.4), train, test)
panel"""
STEPS = "Number(document.querySelector('.bt-counter').textContent.match(/step (\\d+)/)[1])"


@pytest.fixture(scope="module")
def notebook(lab, lab_context):
    """Open one notebook for all tests: to load JupyterLab and to start a kernel that imports torch takes longest."""
    page = lab_context.new_page()
    with watched(page):
        lab.open(page, lab.notebook("cockpit", SETUP, PANEL, ""))
    yield page
    page.goto("about:blank")
    lab.shut_down_kernels()
    page.close()


@pytest.fixture
def page(notebook):
    with watched(notebook):
        yield notebook


@pytest.fixture
def cockpit(page, request):
    """Run the two cells again, which makes a new cockpit, in a page 1,200 px wide. The third cell is for the test to run."""
    page.set_viewport_size({"width": 1200, "height": 1300})
    command(page, "apputils:change-theme", {"theme": "JupyterLab Light"})
    page.wait_for_selector('body[data-jp-theme-name="JupyterLab Light"]', state="attached")
    if page.locator(".jp-FileBrowser").first.is_visible():
        command(page, "application:toggle-left-area")
    page.wait_for_function(KERNEL_IS_READY)
    command(page, "notebook:clear-all-cell-outputs")
    panel = page.get_by_role("region", name="BYOL cockpit")
    expect(panel).to_have_count(0)
    page.evaluate(
        """(code) => {
            const cells = window.jupyterapp.shell.currentWidget.content;
            cells.widgets[2].model.sharedModel.setSource(code);
            cells.activeCellIndex = 0;
        }""",
        getattr(request, "param", ""),
    )
    command(page, "notebook:run-cell-and-select-next")
    expect(page.locator(".jp-Notebook .jp-InputPrompt").first).to_have_text(re.compile(r"\[\d+\]"))
    command(page, "notebook:run-cell-and-select-next")
    expect(panel.locator(".bt-state")).to_have_text("idle", timeout=120_000)
    return panel


def steps_beyond(page, n):
    page.wait_for_function(f"{STEPS} > {n}")


def run_cell(page, number):
    """Run the notebook's cell of this number (from 0) and return what it printed."""
    cell = page.locator(".jp-Notebook .jp-Cell").nth(number)
    cell.locator(".cm-content").click()
    command(page, "notebook:run-cell")
    expect(cell.locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[\d+\]"))
    return cell.locator(".jp-OutputArea-output pre").all_inner_texts()


def test_tau_is_dragged_while_it_trains_and_recorded_with_its_step(cockpit, page):
    cockpit.get_by_role("button", name="play").click()
    steps_beyond(page, 5)
    slider = cockpit.get_by_label("decay rate τ")
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.325, box["y"] + box["height"] / 2)
    page.mouse.down()
    for part in (0.5, 0.7, 0.8):
        page.mouse.move(box["x"] + box["width"] * part, box["y"] + box["height"] / 2)
    page.mouse.up()
    log = cockpit.locator(".bt-log li")
    expect(log).to_contain_text("decay rate τ")
    expect(log).to_have_count(1)  # one gesture is one change
    step, value = re.match(r"step (\d+): decay rate τ [\d.]+ → ([\d.]+)", log.text_content()).groups()
    assert int(step) > 5
    assert float(value) == pytest.approx(float(slider.get_attribute("aria-valuetext")), abs=1e-4)
    assert float(value) > 0.98
    expect(cockpit.locator(".bt-state")).to_have_text("running")


@pytest.mark.parametrize("cockpit", ["print(panel.session.snapshot().step)"], indirect=True)
def test_pause_freezes_the_step_counter_and_reset_begins_anew(cockpit, page):
    cockpit.get_by_role("button", name="play").click()
    steps_beyond(page, 3)
    cockpit.get_by_role("button", name="pause").click()
    expect(cockpit.locator(".bt-state")).to_have_text("paused")
    frozen = page.evaluate(STEPS)
    assert run_cell(page, 2) == [f"{frozen}\n"]
    cockpit.get_by_role("button", name="step").click()
    page.wait_for_function(f"{STEPS} === {frozen + 1}")
    expect(cockpit.locator(".bt-state")).to_have_text("paused")
    assert run_cell(page, 2) == [f"{frozen + 1}\n"]
    cockpit.get_by_role("button", name="reset").click()
    page.wait_for_function(f"{STEPS} === 0")
    expect(cockpit.locator(".bt-state")).to_have_text("idle")


REBUILD = """loss = list(panel.session.snapshot().series("loss"))
exec(panel.frame["code"])
print(session.snapshot().series("loss") == loss, len(loss), session.snapshot().changes)"""


@pytest.mark.parametrize("cockpit", [REBUILD], indirect=True)
def test_without_predictor_the_spread_falls_and_the_experiment_can_be_made_again(cockpit, page):
    """When it is removed during training, the verdict changes, √d·std falls below 0.1, and the loss is lower."""
    cockpit.get_by_role("button", name="play").click()
    steps_beyond(page, 10)
    expect(cockpit.locator(".bt-verdict")).to_have_text(re.compile("^too early"))
    cockpit.get_by_label("predictor q").select_option("identity")
    expect(cockpit.locator(".bt-log")).to_contain_text("predictor removed")
    expect(cockpit.locator(".bt-verdict")).to_have_text(re.compile("^collapse"))
    spread = cockpit.get_by_role("img", name=re.compile("^spread")).get_attribute("aria-label")
    assert float(spread.rsplit(" ", 1)[1]) < 0.1
    cockpit.get_by_role("button", name="pause").click()
    expect(cockpit.locator(".bt-state")).to_have_text("paused")
    printed = run_cell(page, 2)[-1]
    assert re.fullmatch(r"True \d+ \(\(\d+, \{'predictor': 'identity'\}\),\)\n", printed), printed
    copied = cockpit.get_by_label("Experiment as code").input_value()
    assert copied.startswith("session = bt.rebuild(")
    assert re.search(r"&\d+:predictor=identity&", copied), copied


def test_a_preset_asks_first_and_shows_the_guess_beside_the_outcome(cockpit, page):
    cockpit.get_by_label("ask me first").check()
    cockpit.get_by_role("button", name="no stop-gradient", exact=True).click()
    cockpit.get_by_label("The spread √d·std …").select_option("vanishes")
    cockpit.get_by_label("The loss …").select_option("does not fall")
    cockpit.get_by_role("button", name="run “no stop-gradient”").click()
    expect(cockpit.locator(".bt-outcome")).to_contain_text("you said “vanishes”; so far it vanishes ✓")
    expect(cockpit.locator(".bt-outcome")).to_contain_text("you said “does not fall”; so far it goes to zero ✗")
    expect(cockpit.get_by_label("stop-gradient", exact=True)).not_to_be_checked()


BUSY = """import threading
free = threading.Event()
panel.session.subscribe(lambda s: s.step > 20 and s.config.tau_base == 0.0 and free.set())
print(free.wait(120), panel.session.state)"""


@pytest.mark.parametrize("cockpit", [BUSY], indirect=True)
def test_controls_work_while_a_cell_keeps_the_kernel_busy(cockpit, page):
    """The cell waits for an event that only the panel can cause."""
    cell = page.locator(".jp-Notebook .jp-Cell").nth(2)
    cell.locator(".cm-content").click()
    command(page, "notebook:run-cell")
    expect(cell.locator(".jp-InputPrompt")).to_have_text("[*]:")
    cockpit.get_by_role("button", name="play").click()
    slider = cockpit.get_by_label("decay rate τ")
    slider.focus()
    slider.press("Home")  # the keyboard reaches it too
    expect(cell.locator(".jp-OutputArea-output pre")).to_have_text("True running\n")


def test_a_mistake_shows_an_error_and_the_control_goes_back(cockpit, page):
    cockpit.locator(".bt-more > summary").click()
    size = cockpit.get_by_label("batch size")
    cockpit.get_by_label("seed").fill("-3")
    cockpit.get_by_label("seed").press("Enter")
    expect(cockpit.get_by_role("alert")).to_contain_text("seed=-3: give a whole number at least 0")
    size.select_option("64")
    expect(cockpit.get_by_role("alert")).to_be_empty()
    expect(size).to_have_value("64")
    assert page.locator(".jp-OutputArea-output pre").count() == 0  # nothing is printed into a cell


def test_after_a_kernel_restart_it_shows_its_last_picture_and_says_so(cockpit, page, lab):
    cockpit.get_by_role("button", name="play").click()
    steps_beyond(page, 12)
    cockpit.get_by_role("button", name="pause").click()
    expect(cockpit.locator(".bt-state")).to_have_text("paused")
    before = page.evaluate(STEPS)
    command(page, "kernelmenu:restart")
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    expect(cockpit.locator(".bt-state")).to_have_text("kernel gone")
    expect(cockpit.get_by_text("not live: no kernel answers")).to_be_visible()
    for button in cockpit.locator(".bt-head button").all():
        expect(button).to_be_disabled()
    assert page.evaluate(STEPS) == before
    drawn = "[...document.querySelectorAll('.bt-plots canvas')].map((c) => c.toDataURL().length > 3000)"
    assert page.evaluate(drawn) == [True] * 4


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (1920, 1080)])
def test_all_that_matters_is_visible_at_once_with_the_file_list_open(cockpit, page, width, height):
    page.set_viewport_size({"width": width, "height": height})
    command(page, "filebrowser:activate")
    page.locator(".jp-FileBrowser").first.wait_for()
    cockpit.get_by_role("button", name="play").click()
    steps_beyond(page, 40)
    cockpit.get_by_role("button", name="pause").click()
    expect(cockpit.locator(".bt-state")).to_have_text("paused")
    page.evaluate("document.querySelector('.bt-cockpit').scrollIntoView({block: 'end'})")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"cockpit-one-screen-{width}.png")
    room = page.locator(".jp-WindowedPanel-outer").first.bounding_box()
    box = cockpit.bounding_box()
    summary = "getComputedStyle(document.querySelector('.bt-more > summary')).listStyleType"
    assert page.evaluate(summary) == "disclosure-closed"  # JupyterLab takes the triangles away
    assert box["height"] <= room["height"], (room, box)
    for selector in (
        ".bt-play",
        ".bt-verdict",
        ".bt-main-controls > *",
        ".bt-plots canvas",
        ".bt-map canvas",
        ".bt-forks",
    ):
        for one in cockpit.locator(selector).all():
            at = one.bounding_box()
            assert room["y"] - 1 <= at["y"], selector
            assert at["y"] + at["height"] <= room["y"] + room["height"] + 1, selector


def test_it_fits_and_is_readable_in_light_and_dark(cockpit, page, lab):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    cockpit.get_by_role("button", name="play").click()
    steps_beyond(page, 40)
    cockpit.get_by_role("button", name="pause").click()
    expect(cockpit.locator(".bt-state")).to_have_text("paused")
    for theme in ("Light", "Dark"):
        command(page, "apputils:change-theme", {"theme": f"JupyterLab {theme}"})
        page.wait_for_selector(f'body[data-jp-theme-name="JupyterLab {theme}"]', state="attached")
        page.wait_for_function(
            "(dark) => getComputedStyle(document.querySelector('.bt')).color.match(/\\d+/)[0] > 128 === dark",
            arg=theme == "Dark",
        )
        for width in (900, 1600):
            page.set_viewport_size({"width": width, "height": 1300})
            assert page.evaluate(
                "(() => { const e = document.querySelector('.bt'); return e.scrollWidth <= e.clientWidth + 1; })()"
            )
            page.screenshot(path=SCREENSHOTS / f"cockpit-{theme.lower()}-{width}.png")
    unlabelled = """[...document.querySelectorAll('.bt :is(input, select, button, canvas)')].filter(
        (e) => !(e.closest('[hidden]') || e.labels?.length || e.textContent.trim() || e.getAttribute('aria-label'))).map((e) => e.outerHTML)"""
    assert page.evaluate(unlabelled) == []
