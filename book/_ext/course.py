"""The Sphinx extension of the course's book: all files are served from the book itself, and there are two editions.

- MathJax comes from a package, as one file that draws with SVG and loads no fonts, so it works from file:// too.
- Pages are executed again when the library has changed, not only when their own code has changed.
- ```{panel}, ```{overview}, ```{architecture} and ```{literature} put the library's own pictures into pages that run no code.
- ```{teacher} is shown only in the teacher edition (BYOL_EDITION=teacher).
- Scripts that several panels of a page share are kept once.
- A link whose title is a key of the bibliography gets the title of the reference.
- A link with the title "playground: predictor=identity" opens this experiment in the playground.
"""

import hashlib
import importlib.util
import os
import re
import shutil
from pathlib import Path

from docutils import nodes
from pybtex.database import parse_file
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]
MATHJAX = "tex-svg.js"

# Parts of the theme that the book does not use: a kernel in the cloud, and the state of widgets.
UNWANTED = re.compile(
    r"<link[^>]*sphinx-thebe[^>]*>|<script[^>]*sphinx-thebe[^>]*></script>|"
    r"<script>const THEBE_JS_URL.*?</script>|<script[^>]*thebe-config.*?</script>|<script>kernelName.*?</script>|"
    r'<script type="application/vnd.jupyter.widget-state\+json">.*?</script>',
    re.DOTALL,
)

SOURCE = re.compile(r'<script type="application/json" data-bt-source="(\w+)">[^<]*</script>\n?')

# HTML of the theme and of Sphinx that confuses screen readers, and what replaces it.
CORRECTED = {
    r'<summary><span class="toctree-toggle"': '<summary aria-label="pages of this part"><span class="toctree-toggle"',
    r"<th(?:\s[^>]*)?>\s*(?:<p>\s*</p>)?\s*</th>": "<td></td>",
    r' role="(?:doc-biblioentry|list)"': "",
}


def library() -> str:
    """Return a digest of everything that the pages import, and of the scale at which they run."""
    digest = hashlib.sha256(os.environ.get("BYOL_SCALE", "laptop").encode())
    for file in sorted((ROOT / "byol_tutorial").rglob("*")):
        if file.suffix in (".py", ".js", ".css", ".toml", ".json", ".wasm"):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def settle(app: Sphinx, config) -> None:
    config.mathjax_path = MATHJAX
    config.nb_execution_cache_path = str(Path(app.outdir).parent / "executed" / library())


def marked(text: str) -> str:
    """Return the text of a page, where a lesson, which is a notebook in MyST text, is marked as a notebook for MyST-NB."""
    return text.replace("---\n", "---\nfile_format: mystnb\n", 1) if text.startswith("---\nkernelspec:") else text


def mark_lessons(app: Sphinx, docname: str, source: list[str]) -> None:
    source[0] = marked(source[0])


class Panel(SphinxDirective):
    """A directive, ```{panel} board, for a panel of bt.widgets without a kernel, on a page that is not a notebook."""

    required_arguments = 1
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        import byol_tutorial as bt

        makers = {
            "board": bt.widgets.board,
            "phase_plane": bt.widgets.phase_plane,
            "playground": bt.widgets.playground,
            "strip": lambda: bt.widgets.strip(bt.load("shapes", limit=64)),
        }
        shipped = self.env.temp_data.setdefault("panels", set())
        return [nodes.raw("", bt.widgets.static_html(makers[self.arguments[0]](), shipped=shipped), format="html")]


class Overview(SphinxDirective):
    """A directive, ```{overview}, for BYOL on one page, drawn by the library."""

    def run(self) -> list[nodes.Node]:
        from byol_tutorial.course.figures.overview import overview

        return [nodes.raw("", overview()._repr_html_(), format="html")]


