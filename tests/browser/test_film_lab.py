"""The film and the phase plane in JupyterLab, and the same film as HTML among a cell's outputs."""

import re

import pytest
from lab import run_all
from playwright.sync_api import expect

RECORD = """import byol_tutorial as bt
images = bt.load("shapes", limit=96)
config = bt.Config(epochs=2, warmup_epochs=0.5, width=4, hidden_dim=16, projection_dim=8)
recording = bt.record(bt.Trainer(config, images, device="cpu"), images, progress=False)"""
FILM = "bt.widgets.film(recording)"
PLANE = "bt.widgets.phase_plane()"
STATIC = """from IPython.display import HTML
HTML(bt.widgets.static_html(bt.widgets.film(recording)))"""


@pytest.fixture
def panels(lab, page):
    """Return the regions of the film, the phase plane, and the film as HTML."""
    page.set_viewport_size({"width": 1200, "height": 2600})
    lab.open(page, lab.notebook("film", RECORD, FILM, PLANE, STATIC), theme="JupyterLab Dark")
    run_all(page)
    films = page.get_by_role("region", name="Embedding film")
    expect(films).to_have_count(2, timeout=120_000)
    yield films.nth(0), page.get_by_role("region", name="Phase plane"), films.nth(1)
    page.goto("about:blank")
    lab.shut_down_kernels()


def try_film(film, page):
    picture = film.get_by_role("img", name="Map by PCA of 96 images")
    film.get_by_label("epoch", exact=True).fill("2")
    expect(picture).to_have_attribute("aria-label", re.compile("at epoch 2.0"))
    picture.scroll_into_view_if_needed()
    picture.focus()
    page.keyboard.press("ArrowRight")  # JupyterLab's own shortcuts do not handle it
    expect(film.get_by_role("img", name="image x: ")).to_be_visible()
    page.keyboard.press("Enter")
    expect(film.get_by_role("heading", name="nearest in y at epoch 2")).to_be_visible()
    tile = film.get_by_role("img", name="neighbour: ").first
    assert tile.evaluate("(c) => c.getContext('2d').getImageData(9, 9, 1, 1).data[3]") == 255


def test_the_same_module_works_in_jupyterlab_and_as_html_and_without_the_kernel(panels, lab, page):
    film, plane, recorded = panels
    try_film(film, page)
    try_film(recorded, page)
    lab.shut_down_kernels()  # neither of the two needs a kernel
    words = plane.locator(".bt-phase-words")
    expect(words).to_contain_text("survives")
    plane.get_by_role("button", name="slow predictor").click()
    expect(words).to_contain_text("collapses")
    handle = plane.get_by_role("slider", name="start point")
    handle.focus()
    for _ in range(6):
        page.keyboard.press("Shift+ArrowUp")
    expect(words).to_contain_text("survives")
    film.get_by_label("epoch", exact=True).fill("0")
    expect(film.get_by_role("heading", name="nearest in y at epoch 0")).to_be_visible()
    expect(page.locator(".jp-Notebook .jp-Cell")).to_have_count(4)  # no key was taken as a command of the notebook
