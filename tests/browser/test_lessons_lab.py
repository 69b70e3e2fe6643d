"""The lessons as JupyterLab shows them: a folder of notebooks, whose links open notebooks, and what a lesson looks like."""

import io
import re
from contextlib import ExitStack

import numpy as np
import pytest
from lab import KERNEL_IS_READY, command
from PIL import Image
from playwright.sync_api import TimeoutError, expect
from prose import LONGEST_LINE
from watched import watched

from byol_tutorial.course.editions import write_edition

NAME = ".jp-DirListing-itemText"
SHOWN = ".jp-NotebookPanel:not(.lm-mod-hidden)"


FIGURE = """import torch
from byol_tutorial import figures
photographs = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
photographs[:, 0] = 200
figures.image_grid(photographs, columns=2, titles=['one', 'two'])"""


@pytest.fixture(scope="module")
def folder(lab):
    """The name of a reader's folder in JupyterLab."""
    write_edition("lessons", lab.folder / "work" / "lessons")
    return "lessons"


@pytest.fixture(scope="module")
def jupyterlab(lab, lab_context, folder):
    """Return a function that returns JupyterLab in one page for all tests that change nothing in it: to load it takes longest.

    The page is watched until its end, also between the tests. Where a test has closed it, another one is opened.
    """
    lab.notebook("figure", FIGURE)
    opened = []
    with ExitStack() as ends:

        def the_page():
            if not opened or opened[-1].is_closed():
                page = lab_context.new_page()
                ends.callback(page.close)
                ends.enter_context(watched(page))
                page.set_viewport_size({"width": 1366, "height": 768})
                page.goto(f"{lab.url}/lab/tree/{folder}/00_start_here.ipynb?reset")
                page.wait_for_selector(f"{SHOWN} .jp-MarkdownCell h1")
                opened.append(page)
            return opened[-1]

        yield the_page
        for page in opened:
            if not page.is_closed():
                page.goto("about:blank")
        lab.shut_down_kernels()


@pytest.fixture
def page(jupyterlab):
    """Return the page with lesson 0 in front, in the light theme, on a screen of 1366×768."""
    page = jupyterlab()
    page.set_viewport_size({"width": 1366, "height": 768})
    with watched(page):
        set_theme(page, "JupyterLab Light")
        show(page, "lessons/00_start_here.ipynb")
        yield page


def set_theme(page, theme: str) -> None:
    command(page, "apputils:change-theme", {"theme": theme})
    page.wait_for_selector(f'body[data-jp-theme-name="{theme}"]', state="attached")


def show(page, notebook: str) -> None:
    """Open a notebook in the page, or bring it to the front."""
    command(page, "docmanager:open", {"path": notebook})
    page.wait_for_function(
        """([shown, path]) => document.querySelector(`${shown} .jp-Cell`)
            && window.jupyterapp.shell.currentWidget?.context?.path === path""",
        arg=[SHOWN, notebook],
    )


def test_the_file_list_shows_each_lesson_once_with_its_whole_name(page, lab, folder):
    expect(page.locator(NAME).filter(has_text="live_controls.ipynb")).to_be_visible()
    names = page.locator(NAME).all_inner_texts()
    assert sorted(names) == sorted(
        p.name for p in (lab.folder / "work" / folder).iterdir() if not p.name.startswith(".")
    )
    assert all(name.endswith(".ipynb") for name in names)
    cut = page.locator(NAME).evaluate_all(
        "(all) => all.filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.innerText)"
    )
    assert cut == []


# JupyterLab attaches the cells of a notebook one after another, and each time makes the texts of all again, so a click may
# hit a link that is gone. A link to a notebook gets the address of its file once it has been told to open the notebook.
COMPLETE = (
    "() => window.jupyterapp.shell.currentWidget.content.widgets.every((c) => c.isAttached && !c.isPlaceholder())"
)
LINK_IS_READY = f"""([panel, words]) => {{
  const complete = ({COMPLETE})();
  const link = [...document.querySelectorAll(`#${{panel}} .jp-MarkdownCell a`)].find((a) => a.textContent.includes(words));
  const top = complete && link?.pathname.includes("/files/") ? link.getBoundingClientRect().top : null;
  const before = window.before;  // of the last animation frame
  window.before = {{link, top}};
  return top !== null && before?.link === link && before.top === top;
}}"""
IN_FRONT = "(path) => window.jupyterapp.shell.currentWidget?.context?.path === path"


def follow(page, words: str, notebook: str) -> None:
    """Click the link of these words in the notebook in front, until the other notebook is in front.

    JupyterLab may take the first click in a cell for a choice of the cell. The second one hits the same notebook's link,
    also where the first has opened the other meanwhile.
    """
    panel = page.evaluate("() => window.jupyterapp.shell.currentWidget.id")
    page.wait_for_function(LINK_IS_READY, arg=[panel, words])
    link = page.locator(f"#{panel} .jp-MarkdownCell a").filter(has_text=words).first
    link.click()
    try:
        page.wait_for_function(IN_FRONT, arg=notebook, timeout=10_000)
    except TimeoutError:
        link.dispatch_event("click")  # which need not be visible
        page.wait_for_function(IN_FRONT, arg=notebook)


