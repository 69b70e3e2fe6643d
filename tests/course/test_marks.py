"""The verdicts in the outputs of notebooks that were handed in."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from byol_tutorial.cli.main import main
from byol_tutorial.config.errors import UserError
from byol_tutorial.course.marks import marks

CHECK = 'bt.exercises.check("{}", {})'


def notebook(*cells, tags=()):
    """Return a notebook of (source, text of its output or None)."""
    made = nbformat.v4.new_notebook()
    for source, text in cells:
        cell = nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})
        if text is not None:
            cell.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": text}, execution_count=1)]
        made.cells.append(cell)
    return made


@pytest.mark.slow
def test_verdicts_of_a_notebook_that_was_run(tmp_path):
    """The notebook is run by Jupyter itself, with a right answer, a wrong one, none, and a cell that was never run."""
    made = nbformat.v4.new_notebook()
    made.cells = [
        nbformat.v4.new_code_cell("import byol_tutorial as bt"),
        nbformat.v4.new_code_cell(
            CHECK.format("01-weights", "lambda tau, n: [tau**n, *((1 - tau) * tau**(n - k) for k in range(1, n + 1))]")
        ),
        nbformat.v4.new_code_cell(CHECK.format("02-solarize", "lambda x: x")),
        nbformat.v4.new_code_cell(CHECK.format("03-ema", "None")),
    ]
    NotebookClient(made, timeout=120).execute()
    made.cells.append(nbformat.v4.new_code_cell(CHECK.format("03-loss", "my_loss")))
    nbformat.write(made, tmp_path / "a.ipynb")
    (found,) = marks(tmp_path)
    assert found.marks == {"01-weights": "✓", "02-solarize": "✗", "03-ema": "…"}
    assert found.asked == ("01-weights", "02-solarize", "03-ema", "03-loss")
    assert found.passed == 1
    assert "– 03-loss" in str(found)


def test_the_last_verdict_of_an_exercise_counts(tmp_path):
    wrong, right = "✗ 03-ema, Moving average: no", "✓ 03-ema, Moving average: yes"
    for name, texts, mark in (("better", (wrong, right), "✓"), ("worse", (right, wrong), "✗")):
        nbformat.write(notebook(*((CHECK.format("03-ema", "f"), text) for text in texts)), tmp_path / f"{name}.ipynb")
        (found,) = (m for m in marks(tmp_path) if m.file.stem == name)
        assert found.marks == {"03-ema": mark}


def test_a_solution_says_nothing_about_its_reader(tmp_path):
    passes = (CHECK.format("03-ema", "solution"), "✓ 03-ema, Moving average: this solution passes the check.")
    nbformat.write(notebook(passes, tags=["solution"]), tmp_path / "a.ipynb")
    (found,) = marks(tmp_path)
    assert (found.marks, found.asked, found.passed) == ({}, (), 0)


def test_a_printed_mark_or_one_of_another_exercise_is_no_verdict(tmp_path):
    printed = nbformat.v4.new_code_cell('print("✓ 03-ema, yes")')
    printed.outputs = [nbformat.v4.new_output("stream", text="✓ 03-ema, yes")]
    made = notebook((CHECK.format("03-ema", "f"), None), ("show()", "✓ 09-umap, yes"))
    made.cells.append(printed)
    nbformat.write(made, tmp_path / "a.ipynb")
    (found,) = marks(tmp_path)
    assert (found.marks, found.asked) == ({}, ("03-ema",))


def test_the_command_lists_folders_of_students_and_no_copies_that_jupyter_made(tmp_path, capsys):
    for place in ("ada", "ada/.ipynb_checkpoints", "bob"):
        (tmp_path / place).mkdir()
        text = "✓ 03-ema, Moving average: yes" if place == "ada" else "… 03-ema, Moving average: nothing yet"
        nbformat.write(notebook((CHECK.format("03-ema", "f"), text)), tmp_path / place / "03.ipynb")
    main(["course", "marks", str(tmp_path)])
    out = capsys.readouterr().out
    assert out.splitlines() == [
        f"{tmp_path}/ada/03.ipynb: 1 of 1 passed",
        "   ✓ 03-ema",
        f"{tmp_path}/bob/03.ipynb: 0 of 1 passed",
        "   … 03-ema",
    ]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"cells": 3}', b'{"cells": [{"cell_type": 1}]}', b"\xff\xfe"])
def test_a_file_that_is_no_notebook_is_named_beside_the_others(content, tmp_path):
    (tmp_path / "x.ipynb").write_bytes(content)
    (tmp_path / "y.ipynb").write_bytes(b"?")
    nbformat.write(notebook(), tmp_path / "good.ipynb")
    with pytest.raises(UserError, match=r"(?s)x\.ipynb.*y\.ipynb") as error:
        marks(tmp_path)
    assert "good" not in str(error.value)


@pytest.mark.parametrize(
    "output",
    [{"data": 3}, {"data": {"text/plain": 5}}, {"data": {"text/plain": [1, "✓ 03-ema, x"]}}, 7, {}],
)
def test_outputs_of_other_forms_do_not_stop_the_reading(output, tmp_path):
    cell = {"cell_type": "code", "metadata": {}, "source": [CHECK.format("03-ema", "f")], "outputs": [output]}
    Path(tmp_path / "a.ipynb").write_text(json.dumps({"cells": [cell]}))
    (found,) = marks(tmp_path)
    assert found.asked == ("03-ema",)


def test_an_empty_folder_is_refused_and_says_what_to_name(tmp_path):
    with pytest.raises(UserError, match="name the folder that holds"):
        marks(tmp_path)
