"""Make slides from the lessons: python book/slides/make.py WORK OUT, after `make book` has executed them.

Each lesson becomes one deck, and each section one slide. A slide has the first words of the section, its equations, and
its first picture, table or code as in the book; the whole text becomes the speaker's notes (press S). The result is
static HTML, with reveal.js and MathJax beside it.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import jupytext
import yaml
from jupyter_cache import get_cache

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# The most words of a section and the most lines of code on its slide; the notes have the whole text.
WORDS, LINES = 45, 18
LEFT_OUT = {"solution", "remove-cell"}  # tags of cells


def lessons() -> list[Path]:
    """Return the text files of the lessons, in the order of the book."""
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    files = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [ROOT / f"{file}.md" for file in files if re.match(r"notebooks/\d", file)]


def executed(lesson: Path, work: Path) -> list[dict]:
    """Return the cells of a lesson; code cells have their outputs from the newest build."""
    folders = sorted((work / "_build" / "executed").glob("*"), key=lambda folder: folder.stat().st_mtime)
    cache = get_cache(folders[-1]) if folders else None
    records = [r for r in cache.list_cache_records() if Path(r.uri).stem == lesson.stem] if cache else []
    if not records:
        sys.exit(f"{lesson.name} is not executed: make book first")
    outputs = iter(cache.get_cache_bundle(max(r.pk for r in records)).nb.cells)  # the cache keeps code cells only
    cells = jupytext.read(lesson).cells
    for cell in cells:
        if cell["cell_type"] == "code":
            cell["outputs"] = next(outputs)["outputs"]
    return cells


def sections(cells: list[dict]) -> list[tuple[str, str, list[dict], str]]:
    """Return (heading, text, outputs, first short piece of code) of each section, without what is left out."""
    found: list[tuple[str, list[str], list[dict], list[str]]] = []
    for cell in cells:
        if cell["cell_type"] == "markdown":
            for part in re.split(r"(?m)^(?=##? )", cell["source"]):
                heading = re.match(r"##? (.+)\n?", part)
                if heading:
                    found.append((heading[1], [], [], []))
                    part = part[heading.end() :]
                if found:
                    found[-1][1].append(part)
        elif cell["cell_type"] == "code" and found and not LEFT_OUT.intersection(cell["metadata"].get("tags", [])):
            found[-1][2].extend(cell.get("outputs", []))
            if cell["source"].count("\n") < LINES and "bt.exercises" not in cell["source"]:
                found[-1][3].append(cell["source"])
    return [(heading, "\n".join(texts).strip(), outputs, (code or [""])[0]) for heading, texts, outputs, code in found]


def slide(heading: str, text: str, outputs: list[dict], code: str, first: bool) -> str:
    equations = re.findall(r"(?s)^\$\$.*?^\$\$", text, re.M)
    lists = re.findall(r"(?m)(?:^[-*] .+(?:\n[ ]+.+)*\n?)+", text)
    tables = re.findall(r"(?m)(?:^\|.+\|\n?){3,}", text)
    plain = re.sub(r"(?s)^\$\$.*?^\$\$|```.*?```", "", text, flags=re.M)
    paragraphs = [p for p in re.split(r"\n\s*\n", plain) if p.strip() and not re.match(r"[|*\-+#(]|\d\.", p.strip())]
    body = []
    if heading in ("Summary", "What to read next") or (first and not paragraphs):
        body += lists[:1] or [text]
    elif paragraphs:
        body.append(first_words(paragraphs[0]))
    body += equations[:2] or tables[:1]
    picture = next(filter(None, map(shown, outputs)), None)
    if picture and len(equations) < 2:
        fence = "`" * (3 + max(map(len, re.findall("`+", picture)), default=0))  # longer than any within
        body.append(f"{fence}{{raw}} html\n{picture}\n{fence}")
    elif code and not equations and not tables:
        body.append(f"```python\n{code}\n```")
    notes = re.sub(r"(?m)^#+ ", "", re.sub(r"(?s)```.*?```|^\$\$.*?^\$\$", "", text, flags=re.M)).strip()
    notes = f"\n```{{revealjs-notes}}\n{notes}\n```\n" if notes and "[" not in heading else ""
    return f"{'#' if first else '##'} {unlinked(heading)}\n\n" + unlinked("\n\n".join(body)) + "\n" + unlinked(notes)


def first_words(paragraph: str) -> str:
    """Return the first sentence, and further whole sentences as long as there are at most WORDS words."""
    sentences = re.split(r"(?<=[.?!:])(?<!al\.)\s+(?=[A-Z*`])", " ".join(paragraph.split()))
    taken = sentences[:1]
    for sentence in sentences[1:]:
        if len(" ".join([*taken, sentence]).split()) > WORDS:
            break
        taken.append(sentence)
    return " ".join(taken)


def shown(output: dict) -> str | None:
    """Return an output's HTML if it is a picture or a table, and None otherwise, also for panels."""
    html = output.get("data", {}).get("text/html", "")
    html = "".join(html)
    return html if ("<img" in html or "<table" in html) and "bt-static" not in html else None


def unlinked(text: str) -> str:
    """Replace links to other pages by their text, because a deck does not contain these pages."""
    return re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", text)


def main(work: Path, out: Path) -> None:
    source = ROOT / "build" / "slides"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    shutil.copy(HERE / "conf.py", source)
    shutil.copy(HERE / "slides.css", source)
    names = []
    for lesson in lessons():
        parts = [slide(*part, first=not i) for i, part in enumerate(sections(executed(lesson, work)))]
        (source / f"{lesson.stem}.md").write_text("\n".join(parts), encoding="utf-8")
        names.append(lesson.stem)
    entries = "\n".join(f"- [{name}](./{name}.md)" for name in names)
    toc = "```{toctree}\n:hidden:\n" + "\n".join(names) + "\n```"
    (source / "index.md").write_text(f"# Slides\n\n{entries}\n\n{toc}\n", encoding="utf-8")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "revealjs", str(source), str(out)]
    shutil.rmtree(out, ignore_errors=True)
    sys.exit(subprocess.run(command).returncode)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
