"""The Sphinx extension that executes the book's notebooks beside one another, before Sphinx reads the pages one by one.

MyST-NB executes a page while it reads it, so only one core would work. This extension executes the pages that are not kept
yet into the same cache, as many at a time as there are cores, those that take longest first; MyST-NB then finds all of them.
"""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

from course import ROOT, marked
from jupyter_cache import get_cache
from myst_nb.core.execute import create_client
from myst_nb.core.read import create_nb_reader
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

SECONDS = ROOT / "bench/results/intel-xeon-2-cores/lessons.json"
MOST = 4  # pages at a time, because each has a kernel that takes about a gigabyte
logger = logging.getLogger(__name__)


def execute(env: BuildEnvironment, docname: str) -> None:
    """Execute a page's notebook, unless the cache has it. Its kernel works in the folder of the page.

    Raises:
        ExecutionError: a cell raised an error.
    """
    path = env.doc2path(docname)
    text = marked(Path(path).read_text("utf-8"))
    reader = create_nb_reader(path, env.myst_config, env.mystnb_config, text)
    with create_client(reader.read(text), path, env.mystnb_config, logger, reader.read_fmt):
        pass  # entering the context is what executes


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def execute_all(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    """Execute the notebooks among the pages that Sphinx is about to read; at the first error the others are not begun."""
    seconds = json.loads(SECONDS.read_text("utf-8"))["seconds"]
    notebooks = [name for name in docnames if marked(text := Path(env.doc2path(name)).read_text("utf-8")) != text]
    notebooks.sort(key=lambda name: -seconds.get(Path(name).name, 0))
    if env.mystnb_config.execution_mode != "cache" or not notebooks:
        return
    get_cache(env.mystnb_config.execution_cache_path).db  # noqa: B018  makes its tables, which no two threads may do at once
    failed = Event()

    def execute_if_all_went_well(name: str) -> None:
        try:
            if not failed.is_set():
                execute(env, name)
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(min(cores(), MOST)) as pool:
        for done in [pool.submit(execute_if_all_went_well, name) for name in notebooks]:
            done.result()


def setup(app: Sphinx) -> dict:
    app.connect("env-before-read-docs", execute_all)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
