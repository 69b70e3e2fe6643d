"""A real JupyterLab for browser tests: its server, notebooks made from cells, and functions that run them in a page."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat

SETTINGS = {"notebook-extension/tracker": {"autoStartDefaultKernel": True}}  # start the kernel without a question
CONFIG = (
    Path(__file__).parents[2] / "byol_tutorial" / "course" / "lab" / "jupyter_lab_config.py"
)  # as `make lab` starts it
OFFLINE = Path(__file__).parent / "offline"
KERNEL_IS_READY = """() => {
  const session = window.jupyterapp?.shell.currentWidget?.context?.sessionContext;
  return session?.isReady && session.session?.kernel?.status === "idle";
}"""
START = 120  # seconds that a server may take to answer


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Lab:
    """A JupyterLab server in its own folder, which neither reads nor writes settings of the user.

    The server and its kernels cannot connect to other hosts; `calls` returns what they tried.
    """

    def __init__(self, folder: Path, scale: str = "smoke", threads: int | None = 1, config: Path | None = CONFIG):
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        home = folder / ".home"
        environment = os.environ | {
            "JUPYTER_CONFIG_DIR": str(home / "config"),
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
            "IPYTHONDIR": str(home / "ipython"),
            "BYOL_SCALE": scale,
            "BYOL_CALLS": str(folder / "calls.txt"),
            "PYTHONPATH": os.pathsep.join([str(OFFLINE), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }
        environment.pop("OMP_NUM_THREADS", None)
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        (folder / "work").mkdir(parents=True)
        for plugin, values in SETTINGS.items():
            file = home / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))
        self.log = (folder / "server.log").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", f"--port={self.port}",
             "--ServerApp.port_retries=0", "--ServerApp.disable_check_xsrf=True", "--IdentityProvider.token=", "--ServerApp.password=",
             "--LabApp.expose_app_in_browser=True", f"--ServerApp.root_dir={folder / 'work'}",
             *([] if config is None else [f"--config={config}"])],
            env=environment, stdout=self.log, stderr=subprocess.STDOUT, cwd=folder,
        )  # fmt: skip
        end = time.monotonic() + START
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/api/status", timeout=5):
                return
            if self.process.poll() is not None or time.monotonic() > end:
                self.close()
                raise RuntimeError(f"JupyterLab did not start:\n{(folder / 'server.log').read_text()[-3000:]}")
            time.sleep(0.2)

    def notebook(self, name: str, *cells: str) -> str:
        """Write a notebook of these code cells, and return its name in the server's folder."""
        book = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        )
        nbformat.write(book, self.folder / "work" / f"{name}.ipynb")
        return f"{name}.ipynb"

    def open(self, page, notebook: str, theme: str = "JupyterLab Light") -> None:
        """Open only this notebook in a page, and wait until its kernel is ready."""
        page.goto(f"{self.url}/lab/tree/{notebook}?reset")
        page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=120_000)
        command(page, "apputils:change-theme", {"theme": theme})
        page.wait_for_selector(f'body[data-jp-theme-name="{theme}"]', state="attached")
        command(page, "application:toggle-left-area")
        page.wait_for_function(KERNEL_IS_READY, timeout=120_000)

    def calls(self) -> list[str]:
        """Return the connections to other hosts that the server and its kernels tried to make."""
        file = self.folder / "calls.txt"
        return file.read_text("utf-8").splitlines() if file.exists() else []

    def ask(self, path: str) -> object:
        """Return what the server answers to a request, as JSON."""
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=60) as answer:
            return json.load(answer)

    def kernels(self) -> list[dict]:
        with urllib.request.urlopen(f"{self.url}/api/kernels", timeout=10) as answer:
            return json.load(answer)

    def shut_down_kernels(self) -> None:
        for kernel in self.kernels():
            request = urllib.request.Request(f"{self.url}/api/kernels/{kernel['id']}", method="DELETE")
            with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=30):
                pass

    def close(self) -> None:
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        self.process.kill()
        self.log.close()


def command(page, name: str, arguments: dict | None = None) -> None:
    """Run one of JupyterLab's commands, without waiting for its end."""
    page.evaluate("([n, a]) => { window.jupyterapp.commands.execute(n, a); }", [name, arguments or {}])


def run_all(page) -> None:
    """Begin to run all cells of the notebook in the foreground."""
    page.locator(".jp-Notebook .jp-CodeCell .cm-content").first.click()
    command(page, "notebook:run-all-cells")
    page.wait_for_function(
        # of any cell, because the first one of a lesson is collapsed and shows no number
        """() => [...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")].some((p) => /[*\\d]/.test(p.textContent))""",
        timeout=60_000,
    )


def nodes(page) -> int:
    """Return how many DOM nodes the page's process has, after collections of garbage."""
    client = page.context.new_cdp_session(page)
    client.send("Performance.enable")
    for _ in range(3):
        client.send("HeapProfiler.collectGarbage")
        page.wait_for_function("() => new Promise((done) => requestIdleCallback(() => done(true)))")
    found = {item["name"]: item["value"] for item in client.send("Performance.getMetrics")["metrics"]}
    client.detach()
    return int(found["Nodes"])
