"""Reads the verdicts of the checks from the outputs of notebooks that students hand in. Nothing of them is run.

A student can write an output by hand. book/teach/hub.md says how to run the notebooks again where marks depend on them.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.errors import UserError
from .editions import read_notebook

VERDICT = re.compile(r"([✓✗…]) (\d\d-[\w-]+), ")  # as a Verdict of an exercise begins


@dataclass(frozen=True)
class Marks:
    """The verdicts in one notebook.

    marks  exercise -> ✓ passed, ✗ wrong, or … not attempted: the verdict of its last check in the notebook
    asked  the exercises that the notebook checks
    """

    file: Path
    marks: dict[str, str]
    asked: tuple[str, ...]

    @property
    def passed(self) -> int:
        """The number of exercises that passed."""
        return sum(mark == "✓" for mark in self.marks.values())

    def __str__(self) -> str:
        unknown = [id for id in self.asked if id not in self.marks]
        lines = [f"{self.file}: {self.passed} of {len(self.asked)} passed"]
        lines += [f"   {mark} {id}" for id, mark in self.marks.items()]
        return "\n".join(lines + [f"   – {id}: without output, so this cell was not run" for id in unknown])


def marks(folder: Path) -> list[Marks]:
    """Return the marks of each notebook in a folder and its subfolders, in the order of their names.

    Raises:
        UserError: the folder has no notebook, or a file is not one; all of these are named.
    """
    files = [folder] if folder.is_file() else sorted(folder.rglob("*.ipynb"))
    files = [file for file in files if ".ipynb_checkpoints" not in file.parts]
    if not files:
        raise UserError(f"no notebooks in {str(folder)!r}: name the folder that holds the .ipynb files of students")
    found, refused = [], []
    for file in files:
        try:
            found.append(_marks_of(file, read_notebook(file)["cells"]))
        except (UserError, OSError) as error:
            refused.append(f"{file}: {error}")
    if refused:
        raise UserError("these files cannot be read; remove them, or ask for them again:\n" + "\n".join(refused))
    return found


def _marks_of(file: Path, cells: list[dict[str, Any]]) -> Marks:
    """Return the verdicts in the outputs of cells. The solution cells of a lesson say nothing about its reader."""
    marks, asked = {}, dict[str, None]()
    for cell in cells:
        if cell["cell_type"] != "code" or "solution" in cell["metadata"].get("tags", ()):
            continue
        for id in re.findall(r"exercises\.check\(\s*[\"'](\d\d-[\w-]+)[\"']", _joined(cell["source"])):
            asked[id] = None
        for output in _records(cell.get("outputs")):
            data = output.get("data")
            if found := VERDICT.match(_joined(data.get("text/plain") if isinstance(data, dict) else "")):
                marks[found[2]] = found[1]
    return Marks(file, {id: mark for id, mark in marks.items() if id in asked}, tuple(asked))


def _records(values: object) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _joined(text: object) -> str:
    """Return the text of a notebook's field, which is a string or a list of lines."""
    return "".join(part for part in text if isinstance(part, str)) if isinstance(text, list | str) else ""
