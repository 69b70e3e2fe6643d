"""The pages to look things up, the ledger, the troubles and the glossary, as notebooks that stand beside the lessons.

In JupyterLab a link to a text opens a preview in another look, and a folder of lessons has no texts. So each page becomes
a notebook of text cells, one for each section or term. A link to a place in another notebook names the cell, which is the
one kind of address that JupyterLab follows from notebook to notebook: `05_ema_and_collapse.ipynb#cell-id=...`.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

PAGES = {"ledger": "ledger.md", "troubles": "../book/troubles.md", "glossary": "../book/glossary.md"}
Places = Mapping[str, Mapping[str, str]]  # name of a notebook -> anchor -> id of the cell that has it

# Code, which is left as it is, or a link: its words, its address, and the rest up to the bracket.
CODE_OR_LINK = re.compile(r"(?s)(```.*?```|`[^`]*`)|\[([^][]+)\]\(([^)\s]*)([^)]*)\)")
GLOSSARY = re.compile(r"(?ms)^```\{glossary\}\n(.*?)^```$")
TERM = re.compile(r"\{term\}`([^`]+)`")
ANCHOR = re.compile(r"(?m)^\(([\w-]+)\)=$|^#+ (.+)$")  # a label, or a heading, whose words are its anchor
SECTION = re.compile(r"(?m)^(?=\([\w-]+\)=$)|(?<!\)=\n)^(?=##+ )")


def pages_beside(notebooks: Path) -> dict[str, Path]:
    """Return name -> file of the pages that belong to this folder of notebooks: those that are there."""
    return {name: notebooks / place for name, place in PAGES.items() if (notebooks / place).is_file()}


def notebook_of(text: str, glossary: str) -> dict:
    """Return a page, a MyST text, as a notebook, as JSON. `glossary` is the text of the glossary, whose terms it links.

    Its cells are not editable: JupyterLab would open the editor of a cell to which a link leads.
    """
    anchors = {name: anchor for names, anchor, _ in entries(glossary) for name in names}
    text = re.sub(r"(?s)\A<!--.*?-->\s*", "", text)
    text = GLOSSARY.sub(
        lambda _: "\n\n".join(
            f"({anchor})=\n### {', '.join(names)}\n\n{said}" for names, anchor, said in entries(text)
        ),
        text,
    )
    text = TERM.sub(lambda m: f"[{m[1]}](glossary.md#{anchors[m[1]]})" if m[1] in anchors else m[1], text)
    cells: list[dict] = []
    for k, part in enumerate(filter(None, map(str.strip, SECTION.split(text)))):
        name = next(iter(anchors_of(part)), "")
        id = name if re.fullmatch(r"[\w-]{1,60}", name, re.ASCII) else "part"
        id = f"{id}-{k}" if id in {"part", *(cell["id"] for cell in cells)} else id
        source = re.sub(r"\A\([\w-]+\)=\n", "", part)  # the label is the name of the cell
        cells.append({"cell_type": "markdown", "id": id, "metadata": {"editable": False}, "source": source})
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def entries(glossary: str) -> Iterator[tuple[list[str], str, str]]:
    """Yield (its names, its anchor, its text) of each entry of a glossary in MyST text, in the order of the first names."""
    block = GLOSSARY.search(glossary)
    if block is None:
        return
    parts = re.split(r"\n\n(?=\S)", re.sub(r"(?m)\A(?::\w+:.*\n)+", "", block[1]).strip())
    for part in sorted(parts, key=str.lower):
        lines = part.split("\n")
        names = [line for line in lines if line and not line.startswith(" ")]
        said = "\n".join(line.removeprefix("  ") for line in lines[len(names) :])
        yield names, "term-" + next(filter(None, map(_slug, names))), said.strip()


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def anchors_of(text: str) -> list[str]:
    """Return the anchors of a text in their order: its labels, and its headings as the book and JupyterLab name them."""
    return [
        label or re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for label, heading in ANCHOR.findall(_prose(text))
    ]


def _prose(text: str) -> str:
    return re.sub(r"(?s)```.*?```", "", text)


def places_of(notebook: dict) -> dict[str, str]:
    """Return anchor -> id of the cell that has it, for the text cells of a notebook; an id is an anchor, too."""
    places: dict[str, str] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown" and "id" in cell:
            places |= dict.fromkeys((*anchors_of("".join(cell["source"])), cell["id"]), cell["id"])
    return places


def relinked(text: str, places: Places, own: str = "") -> str:
    """Return a text of the notebook `own` in which each link to a file leads to the notebook of its name beside it.

    Of a link to a file that is none of the notebooks in `places`, and so is not there, the words stay.
    """

    def link(found: re.Match) -> str:
        code, words, address, title = found.groups()
        file, _, anchor = (address or "").partition("#")
        if code or not address or re.match(r"\w+:", address):
            return found[0]
        name = PurePosixPath(file).stem if file else own
        if name not in places:
            return words if file else found[0]
        cell = places[name].get(anchor)
        return f"[{words}]({name}.ipynb{f'#cell-id={cell}' if cell else ''}{title})"

    return CODE_OR_LINK.sub(link, text)
