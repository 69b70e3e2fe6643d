"""Hostile names in Chromium: wherever a notebook, a panel, an exported page or the book shows one, no script runs.

project/test_places_of_html.py lists the places. Each page is searched for elements, attributes and addresses that only
a name can have made, and for `window.ran`, which a script in a name would have set.
"""

import importlib.util
from pathlib import Path

import hostile
import pytest
from lab import run_all
from playwright.sync_api import expect

import byol_tutorial as bt
from byol_tutorial.widgets.static import bundle

ROOT = Path(__file__).parents[2]
FOUND = """() => {
  const found = window.ran === undefined ? [] : ["a script ran"];
  for (const e of document.querySelectorAll("REGION *")) {
    if (["IFRAME", "OBJECT", "EMBED"].includes(e.tagName.toUpperCase())) found.push(e.outerHTML.slice(0, 90));
    for (const {name, value} of e.attributes)
      if (name.startsWith("on") || /^(href|src|action)$/.test(name) && /^\\s*javascript:/i.test(value))
        found.push(`${e.tagName} ${name}=${value}`);
  }
  return found;
}"""


def dangers(page, region: str = "body") -> list[str]:
    return page.evaluate(FOUND.replace("REGION", region))


@pytest.fixture
def panels():
    made = hostile.panels()
    yield made
    for panel in made.values():
        panel.close()


def show(page, tmp_path, html: str) -> None:
    file = tmp_path / "page.html"
    file.write_text(f"<!doctype html><meta charset='utf-8'><title>page</title><body>{html}</body>", "utf-8")
    page.goto(file.as_uri(), wait_until="load")


def test_what_notebooks_show_as_html(page, tmp_path):
    things = hostile.shown_as_html()
    show(page, tmp_path, "".join(f"<section>{thing._repr_html_()}</section>" for thing in things.values()))
    expect(page.locator("section")).to_have_count(len(things))
    assert dangers(page) == []
    for name in ("<script>window.ran=1</script>", "&lt;img src=x onerror=window.ran=1&gt;", "ch\\udce4t<b>"):
        expect(page.get_by_role("rowheader", name=name, exact=True).first).to_be_visible()
    assert hostile.NAMES[1] in page.locator("section .bt-picture img").first.get_attribute("alt")


def test_the_search_finds_a_name_that_was_not_escaped(page, tmp_path):
    show(
        page,
        tmp_path,
        '<p onclick="window.ran=1">a</p><a href="javascript:window.ran=1">b</a><script>window.ran=1</script>',
    )
    assert dangers(page) == ["a script ran", "P onclick=window.ran=1", "A href=javascript:window.ran=1"]


def use(page) -> None:
    """Use what shows names only when a control is moved."""
    film = page.get_by_role("region", name="Embedding film")
    for name in hostile.NAMES:
        film.get_by_label("colour by").select_option(name)
    film.get_by_role("img", name="Map by PCA").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(film.get_by_role("heading", name="nearest in y")).to_be_visible()
    page.get_by_role("region", name="Collapse laboratory").get_by_text("All of it as a table").click()


def test_exported_panels(page, tmp_path, panels):
    bt.widgets.save_html(panels.values(), tmp_path / "panels.html", title=hostile.ALL)
    page.goto((tmp_path / "panels.html").as_uri())
    expect(page.locator(".bt")).to_have_count(len(panels))
    assert page.title().startswith(" ".join(hostile.NAMES[:4]))
    for problem in page.locator(".bt-problem").all():
        expect(problem).to_contain_text("<script>window.ran=1</script>")
    assert page.locator(".bt-problem").count() == len(panels)
    use(page)
    assert dangers(page) == []


def test_a_page_of_the_book(page, tmp_path, panels, monkeypatch):
    """As the book's extension finishes a page: scripts that are there twice are kept once, the theme's are removed."""
    monkeypatch.setenv("BYOL_STATIC", "1")
    for panel in (bt.widgets.Cockpit, bt.widgets.LaboratoryBox):
        monkeypatch.setattr(panel, "prepare_picture", lambda self: None)  # nothing has to be trained for this
    spec = importlib.util.spec_from_file_location("course", ROOT / "book/_ext/course.py")
    course = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(course)
    outputs = [bundle(panel)["text/html"] for panel in panels.values()]
    outputs += [thing._repr_html_() for thing in hostile.shown_as_html().values()]
    show(page, tmp_path, course.once(course.UNWANTED.sub("", "\n".join(outputs))))
    expect(page.locator(".bt")).to_have_count(len(panels))
    use(page)
    assert dangers(page) == []


def test_jupyterlab(lab, page):
    """A notebook that is run is trusted: JupyterLab runs the scripts of its outputs."""
    page.set_viewport_size({"width": 1200, "height": 1400})
    cells = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r}); import hostile",
        "for thing in hostile.shown_as_html().values():\n    display(thing)",
        "made = hostile.panels()\nfor panel in made.values():\n    display(panel)",
        "made['LaboratoryBox'].open_beneath(hostile.NAMES[1])",
        "from IPython.display import HTML, display\ndisplay(HTML('<script>window.trusted = 1</script><p id=\"over\">over</p>'))",
    )
    lab.open(page, lab.notebook("hostile", *cells))
    run_all(page)
    expect(page.locator("#over")).to_be_attached(timeout=240_000)
    assert page.evaluate("window.trusted") == 1  # so a script in a name would have run
    expect(page.locator(".jp-OutputArea .bt")).to_have_count(8)  # a second cockpit, beneath the laboratory
    assert page.get_by_text("This is a copy: the laboratory's run is not changed.").count() == 1
    assert dangers(page, ".jp-OutputArea") == []
    page.goto("about:blank")
    lab.shut_down_kernels()
