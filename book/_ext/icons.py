"""The theme's icons, as a font that is reduced to the icons that the book shows.

The theme contains the whole of FontAwesome: a script of 1.5 MB, or a font that no browser loads for a page from
file://. Here the font is part of a style sheet, `_static/icons.css`, with only the glyphs that pages, scripts and style
sheets name. An icon that the font does not have ends the build.
"""

import base64
import io
import re
import shutil
from pathlib import Path

from fontTools import subset
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

RULE = re.compile(r'((?:\.fa-[\w-]+:before,?)+)\{content:"(?:\\([0-9a-f]+)|([^"]))"\}')  # names, code or character
FACE = re.compile(r"@font-face\{[^}]*\}")
SHOWN = re.compile(r'class="([^"]*\bfa-[^"]*)"')
PRIVATE = re.compile("[\ue000-\uf8ff]")  # the part of Unicode that icon fonts use
PRELOAD = re.compile(r"<link[^>]*vendor/fontawesome[^>]*>")
SCRIPT = re.compile(r'<script src="([^"]*)vendor/fontawesome[^"]*"></script>')


def used(rules: str, pages: str, scripts: str, styles: str) -> set[int]:
    """Return the places of the icons in the font.

    Raises:
        ExtensionError: a page shows an icon that has no rule, or one of another font than the solid one.
    """
    places = {}
    for names, code, character in RULE.findall(rules):
        for name in re.findall(r"fa-[\w-]+", names):
            places[name] = int(code, 16) if code else ord(character)
    shown = {name for classes in SHOWN.findall(pages) for name in classes.split()}
    other = {name for name in shown if re.fullmatch(r"fa-(brands|regular)|fa[br]", name)}
    unknown = {name for name in shown if name.startswith("fa-") and f".{name}" not in rules}
    if other or unknown:
        raise ExtensionError(f"the book's font does not have these icons: {', '.join(sorted(other | unknown))}")
    shown |= set(re.findall(r"\bfa-[\w-]+", scripts))
    escaped = {int(code, 16) for code in re.findall(r'"\\(f[0-9a-f]{3})"', styles)}
    return {places[name] for name in shown if name in places} | escaped | set(map(ord, PRIVATE.findall(styles)))


def cut_font(path: Path, places: set[int]) -> bytes:
    """Return the font with only these glyphs, as WOFF."""
    options = subset.Options(flavor="woff", layout_features=[])
    font = subset.load_font(str(path), options)
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=places)
    cutter.subset(font)
    buffer = io.BytesIO()
    subset.save_font(font, buffer, options)
    return buffer.getvalue()


def cut(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    (theirs,) = static.glob("vendor/fontawesome/*")
    rules = (theirs / "css" / "all.min.css").read_text("utf-8")
    pages = {page: page.read_text("utf-8") for page in Path(app.outdir).rglob("*.html")}
    scripts, styles = (
        "".join(file.read_text("utf-8") for file in sorted(static.rglob(kind)) if theirs not in file.parents)
        for kind in ("*.js", "*.css")
    )
    places = used(rules, "".join(pages.values()), scripts, styles)
    font = base64.b64encode(cut_font(theirs / "webfonts" / "fa-solid-900.ttf", places)).decode()
    rules = RULE.sub(lambda rule: rule[0] if int(rule[2] or "0", 16) in places else "", FACE.sub("", rules))
    for family in ("Font Awesome 6 Free", "Font Awesome 5 Free"):  # the theme's style sheets name both
        rules += (
            f'@font-face{{font-family:"{family}";font-weight:900;src:url(data:font/woff;base64,{font}) format("woff")}}'
        )
    (static / "icons.css").write_text(rules, encoding="utf-8")
    for page, text in pages.items():
        text = PRELOAD.sub("", text)
        text = SCRIPT.sub(r'<link rel="stylesheet" href="\1icons.css" />', text)
        text = re.sub(r'<(i|span)( class="(?:[^"]* )?fa[s-])', r'<\1 aria-hidden="true"\2', text)
        page.write_text(text, encoding="utf-8")
    shutil.rmtree(static / "vendor")


def setup(app: Sphinx) -> dict:
    app.connect("build-finished", cut)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
