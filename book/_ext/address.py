"""Where the project is published, and the links that open a lesson on Colab and on Binder.

The address, OWNER/REPOSITORY on GitHub, stands in pyproject.toml. `make address REPOSITORY=you/yours` writes another one
there and wherever else it is used: the first cells of the lessons, README, CITATION.cff and the pages for teachers.

As a Sphinx extension it puts the links below the title of each lesson, if the project is published. GitHub's own builds
say where they run (GITHUB_REPOSITORY), so the book of a copy leads to the copy.
"""

import os
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
NOWHERE = "OWNER/REPOSITORY"  # the address of a project that is not published
FORM = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*)/[A-Za-z0-9_.-]+")
PLACES = ("pyproject.toml", "README.md", "CITATION.cff", "notebooks/*.md", "notebooks/*.ipynb", "book/teach/*.md")


def written(root: Path = ROOT) -> str:
    """Return the address in pyproject.toml."""
    return tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["byol_tutorial"]["repository"]


def ways(repository: str, notebook: str) -> dict[str, str]:
    """Return the addresses that open a notebook, such as "00_start_here", by the words of their links."""
    return {
        "Open in Colab": f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/{notebook}.ipynb",
        "Open on Binder": f"https://mybinder.org/v2/gh/{repository}/HEAD?urlpath=lab/tree/lessons/{notebook}.ipynb",
    }


def badges(repository: str, notebook: str) -> str:
    """Return the links as README has them, each behind a picture."""
    pictures = ("colab", "binder")
    return " ".join(
        f"[![{words}](book/_assets/{picture}.svg)]({address})"
        for picture, (words, address) in zip(pictures, ways(repository, notebook).items(), strict=True)
    )


def publish(new: str, root: Path = ROOT) -> list[Path]:
    """Write the new address wherever the old one stands, and into the project's metadata; return the changed files.

    Raises:
        ValueError: it has not the form OWNER/REPOSITORY.
    """
    if not FORM.fullmatch(new) or new == NOWHERE:
        raise ValueError(f"{new!r} is no address: give the owner and the name on GitHub, such as ada/byol-course")
    old, changed = written(root), []
    for file in sorted(file for place in PLACES for file in root.glob(place)):
        before = file.read_text("utf-8")
        after = re.sub(rf"(?<![\w-]){re.escape(old)}(?![\w-])", new, before)
        if file.name == "pyproject.toml" and "[project.urls]" not in after:
            urls = (
                f'[project.urls]\nRepository = "https://github.com/{new}"\nIssues = "https://github.com/{new}/issues"\n'
            )
            after = after.replace("[project.scripts]", f"{urls}\n[project.scripts]")
        if file.name == "CITATION.cff" and "repository-code:" not in after:
            after = after.replace("type: software\n", f"type: software\nrepository-code: https://github.com/{new}\n")
        if after != before:
            file.write_text(after, encoding="utf-8")
            changed.append(file)
    return changed


def add_ways(_app: "Sphinx", docname: str, _template: str, context: dict, _doctree: object) -> None:
    """Put the links below the title of a lesson. They are words, because a page loads no picture from another host."""
    repository = os.environ.get("GITHUB_REPOSITORY") or written()
    folder, _, notebook = docname.rpartition("/")
    if folder != "notebooks" or notebook == "ledger" or repository == NOWHERE or not FORM.fullmatch(repository):
        return
    links = " · ".join(f'<a href="{address}">{words}</a>' for words, address in ways(repository, notebook).items())
    context["body"] = context["body"].replace("</h1>", f'</h1>\n<p class="bt-ways">{links}</p>', 1)


def setup(app: "Sphinx") -> dict:
    app.connect("html-page-context", add_ways)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    try:
        print(*(file.relative_to(ROOT) for file in publish(sys.argv[1])), sep="\n")
    except ValueError as error:
        sys.exit(str(error))
