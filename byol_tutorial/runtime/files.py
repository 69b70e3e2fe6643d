"""Files that are written whole or not at all, and the names of this project's formats."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

FORMAT, VERSION = "byol_tutorial checkpoint", 2
ENCODER_FORMAT = "byol_tutorial encoder"
PART = ".part"  # the end of a file's name while it is written


def write_atomically(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Call write(file) with a temporary binary file beside `path`, fsync it, then rename it to `path`.

    At every moment `path` has either its old content or all of the new content.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{PART}")
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
