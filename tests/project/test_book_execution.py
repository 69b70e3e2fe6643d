"""The book's notebooks are executed several at a time, each once; see book/_ext/execution.py."""

import json
import os
import sys
import time
from pathlib import Path

import psutil
import pytest
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import docutils_namespace, patch_docutils

pytestmark = pytest.mark.slow  # each page starts a kernel

ROOT = Path(__file__).parents[2]
PAGE = """---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# {name}

```{{code-cell}} ipython3
from pathlib import Path
import time
with open("order.txt", "a") as file:
    print("{name}", file=file)
{code}
print("seen: {name}")
```
"""
MEET = """Path("{mine}.txt").touch()
end = time.monotonic() + 60
while not Path("{other}.txt").exists():
    assert time.monotonic() < end, "the other page was not executed beside this one"
    time.sleep(0.02)"""


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Return a function that builds a book of pages {name: code}, and with what seconds and cores they are executed."""
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    import execution

    def build(pages: dict[str, str], cores: int, seconds: dict[str, float] | None = None) -> tuple[list[str], Path]:
        (tmp_path / "seconds.json").write_text(json.dumps({"seconds": seconds or {}}))
        monkeypatch.setattr(execution, "SECONDS", tmp_path / "seconds.json")
        monkeypatch.setattr(execution, "cores", lambda: cores)
        source = tmp_path / "source"
        source.mkdir(exist_ok=True)
        (source / "index.md").write_text("# Index\n\n```{toctree}\n" + "\n".join(pages) + "\n```\n")
        for name, code in pages.items():
            (source / f"{name}.md").write_text(PAGE.format(name=name, code=code))
        settings = {
            "extensions": ["myst_nb", "execution", "pages_of_the_test"],
            "nb_execution_mode": "cache",
            "nb_execution_cache_path": str(tmp_path / "cache"),
            "nb_execution_raise_on_error": True,
            "nb_execution_timeout": 100,
        }
        (tmp_path / "extension").mkdir(exist_ok=True)
        (tmp_path / "extension" / "pages_of_the_test.py").write_text(
            "from course import mark_lessons\n\ndef setup(app):\n    app.connect('source-read', mark_lessons)\n"
        )
        monkeypatch.syspath_prepend(tmp_path / "extension")
        with patch_docutils(), docutils_namespace():
            app = Sphinx(
                str(source), None, str(tmp_path / "html"), str(tmp_path / "trees"), "html", settings,
                status=None, freshenv=True,
            )  # fmt: skip
            try:
                app.build()
            finally:
                order = source / "order.txt"
                build.order = order.read_text().split() if order.exists() else []
        return build.order, tmp_path / "html"

    return build


def test_two_pages_are_executed_beside_one_another_and_each_once(build):
    pages = {"first": MEET.format(mine="first", other="second"), "second": MEET.format(mine="second", other="first")}
    order, html = build(pages, cores=2)
    assert sorted(order) == ["first", "second"]
    for name in pages:
        assert f"seen: {name}" in (html / f"{name}.html").read_text("utf-8")


def test_the_longest_page_is_executed_first_and_what_is_kept_not_again(build):
    order, _ = build({"a": "", "b": ""}, cores=1, seconds={"a": 5, "b": 20})
    assert order == ["b", "a"]
    order, _ = build({"a": "1 + 1", "b": ""}, cores=1)
    assert order == ["b", "a", "a"]


def test_a_page_that_fails_ends_the_build_before_others_are_begun(build):
    with pytest.raises(ExtensionError, match=r"bad\.md"):
        build({"bad": "1 / 0", "later": ""}, cores=1, seconds={"bad": 2, "later": 1})
    assert build.order == ["bad"]


STAYS = MEET.format(mine="stays", other="never")  # it would wait for a minute for a page that never comes


def test_a_failure_ends_the_pages_that_are_being_executed(build):
    fails = MEET.format(mine="fails", other="stays") + "\n1 / 0"
    start = time.monotonic()
    with pytest.raises(ExtensionError, match=r"fails\.md"):
        build({"stays": STAYS, "fails": fails, "later": ""}, cores=2, seconds={"stays": 9, "fails": 8, "later": 1})
    assert time.monotonic() - start < 60
    assert sorted(build.order) == ["fails", "stays"]


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill ends a process there, whatever the signal")
def test_an_interrupt_ends_the_pages_that_are_being_executed(build):
    interrupts = f"import os, signal\nos.kill({os.getpid()}, signal.SIGINT)\n"
    stops = MEET.format(mine="stops", other="stays") + "\n" + interrupts + MEET.format(mine="stops", other="never")
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        build({"stays": STAYS, "stops": stops, "later": ""}, cores=2, seconds={"stays": 9, "stops": 8, "later": 1})
    assert time.monotonic() - start < 60
    assert sorted(build.order) == ["stays", "stops"]
    assert not [p for p in psutil.Process().children() if "ipykernel" in " ".join(p.cmdline())]
