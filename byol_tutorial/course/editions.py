"""Editions of the notebooks: as they are, for students, for teachers.

The lessons as they are have the solutions folded. The student edition leaves out the cells tagged `solution`; no other cell
needs them, so it still runs from top to bottom. The teacher edition shows the solutions unfolded.
"""

import importlib.metadata
import json
import re
from collections.abc import Collection
from pathlib import Path

from ..config.checks import Refused, anything, fields, list_of, parse_json, text
from ..config.errors import UserError
from ..runtime.files import write_atomically

EDITIONS = ("lessons", "student", "teacher")
FIRST = "00_start_here.ipynb"


def write_edition(edition: str, out: str | Path, notebooks: str | Path | None = None) -> list[Path]:
    """Write the edition's notebooks, and the ledger they refer to, into the new folder `out`.

    Args:
        edition: "lessons", "student" or "teacher".
        out: the folder to write into; it may exist only if it is empty.
        notebooks: the folder of the course's .ipynb files. Default: the one that came with the library.

    Raises:
        UserError: the edition is unknown, the folder has no notebooks, or `out` already holds something.
    """
    if edition not in EDITIONS:
        raise UserError(f"edition {edition!r}: choose one of {', '.join(EDITIONS)}")
    source = Path(notebooks) if notebooks else installed_notebooks()
    files = sorted(source.glob("*.ipynb"))
    if not files:
        raise UserError(f"no notebooks in {str(source)!r}: name the folder of the course's notebooks with --notebooks")
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{str(out)!r} holds something already: name a new folder, so that nothing is overwritten")
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for file in files:
        notebook = edited(read_notebook(file), edition, {f.stem for f in files})
        written.append(out / file.name)
        _write(written[-1], notebook)
    ledger = source / "ledger.md"
    if ledger.exists():
        content = ledger.read_bytes()
        write_atomically(out / ledger.name, lambda f: f.write(content))
    return written


def notebooks_in(out: Path) -> list[Path]:
    """Return which of the course's notebooks are in a folder, in their order: those that its user has not removed."""
    return [out / file.name for file in sorted(installed_notebooks().glob("*.ipynb")) if (out / file.name).is_file()]


def _write(path: Path, notebook: dict) -> None:
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    write_atomically(path, lambda f: f.write(text.encode("utf-8", "replace")))
    path.chmod(0o644)


def installed_notebooks() -> Path:
    """Return the folder of the notebooks that came with the library: beside its source, or where its wheel put them.

    Raises:
        UserError: neither is there.
    """
    beside = Path(__file__).parents[2] / "notebooks"
    if (beside / FIRST).is_file():
        return beside
    try:
        files = importlib.metadata.files("byol-tutorial") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == FIRST and (place := Path(str(file.locate()))).is_file():
            return place.parent
    raise UserError(
        "this installation has no notebooks: install byol-tutorial again, or name their folder with --notebooks"
    )


CELL = fields({"cell_type": text(50), "metadata": fields({}, {"tags": list_of(text())}), "source": anything})


def read_notebook(file: Path) -> dict:
    """Return the content of an .ipynb file.

    Raises:
        UserError: the file is damaged, or is no notebook.
    """
    try:
        content = parse_json(file.read_bytes())
        fields({"cells": list_of(CELL)})(content, "")
        for k, cell in enumerate(content["cells"]):
            source = cell["source"]
            if not isinstance(source, str):
                list_of(text(10**7))(source, f"cells[{k}].source")
    except Refused as error:
        raise UserError(f"{str(file)!r} is not a notebook ({error}): write it again with make notebooks") from error
    return content


def edited(notebook: dict, edition: str, notebooks: Collection[str] = ()) -> dict:
    """Return a notebook, as JSON, in this edition, without outputs.

    An edition has no .md texts, so a link to the text of one of `notebooks` (names) becomes a link to the notebook itself.
    It has nothing beside its folder either, so of a link out of the folder the words stay.
    """
    cells = []
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags", [])
        if "solution" in tags and edition == "student":
            continue
        cell = json.loads(json.dumps(cell))
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
        else:
            to_notebook = lambda m: m[0] if m[1] not in notebooks else f"]({m[1]}.ipynb"  # noqa: E731
            text = re.sub(r"\]\((\w+)\.md", to_notebook, "".join(cell["source"]))
            cell["source"] = re.sub(r"\[([^][]+)\]\(\.\./[^)]*\)", r"\1", text).splitlines(True)
        if "solution" in tags:
            cell["metadata"]["tags"] = [tag for tag in tags if tag != "hide-cell"]
            cell["metadata"].pop("jupyter", None)
        cells.append(cell)
    return notebook | {"cells": cells}
