"""The panels in a JupyterLab as it is on a laptop: the room that they need, the nodes that they leave, and what is saved."""

import json
import time

import pytest
from lab import Lab, command, nodes, run_all
from playwright.sync_api import expect
from watched import watched

SETUP = """import byol_tutorial as bt
train, test = bt.load("shapes", limit=128), bt.load("shapes", "test", limit=64)
config = bt.preset("shapes", width=4, hidden_dim=16, projection_dim=8, batch_size=16, epochs=1000)"""
EXPLORER, LABORATORY, PHASE = (
    "bt.widgets.explorer(train)",
    "bt.widgets.laboratory(train, test, config)",
    "bt.widgets.phase_plane()",
)
COCKPIT = "bt.widgets.cockpit(config, train, test)"
REGIONS = {
    "Augmentation explorer": EXPLORER,
    "Collapse laboratory": LABORATORY,
    "Phase plane of BYOL": PHASE,
    "BYOL cockpit": COCKPIT,
}
RUNS = 8  # of a cell, after the first


def run_notebook(lab, page, name: str, *cells: str) -> None:
    """Open a notebook of these cells on a screen of 1366×768, with the list of files beside it, and run it."""
    page.set_viewport_size({"width": 1366, "height": 768})
    lab.open(page, lab.notebook(name, SETUP, *cells))
    command(page, "application:toggle-left-area")
    page.wait_for_selector(".jp-FileBrowser", state="visible")
    run_all(page)


@pytest.fixture(scope="module")
def opened(lab, lab_context):
    page = lab_context.new_page()
    with watched(page):
        run_notebook(lab, page, "panels", EXPLORER, LABORATORY, PHASE)
    yield page
    page.goto("about:blank")
    lab.shut_down_kernels()
    page.close()


@pytest.fixture
def panels(opened):
    """Return a page with a notebook of three panels, in the cells 1 to 3, for the tests that leave it as it is."""
    with watched(opened):
        yield opened


def test_a_panel_fits_what_jupyterlab_leaves_of_the_screen(panels):
    page = panels
    for name in ("Augmentation explorer", "Collapse laboratory", "Phase plane"):
        panel = page.get_by_role("region", name=name)
        expect(panel).to_be_visible()
        room = page.locator(".jp-WindowedPanel-outer").bounding_box()
        place = panel.bounding_box()
        assert place["height"] <= min(room["height"], 647), name
        assert place["x"] >= room["x"]
        assert place["x"] + place["width"] <= room["x"] + room["width"]


def test_a_cell_that_is_run_again_leaves_no_nodes(panels):
    """The explorer has about a thousand nodes."""
    page = panels
    panel = page.get_by_role("region", name="Augmentation explorer")

    def again():
        page.evaluate("document.querySelector('.bt-explorer').dataset.old = ''")
        page.locator(".jp-Notebook .jp-Cell .cm-content").nth(1).click()
        command(page, "notebook:run-cell")
        expect(page.locator(".bt-explorer:not([data-old]) .bt-badge")).to_have_text("live")
        expect(panel).to_have_count(1)

    expect(panel.locator(".bt-badge")).to_have_text("live")
    again()
    before = nodes(page)
    for _ in range(RUNS):
        again()
    assert nodes(page) - before < 100 * RUNS


RUNNING = """panel = bt.widgets.cockpit(config.replace(epochs=100_000), train, test)
def tell(s):
    with open("state.txt", "w") as file:
        file.write(s.state)
panel.session.subscribe(tell)
panel.session.start()
panel"""


def state_of(lab, page, wanted: str, seconds: float) -> float:
    """Return after how many seconds the run in the notebook's kernel is in this state."""
    file, start = lab.folder / "work" / "state.txt", time.monotonic()
    while not (file.exists() and file.read_text() == wanted):
        assert time.monotonic() - start < seconds, file.exists() and file.read_text()
        page.wait_for_timeout(100)
    return time.monotonic() - start


def test_closing_the_tab_of_a_notebook_pauses_its_run_and_its_kernel_lives(page, lab):
    run_notebook(lab, page, "running", RUNNING)
    cockpit = page.get_by_role("region", name="BYOL cockpit")
    expect(cockpit.locator(".bt-state")).to_have_text("running")
    page.wait_for_timeout(9000)  # longer than a page may be silent
    state_of(lab, page, "running", 2)
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.evaluate("() => { window.jupyterapp.shell.currentWidget.close(); }")
    expect(page.locator(".jp-NotebookPanel")).to_have_count(0)
    state_of(lab, page, "paused", 10)
    assert "running.ipynb" in [session["path"] for session in lab.ask("api/sessions")]
    page.goto("about:blank")
    lab.shut_down_kernels()


@pytest.mark.parametrize("configured", [True, False])
def test_a_saved_notebook_opened_again_shows_its_panels(lab, page, tmp_path, configured):
    """Also after it was opened and saved without a run, when no kernel knows the panels; and in a JupyterLab without our
    settings, which does not save widgets by itself."""
    server = lab if configured else Lab(tmp_path / "plain", config=None)
    try:
        name = server.notebook("saved_panels", SETUP, *REGIONS.values())
        server.open(page, name)
        run_all(page)
        for region in REGIONS:
            expect(page.get_by_role("region", name=region)).to_be_attached()
        cockpit = page.get_by_role("region", name="BYOL cockpit")
        cockpit.get_by_role("button", name="step", exact=True).click()
        expect(cockpit.locator(".bt-counter")).to_contain_text("step 1 of")
        for _ in range(2):
            page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
            content = json.loads((server.folder / "work" / name).read_text("utf-8"))
            state = content["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
            for cell in content["cells"][1:]:
                shown = cell["outputs"][0]["data"]
                assert shown["application/vnd.jupyter.widget-view+json"]["model_id"] in state
                assert "nothing can be live here" in "".join(shown["text/html"])
            page.goto("about:blank")
            server.shut_down_kernels()
            server.open(page, name)
            for cell, region in enumerate(REGIONS, 1):  # one that is far from the screen is not drawn
                page.evaluate("(cell) => window.jupyterapp.shell.currentWidget.content.scrollToItem(cell)", cell)
                expect(page.get_by_role("region", name=region)).to_be_visible()
            expect(cockpit.locator(".bt-counter")).to_contain_text("step 1 of")
            assert page.get_by_text("model not found").count() == 0
        page.goto("about:blank")
        server.shut_down_kernels()
    finally:
        if not configured:
            server.close()
