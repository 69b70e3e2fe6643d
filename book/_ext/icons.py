"""The theme's icons, as a font that is reduced to the icons that the book shows.

The theme contains the whole of FontAwesome: a script of 1.5 MB, or a font that no browser loads for a page from
file://. Here the font is part of a style sheet, `_static/icons.css`, with only the glyphs that pages, scripts and style
sheets name. An icon that the font does not have ends the build.

The theme of Jupyter Book 1 has all of FontAwesome 6 in one folder. That of Sphinx 9 has FontAwesome 7: its rules in the
theme's own style sheet, its font in a folder, and its script beside the theme's.
"""

import base64
import io
import re
import shutil
from pathlib import Path

from fontTools import subset
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

# Names, and a code or a character: .fa-sun:before{content:"\f185"} of FontAwesome 6, .fa-sun{--fa:"\f185"} of 7.
RULE = re.compile(r'((?:\.fa-[\w-]+(?::before)?,?)+)\{(?:content|--fa):"(?:\\([0-9a-f]+)|([^"]))"\}')
FACE = re.compile(r"@font-face\{[^}]*Font Awesome[^}]*\}|@font-face\{[^}]*FontAwesome[^}]*\}")
SHOWN = re.compile(r'class="([^"]*\bfa-[^"]*)"')
PRIVATE = re.compile("[\ue000-\uf8ff]")  # the part of Unicode that icon fonts use
PRELOAD = re.compile(r"<link[^>]*vendor/fontawesome[^>]*>")
SCRIPT = re.compile(r'<script (?:defer="defer" |defer )?src="([^"]*)(?:vendor|scripts)/fontawesome[^"]*"></script>')
FAMILIES = (
    "Font Awesome 7 Free",
    "Font Awesome 6 Free",
    "Font Awesome 5 Free",
)  # the theme's style sheets name several


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


def places_of_theirs(static: Path) -> tuple[Path, Path]:
    """Return the style sheet with FontAwesome's rules and the font of its solid icons."""
    sheets = [*static.glob("vendor/fontawesome/*/css/all.min.css"), *static.glob("styles/pydata-sphinx-theme.css")]
    fonts = [file for file in static.glob("vendor/fontawesome/**/fa-solid-900.*") if file.suffix in (".ttf", ".woff2")]
    font = min(
        fonts, key=lambda file: file.suffix
    )  # .ttf where there is one, because .woff2 takes another library to read
    return sheets[0], font


def cut(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    sheet, font = places_of_theirs(static)
    rules = sheet.read_text("utf-8")
    pages = {page: page.read_text("utf-8") for page in Path(app.outdir).rglob("*.html")}
    theirs = {sheet, *static.glob("vendor/fontawesome/**/*"), *static.glob("scripts/fontawesome.js*")}
    scripts, styles = (
        "".join(file.read_text("utf-8") for file in sorted(static.rglob(kind)) if file not in theirs)
        for kind in ("*.js", "*.css")
    )
    own = RULE.sub("", rules)  # the rest of a style sheet that is the theme's, too
    places = used(rules, "".join(pages.values()), scripts, styles + own)
    packed = base64.b64encode(cut_font(font, places)).decode()
    rules = RULE.sub(lambda rule: rule[0] if int(rule[2] or "0", 16) in places else "", FACE.sub("", rules))
    faces = "".join(
        f'@font-face{{font-family:"{family}";font-weight:900;src:url(data:font/woff;base64,{packed}) format("woff")}}'
        for family in FAMILIES
    )
    if static / "vendor" in sheet.parents:
        faces = rules + faces
    else:
        sheet.write_text(rules, encoding="utf-8")
    (static / "icons.css").write_text(faces, encoding="utf-8")
    for page, text in pages.items():
        text = PRELOAD.sub("", text)
        text = SCRIPT.sub(r'<link rel="stylesheet" href="\1icons.css" />', text)
        text = re.sub(r'<(i|span)( class="(?:[^"]* )?fa[s-])', r'<\1 aria-hidden="true"\2', text)
        page.write_text(text, encoding="utf-8")
    shutil.rmtree(static / "vendor")
    for file in static.glob("scripts/fontawesome.js*"):
        file.unlink()


def setup(app: Sphinx) -> dict:
    app.connect("build-finished", cut)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
