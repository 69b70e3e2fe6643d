"""How long until "shapes" is learned: python bench/learn.py [--seeds 3] [--quick]

Measures the seconds of training until the linear probe, computed after every epoch, reaches 0.90. The time of the
probes is not counted. The schedule is the preset's own, so the last epochs, in which the rate falls to 0, are usually needed.
Also measures the ablation grid of the course: eight runs, two at a time.
"""

import argparse
import os
import tempfile
import time

import common

import byol_tutorial as bt
from byol_tutorial.config.paper_tables import tables
from byol_tutorial.course import run_all

GOAL = 0.90


def seconds_to_learn(config: bt.Config, seed: int, limit: int | None) -> dict:
    """Return the seconds of steps and the epochs until the goal, the last probe, and the seconds of all steps."""
    train, test = bt.load("shapes", seed=seed, limit=limit), bt.load("shapes", "test", seed=seed, limit=limit)
    trainer = bt.Trainer(config.replace(seed=seed, knn_every=0), train, test, device="cpu")
    found = {"seed": seed, "seconds": None, "epochs": None}
    for epoch in range(1, config.epochs + 1):
        trainer.run(epochs=1, progress=False)
        accuracy = bt.accuracies(trainer.model.encoder, train, test).linear
        if accuracy >= GOAL and found["seconds"] is None:
            found |= {"seconds": trainer.history.seconds, "epochs": epoch}
    return found | {"linear": accuracy, "seconds_in_all": trainer.history.seconds, "threads": trainer.history.threads}


def seconds_of_the_grid(quick: bool) -> float:
    """Return the wall time of table 5b's eight rows by the course's runner, with evaluation and an empty cache; quick: of two."""
    limit, changes = (128, {"epochs": 1}) if quick else (None, {})
    train, test = bt.load("shapes", limit=limit), bt.load("shapes", "test", limit=limit)
    configs = {name: row.config(bt.preset("shapes", **changes)) for name, row in tables("5b").items()}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BYOL_CACHE"] = folder
        start = time.perf_counter()
        run_all(dict(list(configs.items())[: 2 if quick else None]), train, test, progress=False)
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, from 0")
    parser.add_argument("--device", default="cpu", choices=["cpu"], help="this benchmark measures the CPU")
    parser.add_argument(
        "--quick", action="store_true", help="one epoch, few images, nothing written: a check that it runs"
    )
    options = parser.parse_args()
    seeds, limit, epochs = (range(1), 128, 1) if options.quick else (range(options.seeds), None, 12)

    runs = []
    for seed in seeds:
        runs.append(seconds_to_learn(bt.preset("shapes", epochs=epochs), seed, limit))
        print(f"{len(bt.load('shapes', limit=limit))} images, " + ", ".join(f"{k} {v}" for k, v in runs[-1].items()))
    grid = seconds_of_the_grid(options.quick)
    print(f"runs of table 5b: {grid:.0f} s")
    if not options.quick:
        common.write("learn", {"goal": GOAL, "runs": runs, "grid_of_8_seconds": grid})


if __name__ == "__main__":
    main()
