"""The settings of `make book-next`, which builds the book with Sphinx itself instead of Jupyter Book 1.

There is one configuration, _config.yml, which Jupyter Book reads. Here it becomes what Jupyter Book makes of it: most
settings have another name in Sphinx, and those below `sphinx: config:` are Sphinx's own. A setting that is not known here
is an error, so that the two books cannot differ unnoticed.
"""

import sys
from pathlib import Path
from typing import Any

import yaml

BOOK = Path(__file__).parent
ROOT = BOOK.parent  # the folder of the sources, because the lessons are outside of book/

# Jupyter Book's own name: Sphinx's, or None for what Jupyter Book needs and the pages do not show. The options of the
# theme below `sphinx: config:` replace all that Jupyter Book sets, its buttons among them.
NAMES = {
    "title": "html_title",
    "author": "author",
    "copyright": "copyright",
    "logo": "html_logo",
    "only_build_toc_files": "external_toc_exclude_missing",
    "exclude_patterns": "exclude_patterns",
    "execute.execute_notebooks": "nb_execution_mode",
    "execute.timeout": "nb_execution_timeout",
    "execute.allow_errors": "nb_execution_allow_errors",
    "parse.myst_enable_extensions": "myst_enable_extensions",
    "parse.myst_url_schemes": "myst_url_schemes",
    "html.favicon": "html_favicon",
    "html.baseurl": "html_baseurl",
    "html.use_edit_page_button": None,
    "html.use_repository_button": None,
    "html.use_issues_button": None,
    "html.home_page_in_navbar": None,
    "html.comments": None,
    "launch_buttons": None,
    "bibtex_bibfiles": "bibtex_bibfiles",
    "sphinx.local_extensions": None,
    "sphinx.extra_extensions": None,
    "sphinx.config": None,
}
DEFAULTS: dict[str, Any] = {  # what Jupyter Book sets where _config.yml says nothing
    "html_theme": "sphinx_book_theme",
    "html_sourcelink_suffix": "",
    "nb_execution_excludepatterns": [],
    "nb_execution_in_temp": False,
    "nb_output_stderr": "show",
    "numfig": True,
    "pygments_style": "sphinx",
    "suppress_warnings": ["myst.domains"],
}
EXCLUDED = ("**.ipynb_checkpoints", ".DS_Store", "Thumbs.db", "_build")
# Jupyter Book's extensions, without itself, comments, a kernel in the cloud, and LaTeX
EXTENSIONS = (
    "sphinx_togglebutton",
    "sphinx_copybutton",
    "myst_nb",
    "sphinx_external_toc",
    "sphinx.ext.intersphinx",
    "sphinx_design",
    "sphinx_book_theme",
)


def flat(book: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of _config.yml by their names in NAMES, such as "execute.timeout".

    Raises:
        ValueError: a setting that NAMES does not have.
    """
    found = {}
    for name, value in book.items():
        inner = {f"{name}.{key}": item for key, item in value.items()} if isinstance(value, dict) else {}
        found |= {name: value} if name in NAMES or not inner else inner
    if unknown := sorted(found.keys() - NAMES.keys()):
        raise ValueError(f"_config.yml sets {', '.join(unknown)}: add to NAMES in book/conf.py what Sphinx calls it")
    return found


def settings(book: dict[str, Any]) -> dict[str, Any]:
    """Return Sphinx's settings for the content of _config.yml."""
    given = flat(book)
    found = DEFAULTS | {new: given[old] for old, new in NAMES.items() if new and old in given}
    found["exclude_patterns"] = sorted({*EXCLUDED, *given.get("exclude_patterns", [])})
    own = [*given.get("sphinx.extra_extensions", []), *given.get("sphinx.local_extensions", {})]
    bibliography = ["sphinxcontrib.bibtex"] if "bibtex_bibfiles" in given else []
    found["extensions"] = [*EXTENSIONS, *own, *bibliography]
    found["external_toc_path"] = "book/_toc.yml"
    return found | given.get("sphinx.config", {})


def beside_conf(found: dict[str, Any]) -> dict[str, Any]:
    """Return the settings with absolute paths, where Sphinx takes a path as one from the folder of conf.py."""
    one = {name: str(ROOT / found[name]) for name in ("html_favicon", "html_logo") if found.get(name)}
    several = {
        name: [str(ROOT / path) for path in found.get(name, [])] for name in ("html_static_path", "bibtex_bibfiles")
    }
    return found | one | several


CONFIG = yaml.safe_load((BOOK / "_config.yml").read_text(encoding="utf-8"))
sys.path += [str(BOOK / folder) for folder in flat(CONFIG).get("sphinx.local_extensions", {}).values()]
globals().update(beside_conf(settings(CONFIG)))
