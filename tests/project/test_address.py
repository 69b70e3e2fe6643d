"""One address: the badges, the first cells of the lessons and the book's links lead where pyproject.toml says."""

import importlib.metadata
import importlib.util
import re
import shutil
import tomllib
from pathlib import Path

import jupytext
import pytest
from IPython.core.interactiveshell import InteractiveShell
from packaging.markers import default_environment
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LESSONS = sorted(p for p in (ROOT / "notebooks").glob("*.md") if p.stem not in ("README", "ledger"))

spec = importlib.util.spec_from_file_location("address", ROOT / "book/_ext/address.py")
address = importlib.util.module_from_spec(spec)
spec.loader.exec_module(address)


def first_cell(lesson: Path):
    return next(cell for cell in jupytext.read(lesson).cells if cell.cell_type == "code")


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda p: p.stem)
def test_every_lesson_begins_with_the_same_hidden_cell(lesson):
    cell = first_cell(lesson)
    assert cell.source == first_cell(LESSONS[0]).source
    assert cell.metadata["tags"] == ["remove-cell"]  # the book leaves it out
    assert cell.metadata["jupyter"] == {"source_hidden": True}  # JupyterLab collapses it


@pytest.mark.parametrize("there", [True, False])
def test_the_first_cell_installs_only_what_is_missing(there, monkeypatch):
    """Run by IPython itself, with a pip that notes what it is asked for."""
    asked = []
    shell = InteractiveShell()
    shell.register_magic_function(asked.append, magic_name="pip")
    if not there:
        found = importlib.util.find_spec
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "byol_tutorial" else found(name))
    shell.run_cell(first_cell(LESSONS[0]).source).raise_error()
    if there:
        assert asked == []
        return
    (line,) = asked
    wanted = Requirement(re.search(r'"(.*)"', line)[1])
    assert (wanted.name, wanted.extras) == ("byol-tutorial", {"widgets"})
    assert wanted.url == f"git+https://github.com/{address.written()}"


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda p: p.stem)
def test_every_lesson_has_its_badges_in_the_readme(lesson):
    (row,) = re.findall(rf"^\|.*\(notebooks/{lesson.name}\).*$", (ROOT / "README.md").read_text("utf-8"), re.M)
    assert row.endswith(f"| {address.badges(address.written(), lesson.stem)} |")


@pytest.fixture
def copy(tmp_path):
    """A copy of the files that name the address."""
    for name in ("pyproject.toml", "README.md", "CITATION.cff"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns(".*"))
    shutil.copytree(ROOT / "book/teach", tmp_path / "book/teach")
    return tmp_path


def test_an_address_is_written_everywhere_and_can_change_again(copy):
    for new in ("ada/byol-course", "byol/x.y"):
        changed = {file.relative_to(copy).as_posix() for file in address.publish(new, copy)}
        assert {"pyproject.toml", "README.md", "CITATION.cff", "book/teach/hub.md"} < changed
        assert {f"notebooks/{p.stem}.{kind}" for p in LESSONS for kind in ("md", "ipynb")} < changed
        assert address.written(copy) == new
        project = tomllib.loads((copy / "pyproject.toml").read_text("utf-8"))
        assert project["project"]["urls"]["Repository"] == f"https://github.com/{new}"
        assert f"repository-code: https://github.com/{new}\n" in (copy / "CITATION.cff").read_text("utf-8")
        readme = (copy / "README.md").read_text("utf-8")
        assert all(address.badges(new, p.stem) in readme for p in LESSONS)
        for lesson in LESSONS:
            texts = (
                first_cell(copy / "notebooks" / lesson.name),
                first_cell((copy / "notebooks" / lesson.name).with_suffix(".ipynb")),
            )
            assert texts[0].source == texts[1].source
            assert f"git+https://github.com/{new}" in texts[0].source
    for file in (f for f in copy.rglob("*") if f.is_file()):
        assert "ada/byol-course" not in file.read_text("utf-8"), file.name
    assert address.publish("byol/x.y", copy) == []


@pytest.mark.parametrize(
    "wrong", ["", "byol", "https://github.com/a/b", "a/b/c", "a b/c", 'a/b"', "-a/b", "OWNER/REPOSITORY"]
)
def test_what_is_no_address_is_refused_and_changes_nothing(copy, wrong):
    before = {file: file.read_bytes() for file in copy.rglob("*") if file.is_file()}
    with pytest.raises(ValueError, match="is no address: give the owner and the name on GitHub"):
        address.publish(wrong, copy)
    assert before == {file: file.read_bytes() for file in copy.rglob("*") if file.is_file()}


def shown(docname: str) -> str:
    context = {"body": "<h1>Title</h1><p>text</p>"}
    address.add_ways(None, docname, "page.html", context, None)
    return context["body"]


def test_the_book_links_lessons_of_a_published_project(monkeypatch):
    monkeypatch.setenv("GITHUB_REPOSITORY", "ada/course")
    body = shown("notebooks/03_build_byol")
    assert re.findall('href="([^"]*)"', body) == list(address.ways("ada/course", "03_build_byol").values())
    assert body.startswith('<h1>Title</h1>\n<p class="bt-ways">')
    assert not re.search("<img|<script|src=", body)  # a page loads nothing from another host
    assert shown("book/play") == shown("notebooks/ledger") == "<h1>Title</h1><p>text</p>"


def test_the_book_links_nothing_that_is_no_address(monkeypatch):
    monkeypatch.setenv("GITHUB_REPOSITORY", 'a/b"><script>')
    assert shown("notebooks/03_build_byol") == "<h1>Title</h1><p>text</p>"


def test_the_book_of_a_project_that_is_not_published_has_no_dead_links(monkeypatch):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    monkeypatch.setattr(address, "written", lambda: address.NOWHERE)
    assert shown("notebooks/03_build_byol") == "<h1>Title</h1><p>text</p>"


# --- the extra for other people's machines -------------------------------------------------------

COLAB = {"ipywidgets": "7.7.1", "ipykernel": "6.17.1"}  # what its own packages are pinned to
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def reached(lines: list[str]) -> dict[str, list[Requirement]]:
    """Return every requirement that installing these lines brings, as far as the packages installed here say."""
    found: dict[str, list[Requirement]] = {}
    todo, met = [Requirement(line) for line in lines], set()
    while todo:
        wanted = todo.pop()
        found.setdefault(wanted.name.lower(), []).append(wanted)
        if (key := (wanted.name.lower(), frozenset(wanted.extras))) in met:
            continue
        met.add(key)
        try:
            further = importlib.metadata.requires(wanted.name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # of another system
        for requirement in map(Requirement, further):
            environments = [default_environment() | {"extra": extra} for extra in {"", *wanted.extras}]
            if requirement.marker is None or any(map(requirement.marker.evaluate, environments)):
                todo.append(requirement)
    return found


def refused(lines: list[str]) -> set[str]:
    needed = reached(lines)
    return {name for name, version in COLAB.items() for r in needed.get(name, []) if not r.specifier.contains(version)}


def test_the_extra_for_colab_leaves_its_jupyter_as_it_is():
    extras = PROJECT["optional-dependencies"]
    assert refused(PROJECT["dependencies"] + extras["widgets"]) == set()
    assert refused(PROJECT["dependencies"] + extras["notebooks"]) == set(COLAB)  # so the test can fail
    assert set(extras["widgets"]) < set(extras["notebooks"])
