"""Every place that makes HTML is listed here, and shows hostile names as text; a new place must be added.

browser/test_hostile_names.py opens the same in Chromium.
"""

import re
from html.parser import HTMLParser
from pathlib import Path

import hostile
import pytest

ROOT = Path(__file__).parents[2]
PYTHON = re.compile(
    r"def (_repr_(?:html|markdown|svg|latex|mimebundle)_)|(text/html)|(ipywidgets\.HTML)\(|IPython\.display|"
    r"(nodes\.raw)\(|(\{\{raw\}\} html)|\b(html_table|escaped)\(|(</?(?:a|b|div|img|li|p|script|span|t[dhr]|table|ul)\b[^>]*>)"
)
# How a script could make elements of a text. Panels make elements one by one instead (`h` in common.js).
SCRIPT = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|srcdoc|createContextualFragment|DOMParser|setHTML|"
    r"\beval\(|new Function|\.href\s*=|\bhref:|javascript:"
)

# The address of a link there is a blob's, which the browser makes, or a lesson's beside the page.
LINKS = {"byol_tutorial/widgets/js/share.js": ["href:"], "byol_tutorial/widgets/js/hints.js": ["href:"]}
BUILT = ".min.js"  # made of the others

# place: what is made there. The classes with _repr_html_ are those of hostile.shown_as_html.
PLACES = {
    "byol_tutorial/course/exercises/catalogue.py": "Overview",
    "byol_tutorial/course/exercises/hints.py": "Note",
    "byol_tutorial/course/exercises/predictions.py": "PredictionOutcome",
    "byol_tutorial/course/exercises/record.py": "Verdict",
    "byol_tutorial/course/ledger/claims.py": "a claim as Markdown, of the project's own texts alone",
    "byol_tutorial/course/runs.py": "Results",
    "byol_tutorial/evaluate/comparison.py": "Comparison",
    "byol_tutorial/evaluate/result.py": "Result",
    "byol_tutorial/figures/picture.py": "Picture",
    "byol_tutorial/live/findings.py": "Findings",
    "byol_tutorial/runtime/markup.py": "the helper that all others use",
    "byol_tutorial/widgets/laboratory/box.py": "the heading of a cockpit beneath the laboratory",
    "byol_tutorial/widgets/panel.py": "panels",
    "byol_tutorial/widgets/static.py": "panels as pages",
    "book/_ext/address.py": "links to the project's address, whose form is checked",
    "book/_ext/course.py": "panels and pictures in the book",
    "book/_ext/icons.py": "the theme's own icons",
    "book/_ext/terms.py": "definitions of terms, as docutils renders the glossary",
    "book/slides/make.py": "pictures and tables on slides",
}


def sources(*ends: str) -> dict[str, str]:
    """Return name -> text of the files that can make pages."""
    files = [file for folder in ("byol_tutorial", "book") for file in (ROOT / folder).rglob("*") if file.suffix in ends]
    return {file.relative_to(ROOT).as_posix(): file.read_text("utf-8") for file in files}


def test_every_place_that_makes_html_is_listed():
    found = {name for name, text in sources(".py").items() if PYTHON.search(text)}
    assert found == PLACES.keys()


def test_every_class_with_html_of_its_own_is_among_those_that_are_tested():
    classes = set()
    for text in sources(".py").values():
        for made in re.finditer(r"def _repr_html_", text):
            classes.add(re.findall(r"^class (\w+)", text[: made.start()], re.M)[-1])
    assert classes == {type(thing).__name__ for thing in hostile.shown_as_html().values()}


def test_only_one_module_escapes():
    users = [
        name for name, text in sources(".py").items() if re.search(r"from html import|html\.escape|markupsafe", text)
    ]
    assert users == ["byol_tutorial/runtime/markup.py"]


def test_no_script_makes_elements_of_a_text():
    found = {name: SCRIPT.findall(text) for name, text in sources(".js").items() if not name.endswith(BUILT)}
    assert len(found) > 10
    assert {name: calls for name, calls in found.items() if calls} == LINKS
    save, hints = (sources(".js")[name] for name in LINKS)
    assert re.findall(r"href: (\w+)", save) == ["url"]
    assert "const url = URL.createObjectURL(blob)" in save
    assert re.findall(r"href: (\w+)", hints) == ["link"]
    assert "const link = btLesson(file)" in hints
    assert r"return /^\w+$/.test(file) ? `${file}." in hints


@pytest.mark.parametrize("page", sorted((ROOT / "notebooks").glob("*.md")), ids=lambda page: page.stem)
def test_no_lesson_makes_html_of_its_own(page):
    assert not re.search(r"display\(HTML|IPython\.display|%%html|%%javascript", page.read_text("utf-8"))


class Elements(HTMLParser):
    def __init__(self, page: str):
        super().__init__()
        self.tags, self.attributes = set(), set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}


ALLOWED = {
    "table",
    "caption",
    "thead",
    "tbody",
    "tfoot",
    "tr",
    "th",
    "td",
    "ul",
    "li",
    "div",
    "b",
    "br",
    "p",
    "code",
    "img",
    "style",
}


@pytest.mark.parametrize("name", hostile.shown_as_html())
def test_hostile_names_make_no_element_and_no_attribute(name):
    page = hostile.shown_as_html()[name]._repr_html_()
    page.encode()
    found = Elements(page)
    assert found.tags <= ALLOWED
    assert found.attributes <= {"style", "class", "scope", "colspan", "alt", "src"}
