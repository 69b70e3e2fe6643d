"""Student editions hold no solution and run; teacher editions show theirs; every folder holds notebooks with live links."""

import json
import re
import symtable
from pathlib import Path

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from byol_tutorial.cli.main import main
from byol_tutorial.config.errors import UserError
from byol_tutorial.course.editions import EDITIONS, edited, edition_of, write_edition

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def source(cell) -> str:
    return "".join(cell["source"])


def solutions(notebook) -> list[str]:
    return [source(c) for c in notebook["cells"] if "solution" in c["metadata"].get("tags", [])]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_student_edition_lacks_exactly_the_solutions(path):
    notebook = json.loads(path.read_text())
    student = edited(notebook, "student")
    text = "\n".join(map(source, student["cells"]))
    assert len(student["cells"]) == len(notebook["cells"]) - len(solutions(notebook))
    assert "strict=True" not in [w for line in text.splitlines() if "exercises.check" in line for w in line.split()]
    assert not [s for s in solutions(notebook) if s in text]
    assert all(not c.get("outputs") for c in student["cells"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_teacher_edition_has_them_unfolded(path):
    notebook = json.loads(path.read_text())
    teacher = edited(notebook, "teacher")
    assert solutions(teacher) == solutions(notebook)
    for cell in teacher["cells"]:
        if "solution" in cell["metadata"].get("tags", []):
            assert "hide-cell" not in cell["metadata"]["tags"]
            assert "jupyter" not in cell["metadata"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_lessons_have_them_folded(path):
    notebook = json.loads(path.read_text())
    folded = [cell["metadata"] for cell in edited(notebook, "lessons")["cells"] if "solution" in str(cell["metadata"])]
    assert len(folded) == len(solutions(notebook))
    hidden = {"source_hidden": True, "outputs_hidden": True}
    assert all(m["tags"] == ["solution", "hide-cell"] and m["jupyter"] == hidden for m in folded)


# --- links --------------------------------------------------------------------------------------

LINK = re.compile(r"\]\(([^)\s]+)")


def prose(notebook) -> list[str]:
    """The text cells, without code."""
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "markdown"]
    return [re.sub(r"(?s)```.*?```|`[^`]*`", "", text) for text in cells]


def headings(texts) -> set[str]:
    """The anchors that MyST gives to headings and labels."""
    found = set()
    for text in texts:
        found |= set(re.findall(r"(?m)^\(([\w-]+)\)=$", text))
        found |= {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in re.findall(r"(?m)^#+ (.+)$", text)}
    return found


@pytest.mark.parametrize("edition", EDITIONS)
def test_a_folder_holds_notebooks_only_and_each_link_has_its_target(tmp_path, edition):
    import nbformat

    write_edition(edition, tmp_path / "class")
    files = {p.name: json.loads(p.read_text("utf-8")) for p in (tmp_path / "class").iterdir()}
    assert files.keys() == {p.name for p in NOTEBOOKS} | {"ledger.ipynb", "troubles.ipynb", "glossary.ipynb"}
    count = 0
    for name, notebook in files.items():
        nbformat.validate(nbformat.from_dict(notebook))
        ids = [c["id"] for c in notebook["cells"]]
        assert len(set(ids)) == len(ids)
        for text in prose(notebook):
            for target in LINK.findall(text):
                if target.startswith(("http://", "https://", "mailto:")):
                    continue
                file, _, place = target.partition("#")
                count += 1
                if not file:
                    assert place in headings(prose(notebook)), f"{name}: {target}"
                    continue
                assert file in files, f"{name}: {target}"
                if place:
                    assert place.removeprefix("cell-id=") in [c["id"] for c in files[file]["cells"]], (
                        f"{name}: {target}"
                    )
            assert "{term}" not in text
            assert "{glossary}" not in text
    assert count > 200


def test_links_of_the_course_s_own_notebooks_have_targets_too():
    """In JupyterLab, on GitHub and in VS Code; a lesson is linked as a notebook, since its text opens without a run button."""
    for path in NOTEBOOKS:
        for text in prose(json.loads(path.read_text("utf-8"))):
            for target in LINK.findall(text):
                if target.startswith(("http://", "https://", "mailto:")):
                    continue
                file, _, place = target.partition("#")
                linked = path.parent / file
                assert linked.is_file(), f"{path.name}: {target}"
                assert not linked.with_suffix(".ipynb").is_file() or linked.suffix == ".ipynb", f"{path.name}: {target}"
                if place:
                    assert place in headings([linked.with_suffix(".md").read_text("utf-8")]), f"{path.name}: {target}"


@pytest.fixture
def course(tmp_path):
    """A course of two lessons with its pages, which tests may change."""
    source = tmp_path / "course" / "notebooks"
    source.mkdir(parents=True)
    (tmp_path / "course" / "book").mkdir()
    for name, cells in {
        "00_start_here": ["# One\n\n[two](01_two.ipynb#the-second-part), [three](../book/play.md \"x\"), [t](../book/troubles.md#why-so-slow)"],
        "01_two": ["# Two\n", "## The second part!\n\n[one](00_start_here.md), `[no](link.md)`, [out](https://a.b/c.md)"],
    }.items():  # fmt: skip
        made = [
            {"cell_type": "markdown", "id": f"{name}-{k}", "metadata": {}, "source": c} for k, c in enumerate(cells)
        ]
        whole = {"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        (source / f"{name}.ipynb").write_text(json.dumps(whole), "utf-8")
    (tmp_path / "course" / "book" / "troubles.md").write_text(
        "# Troubles\n\n## Why so slow?\n\nA {term}`τ` and a {term}`spread`.\n", "utf-8"
    )
    (tmp_path / "course" / "book" / "glossary.md").write_text(
        "# Glossary\n\n```{glossary}\n:sorted:\n\nspread\n  Large: {term}`τ`.\n\n  More.\n\nτ\ndecay rate\n  Small.\n```\n",
        "utf-8",
    )
    return source


def test_links_lead_to_places_in_other_notebooks_of_the_folder(course):
    """JupyterLab follows `#cell-id=` from notebook to notebook, and nothing else."""
    made = {
        name: "\n".join("".join(c["source"]) for c in b["cells"]) for name, b in edition_of(course, "lessons").items()
    }
    assert (
        "[two](01_two.ipynb#cell-id=01_two-1), three, [t](troubles.ipynb#cell-id=why-so-slow)"
        in made["00_start_here.ipynb"]
    )
    assert "[one](00_start_here.ipynb), `[no](link.md)`, [out](https://a.b/c.md)" in made["01_two.ipynb"]
    assert (
        "A [τ](glossary.ipynb#cell-id=term-decay-rate) and a [spread](glossary.ipynb#cell-id=term-spread)."
        in made["troubles.ipynb"]
    )
    assert "### τ, decay rate\n\nSmall." in made["glossary.ipynb"]
    assert "### spread\n\nLarge: [τ](glossary.ipynb#cell-id=term-decay-rate).\n\nMore." in made["glossary.ipynb"]


def test_lessons_that_their_reader_has_not_changed_are_renewed(course, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("byol_tutorial.course.editions.installed_notebooks", lambda: course)
    folder = tmp_path / "mine"
    main(["lessons", str(folder)])

    def change(file, words, **more):
        notebook = json.loads(file.read_text("utf-8"))
        notebook["cells"][0]["source"] += words
        file.write_text(json.dumps(notebook | more), "utf-8")

    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    main(["lessons", str(folder)])
    assert before == {p.name: p.read_bytes() for p in folder.iterdir()}
    assert "up to date" not in capsys.readouterr().out

    change(folder / "01_two.ipynb", ["my note"])
    (folder / "troubles.ipynb").write_text("damaged", "utf-8")
    (folder / "glossary.ipynb").unlink()
    for file in course.glob("*.ipynb"):
        change(file, "news")
    for file in (course.parent / "book").glob("*.md"):
        file.write_text(file.read_text("utf-8") + "\nnews\n", "utf-8")
    main(["lessons", str(folder)])
    said = capsys.readouterr().out
    assert "brought up to date, as you had not changed them: 00_start_here.ipynb\n" in said
    assert "newer in the course, but changed by you: 01_two.ipynb\n" in said
    assert "news" in (folder / "00_start_here.ipynb").read_text("utf-8")
    assert "my note" in (folder / "01_two.ipynb").read_text("utf-8")
    assert "news" not in (folder / "01_two.ipynb").read_text("utf-8")
    assert (folder / "troubles.ipynb").read_text("utf-8") == "damaged"
    assert not (folder / "glossary.ipynb").exists()


@pytest.mark.parametrize("what", ["outputs", "cell"])
def test_to_run_a_lesson_is_no_change_and_a_cell_of_one_s_own_is(course, tmp_path, monkeypatch, what):
    monkeypatch.setattr("byol_tutorial.course.editions.installed_notebooks", lambda: course)
    code = {"cell_type": "code", "id": "c", "metadata": {}, "source": "1", "outputs": [], "execution_count": None}
    file = course / "01_two.ipynb"
    whole = json.loads(file.read_text("utf-8"))
    whole["cells"].append(code)
    file.write_text(json.dumps(whole), "utf-8")
    main(["lessons", str(tmp_path / "mine")])
    mine = tmp_path / "mine" / "01_two.ipynb"
    there = json.loads(mine.read_text("utf-8"))
    if what == "outputs":
        shown = {"output_type": "stream", "name": "stdout", "text": ["1"]}
        there["cells"][-1] |= {"outputs": [shown], "execution_count": 7, "source": ["1"]}
        there["metadata"]["kernelspec"] = {"name": "python3"}
    else:
        there["cells"].append(code | {"id": "d"})
    mine.write_text(json.dumps(there), "utf-8")
    whole["cells"][0]["source"] = "# Newer\n"
    file.write_text(json.dumps(whole), "utf-8")
    main(["lessons", str(tmp_path / "mine")])
    assert ("# Newer" in mine.read_text("utf-8")) == (what == "outputs")


def names(code: str) -> tuple[set[str], set[str]]:
    """(names that this cell defines for others, names that it needs from others or from itself)"""
    top = symtable.symtable(TransformerManager().transform_cell(code), "cell", "exec")  # %magic becomes Python
    made = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported()}
    used = {s.get_name() for s in top.get_symbols() if s.is_referenced()} - {"get_ipython"}  # which kernels define
    inner = list(top.get_children())
    while inner:
        table = inner.pop()
        used |= {s.get_name() for s in table.get_symbols() if s.is_global() and s.is_referenced()}
        inner += table.get_children()
    return made, used


def test_names_are_read_off_the_syntax():
    assert names("%matplotlib inline\nimport os.path as p\nx = y") == ({"p", "x"}, {"y"})
    made, used = names("def f(a, b=c):\n    d = [e for e in a]\n    return d + g")
    assert made == {"f"}
    assert {"c", "g"} <= used
    assert used.isdisjoint({"a", "b", "d", "e"})


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_no_cell_needs_a_name_that_only_a_solution_defines(path):
    """So the student edition runs wherever the full notebook does; read off the syntax, without running."""
    defined, by_solutions = set(), set()
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] != "code":
            continue
        made, used = names(source(cell))
        if "solution" in cell["metadata"].get("tags", []):
            by_solutions |= made - defined
        else:
            missing = (used - made) & (by_solutions - defined)
            assert not missing, source(cell)
            defined |= made


@pytest.mark.training
def test_the_command_writes_a_folder_that_runs(tmp_path, monkeypatch, capsys):
    """Lesson 03 of the student edition, executed top to bottom at smoke scale in a kernel of its own."""
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("BYOL_SCALE", "smoke")
    main(["course", "student", str(tmp_path / "class")])
    assert f"{len(NOTEBOOKS)} notebooks" in capsys.readouterr().out
    path = tmp_path / "class" / "03_build_byol.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    ).execute()
    told = [str(o.get("data", {}).get("text/plain", "")) for c in notebook.cells for o in c.get("outputs", [])]
    assert sum("not attempted yet" in t for t in told) >= 4
    assert not any("✓" in t for t in told)
    assert "(00_start_here.ipynb)" in path.read_text()


def test_lessons_of_which_some_were_removed_are_there_already(tmp_path, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr("byol_tutorial.cli.course.open_lab", lambda notebook, options: opened.append(notebook))
    folder = tmp_path / "lessons"
    main(["lessons", str(folder), "--open"])
    assert f"{len(NOTEBOOKS)} notebooks in" in capsys.readouterr().out
    names = [p.name for p in NOTEBOOKS]
    for k, name in enumerate(names[:2], 1):
        (folder / name).unlink()
        main(["lessons", str(folder), "--open"])
        assert "already; what you changed stays as it is" in capsys.readouterr().out
        assert opened[-1] == folder / names[k]
        assert not (folder / name).exists()
    assert opened[0] == folder / names[0]
    for name in names[2:]:
        (folder / name).unlink()
    with pytest.raises(SystemExit):  # what is left may be the user's own
        main(["lessons", str(folder)])
    assert "holds something already" in capsys.readouterr().err


def test_nothing_is_overwritten_and_errors_say_what_to_do(tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(SystemExit):
        main(["course", "teacher", str(tmp_path / "full")])
    assert "name a new folder" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine.txt"]
    with pytest.raises(UserError, match="no notebooks in"):
        write_edition("student", tmp_path / "new", notebooks=tmp_path)
    with pytest.raises(UserError, match="choose one of lessons, student, teacher"):
        write_edition("pupil", tmp_path / "new")


QUESTION = re.compile(r"\*\*(\d)\.\*\* (.+?)\n\n<details><summary>Answer</summary>\n\n(.+?)\n\n</details>\n", re.DOTALL)


@pytest.mark.parametrize("edition", ["lessons", "student", "teacher"])
@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if p.stem[:2].isdigit()], ids=lambda p: p.stem)
def test_a_lesson_ends_with_three_questions_whose_answers_are_folded_in_every_edition(path, edition):
    text = "\n\n".join(map(source, edited(json.loads(path.read_text()), edition)["cells"])) + "\n"
    section = text.split("## Three questions\n")[1].split("## What to read next")[0]
    found = QUESTION.findall(section)
    assert [number for number, _, _ in found] == ["1", "2", "3"]
    assert all(question.endswith("?") and len(answer) > 40 for _, question, answer in found)
    assert QUESTION.sub("", section).strip() == "Answer each in one or two sentences before you open its answer."
