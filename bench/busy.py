"""How fast are steps and lessons beside other programs? python bench/busy.py [--no-steps] [--lessons 00_start_here ...] [--quick]

Programs that only count keep 0, 2 and 8 processes busy, on all cores of this machine, which should do nothing else.
  steps      steps a second with all threads, as torch has them by default, with one, and as the library chooses; these
             are measured in turns. "lessons" is the lessons' recipe, "wide" one with 60 times as many multiplications,
             whose number of threads is measured. The first steps, which measure it, are not counted.
  lessons    seconds of each code cell of a lesson at laptop scale from an empty cache, beside 0 and 2 busy processes;
             "ratios" are of the cells that take at least two seconds on the idle machine, and of the whole lesson
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import common
import nbformat
import torch
from nbclient import NotebookClient

import byol_tutorial as bt

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
CASES = {"lessons": {}, "wide": {"width": 64, "batch_size": 128}}
MODES = {"all threads": torch.get_num_threads(), "one thread": 1, "default": None}
COUNT = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"  # it ends when this process is killed
LONG = 2.0  # seconds of a cell on an idle machine from which on its ratio counts


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep so many processes counting in this context."""
    running = [subprocess.Popen([sys.executable, "-c", COUNT]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def steps_a_second(trainer: bt.Trainer, seconds: float) -> float:
    """Return the speed over at least so many seconds, and at least one step."""
    start, steps = time.perf_counter(), 0
    while not steps or time.perf_counter() - start < seconds:
        trainer.step()
        steps += 1
    return steps / (time.perf_counter() - start)


def speeds(changes: dict, processes: int, seconds: float, rounds: int, first: int) -> dict:
    """Return steps a second by mode: their median, all of them, and how many threads the last step had."""
    images, config = bt.load("shapes"), bt.preset("shapes", epochs=10_000, knn_every=0, **changes)
    trainers = {mode: bt.Trainer(config, images, device="cpu") for mode in MODES}
    found: dict[str, list[float]] = {mode: [] for mode in MODES}
    with busy(processes):
        for turn in range(rounds):
            for mode, count in MODES.items():
                bt.set_threads(count)
                for _ in range(0 if turn else first):
                    trainers[mode].step()
                found[mode].append(steps_a_second(trainers[mode], seconds))
    bt.set_threads(None)
    return {
        mode: {"median": round(statistics.median(rates), 2), "all": [round(rate, 2) for rate in rates],
               "threads": trainers[mode].history.threads[-1][1]}
        for mode, rates in found.items()
    }  # fmt: skip


def seconds_of_cells(lesson: str, processes: int, cells: int | None) -> list[float]:
    """Run the first code cells of a lesson, or all, with an empty cache, and return the seconds of each."""
    notebook = nbformat.read(NOTEBOOKS / f"{lesson}.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    notebook.cells = code[:cells]
    with tempfile.TemporaryDirectory() as cache, busy(processes):
        environment = os.environ | {"BYOL_CACHE": cache, "BYOL_SCALE": "smoke" if cells else "laptop"}
        client = NotebookClient(notebook, timeout=None, resources={"metadata": {"path": NOTEBOOKS}})
        client.execute(env=environment)
    seconds = []
    for cell in notebook.cells:
        at = cell.metadata.execution
        begun, ended = (
            datetime.fromisoformat(at[part].replace("Z", "+00:00"))
            for part in ("iopub.execute_input", "shell.execute_reply")
        )
        seconds.append((ended - begun).total_seconds())
    return seconds


def compared(lesson: str, cells: int | None) -> dict:
    """Return the seconds of a lesson's cells on the idle machine and beside two busy processes, and the ratios."""
    idle, beside = seconds_of_cells(lesson, 0, cells), seconds_of_cells(lesson, 2, cells)
    ratios = [b / a for a, b in zip(idle, beside, strict=True) if a >= LONG]
    return {
        "idle": [round(s, 2) for s in idle],
        "beside_2": [round(s, 2) for s in beside],
        "ratios": {"largest": round(max(ratios, default=0.0), 2), "whole": round(sum(beside) / sum(idle), 2)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lessons", nargs="*", default=["00_start_here", "03_build_byol", "05_ema_and_collapse"])
    parser.add_argument(
        "--steps", action=argparse.BooleanOptionalAction, default=True, help="whether to measure steps a second too"
    )
    parser.add_argument("--quick", action="store_true", help="only check that everything runs; write nothing")
    options = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") and not options.quick:
        parser.error("unset OMP_NUM_THREADS: a number that is set is always kept, and so there would be no default")
    seconds, rounds, first = (0.0, 1, 1) if options.quick else (5.0, 5, 60)
    result: dict = {"all_threads": MODES["all threads"], "steps_per_second": {}}
    for name, changes in CASES.items() if options.steps else ():
        for processes in (1,) if options.quick else (0, 2, 8):
            found = speeds(changes | ({"batch_size": 8} if options.quick else {}), processes, seconds, rounds, first)
            result["steps_per_second"].setdefault(name, {})[f"beside_{processes}"] = found
            print(name, "beside", processes, {mode: rate["median"] for mode, rate in found.items()}, flush=True)
            if not options.quick:
                common.write("busy", result)
    lessons = {}
    for lesson in options.lessons[: 1 if options.quick else None]:
        found = lessons[lesson] = compared(lesson, 1 if options.quick else None)
        print(lesson, f"{sum(found['idle']):.0f} s idle,", found["ratios"], flush=True)
        if not options.quick:
            common.write("busy_lessons", lessons)


if __name__ == "__main__":
    main()
