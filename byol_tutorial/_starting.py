"""Ctrl-C while the command is still importing its modules: one line instead of a traceback.

The package imports this first. In any other program that imports the library it does nothing.
"""

import os
import signal
import sys
from types import FrameType


def begin() -> None:
    """Let Ctrl-C end the process with one line and status 130, if it is the command byol-tutorial that is starting."""
    module = sys.argv[:1] == ["-m"] and "byol_tutorial" in sys.orig_argv  # Python looks for the module to run
    command = os.path.basename(sys.argv[0] if sys.argv else "").startswith("byol-tutorial")
    if (module or command) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def end() -> None:
    """Handle Ctrl-C as Python does again."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(_number: int, _frame: FrameType | None) -> None:
    """End the process at once: an exception in the middle of an import would become a traceback, or be lost."""
    os.write(2, b"error: interrupted\n")
    os._exit(128 + signal.SIGINT)
