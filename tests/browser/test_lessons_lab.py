"""The lessons as JupyterLab shows them: a folder of notebooks, whose links open notebooks."""

import pytest
from playwright.sync_api import expect

from byol_tutorial.course.editions import write_edition

NAME = ".jp-DirListing-itemText"
SHOWN = ".jp-NotebookPanel:not(.lm-mod-hidden)"


@pytest.fixture(scope="module")
def folder(lab):
    """The name of a reader's folder in JupyterLab."""
    write_edition("lessons", lab.folder / "work" / "lessons")
    return "lessons"


def opened(page, lab, notebook: str) -> None:
    page.set_viewport_size({"width": 1366, "height": 768})
    page.goto(f"{lab.url}/lab/tree/{notebook}?reset")
    page.wait_for_selector(f"{SHOWN} .jp-MarkdownCell h1")


def test_the_file_list_shows_each_lesson_once_with_its_whole_name(page, lab, folder):
    opened(page, lab, f"{folder}/00_start_here.ipynb")
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


def test_a_link_opens_a_notebook_and_a_term_its_place_in_the_glossary(page, lab, folder):
    opened(page, lab, f"{folder}/07_train_for_real.ipynb")
    page.locator(f"{SHOWN} .jp-MarkdownCell a", has_text="Troubles and answers").first.click()
    heading = page.locator(f"{SHOWN} h3", has_text="Has it collapsed?")
    expect(heading).to_be_visible()
    expect(page.locator(".jp-NotebookPanel")).to_have_count(2)  # a notebook with a run button, not a preview
    page.locator(f"{SHOWN} .jp-MarkdownCell a", has_text="effective rank").first.click()
    expect(page.locator(f"{SHOWN} h3", has_text="effective rank")).to_be_in_viewport()
    page.locator(f"{SHOWN} .jp-MarkdownCell a", has_text="lesson 5").first.click()
    expect(page.locator(f"{SHOWN} h1", has_text="The moving average, and kinds of collapse")).to_be_visible()
