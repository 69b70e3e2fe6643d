"""How long does each lesson compute? python bench/lessons.py [LESSON ...] [--at-once N]

Runs the lessons, or those named, at laptop scale, as a reader does: the first with an empty folder of kept results, each
later one with what the earlier ones kept. Writes the seconds of each, which book/minutes.py adds to the minutes of reading
and of exercises. With names, the others keep their seconds, and the folder is empty at first.
With --at-once 2, the longest begin, and two run at any time; it also prints the seconds of all together.
--longest-first runs nothing: it prints the notebooks, those that took longest first, as `make verify` runs them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
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


def main() -> None:
    known = sorted(p.stem for p in NOTEBOOKS.glob("*.ipynb"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lessons", nargs="*", metavar="LESSON", help=", ".join(known))
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--longest-first", action="store_true")
    options = parser.parse_args()
    lessons = options.lessons or known
    if unknown := set(lessons) - set(known):
        parser.error(f"{', '.join(sorted(unknown))}: choose some of {', '.join(known)}")
    if options.at_once > 1 or options.longest_first:
        lessons = longest_first(lessons)
    if options.longest_first:
        print(*(os.path.relpath(NOTEBOOKS / f"{lesson}.ipynb") for lesson in lessons), sep="\n")
        return
    from common import write

    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as kept, ThreadPoolExecutor(options.at_once) as runs:
        seconds = list(runs.map(lambda lesson: seconds_of(lesson, kept), lessons))
    print(f"{'together':<26}{time.perf_counter() - start:6.0f} s")
    write("lessons", {"seconds": {lesson: round(s) for lesson, s in zip(lessons, seconds, strict=True)}}, add=True)


if __name__ == "__main__":
    main()
