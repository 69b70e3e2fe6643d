"""The page of all five panels, as it is in the repository, run from top to bottom in JupyterLab."""

import shutil
from pathlib import Path

import pytest
from lab import run_all
from playwright.sync_api import expect

PAGE = Path(__file__).parents[2] / "notebooks" / "live_controls.ipynb"
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"


@pytest.fixture
def notebook(lab, page):
    page.set_viewport_size({"width": 1200, "height": 1400})
    shutil.copy(PAGE, lab.folder / "work" / PAGE.name)
    lab.open(page, PAGE.name)
    run_all(page)
    panel = page.get_by_role("region", name="Phase plane")
    expect(panel).to_be_attached(timeout=240_000)  # the last one
    yield page
    page.goto("about:blank")
    lab.shut_down_kernels()


def shot(panel, name):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    panel.scroll_into_view_if_needed()
    panel.screenshot(path=SCREENSHOTS / f"{name}.png")


def test_all_five_panels_live_in_one_notebook(notebook):
    """Each panel responds: film and phase plane in the browser, the others through the kernel."""
    page = notebook
    film = page.get_by_role("region", name="Embedding film")
    slider = film.get_by_label("epoch", exact=True)
    slider.fill(slider.get_attribute("max"))
    expect(film.get_by_role("img", name="Map by PCA of 256 images at epoch 1.0")).to_be_visible()
    shot(film, "film")

    phase = page.get_by_role("region", name="Phase plane")
    before = phase.get_by_role("img").first.evaluate("(c) => c.toDataURL()")
    phase.get_by_label("η, weight decay").fill("0.4")
    page.wait_for_function(
        "([before]) => document.querySelector('.bt-phase canvas, [aria-label^=\"Phase plane\"] canvas').toDataURL() !== before",
        arg=[before],
    )
    shot(phase, "phase")

    explorer = page.get_by_role("region", name="Augmentation explorer")
    explorer.get_by_label("hue, T", exact=True).fill("0.1")
    expect(explorer).to_contain_text("hue=")
    shot(explorer, "explorer")

    cockpit = page.get_by_role("region", name="BYOL cockpit").first
    cockpit.get_by_label("decay rate τ").fill("500")
    expect(cockpit.locator(".bt-log li").last).to_contain_text("→ 0.99")
    expect(cockpit.locator(".bt-badge[data-kind=warn]")).to_be_hidden()
    shot(cockpit, "cockpit")

    laboratory = page.get_by_role("region", name="Collapse laboratory")
    expect(laboratory.get_by_role("article")).to_have_count(5)
    shot(laboratory, "laboratory")
    assert page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]').count() == 0
