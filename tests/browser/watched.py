"""A page whose faults fail the test that uses it."""

from collections.abc import Iterator
from contextlib import contextmanager

from chromium import HERE
from playwright.sync_api import Page


@contextmanager
def watched(page: Page) -> Iterator[Page]:
    """Watch a page: a request to another host, an error on its console or an exception in it is an AssertionError at the end."""
    faults: list[str] = []
    listeners = {
        "request": lambda r: None if HERE.match(r.url) else faults.append(f"request to {r.url}"),
        "console": lambda m: faults.append(f"console: {m.text}") if m.type == "error" else None,
        "pageerror": lambda e: faults.append(f"exception: {e}"),
    }
    for event, listener in listeners.items():
        page.on(event, listener)
    page.set_default_timeout(120_000)
    yield page
    for event, listener in listeners.items():
        page.remove_listener(event, listener)
    assert not faults, "\n".join(faults)
