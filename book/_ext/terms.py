"""Links from lessons to the glossary, with the definition of each term where it is read.

The first use of a glossary term in the running text of a lesson becomes a link. (The text of the lessons does not use
the role {term}, because JupyterLab shows it as it is typed.) Each page then ends with the first sentence of every
definition to which it links, hidden; book.js shows it when a reader points at such a link, or reaches it by keyboard.
"""

import re
from collections.abc import Iterable, Iterator

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

GLOSSARY, LESSONS = "book/glossary", "notebooks/"
# Words that lessons usually use in another sense than the glossary's.
EVERYDAY = {"chance", "factor", "shape", "shapes", "transfer"}
# Nodes that may not contain a link, or would look strange with one.
CLOSED = (nodes.reference, nodes.literal, nodes.math, nodes.raw, nodes.strong, nodes.table, nodes.title, nodes.caption)


def read_glossary(app: Sphinx, env) -> None:
    """Set env.glossary, which maps the place of each definition to (its names, its first sentence)."""
    env.glossary = {}
    if GLOSSARY not in env.found_docs:
        return
    for entry in env.get_doctree(GLOSSARY).findall(nodes.definition_list_item):
        names = {term["ids"][0]: term.astext() for term in entry.findall(nodes.term)}
        sentence = first_sentence(next(entry.findall(nodes.paragraph)))
        for place in names:
            env.glossary[place] = (list(names.values()), sentence)


def first_sentence(paragraph: nodes.paragraph) -> nodes.paragraph:
    """Return a copy of the paragraph up to its first full stop, with the text of its links but without the links."""
    sentence = nodes.paragraph()
    for child in paragraph.deepcopy().children:
        stop = re.search(r"\.(?=\s|$)", child) if isinstance(child, nodes.Text) else None
        sentence += nodes.Text(child[: stop.end()]) if stop else child
        if stop:
            break
    for link in [*sentence.findall(nodes.reference), *sentence.findall(addnodes.pending_xref)]:
        link.replace_self(nodes.Text(link.astext()))
    return sentence


def pattern(names: Iterable[str]) -> re.Pattern:
    """Return a pattern for any of the names as a whole word, the longest first, also in the plural or capitalised."""
    words = []
    for name in sorted(names, key=len, reverse=True):
        first = f"[{name[0]}{name[0].upper()}]" if name[0].islower() else re.escape(name[0])
        words.append(first + r"\s+".join(map(re.escape, name[1:].split(" "))))
    return re.compile(rf"(?<![\w-])(?:({'|'.join(words)})(?:e?s)?)(?![\w-])")


def link_terms(doctree: nodes.document, glossary: dict, address: str) -> None:
    """Link the first use of each term in running text to its definition, at the address of the glossary."""
    places = {name: place for place, (names, _) in glossary.items() for name in names if name not in EVERYDAY}
    words, met = pattern(places), set()
    for text in [*doctree.findall(nodes.Text)]:
        around = list(ancestors(text))
        if any(isinstance(node, CLOSED) for node in around) or not any(isinstance(n, nodes.paragraph) for n in around):
            continue
        parts, end = [], 0
        for found in words.finditer(text):
            name = " ".join(found[1].split())
            name = name if name in places else name[0].lower() + name[1:]
            if (definition := tuple(glossary[places[name]][0])) in met:
                continue
            met.add(definition)
            link = nodes.reference(
                "", "", nodes.inline("", found[0]), internal=True, refuri=f"{address}#{places[name]}"
            )
            parts += [nodes.Text(text[end : found.start()]), link]
            end = found.end()
        if parts:
            text.parent.replace(text, [*parts, nodes.Text(text[end:])])


def ancestors(node: nodes.Node) -> Iterator[nodes.Node]:
    while node := node.parent:
        yield node


def defined(doctree: nodes.document, glossary: dict) -> list[str]:
    """Return the places in the glossary to which a page links, each once."""
    links = [link.get("refuri", "").rpartition("glossary.html#")[2] for link in doctree.findall(nodes.reference)]
    return [place for place in dict.fromkeys(links) if place in glossary]


def resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    glossary = app.env.glossary
    if glossary and docname.startswith(LESSONS) and app.builder.format == "html":
        link_terms(doctree, glossary, app.builder.get_relative_uri(docname, GLOSSARY))
    if any(any(glossary[place][1].findall(nodes.math)) for place in defined(doctree, glossary)):
        app.env.get_domain("math").data["has_equations"][docname] = True  # without it Sphinx 7 would not load MathJax


def add_definitions(app: Sphinx, docname: str, _template, context: dict, doctree: nodes.document | None) -> None:
    """Add the definitions at the end of the page, not to its document; so a search finds them only in the glossary."""
    if doctree is None:
        return
    context.setdefault("has_maths_elements", False)
    for place in defined(doctree, app.env.glossary):
        definition = app.env.glossary[place][1]
        context["has_maths_elements"] |= any(definition.findall(nodes.math))  # by which Sphinx 9 loads MathJax
        sentence = app.builder.render_partial(definition.deepcopy())["fragment"]
        context["body"] += f'<div role="tooltip" class="bt-term" id="about-{place}" hidden>{sentence}</div>\n'


def setup(app: Sphinx) -> dict:
    app.connect("env-updated", read_glossary)
    app.connect("doctree-resolved", resolve)
    app.connect(
        "html-page-context", add_definitions, priority=400
    )  # before MathJax asks whether the page has equations
    return {"parallel_read_safe": True, "parallel_write_safe": True}
