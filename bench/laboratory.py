"""How long do tables 5a and 5b take, side by side in processes? python bench/laboratory.py [5b ...] [--quick]

Measured with the default recipe for "shapes", on all cores, including the evaluation:
  start      seconds from start() until every process has made a step, which is mostly PyTorch's import
  first      seconds from start() until the first step is seen
  wall, cpu  seconds until all runs have ended, and the CPU seconds of the processes
  alone      seconds for the same steps one after another, with one thread, estimated from 150 steps without evaluation
  gain       steps a second side by side, while all were running, divided by those alone, which are measured before and
             after; two free cores can give 2
  load       the load of the machine at the end; where it is above the number of cores, only cpu is meaningful
The results also contain the findings: the paper's numbers and ours.
"""

import argparse
import os
import resource
import statistics
import time

import common
import torch

import byol_tutorial as bt
from byol_tutorial.config.config import Config
from byol_tutorial.config.paper_tables import Row, tables
from byol_tutorial.live.laboratory import Laboratory

STEPS = 150
TINY = {"epochs": 2, "warmup_epochs": 1.0, "width": 4, "hidden_dim": 16, "projection_dim": 8}


def alone(rows: dict[str, Row], base: Config, train, steps: int) -> float:
    """Return the steps a second of a Trainer with one thread, over the rows in turn."""
    torch.set_num_threads(1)
    trainers = [bt.Trainer(row.config(base.replace(knn_every=0)), train) for row in rows.values()]
    for trainer in trainers:
        trainer.step()
    start = time.perf_counter()
    for trainer in trainers:
        for _ in range(steps // len(trainers) + 1):
            trainer.step()
    made = len(trainers) * (steps // len(trainers) + 1)
    return made / (time.perf_counter() - start)


def side_by_side(rows: dict[str, Row], base: Config, train, test) -> dict:
    """Run the laboratory from start to end, and measure it."""
    lab, seen = Laboratory(rows, base, train, test), []
    total = sum(cell.snapshot.total_steps for cell in lab.cells.values())

    def look(lab: Laboratory) -> None:
        steps = [cell.snapshot.step for cell in lab.cells.values()]
        seen.append((time.perf_counter() - start, sum(steps), sum(s > 0 for s in steps)))

    lab.subscribe(look)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    found = lab.run()
    wall = time.perf_counter() - start
    lab.close()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    all_going = [(at, steps) for at, steps, begun in seen if begun == len(rows) and steps < 0.95 * total]
    (a, m), (b, n) = all_going[0], all_going[-1]
    return {
        "processes": lab.workers,
        "wall": wall,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "first": next(at for at, steps, _ in seen if steps),
        "start": next(at for at, _, begun in seen if begun >= lab.workers),
        "steps": total,
        "steps_a_second": (n - m) / (b - a),
        "findings": found.to_dict()["findings"],
        "text": str(found),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", default=["5a", "5b"], help="tables, or names of rows")
    parser.add_argument("--quick", action="store_true", help="a few images and steps, only to check that it runs")
    options = parser.parse_args()
    limits = (256, 128) if options.quick else (None, None)
    base = bt.preset("shapes", **(TINY if options.quick else {}))
    train, test = bt.load("shapes", limit=limits[0]), bt.load("shapes", "test", limit=limits[1])
    rows = tables(*options.tables)
    steps = 26 if options.quick else STEPS
    rates = [alone(rows, base, train, steps)]
    results = side_by_side(rows, base, train, test)
    rates.append(alone(rows, base, train, steps))
    print(results.pop("text"))
    results["alone_steps_a_second"] = rates
    results["alone"] = results["steps"] / statistics.mean(rates)
    results["gain"] = results["steps_a_second"] / statistics.mean(rates)
    results["load"] = os.getloadavg()
    print({k: v for k, v in results.items() if k != "findings"})
    if not options.quick:
        common.write("laboratory", {"tables": options.tables} | results)


if __name__ == "__main__":
    main()
