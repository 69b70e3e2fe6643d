"""The Sphinx extension that executes the book's notebooks, several at a time, before Sphinx reads the pages one by one.

MyST-NB executes a page while it reads it, so only one core would work. This extension executes the pages that are not kept
yet into the same cache, as many at a time as there are cores, those that take longest first; MyST-NB then finds all of them.
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import psutil
from course import ROOT, marked
from jupyter_cache import get_cache
from myst_nb.core.execute import create_client
from myst_nb.core.loggers import SphinxDocLogger
from myst_nb.core.read import create_nb_reader
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from byol_tutorial.runtime.device import cores

SECONDS = ROOT / "bench/results/intel-xeon-2-cores/lessons.json"
MOST = 4  # pages at a time, because each has a kernel that takes about a gigabyte


def execute(env: BuildEnvironment, docname: str) -> None:
    """Execute a page's notebook, unless the cache has it. Its kernel works in the folder of the page.

    Raises:
        ExecutionError: a cell raised an error.
    """
    path = env.doc2path(docname)
    text = marked(Path(path).read_text("utf-8"))
    reader = create_nb_reader(path, env.myst_config, env.mystnb_config, text)
    page = SimpleNamespace(settings=SimpleNamespace(env=SimpleNamespace(docname=docname)))
    with create_client(reader.read(text), path, env.mystnb_config, SphinxDocLogger(page), reader.read_fmt):
        pass  # entering the context is what executes


def execute_all(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    """Execute the notebooks among the pages that Sphinx is about to read.

    At the first error, and at Ctrl-C, no further page begins, and those that are being executed end at once.
    """
    seconds = json.loads(SECONDS.read_text("utf-8"))["seconds"]
    notebooks = [name for name in docnames if marked(text := Path(env.doc2path(name)).read_text("utf-8")) != text]
    notebooks.sort(key=lambda name: -seconds.get(Path(name).name, float("inf")))
    if env.mystnb_config.execution_mode != "cache" or not notebooks:
        return
    get_cache(env.mystnb_config.execution_cache_path).db  # noqa: B018  makes its tables, which no two threads may do at once
    over = Event()

    def execute_next(name: str) -> None:
        try:
            if not over.is_set():
                execute(env, name)
        except BaseException:
            over.set()
            raise

    with ThreadPoolExecutor(min(cores(), MOST)) as pool:
        pages = [pool.submit(execute_next, name) for name in notebooks]
        try:
            for page in as_completed(pages):
                page.result()
        except BaseException:
            over.set()
            while not all(page.done() for page in pages):
                end_kernels()
                time.sleep(0.1)
            raise


def end_kernels() -> None:
    """End the kernels that this process has started. They get no Ctrl-C, because each is in a session of its own."""
    for process in psutil.Process().children():
        try:
            if any("ipykernel" in word for word in process.cmdline()):
                process.kill()
        except psutil.Error:  # it has ended by itself
            continue


def setup(app: Sphinx) -> dict:
    app.connect("env-before-read-docs", execute_all)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
