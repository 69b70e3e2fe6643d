"""JupyterLab as the project starts it calls no other host: no news, no newer versions, no extensions, no panels.

The servers of all Lab tests are started like that and may not connect anywhere else (offline/sitecustomize.py), and the
page of every browser test fails at a request to another host. Here the server is asked for what would call out.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from lab import OFFLINE, Lab, run_all
from playwright.sync_api import expect

ROOT = Path(__file__).parents[2]
PANELS = """import byol_tutorial as bt
bt.widgets.phase_plane()"""


def test_what_would_call_out_is_off(lab, page):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    lab.open(page, lab.notebook("quiet", PANELS))
    run_all(page)
    expect(page.get_by_role("region", name="Phase plane")).to_be_visible()
    assert lab.ask("lab/api/update") == {"notification": None}
    assert lab.ask("lab/api/news") == {"news": []}
    assert lab.ask("lab/api/extensions?query=byol&page=1&per_page=5&refresh=1") is not None
    assert lab.calls() == []
    assert asked
    assert page.get_by_text("Would you like to get notified about official Jupyter news?").count() == 0
    page.goto("about:blank")
    lab.shut_down_kernels()


def test_without_the_configuration_the_same_requests_do_call_out(tmp_path):
    """So the test above would fail if the configuration had no effect, or if connections were not noted."""
    plain = Lab(tmp_path / "lab", config=None)
    try:
        plain.ask("lab/api/update")
        plain.ask("lab/api/news")
        assert len(plain.calls()) >= 2
    finally:
        plain.close()


@pytest.mark.parametrize(
    "call",
    [
        "socket.create_connection(('192.0.2.1', 80), 1)",
        "socket.getaddrinfo('other.example', 80)",
        "socket.gethostbyname('other.example')",
        "urllib.request.urlopen('http://192.0.2.1/', timeout=1)",
    ],
)
def test_connections_to_other_hosts_are_refused_and_noted(tmp_path, call):
    environment = os.environ | {"PYTHONPATH": str(OFFLINE), "BYOL_CALLS": str(tmp_path / "calls.txt")}
    code = f"import socket, urllib.request, subprocess, sys; {call}"
    end = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "is another host" in end.stderr
    assert any(host in (tmp_path / "calls.txt").read_text() for host in ("192.0.2.1", "other.example"))