class Architecture(SphinxDirective):
    """```{architecture} rooms, image_way or slider_way: the library, drawn by itself."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        from byol_tutorial.course.figures import architecture

        draw = {name: getattr(architecture, name) for name in ("rooms", "image_way", "slider_way")}
        return [nodes.raw("", draw[self.arguments[0]]()._repr_html_(), format="html")]


class Literature(SphinxDirective):
    """```{literature} few_labels or timeline: what papers report, drawn by the library."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        from byol_tutorial.course.figures import literature

        draw = {name: getattr(literature, name) for name in ("few_labels", "timeline")}
        return [nodes.raw("", draw[self.arguments[0]]()._repr_html_(), format="html")]


class Teacher(SphinxDirective):
    """A directive for content of the teacher edition, which other editions leave out."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        if os.environ.get("BYOL_EDITION") != "teacher":
            return []
        box = nodes.admonition("", classes=["teacher"])
        box += nodes.title("", "Answer")
        self.state.nested_parse(self.content, self.content_offset, box)
        return [box]


def keep_tables(_app, _what, _name, _object, _options, lines: list[str]) -> None:
    """Keep the two columns in which docstrings list attributes as they are."""
    text = "\n".join(lines)
    kept = []
    for block in re.split(r"\n\s*\n", text):
        rows = block.split("\n")
        if sum(bool(re.match(r"\S+(,? \S+)*\s{2,}\S", row)) for row in rows) >= 2:
            block = "::\n\n" + "\n".join(f"    {row}" for row in rows)
        else:
            block = block.replace("|", r"\|")  # it is an absolute value, not a substitution
        kept.append(block)
    lines[:] = [*"\n\n".join(kept).split("\n"), ""]


def name_references(app: Sphinx, doctree: nodes.document, _docname: str) -> None:
    for link in doctree.findall(nodes.reference):
        entry = app.env.course_bibliography.get(link.get("reftitle"))
        if entry is not None:
            people = entry.persons.get("author", [])
            names = " ".join(people[0].last_names) + (" et al." if len(people) > 2 else "")
            link["reftitle"] = (
                f"{names} {entry.fields['year']}: {entry.fields['title'].translate({123: None, 125: None})}"
            )


PLAYGROUND = "playground: "


def keep_experiments(app: Sphinx, doctree: nodes.document) -> None:
    """Keep the title of a link to a page if it names an experiment; Sphinx drops titles when it resolves such a link."""
    for link in list(doctree.findall(addnodes.pending_xref)):
        title = link.get("title") or link.get("reftitle", "")  # by MyST-Parser 3, and by 5
        if title.startswith(PLAYGROUND):
            kept = nodes.reference("", "", *link[0].children, internal=True, reftitle=title, page=link["reftarget"])
            link.replace_self(kept)


def open_experiments(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Let a link with the title "playground: NAME=VALUE, ..." open that experiment in the panel of the page it leads to."""
    for link in doctree.findall(nodes.reference):
        if (title := link.get("reftitle", "")).startswith(PLAYGROUND):
            address = app.builder.get_relative_uri(docname, link["page"])
            link["refuri"] = "&".join([f"{address}?playground", *title.removeprefix(PLAYGROUND).split(", ")])
            link["reftitle"] = "opens this experiment in the playground"


def read_bibliography(app: Sphinx, *_) -> None:
    app.env.course_bibliography = dict(parse_file(ROOT / "book" / "references.bib").entries)


def once(page: str) -> str:
    """Keep each script (a module, or bytes) that several panels of a page contain only once.

    This is done on the finished page, since a cell cannot depend on the other cells of the page.
    """
    seen: set[str] = set()

    def keep(script: re.Match) -> str:
        known = script[1] in seen
        seen.add(script[1])
        return "" if known else script[0]

    return SOURCE.sub(keep, page)


def finish(app: Sphinx, error: Exception | None) -> None:
    """Copy MathJax, and remove files that no page uses."""
    if error is not None or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    package = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent
    shutil.copy(package / "static" / "mathjax" / MATHJAX, static / MATHJAX)
    for file in [*static.rglob("*.map"), *static.glob("sphinx-thebe.*")]:
        file.unlink()
    for page in Path(app.outdir).rglob("*.html"):
        text = once(UNWANTED.sub("", page.read_text(encoding="utf-8")))
        for wrong, right in CORRECTED.items():
            text = re.sub(wrong, right, text)
        page.write_text(text, encoding="utf-8")
    (Path(app.outdir) / ".nojekyll").touch()  # without it, GitHub Pages leaves _static out
    for template in static.glob("*macros.html"):
        template.unlink()


def setup(app: Sphinx) -> dict:
    app.add_directive("teacher", Teacher)
    app.add_directive("panel", Panel)
    app.add_directive("overview", Overview)
    app.add_directive("architecture", Architecture)
    app.add_directive("literature", Literature)
    app.connect("config-inited", settle, priority=100)  # before MyST-NB reads its settings
    app.connect("source-read", mark_lessons)
    app.connect("autodoc-process-docstring", keep_tables, priority=100)  # before Napoleon
    app.connect("env-updated", read_bibliography)
    app.connect("doctree-read", keep_experiments)
    app.connect("doctree-resolved", open_experiments)
    app.connect("doctree-resolved", name_references)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
