"""A process that answers one request after another, where a process for each test would take most of the test's time."""

import atexit
import contextlib
import errno
import itertools
import json
import os
import signal
import subprocess
import threading
from typing import Any


class Ended(AssertionError):
    """The process ended without an answer."""


class Answering:
    """A program that reads a JSON object in each line of its input, and answers each with one line.

    It starts when it is first asked. A request has a "number" beside what is asked, and the answer repeats it. Whatever
    goes wrong meanwhile, as when a test is stopped from outside while it waits, the process is killed with all that it
    started (Windows: without), and the next request starts another: no test gets the answer to another's request.
    """

    def __init__(self, command: list[str], **options: Any):
        """Take the command, and options of `subprocess.Popen`."""
        self.command, self.options = command, options
        self.process: subprocess.Popen[str] | None = None
        self.numbers = itertools.count(1)
        atexit.register(self.stop)

    def ask(self, limit: float, **request: Any) -> dict[str, Any]:
        """Return the answer; a request that takes more than so many seconds is an error, and so is the end of the process."""
        served = self.process is not None
        try:
            return self._answer(limit, request)
        except Ended:
            if not served:
                raise
        return self._answer(limit, request)  # it may have ended since the last answer, which this request cannot help

    def _answer(self, limit: float, request: dict[str, Any]) -> dict[str, Any]:
        number, late = next(self.numbers), threading.Event()
        process = self.process = self.process or self._start()
        timer = threading.Timer(limit, lambda: (late.set(), kill(process)))
        try:
            timer.start()
            try:
                print(json.dumps({"number": number} | request), file=process.stdin, flush=True)
                line = process.stdout.readline()
            except OSError as error:
                if error.errno not in (errno.EPIPE, errno.EINVAL):  # nobody reads the request; Windows says EINVAL
                    raise
                line = ""
            timer.cancel()
            timer.join()  # so that it does not kill during the next request
            assert not late.is_set(), f"it did not end within {limit:g} s: a loop without end, or a wait for nothing?"
            if not line.endswith("\n"):
                self.stop()
                raise Ended(f"the process ended with {process.returncode} and without an answer")
            answer = json.loads(line)
            assert answer.pop("number", None) == number, f"no answer to request {number}: {line[:200]}"
            return answer
        except BaseException:
            timer.cancel()
            self.stop()
            raise

    def _start(self) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
        return subprocess.Popen(self.command, start_new_session=True, **pipes, **self.options)

    def stop(self) -> None:
        """Kill the process, if there is one."""
        process, self.process = self.process, None
        if process is None:
            return
        kill(process)
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                stream.close()
        process.wait()


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a process that nothing waited for yet, and all of its session that are still in its group."""
    if os.name == "nt":
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: of a group that has ended
        os.killpg(process.pid, signal.SIGKILL)
