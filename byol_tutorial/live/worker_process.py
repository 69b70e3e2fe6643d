"""Worker processes: new interpreters that exchange lines of JSON with this process and end when it ends.

    worker = Worker("byol_tutorial.live.round_robin", folder, on_message)  # calls its main(folder) in a new interpreter
    worker.send(do="go")                    # writes one line to its input
    on_message(worker, {"step": 3})         # is called for each line that it sends, and with None at its end

They are started neither by fork nor by multiprocessing's spawn, so nothing of the caller's script or notebook is
imported or executed again, and a script needs no `if __name__ == "__main__"`. A worker ends when its work is done, by
kill(), or when its input ends; the input ends whenever the process that started the worker is gone. Ctrl-C, a
notebook's stop button and the end of a kernel send a signal to a whole group of processes. A worker is in a group of
its own and ignores interrupts, because the process that started it decides what an interrupt does.
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
# Interrupts are ignored before anything slow is imported. HERE is on the path, so the current folder does not matter.
BOOT = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); sys.path.append(sys.argv[1]); "
    "import importlib, os; importlib.import_module(sys.argv[2]).main(sys.argv[3]); os._exit(0)"
)


# --- in the process that starts workers --------------------------------------------------------------------


class Worker:
    """A process that runs `module.main(folder)` with this many threads.

    on_message: called on a separate thread with (worker, message): a dict for each line that the worker sends, and
        None when the worker has ended; `exit_reason` then tells why.
    """

    _numbers = count()

    def __init__(
        self, module: str, folder: Path, on_message: Callable[["Worker", dict | None], None], threads: int = 1
    ):
        self._log = folder / f"worker-{next(self._numbers)}.log"
        counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", BOOT, str(HERE), module, str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | counts,
                process_group=0 if os.name == "posix" else None,
            )
        assert self.process.stdin is not None  # both are pipes
        assert self.process.stdout is not None
        self._input, self._output = self.process.stdin, self.process.stdout
        self._thread = threading.Thread(target=self._listen, args=(on_message,), name="byol worker", daemon=True)
        self._thread.start()

    def _listen(self, on_message: Callable[["Worker", dict | None], None]) -> None:
        with self._output:
            for line in self._output:
                with contextlib.suppress(ValueError):  # the last line of a process that was killed in the middle of it
                    on_message(self, json.loads(line))
        self.process.wait()
        on_message(self, None)

    def send(self, **message: object) -> None:
        """Write a message to the worker's input. It is lost if the worker has ended, but then `on_message` is called."""
        with contextlib.suppress(OSError, ValueError):
            self._input.write(json.dumps(message).encode() + b"\n")
            self._input.flush()

    @property
    def exit_reason(self) -> str:
        """The reason why the worker ended, in words; "" after a normal end."""
        code = self.process.wait()
        if code == 0:
            return ""
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            hint = ", perhaps by the system because memory ran out" if name == "SIGKILL" else ""
            return f"its process was ended from outside ({name}{hint})"
        lines = self._log.read_text("utf-8", "replace").strip().splitlines() if self._log.exists() else []
        return f"its process ended ({lines[-1] if lines else f'code {code}'})"

    def kill(self) -> None:
        """End the worker at once, and wait until it has ended."""
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):
            self._input.close()
        if self._thread is not threading.current_thread():
            self._thread.join()


# --- in a worker ---------------------------------------------------------------------------


def serve(folder: Path) -> tuple[queue.SimpleQueue, Callable[..., None]]:
    """Return a worker's queue of received messages and the function that sends messages back.

    It is called in the worker, once. From then on everything that is printed goes to the log. When the process that
    started the worker has ended, the worker ends and removes the folder.
    """
    commands: queue.SimpleQueue = queue.SimpleQueue()
    incoming, out = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def end() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)

    def listen() -> None:
        for line in incoming:
            commands.put(json.loads(line))
        end()

    def send(**message: object) -> None:
        try:
            out.write(json.dumps(message).encode() + b"\n")
            out.flush()
        except OSError:  # the process that read the messages has ended
            end()

    threading.Thread(target=listen, daemon=True).start()
    return commands, send


# --- images for workers -------------------------------------------------------------------------


def write_images(path: Path, **sets: ImageSet | None) -> None:
    """Write sets of images, without their factors, into a file that all workers read."""
    parts = ("name", "split", "images", "labels")
    packed = {
        key: None if s is None else {p: getattr(s, p) for p in parts} | {"classes": list(s.classes)}
        for key, s in sets.items()
    }
    torch.save(packed, path)


def read_images(path: Path) -> dict[str, ImageSet | None]:
    """Read the file of `write_images`. The pixels stay in the file; the system keeps one copy for all processes."""
    packed = torch.load(path, weights_only=True, mmap=True)
    return {k: None if s is None else ImageSet(**s | {"classes": tuple(s["classes"])}) for k, s in packed.items()}
