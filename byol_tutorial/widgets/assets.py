"""The panels' JavaScript and CSS, as text.

The folders js and css hold a file of its own for each panel, named like its module; common.js and common.css serve all.
"""

from pathlib import Path

HERE = Path(__file__).parent


def script(name: str) -> str:
    """Return the text of one JavaScript file, such as "film.js"."""
    return (HERE / "js" / name).read_text(encoding="utf-8")


def source(name: str, kind: str) -> str:
    """Return the text of common.KIND, then of NAME.KIND where there is one; kind is "js" or "css"."""
    files = (HERE / kind / f"{part}.{kind}" for part in ("common", name))
    return "\n".join(file.read_text(encoding="utf-8") for file in files if file.exists())
