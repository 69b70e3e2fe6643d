"""The entry point of byol-tutorial: the group of its commands, and what becomes of their errors."""

import os
import signal
import sys
import warnings
from typing import NoReturn

import rich_click as click

from .. import _starting
from .._version import __version__
from ..config.errors import UserError
from ..config.user_text import printable
from ..runtime import distributed
from ..runtime.files import explained
from ..runtime.signals import EndedBySignal, ending_signals, exit_on
from .course import claims, course, lessons
from .embed import embed
from .evaluate import evaluate
from .export import export
from .train import train

INTERRUPTED = 128 + signal.SIGINT  # the exit status that shells give after Ctrl-C

click.rich_click.TEXT_MARKUP = None
click.rich_click.MAX_WIDTH = 110


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="byol-tutorial")
def app() -> None:
    """Train and judge BYOL (Grill et al. 2020), or a related method, on drawn shapes, known data sets or your own images."""


for command in (train, evaluate, embed, export, lessons, claims, course):
    app.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command that the arguments name, by default those of the process.

    An error that the user can correct ends the process with one line on standard error, without a traceback. The exit
    status is then 1, or 2 for an option or argument that cannot be understood, or 128 + its number after a
    signal: 130 after Ctrl-C, 143 after SIGTERM.
    """
    _starting.end()
    for output in (sys.stdout, sys.stderr):
        if hasattr(output, "reconfigure"):  # a Windows code page lacks √ and τ: a ? is printed instead
            output.reconfigure(errors="replace")
    shown, warnings.formatwarning = warnings.formatwarning, _in_one_line
    try:
        with exit_on(*ending_signals()):
            app.main(arguments, prog_name="byol-tutorial", standalone_mode=False)
    except EndedBySignal as end:
        _fail(f"ended by {end.signal}; a run folder that is named above keeps what was learned", int(str(end.code)))
    except UserError as error:
        _fail(str(error), 1)
    except OSError as error:  # the disk is full, the path is too long, or permission is missing
        _fail(explained(error), 1)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "byol-tutorial"
        _fail(f"{error.format_message().rstrip('.')}; see {command} --help", error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted; a run folder that is named above keeps what was learned", INTERRUPTED)
    finally:
        warnings.formatwarning = shown
        distributed.leave()


def _in_one_line(message: Warning | str, *_: object, **__: object) -> str:
    """Format a warning without the place in the code that gave it."""
    return f"warning: {printable(' '.join(str(message).split()))}\n"


def _fail(message: str, status: int) -> NoReturn:
    """Exit with this status after one line on standard error, which names the process if there are several."""
    who = f"process {os.environ['RANK']}: " if int(os.environ.get("WORLD_SIZE", 1)) > 1 else ""
    print("error: " + who + printable(" ".join(message.split())), file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
