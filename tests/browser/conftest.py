"""Fixtures of the browser tests: a page in Chromium that may connect only to this machine, and a JupyterLab."""

import pytest
from chromium import FLAGS, chromium
from lab import Lab
from playwright.sync_api import expect
from watched import watched

expect.set_options(timeout=60_000)  # a busy machine is slow, not wrong


def pytest_collection_modifyitems(items):
    """Mark every test here as a browser test, and skip it where there is no Chromium, if it is not one of Firefox."""
    for item in items:
        if "browser" in item.path.parts:
            item.add_marker("browser")
            if chromium() is None and "firefox" not in item.path.stem:
                item.add_marker(pytest.mark.skip(reason="no Chromium on this machine"))


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args):
    return browser_type_launch_args | {"executable_path": chromium(), "args": FLAGS}


@pytest.fixture(scope="session")
def lab_context(browser):
    """Return one context for all pages of JupyterLab, so that its many scripts are fetched and compiled once."""
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture
def page(request):
    """Return a page; a request to another host, an error on its console or an exception in it fails the test."""
    of_lab = "lab" in request.fixturenames
    page = request.getfixturevalue("lab_context" if of_lab else "context").new_page()
    try:
        with watched(page):
            yield page
    finally:
        if of_lab:  # another context closes its pages itself
            page.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """Return a JupyterLab server, one for all tests of a process. It fails if it ever called another host."""
    lab = Lab(tmp_path_factory.mktemp("lab"))
    yield lab
    lab.close()
    assert lab.calls() == []
