"""The panels' JavaScript and CSS, as text. A panel's own files are named like its module; common.js and common.css serve all."""

from pathlib import Path

HERE = Path(__file__).parent


def script(name: str) -> str:
    """The text of one file of this folder, such as "film.js"."""
    return (HERE / name).read_text(encoding="utf-8")


def source(name: str, kind: str) -> str:
    """The text of common.KIND, then of NAME.KIND where there is one; kind is "js" or "css"."""
    files = [f"common.{kind}", f"{name}.{kind}"]
    return "\n".join(script(file) for file in files if (HERE / file).exists())
