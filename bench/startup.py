"""Measure the time until the first result: python bench/startup.py [--quick]

Imports are timed in new processes, torch alone and byol_tutorial in turns, and compared by their medians. A first
process has already stored what Python and numba compile. The first step of a run and the first picture of a notebook
(views of ten images, drawn and encoded) are timed in the same way, including the imports.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

import common

from byol_tutorial.data import shapes

KEEPING = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def fresh(code: str) -> float:
    """Run the code in a new interpreter, and return the last number that it prints."""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True, env=KEEPING)
    return float(done.stdout.split()[-1])


def seconds_to_import(module: str) -> float:
    return fresh(f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)")


FIRST = {
    "first step": "trainer = bt.Trainer(bt.preset('shapes'), train, device='cpu'); trainer.step()",
    "first picture": (
        "from byol_tutorial import figures; "
        "v = bt.augment.Views(bt.preset('shapes'), (0.,) * 3, (1.,) * 3)(train.images[:10]); "
        "figures.view_pairs(train.images[:10], *v).png()"
    ),
}


def seconds_to_first(what: str) -> float:
    """Return the seconds from the first line of a new interpreter."""
    code = f"import time; t = time.perf_counter(); import byol_tutorial as bt; train = bt.load('shapes'); {FIRST[what]}"
    return fresh(code + "; print(time.perf_counter() - t)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="once each, nothing written: a check that it runs")
    options = parser.parse_args()

    start = time.perf_counter()
    shapes.draw(shapes.sample_factors(4096))
    drawn = time.perf_counter() - start

    for what in () if options.quick else FIRST:
        seconds_to_first(what)
    times: dict[str, list[float]] = {"torch": [], "byol_tutorial": []}
    for _ in range(1 if options.quick else 5):
        for module, measured in times.items():
            measured.append(seconds_to_import(module))
    medians = {module: statistics.median(measured) for module, measured in times.items()}
    ratio = medians["byol_tutorial"] / medians["torch"]
    print(f"import: torch {medians['torch']:.2f} s, byol_tutorial {medians['byol_tutorial']:.2f} s, ratio {ratio:.3f}")
    print(f"4,096 shapes drawn in {drawn:.2f} s, the first in this process")
    first = {what: [seconds_to_first(what) for _ in range(1 if options.quick else 5)] for what in FIRST}
    for what, seconds in first.items():
        print(f"{what}, from the import: {statistics.median(seconds):.2f} s")
    if not options.quick:
        common.write(
            "startup",
            {"first_seconds": first, "import_seconds": times, "import_ratio": ratio, "draw_4096_seconds": drawn},
        )


if __name__ == "__main__":
    main()
