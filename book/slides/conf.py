"""Sphinx settings of the slides; make.py copies this beside the decks."""

import importlib.util
import shutil
from pathlib import Path

project = "BYOL, step by step"
author = "the byol_tutorial authors"
extensions = ["myst_parser", "sphinx_revealjs", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "amsmath"]
suppress_warnings = ["myst.header", "myst.xref_missing"]
mathjax_path = "tex-svg-full.js"
revealjs_static_path = ["slides.css"]
revealjs_css_files = ["slides.css"]
revealjs_style_theme = "white"
revealjs_script_conf = {"hash": True, "slideNumber": True, "width": 1280, "height": 760, "transition": "none"}
revealjs_script_plugins = [{"name": "RevealNotes", "src": "revealjs/plugin/notes/notes.js"}]


def copy_mathjax(app, error):
    package = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent
    shutil.copy(package / "static" / "mathjax" / mathjax_path, Path(app.outdir) / "_static" / mathjax_path)


def setup(app):
    app.connect("build-finished", copy_mathjax)
