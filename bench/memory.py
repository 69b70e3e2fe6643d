"""How much memory does a lesson need? python bench/memory.py [LESSON] [--quick]

A JupyterLab server is started as on Binder, in a folder and with a cache of its own, and all cells of the lesson (lesson 0
by default) run in its kernel, one after the other. The memory of the server and of all its descendants is read twenty
times a second, and the most of it is written, in megabytes (10⁶ bytes):

resident  the sum of what each process has in memory. Pages that several processes share count once for each.
own       the same with each shared page divided among those that share it: what the processes need together.
without   of `resident` only what is in no file: pages of libraries can be dropped and read again.
cells     the most within each cell, as `resident`

A machine such as Binder's ends a process when all together need more than it allows.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import common
import nbformat
import psutil
from jupyter_client.blocking import BlockingKernelClient

ROOT = Path(__file__).parents[1]
EVERY = 0.05  # seconds between two readings
MEGABYTE = 1e6


class Watch:
    """A thread that reads the memory of a process and its descendants until it is stopped."""

    def __init__(self, process: psutil.Process):
        self.process, self.going = process, True
        self.most = {"resident": 0.0, "own": 0.0, "without": 0.0}
        self.cell = 0.0  # the most of `resident` since it was set to 0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while self.going:
            now = dict.fromkeys(self.most, 0.0)
            for one in [self.process, *self.process.children(recursive=True)]:
                try:
                    memory = one.memory_full_info()
                except (psutil.NoSuchProcess, psutil.ZombieProcess):
                    continue  # it has ended in the meantime
                now["resident"] += memory.rss / MEGABYTE
                now["own"] += memory.pss / MEGABYTE
                now["without"] += (memory.rss - memory.shared) / MEGABYTE
            self.most = {name: max(value, now[name]) for name, value in self.most.items()}
            self.cell = max(self.cell, now["resident"])
            time.sleep(EVERY)

    def stop(self) -> None:
        self.going = False
        self.thread.join()


def ask(address: str, method: str = "GET") -> Any:
    request = urllib.request.Request(address, method=method, data=b"{}" if method == "POST" else None)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def started(folder: Path, environment: dict[str, str]) -> tuple[subprocess.Popen, str]:
    """Start JupyterLab; return its process and its address."""
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--IdentityProvider.token=",
               "--ServerApp.password=", "--ServerApp.disable_check_xsrf=True", f"--ServerApp.root_dir={folder}"]  # fmt: skip
    server = subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 120
    while time.monotonic() < end and server.poll() is None:
        for file in Path(environment["JUPYTER_RUNTIME_DIR"]).glob("jpserver-*.json"):
            return server, json.loads(file.read_text())["url"]
        time.sleep(0.1)
    server.kill()
    raise RuntimeError("JupyterLab did not start")


def run_lesson(lesson: str, scale: str) -> dict[str, Any]:
    """Run all cells of a lesson; return the most memory, and the seconds."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{lesson}.ipynb", as_version=4)
    folder = Path(tempfile.mkdtemp(prefix="byol-memory-"))
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
        "BYOL_CACHE": str(folder / "cache"),
        "BYOL_SCALE": scale,
    }
    (folder / "runtime").mkdir()
    server, address = started(folder, environment)
    watch = Watch(psutil.Process(server.pid))
    try:
        kernel = ask(f"{address}api/kernels", "POST")["id"]
        client = BlockingKernelClient(connection_file=str(folder / "runtime" / f"kernel-{kernel}.json"))
        client.load_connection_file()
        client.start_channels()
        client.wait_for_ready(timeout=120)
        start, cells = time.monotonic(), []
        for cell in notebook.cells:
            if cell.cell_type != "code":
                continue
            watch.cell = 0.0
            reply = client.execute_interactive(
                cell.source, timeout=600, output_hook=lambda message: None, allow_stdin=False
            )
            if reply["content"]["status"] != "ok":
                raise RuntimeError(f"a cell failed: {reply['content'].get('evalue')}\n{cell.source}")
            time.sleep(2 * EVERY)  # a short cell is read at least once
            cells.append([round(watch.cell), cell.source.strip().splitlines()[-1][:70]])
        seconds = time.monotonic() - start
        client.stop_channels()
    finally:
        watch.stop()
        server.terminate()
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)
    return {name: round(value) for name, value in watch.most.items()} | {"seconds": round(seconds), "cells": cells}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lesson", nargs="?", default="00_start_here")
    parser.add_argument(
        "--quick", action="store_true", help="at the scale smoke, nothing written: a check that it runs"
    )
    options = parser.parse_args()
    found = run_lesson(options.lesson, "smoke" if options.quick else "laptop")
    print(
        f"lesson {options.lesson}: {found['resident']} MB resident, {found['own']} MB own, "
        f"{found['without']} MB without files, in {found['seconds']} s"
    )
    for most, line in found["cells"]:
        print(f"{most:6} MB  {line}")
    if not options.quick:
        common.write("memory", {"lessons": {options.lesson: found}}, add=True)


if __name__ == "__main__":
    main()
