"""How long does each lesson compute? python bench/lessons.py [LESSON ...]

Runs the lessons, or those named, one after the other at laptop scale, as a reader does: the first with an empty folder of
kept results, each later one with what the earlier ones kept. Writes the seconds of each, which book/minutes.py adds to the
minutes of reading and of exercises. With names, the others keep their seconds, and the folder is empty at first.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import write

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def seconds_of(lesson: str, kept: str) -> float:
    """Execute a lesson in a new kernel and return the seconds that it took."""
    env = os.environ | {"BYOL_SCALE": "laptop", "BYOL_CACHE": kept, "TQDM_DISABLE": "1"}
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--stdout", "--log-level", "ERROR"]
    start = time.perf_counter()
    subprocess.run([*command, NOTEBOOKS / f"{lesson}.ipynb"], env=env, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main() -> None:
    known = sorted(p.stem for p in NOTEBOOKS.glob("*.ipynb"))
    lessons = sys.argv[1:] or known
    if unknown := set(lessons) - set(known):
        sys.exit(f"{', '.join(sorted(unknown))}: choose some of {', '.join(known)}")
    with tempfile.TemporaryDirectory() as kept:
        for lesson in lessons:
            found = seconds_of(lesson, kept)
            print(f"{lesson:<26}{found:6.0f} s", flush=True)
            write("lessons", {"seconds": {lesson: round(found)}}, add=True)


if __name__ == "__main__":
    main()
