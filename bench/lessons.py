"""How long does each lesson compute? python bench/lessons.py [LESSON ...] [--at-once N]

Runs the lessons, or those named, at laptop scale, as a reader does: the first with an empty folder of kept results, each
later one with what the earlier ones kept. Writes the seconds of each to lessons.json as soon as it is done; book/minutes.py
adds them to the minutes of reading and of exercises. With names, the others keep their seconds, and the folder is empty at
first. A lesson that fails is named at the end, when the others are done.
With --at-once 2, the longest begin, and two run at any time. Their seconds are not a reader's, so they are written to
lessons_at_once.json, with those of all together.
--longest-first runs nothing: it prints the notebooks, those that took longest first, as `make verify` runs them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
MEASURED = ROOT / "bench/results/intel-xeon-2-cores/lessons.json"


def longest_first(lessons: list[str]) -> list[str]:
    """Return these lessons by the seconds that they took, the longest first; before them those not measured yet."""
    seconds = json.loads(MEASURED.read_text("utf-8"))["seconds"]
    return sorted(lessons, key=lambda lesson: -seconds.get(lesson, float("inf")))


def seconds_of(lesson: str, kept: str) -> float:
    """Execute a lesson in a new kernel and return the seconds that it took."""
    env = os.environ | {"BYOL_SCALE": "laptop", "BYOL_CACHE": kept, "TQDM_DISABLE": "1"}
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--stdout", "--log-level", "ERROR"]
    start = time.perf_counter()
    subprocess.run([*command, NOTEBOOKS / f"{lesson}.ipynb"], env=env, stdout=subprocess.DEVNULL, check=True)
    seconds = time.perf_counter() - start
    print(f"{lesson:<26}{seconds:6.0f} s", flush=True)
    return seconds


def measure(lessons: list[str], at_once: int) -> list[str]:
    """Run these lessons, write the seconds of each when it is done, and return those that failed."""
    from common import write

    start, writing = time.perf_counter(), threading.Lock()
    found: dict[str, int] = {}
    failed = []

    def one(lesson: str) -> None:
        try:
            seconds = round(seconds_of(lesson, kept))
        except subprocess.CalledProcessError:  # its output tells why
            failed.append(lesson)
            return
        with writing:
            found[lesson] = seconds
            if at_once == 1:
                write("lessons", {"seconds": {lesson: seconds}}, add=True)
            else:
                together = round(time.perf_counter() - start)
                write("lessons_at_once", {"at_once": at_once, "seconds": found, "together": together})

    with tempfile.TemporaryDirectory() as kept, ThreadPoolExecutor(at_once) as runs:
        list(runs.map(one, lessons))
    print(f"{'together':<26}{time.perf_counter() - start:6.0f} s")
    return failed


def main() -> None:
    known = sorted(p.stem for p in NOTEBOOKS.glob("*.ipynb"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lessons", nargs="*", metavar="LESSON", help=", ".join(known))
    help_text = "how many lessons run at any time, at least 1; above 1 their seconds are no reader's (default: 1)"
    parser.add_argument("--at-once", type=int, default=1, metavar="N", help=help_text)
    help_text = "print the notebooks, those that took longest first, and run nothing"
    parser.add_argument("--longest-first", action="store_true", help=help_text)
    options = parser.parse_args()
    if options.at_once < 1:
        parser.error(f"--at-once {options.at_once}: give a number of at least 1")
    lessons = options.lessons or known
    if unknown := set(lessons) - set(known):
        parser.error(f"{', '.join(sorted(unknown))}: choose some of {', '.join(known)}")
    if options.at_once > 1 or options.longest_first:
        lessons = longest_first(lessons)
    if options.longest_first:
        print(*(os.path.relpath(NOTEBOOKS / f"{lesson}.ipynb") for lesson in lessons), sep="\n")
        return
    if failed := measure(lessons, options.at_once):
        sys.exit(f"not measured, because they failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
