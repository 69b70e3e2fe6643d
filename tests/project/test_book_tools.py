"""The parts of the book's Sphinx extension and of its slides; browser/test_book.py tests the built book."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from docutils import nodes
from docutils.utils import new_document
from sphinx.errors import ExtensionError

ROOT = Path(__file__).parents[2]


def module(path: str):
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


course, slides = module("book/_ext/course.py"), module("book/slides/make.py")
conf = module("book/conf.py")
icons, terms = module("book/_ext/icons.py"), module("book/_ext/terms.py")


def test_the_book_has_every_lesson_and_no_page_twice():
    files = re.findall(r"file: (\S+)", (ROOT / "book" / "_toc.yml").read_text())
    files += re.findall(r"root: (\S+)", (ROOT / "book" / "_toc.yml").read_text())
    assert len(files) == len(set(files))
    assert {f for f in files if f.startswith("notebooks/")} == {
        f"notebooks/{p.stem}" for p in (ROOT / "notebooks").glob("*.md") if p.stem != "README"
    }
    assert {f for f in files if f.startswith("book/")} == {
        str(p.relative_to(ROOT).with_suffix("")) for p in (ROOT / "book").rglob("*.md")
    }


def test_lessons_are_told_to_be_notebooks_and_other_pages_are_not():
    for text, wanted in (
        ("---\nkernelspec:\n  name: x\n---\n# A", "---\nfile_format: mystnb\nkernelspec:"),
        ("# A", "# A"),
    ):
        source = [text]
        course.mark_lessons(None, "page", source)
        assert source[0].startswith(wanted)


def test_what_the_library_is_decides_what_is_executed_again(monkeypatch, tmp_path):
    (tmp_path / "byol_tutorial").mkdir()
    file = tmp_path / "byol_tutorial" / "a.py"
    file.write_text("x = 1")
    monkeypatch.setattr(course, "ROOT", tmp_path)
    monkeypatch.setenv("BYOL_SCALE", "smoke")
    first = course.library()
    assert course.library() == first
    monkeypatch.setenv("BYOL_SCALE", "laptop")
    other_scale = course.library()
    file.write_text("x = 2")
    assert len({first, other_scale, course.library()}) == 3


def test_two_columns_of_a_docstring_stay_two_columns():
    lines = ["A result.", "", "name     what it is called", "verdict  in words", "", "|x| is its size."]
    course.keep_tables(None, "class", "x", None, None, lines)
    text = "\n".join(lines)
    assert "::\n\n    name     what it is called\n    verdict  in words" in text
    assert r"\|x\| is its size." in text


def test_what_is_not_wanted_is_taken_out_of_pages_and_nothing_else():
    page = (
        '<link rel="stylesheet" href="sphinx-thebe.css" /><link rel="stylesheet" href="book.css" />'
        '<script>const THEBE_JS_URL = "https://x"; </script><script>kernelName = 1</script><script src="a.js"></script>'
        '<script type="application/vnd.jupyter.widget-state+json">{"a": 1}</script><p>text</p>'
    )
    assert (
        course.UNWANTED.sub("", page)
        == '<link rel="stylesheet" href="book.css" /><script src="a.js"></script><p>text</p>'
    )


def test_what_several_panels_bring_stays_once():
    one, two = (f'<script type="application/json" data-bt-source="{n}">"{n}"</script>' for n in ("a1", "b2"))
    assert course.once(f"<p>{one}{two}<b>{one}\n</b>{two}") == f"<p>{one}{two}<b></b>"


# --- the book by Sphinx itself -------------------------------------------------------------------

# What Jupyter Book sets and the pages do not show: LaTeX, comments, numbers that run on from part to part.
JUPYTER_BOOKS_OWN = {
    "comments_config",
    "latex_doc_overrides",
    "latex_engine",
    "use_jupyterbook_latex",
    "use_multitoc_numbering",
}
UNUSED_EXTENSIONS = {
    "jupyter_book",
    "sphinx_comments",
    "sphinx_jupyterbook_latex",
    "sphinx_multitoc_numbering",
    "sphinx_thebe",
}


def by_jupyter_book() -> dict:
    """Return the settings that Jupyter Book gives Sphinx for _config.yml."""
    from jupyter_book.config import get_final_config

    cli = {"latex_individualpages": False, "external_toc_path": "book/_toc.yml"}
    return get_final_config(user_yaml=ROOT / "book" / "_config.yml", cli_config=cli, sourcedir=ROOT)[0]


def test_both_books_have_the_same_settings():
    theirs, ours = by_jupyter_book(), conf.settings(conf.CONFIG)
    assert set(theirs.pop("extensions")) - UNUSED_EXTENSIONS == set(ours.pop("extensions"))
    empty = ("", None, {})  # a setting that Jupyter Book leaves empty is Sphinx's default
    assert ours == {n: v for n, v in theirs.items() if n not in JUPYTER_BOOKS_OWN and (n in ours or v not in empty)}


def test_paths_that_sphinx_takes_from_the_folder_of_conf_py_exist():
    found = conf.beside_conf(conf.settings(conf.CONFIG))
    paths = [found["html_favicon"], *found["html_static_path"], *found["bibtex_bibfiles"]]
    assert len(paths) >= 3
    assert all(Path(path).is_absolute() and Path(path).exists() for path in paths)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"repository": {"url": "x"}}, "repository.url"),
        ({"exclude": 1}, "exclude"),
        ({"execute": {"cache": "x"}}, "execute.cache"),
    ],
)
def test_a_setting_that_only_jupyter_book_would_follow_is_an_error(changes, name):
    with pytest.raises(ValueError, match=f"_config.yml sets {name}: add to NAMES"):
        conf.settings(conf.CONFIG | changes)


def test_what_is_excluded_is_hidden_folders_and_nothing_that_begins_with_a_point_and_a_slash():
    """Sphinx 9 compares the files of extensions, such as ./togglebutton.css, and would leave them out silently."""
    from sphinx.util.matching import Matcher

    excluded = Matcher(conf.settings(conf.CONFIG)["exclude_patterns"])
    assert [path for path in ("./togglebutton.css", "./a/b.js", "book/index.md") if excluded(path)] == []
    hidden = (".venv/lib", ".git/x", "build/next", "notebooks/a.ipynb")
    assert [path for path in hidden if not excluded(path)] == []


# --- icons ---------------------------------------------------------------------------------------

RULES = r'.fa-lg{font-size:2em}.fa-sun:before,.fa-day:before{content:"\f185"}.fa-x:before{content:"X"}.fa-moon:before{content:"\f186"}'


def test_icons_of_pages_scripts_and_style_sheets_are_kept():
    found = icons.used(RULES, '<i class="fas fa-day fa-lg">', '"fa-solid fa-x"', '.a{content:"\\f107"}.b{--i:"\uf05a"}')
    assert found == {0xF185, ord("X"), 0xF107, 0xF05A}


def test_icons_of_the_newer_theme_are_found_by_its_rules():
    rules = r'.fa-sun,.fa-day{--fa:"\f185"}.fa-x{--fa:"X"}.fa-moon{--fa:"\f186"}.fa-solid{font-weight:900}'
    found = icons.used(rules, '<i class="fa-solid fa-day">', '"fa-x"', "")
    assert found == {0xF185, ord("X")}
    left = icons.FACE.sub(
        "", "@font-face{font-family:Font Awesome\\ 7 Free;src:url(a)}@font-face{font-family:Other;src:url(b)}"
    )
    assert left == "@font-face{font-family:Other;src:url(b)}"
    page = '<script defer src="../_static/scripts/fontawesome.js?digest=9"></script><script defer src="../_static/scripts/bootstrap.js"></script>'
    assert (
        icons.SCRIPT.sub(r"<\1>", page) == '<../_static/><script defer src="../_static/scripts/bootstrap.js"></script>'
    )


@pytest.mark.parametrize("name", ["fa-solid fa-no-such", "fa-brands fa-sun", "fab fa-sun"])
def test_an_icon_that_the_font_has_not_ends_the_build(name):
    with pytest.raises(ExtensionError, match="the book's font does not have these icons: fa"):
        icons.used(RULES + ".fa-solid{}.fa-brands{}", f'<i class="theme {name}">', "", "")


# --- terms ---------------------------------------------------------------------------------------


def paragraph(*children) -> nodes.paragraph:
    return nodes.paragraph("", "", *(nodes.Text(c) if isinstance(c, str) else c for c in children))


def test_a_definition_is_its_first_sentence_without_links():
    cited = nodes.reference("", "Grill et al. 2020", refuri="https://x")
    found = terms.first_sentence(paragraph("A map, 0.5 wide (", cited, ") of ", nodes.math("", "z"), ". And more."))
    assert found.astext() == "A map, 0.5 wide (Grill et al. 2020) of z."
    assert not [*found.findall(nodes.reference)]
    assert [*found.findall(nodes.math)]


def test_the_first_use_of_a_term_leads_to_its_definition():
    glossary = {
        "t-ema": (["EMA", "moving average"], None),
        "t-net": (["target network"], None),
        "t-v": (["view"], None),
    }
    glossary["t-shape"] = (["shape"], None)
    document = new_document("page")
    document += nodes.title("", "Views")
    document += paragraph(
        nodes.strong("", "view"), nodes.literal("", "view"), " Views of a preview; a moving\naverage, EMA, two-view "
    )
    document += paragraph("views; a shape; the target networks")
    terms.link_terms(document, glossary, "../g.html")
    found = {link.astext(): link["refuri"] for link in document.findall(nodes.reference)}
    assert found == {
        "Views": "../g.html#t-v",
        "moving\naverage": "../g.html#t-ema",
        "target networks": "../g.html#t-net",
    }
    assert document.astext().split() == [
        "Views",
        "viewview",
        "Views",
        "of",
        "a",
        "preview;",
        "a",
        "moving",
        "average,",
        "EMA,",
        "two-view",
        "views;",
        "a",
        "shape;",
        "the",
        "target",
        "networks",
    ]


def test_everyday_words_are_words_of_the_glossary():
    entries = re.findall(r"^(\S.*)$", (ROOT / "book" / "glossary.md").read_text("utf-8").split(":sorted:")[1], re.M)
    assert set(entries) >= terms.EVERYDAY


# --- slides --------------------------------------------------------------------------------------

CELLS = [
    {"cell_type": "markdown", "source": "# Title\n\n**You will see** it.\n\n## One\n\nFirst words here. More of them.\n\n$$\nx^2\n$$"},
    {"cell_type": "code", "source": "a = 1", "metadata": {}, "outputs": [{"data": {"text/html": "<img alt='x'>"}}]},
    {"cell_type": "code", "source": "b = 2", "metadata": {"tags": ["solution"]}, "outputs": [{"data": {"text/html": "<img alt='no'>"}}]},
    {"cell_type": "markdown", "source": "## Two\n\nSee [this](01_the_idea.md) and [that](https://x.org)."},
    {"cell_type": "code", "source": "c = 3", "metadata": {}, "outputs": []},
]  # fmt: skip


def test_sections_have_their_text_their_outputs_and_no_solution():
    found = slides.sections(CELLS)
    assert [heading for heading, *_ in found] == ["Title", "One", "Two"]
    assert found[1][2] == CELLS[1]["outputs"]
    assert found[2][3] == "c = 3"


def test_a_slide_has_words_equation_and_picture_or_code():
    title, one, two = [slides.slide(*part, first=not i) for i, part in enumerate(slides.sections(CELLS))]
    assert title.startswith("# Title\n\n**You will see** it.")
    assert one.startswith("## One\n\nFirst words here. More of them.\n\n$$\nx^2\n$$")
    assert "<img alt='x'>" in one
    assert "alt='no'" not in one
    assert "See this and [that](https://x.org)." in two
    assert "```python\nc = 3\n```" in two
    assert "revealjs-notes" in one


def test_panels_stay_in_the_lesson():
    assert slides.shown({"data": {"text/html": '<div class="bt-static"><img></div>'}}) is None
    assert slides.shown({"data": {"text/plain": "1"}}) is None


def test_first_words_are_whole_sentences():
    text = "One (section 4.1) by Grill et al. 2020 here. Many " + "words " * 50 + "end. More."
    assert slides.first_words(text) == "One (section 4.1) by Grill et al. 2020 here."


def test_slides_without_an_executed_book_say_what_to_do(tmp_path):
    with pytest.raises(SystemExit, match="make book first"):
        slides.executed(ROOT / "notebooks" / "00_start_here.md", tmp_path)


@pytest.mark.slow
def test_a_link_titled_with_an_experiment_opens_it(tmp_path):
    """A link with another title, or with none, stays as it is."""
    (tmp_path / "conf.py").write_text('extensions = ["myst_parser", "links"]\n', "utf-8")
    (tmp_path / "index.md").write_text(
        '# A\n[one](b/play.md "playground: lr=0.2, 30:predictor=linear, b, seed=1") [two](b/play.md) [three](b/play.md "a word")\n\n'
        "```{toctree}\nb/play\n```\n",
        "utf-8",
    )
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "play.md").write_text("# Play\n", "utf-8")
    (tmp_path / "links.py").write_text(
        f"import importlib.util\nspec = importlib.util.spec_from_file_location('c', {str(ROOT / 'book/_ext/course.py')!r})\n"
        "c = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(c)\n"
        "def setup(app):\n    app.connect('doctree-read', c.keep_experiments)\n    app.connect('doctree-resolved', c.open_experiments)\n",
        "utf-8",
    )
    out = tmp_path / "out"
    end = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "-n", tmp_path, out],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert end.returncode == 0, end.stderr
    page = (out / "index.html").read_text("utf-8")
    links = re.findall(r'href="(b/play.html[^"]*)"[^>]*>(?:<span[^>]*>)?(one|two|three)', page)
    assert [(name, address) for address, name in links] == [
        ("one", "b/play.html?playground&amp;lr=0.2&amp;30:predictor=linear&amp;b&amp;seed=1"),
        ("two", "b/play.html"),
        ("three", "b/play.html"),
    ]
