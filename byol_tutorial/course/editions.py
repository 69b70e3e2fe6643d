"""Student and teacher editions of the notebooks.

student: without the cells tagged `solution`. Everything else runs without them, so it still runs top to bottom.
teacher: with the solutions unfolded.
"""

import json
import re
from collections.abc import Collection
from pathlib import Path

from ..config.errors import UserError
from ..runtime.files import write_atomically

EDITIONS = ("student", "teacher")


def write_edition(edition: str, out: str | Path, notebooks: str | Path | None = None) -> list[Path]:
    """Write the edition's notebooks, and the ledger they refer to, into the new folder `out`.

    Args:
        edition: "student" or "teacher".
        notebooks: folder of the course's .ipynb files. Default: the one beside the library's source.

    Raises:
        UserError: an unknown edition; no notebooks there; `out` holds something already.
    """
    if edition not in EDITIONS:
        raise UserError(f"edition {edition!r}: choose one of {', '.join(EDITIONS)}")
    source = Path(notebooks or Path(__file__).parents[2] / "notebooks")
    files = sorted(source.glob("*.ipynb"))
    if not files:
        raise UserError(f"no notebooks in {str(source)!r}: name the folder of the course's with --notebooks")
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{str(out)!r} holds something already: name a new folder, so that nothing is overwritten")
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for file in files:
        notebook = edited(json.loads(file.read_text(encoding="utf-8")), edition, {f.stem for f in files})
        text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        written.append(out / file.name)
        write_atomically(written[-1], lambda f, text=text: f.write(text.encode()))
        written[-1].chmod(0o644)
    ledger = source / "ledger.md"
    if ledger.exists():
        (out / ledger.name).write_bytes(ledger.read_bytes())
    return written


def edited(notebook: dict, edition: str, notebooks: Collection[str] = ()) -> dict:
    """The notebook, as JSON, in this edition; outputs are left out. A link to the text of one of `notebooks`, by name,
    becomes a link to the notebook, since texts are not in an edition."""
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
            cell["source"] = re.sub(r"\]\((\w+)\.md", to_notebook, "".join(cell["source"])).splitlines(True)
        if "solution" in tags:
            cell["metadata"]["tags"] = [tag for tag in tags if tag != "hide-cell"]
            cell["metadata"].pop("jupyter", None)
        cells.append(cell)
    return notebook | {"cells": cells}
