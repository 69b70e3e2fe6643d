"""Editions of the notebooks: as they are, for students, for teachers.

The lessons as they are have the solutions folded. The student edition leaves out the cells tagged `solution`; no other cell
needs them, so it still runs from top to bottom. The teacher edition shows the solutions unfolded.

A folder of an edition holds notebooks only, also of the pages that the lessons refer to; every link leads to one of them.
Each notebook carries a digest of the text that it was written with. So a later version of the course renews the lessons
that their reader has not changed, and no others.
"""

import hashlib
import importlib.metadata
import json
from pathlib import Path
from types import MappingProxyType

from ..config.checks import Refused, anything, fields, list_of, parse_json, text
from ..config.errors import UserError
from ..runtime.files import write_atomically
from .pages import Places, notebook_of, pages_beside, places_of, relinked

EDITIONS = ("lessons", "student", "teacher")
FIRST = "00_start_here.ipynb"
WRITTEN = "byol_tutorial_written"  # the name of the digest in a notebook's metadata


def write_edition(edition: str, out: str | Path, notebooks: str | Path | None = None) -> list[Path]:
    """Write the edition's notebooks, and the pages that they refer to, into the new folder `out`; return the lessons.

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
    for name, notebook in edition_of(source, edition).items():
        _write(out / name, notebook)
    return [out / file.name for file in files]


def edition_of(source: Path, edition: str) -> dict[str, dict]:
    """Return file name -> notebook, as JSON, of all lessons of the folder `source` and of the pages that belong to it."""
    made = {file.stem: read_notebook(file) for file in sorted(source.glob("*.ipynb"))}
    pages = {name: file.read_text(encoding="utf-8") for name, file in pages_beside(source).items()}
    made |= {name: notebook_of(text, pages.get("glossary", "")) for name, text in pages.items()}
    places = {name: places_of(notebook) for name, notebook in made.items()}
    made = {f"{name}.ipynb": edited(notebook, edition, places, name) for name, notebook in made.items()}
    for notebook in made.values():
        notebook["metadata"] = notebook.get("metadata", {}) | {WRITTEN: digest(notebook)}
    return made


def digest(notebook: dict) -> str:
    """Return a digest of what a reader can change in a notebook: its cells, without outputs."""
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()[:16]


def renew(out: Path) -> tuple[list[Path], list[Path]]:
    """Replace those lessons and pages in a folder that have changed in the course, but not in the folder.

    Return (those that were renewed, those that have changed in both, and stay as they are). A file that was removed stays
    away, and so does whatever is no notebook that `write_edition` wrote.
    """
    renewed, kept = [], []
    for name, notebook in edition_of(installed_notebooks(), "lessons").items():
        try:
            there = read_notebook(out / name)
            written = there["metadata"][WRITTEN]
        except (OSError, UserError, KeyError, TypeError):
            continue
        if written == notebook["metadata"][WRITTEN]:
            continue
        if written == digest(there):
            _write(out / name, notebook)
            renewed.append(out / name)
        else:
            kept.append(out / name)
    return renewed, kept


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


def edited(notebook: dict, edition: str, places: Places = MappingProxyType({}), own: str = "") -> dict:
    """Return a notebook, as JSON, in this edition, without outputs.

    Links lead to the notebooks of `places` in the same folder; of a link to another file the words stay. `own` is the name of
    the notebook itself.
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
            cell["source"] = relinked("".join(cell["source"]), places, own).splitlines(True)
        if "solution" in tags and edition == "teacher":
            cell["metadata"]["tags"] = [tag for tag in tags if tag != "hide-cell"]
            cell["metadata"].pop("jupyter", None)
        cells.append(cell)
    return notebook | {"cells": cells}