def test_a_link_opens_a_notebook_and_a_term_its_place_in_the_glossary(context, lab, folder):
    page = context.new_page()  # not the strict one: JupyterLab itself can raise an exception where it opens at a place
    page.set_default_timeout(120_000)
    page.set_viewport_size({"width": 1366, "height": 768})
    page.goto(f"{lab.url}/lab/tree/{folder}/07_train_for_real.ipynb?reset")
    page.wait_for_selector(f"{SHOWN} .jp-MarkdownCell h1")
    follow(page, "Troubles and answers", f"{folder}/troubles.ipynb")
    expect(page.locator(f"{SHOWN} h3", has_text="Has it collapsed?")).to_be_visible()
    expect(page.locator(".jp-NotebookPanel")).to_have_count(2)  # a notebook with a run button, not a preview
    # While JupyterLab attaches the cells of a notebook that it opens, the place moves, so the glossary is opened before.
    show(page, f"{folder}/glossary.ipynb")
    page.wait_for_function(COMPLETE)
    show(page, f"{folder}/troubles.ipynb")
    follow(page, "effective rank", f"{folder}/glossary.ipynb")
    expect(page.locator(f"{SHOWN} h3", has_text="effective rank")).to_be_in_viewport()
    follow(page, "lesson 5", f"{folder}/05_ema_and_collapse.ipynb")
    expect(page.locator(f"{SHOWN} h1", has_text="The moving average, and kinds of collapse")).to_be_visible()


# --- what a lesson looks like -------------------------------------------------------------------

ROOM = """(editor) => {
  const line = editor.querySelector(".cm-line"), scroller = editor.closest(".cm-scroller");
  const probe = document.createElement("span");
  probe.textContent = "0".repeat(100);
  line.append(probe);
  const width = probe.getBoundingClientRect().width / 100;
  probe.remove();
  const padding = (e) => parseFloat(getComputedStyle(e).paddingLeft) + parseFloat(getComputedStyle(e).paddingRight);
  return (scroller.clientWidth - padding(editor) - padding(line)) / width;
}"""


def test_a_line_of_code_fits_beside_the_list_of_files_and_prose_has_narrow_lines(page):
    """At 1366 pixels 88 characters of code fit; at 1920 a line of prose has at most 100 and at least 70."""
    code = page.locator(f"{SHOWN} .jp-CodeCell .cm-content").filter(has_text="import byol_tutorial as bt").first
    code.scroll_into_view_if_needed()
    assert page.locator(NAME).first.is_visible()
    assert code.evaluate(ROOM) >= 88
    page.set_viewport_size({"width": 1920, "height": 1080})
    prose = page.locator(f"{SHOWN} .jp-MarkdownCell p")
    expect(prose.filter(has_text="A classifier learns from labels")).to_be_visible()
    longest = page.wait_for_function(
        f"""() => {{
            const longest = ({LONGEST_LINE})([...document.querySelectorAll('.jp-NotebookPanel .jp-MarkdownCell p:not(details p)')]);
            return longest <= 100 && longest;
        }}"""
    )  # JupyterLab may apply the styles after it has shown the text
    assert longest.json_value() >= 70


def test_a_title_keeps_its_distance(page):
    distance = page.wait_for_function(
        f"""() => {{
            const [upper, lower] = ["h1", "p"].map((tag) => document.querySelector(`{SHOWN} .jp-MarkdownCell ${{tag}}`));
            if (!upper?.clientHeight || !lower?.textContent.includes("You will see")) return null;
            return lower.getBoundingClientRect().top - upper.getBoundingClientRect().bottom;
        }}"""
    ).json_value()
    assert distance >= 12


def test_an_answer_has_a_triangle_that_opens_it(page):
    answer = page.locator(f"{SHOWN} .jp-MarkdownCell details > summary").first
    answer.scroll_into_view_if_needed()
    expect(answer).to_have_css("list-style-type", "disclosure-closed")
    expect(answer).to_have_css("cursor", "pointer")
    answer.click()
    expect(answer).to_have_css("list-style-type", "disclosure-open")
    expect(page.locator(f"{SHOWN} details p").filter(has_text="The first. The second has collapsed")).to_be_visible()


def test_a_solution_shows_its_name_alone(page, folder):
    show(page, f"{folder}/01_the_idea.ipynb")
    folded = page.locator(
        f"{SHOWN} .jp-CodeCell", has=page.locator(".jp-Placeholder", has_text="Solution of 01-random-target")
    )
    folded.scroll_into_view_if_needed()
    expect(folded).to_have_text("# Solution of 01-random-target", use_inner_text=True)
    folded.locator(".jp-Placeholder").first.click()
    expect(page.locator(SHOWN).get_by_text("# Better than what it predicts")).to_be_visible()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_a_figure_follows_the_theme(page, theme):
    """It lies on the page's own ground, its words can be read there, and photographs keep their colours."""
    set_theme(page, theme)
    show(page, "figure.ipynb")
    page.wait_for_function(KERNEL_IS_READY)
    picture = page.locator(f"{SHOWN} .bt-picture")
    command(page, "notebook:clear-all-cell-outputs")
    expect(picture).to_have_count(0)
    command(page, "notebook:run-all-cells")
    expect(picture.locator("img")).to_have_count(2)
    pixels = np.asarray(Image.open(io.BytesIO(picture.screenshot())).convert("RGB")).astype(int)
    ground, around = (
        pixels[-1, -1],
        page.evaluate(f"() => getComputedStyle(document.querySelector('{SHOWN} .jp-Notebook')).backgroundColor"),
    )
    assert ground.tolist() == [int(c) for c in re.findall(r"\d+", around)][:3]
    light = theme == "JupyterLab Light"
    grey = pixels.mean(axis=2)
    assert (grey.min() < 80) if light else ((pixels.min(axis=2) > 180).any() and ground.max() < 40)
    assert (abs(pixels - (200, 0, 0)).max(axis=2) <= 3).mean() > 0.2
