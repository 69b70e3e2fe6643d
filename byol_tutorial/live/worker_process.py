"""Processes that work beside this one: new interpreters, spoken to in lines of JSON, which end when this one does.

    worker = Worker("byol_tutorial.live.round_robin", folder, heard)    # calls its main(folder) in a new interpreter
    worker.say(do="go")                                     # one line to its input
    heard(worker, {"step": 3})                              # is called for each line that it says; with None at its end

Neither fork nor multiprocessing's spawn, so nothing of the caller's script or notebook is imported or executed anew,
and a script needs no `if __name__ == "__main__"`. A worker ends by itself, by kill(), and when its input ends: that is
what happens when its starter is gone, for whatever reason. Signals go to a whole group of processes, Ctrl-C and a
notebook's stop button as well as the end of a kernel. A worker is in a group of its own and ignores interrupts, for it is
its starter who knows what to do, and lives long enough to clear up.
"""

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path

import torch

from ..data.image_set import ImageSet

HERE = Path(__file__).resolve().parents[2]
# Interrupts are ignored before anything slow is imported. The package is where it is here, whatever the current folder.
BOOT = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); sys.path.append(sys.argv[1]); "
    "import importlib, os; importlib.import_module(sys.argv[2]).main(sys.argv[3]); os._exit(0)"
)


# --- the starter's side -------------------------------------------------------------------------


class Worker:
    """A process that runs `module.main(folder)` with so many threads.

    heard: called with (worker, message) on a thread of the worker's own: for each line that it says, a dict; and when
        it has ended, None. What it writes to its error output is in `words`.
    """

    _numbers = count()

    def __init__(self, module: str, folder: Path, heard: Callable[["Worker", dict | None], None], threads: int = 1):
        self._log = folder / f"worker-{next(self._numbers)}.log"
        counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", BOOT, str(HERE), module, str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | counts,
                **({"process_group": 0} if os.name == "posix" else {}),
            )
        self._thread = threading.Thread(target=self._listen, args=(heard,), name="byol worker", daemon=True)
        self._thread.start()

    def _listen(self, heard: Callable) -> None:
        with self.process.stdout:
            for line in self.process.stdout:
                with contextlib.suppress(ValueError):  # the last line of a process that was killed in the middle of it
                    heard(self, json.loads(line))
        self.process.wait()
        heard(self, None)

    def say(self, **message) -> None:
        """Put a message into its input. A worker that has ended does not hear it; `heard` is told of the end."""
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    @property
    def words(self) -> str:
        """How it ended, in words; "" where it ended as it should."""
        code = self.process.wait()
        if code == 0:
            return ""
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            hint = ", perhaps by the system for want of memory" if name == "SIGKILL" else ""
            return f"its process was ended from outside ({name}{hint})"
        lines = self._log.read_text("utf-8", "replace").strip().splitlines() if self._log.exists() else []
        return f"its process ended ({lines[-1] if lines else f'code {code}'})"

    def kill(self) -> None:
        """End it at once, and wait until it has."""
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        if self._thread is not threading.current_thread():
            self._thread.join()


# --- the worker's side --------------------------------------------------------------------------


def serve(folder: Path) -> tuple[queue.SimpleQueue, Callable]:
    """In a worker: the queue in which its starter's messages arrive, and the function `say` that answers.

    What else is printed goes to the log. When the starter is gone, so is this process, and the folder with it.
    """
    orders: queue.SimpleQueue = queue.SimpleQueue()
    incoming, out = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def end() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)

    def listen() -> None:
        for line in incoming:
            orders.put(json.loads(line))
        end()

    def say(**message) -> None:
        try:
            out.write(json.dumps(message).encode() + b"\n")
            out.flush()
        except OSError:  # nobody is listening any more
            end()

    threading.Thread(target=listen, daemon=True).start()
    return orders, say


# --- images for workers -------------------------------------------------------------------------


def write_images(path: Path, **sets: ImageSet | None) -> None:
    """Write sets of images for workers to share, without factors."""
    parts = ("name", "split", "images", "labels")
    packed = {
        key: None if s is None else {p: getattr(s, p) for p in parts} | {"classes": list(s.classes)}
        for key, s in sets.items()
    }
    torch.save(packed, path)


def read_images(path: Path) -> dict[str, ImageSet | None]:
    """What `write_images` wrote. The pixels stay in the file, of which the system keeps one copy for all processes."""
    packed = torch.load(path, weights_only=True, mmap=True)
    return {k: None if s is None else ImageSet(**s | {"classes": tuple(s["classes"])}) for k, s in packed.items()}
