"""Student editions hold no solution and run; teacher editions show theirs."""

import json
import re
import symtable
from pathlib import Path

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from byol_tutorial.cli.main import main
from byol_tutorial.config.errors import UserError
from byol_tutorial.course.editions import edited, write_edition

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


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
    monkeypatch.setattr("byol_tutorial.cli.course.open_lab", opened.append)
    folder = tmp_path / "lessons"
    main(["lessons", str(folder), "--open"])
    assert f"{len(NOTEBOOKS)} notebooks in" in capsys.readouterr().out
    names = sorted(p.name for p in folder.glob("*.ipynb"))
    for k, name in enumerate(names[:2], 1):
        (folder / name).unlink()
        main(["lessons", str(folder), "--open"])
        assert "already, and stay as they are" in capsys.readouterr().out
        assert opened[-1] == folder / names[k]
        assert not (folder / name).exists()
    assert opened[0] == folder / names[0]
    for notebook in folder.glob("*.ipynb"):
        notebook.unlink()
    with pytest.raises(SystemExit):  # the ledger that is left may be the user's own
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
