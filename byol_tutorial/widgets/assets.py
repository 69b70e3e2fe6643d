"""The panels' JavaScript and CSS, as text.

The folders js and css hold one file for each panel, with the name of the panel's module. All panels use common.js and
common.css.
"""

from pathlib import Path

HERE = Path(__file__).parent


def script(name: str) -> str:
    """Return the text of one JavaScript file, such as "film.js"."""
    return (HERE / "js" / name).read_text(encoding="utf-8")


def source(name: str, kind: str) -> str:
    """Return the text of common.KIND, followed by that of NAME.KIND if this file exists; kind is "js" or "css"."""
    files = (HERE / kind / f"{part}.{kind}" for part in ("common", name))
    return "\n".join(file.read_text(encoding="utf-8") for file in files if file.exists())
