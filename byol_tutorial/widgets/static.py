"""Panels in a page without kernel and network: the same ES module, the present traits, and a substitute for the model.

A fragment of HTML has three parts: a place with the panel's traits (JSON); the sources, which the place names by their
digests (the panel's module, and traits that are bytes, in base64); and static.js, which brings them together. A page
needs equal sources only once: `shipped` lists those that the page already has, and the book removes those that its
cells brought twice. Equal traits give equal fragments, so a book that is built twice does not change.
"""

import base64
import hashlib
import json
import math
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from anywidget import AnyWidget
from ipywidgets import Widget

from ..config.errors import UserError
from ..runtime.markup import encodable, escaped
from ..train.checkpoint import write_or_explain
from .assets import script

OTHERS = {"layout", "tabbable", "tooltip"}  # traits that every widget has and no panel reads


def static_html(panel: Widget, height: int | None = None, shipped: set[str] | None = None) -> str:
    """Return a panel as it is now, as a self-contained fragment of HTML. A page may hold any number of them.

    >>> display(HTML(static_html(bt.widgets.phase_plane())))

    A panel that needs a kernel shows its last picture, and a sentence on how to run it.

    Args:
        panel: a panel of this package, or a box of panels.
        height: pixels to reserve while the page loads, so that nothing below the panel moves.
        shipped: the sources that the page has already; new ones are added. Give the same set for all panels of one
            page, so that the page holds each module and equal bytes once. Default: the fragment brings all sources.

    Raises:
        UserError: something that is not a panel.
    """
    shipped = set() if shipped is None else shipped
    parts = []
    for one in _panels(panel):
        sources: dict[str, str] = {}
        name = _source({"js": str(one._esm), "css": str(one._css)}, sources)
        traits = _json(_plain(_traits(one), sources))
        space = "" if height is None else f' style="min-height:{int(height)}px"'
        parts.append(
            f'<div class="bt-static" data-bt-module="{name}"{space}>'
            f'<script type="application/json">{traits}</script>'
            "<noscript>This panel needs JavaScript.</noscript></div>"
        )
        for name in [name for name in sources if name not in shipped]:
            parts.append(f'<script type="application/json" data-bt-source="{name}">{sources[name]}</script>')
        shipped.update(sources)
    host = script("static.js")
    return "\n".join([*parts, f'<script type="module">\n{host}</script>'])


NOT_LIVE = (
    "<p>This is the panel as it was when its cell ran: nothing can be live here. It is live in JupyterLab with the "
    "package anywidget, in VS Code, on Binder and on Colab, when its cell is run there.</p>\n"
)


def as_page() -> bool:
    """Return whether panels are shown as on pages without kernel.

    They are in the book, for which BYOL_STATIC is set, and on Kaggle, whose pages show no widgets of other packages.
    """
    return bool(os.environ.get("BYOL_STATIC") or os.environ.get("KAGGLE_KERNEL_RUN_TYPE"))


def bundle(panel: Widget) -> dict[str, str]:
    """Return the cell's output for such a page. A panel that needs a kernel first runs a little, to have a picture."""
    for one in (panel, *_panels(panel)):
        if hasattr(one, "prepare_picture"):
            one.prepare_picture()
            break
    about = "" if os.environ.get("BYOL_STATIC") else NOT_LIVE
    return {"text/html": about + static_html(panel), "text/plain": _words(panel)}


def with_page(panel: Widget, live: Any) -> Any:
    """Add a page to the output of a live panel; it is shown instead wherever widgets cannot be.

    A front end takes what it can show best of an output: the widget if it can show widgets and the notebook is
    trusted, else the page, else the words. Without scripts, as on GitHub, the page is a sentence.

    Args:
        panel: a panel of this package, or a box of panels.
        live: what ipywidgets would show, data or (data, metadata).
    """
    data, metadata = live if isinstance(live, tuple) else (live, {})
    if "google.colab" not in sys.modules:  # it has widgets, and what it prefers is not documented
        data = data | {"text/html": NOT_LIVE + static_html(panel)}
    return data | {"text/plain": _words(panel)}, metadata


def _words(panel: Widget) -> str:
    return (
        f"{type(panel).__name__}, a panel: it needs JupyterLab with anywidget, or bt.widgets.save_html(panel, 'x.html')"
    )


def save_html(panels: Widget | Iterable[Widget], path: str | Path, title: str = "byol_tutorial") -> None:
    """Write a page that shows one panel, or several below each other. It can be opened without kernel or network.

    Raises:
        UserError: something that is not a panel.
        CheckpointError: the file cannot be written; a file that existed there is unchanged.
    """
    shipped: set[str] = set()
    panels = panels if isinstance(panels, Iterable) else [panels]
    body = "\n".join(static_html(panel, shipped=shipped) for panel in panels)
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{escaped(title)}</title>
<style>body {{ margin: 12px auto; padding: 0 8px; max-width: 1280px; }} .bt-static {{ margin-bottom: 16px; }}</style>
</head>
<body>
{body}
</body>
</html>
"""
    write_or_explain(path, lambda file: file.write(page.encode()))


def _panels(widget: Widget) -> list[AnyWidget]:
    found = _within(widget)
    if not found:
        raise UserError(f"{type(widget).__name__} is not a panel: give what a function of bt.widgets returned")
    return found


def _within(widget: Widget) -> list[AnyWidget]:
    if isinstance(widget, AnyWidget):
        return [widget]
    return [panel for child in getattr(widget, "children", ()) for panel in _within(child)]


def _traits(panel: AnyWidget) -> dict:
    return {n: v for n, v in panel.get_state().items() if not n.startswith("_") and n not in OTHERS}


def _json(value: object) -> str:
    """Return JSON for a script element: it contains no "<", and can be encoded as UTF-8."""
    return encodable(json.dumps(value, ensure_ascii=False, allow_nan=False)).replace("<", "\\u003c")


def _source(value: object, sources: dict[str, str]) -> str:
    """Add the value to `sources`, and return its name there."""
    text = _json(value)
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    sources[name] = text
    return name


def _plain(value: object, sources: dict[str, str]) -> object:
    """Return the value in a form that JSON has: bytes become a source and {"bytes": its name}."""
    if isinstance(value, bytes | bytearray | memoryview):
        return {"bytes": _source(base64.b64encode(value).decode(), sources)}
    if isinstance(value, dict):
        return {name: _plain(item, sources) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, sources) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no NaN
    return value
