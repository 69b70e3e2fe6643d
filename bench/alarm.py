"""Does the alarm fire before the kNN accuracy falls, and never on healthy runs? python bench/alarm.py [--seeds 3]

Collapse is provoked on "shapes" from the first step, and in the middle of a healthy run, by a live change.
Runs go side by side, one process a core. The kNN accuracy is said to have fallen at the first check at which it
lies 0.05 below the highest of the checks before it. A check is made every 8 steps.
"""

import argparse
import multiprocessing
import os
import statistics

import common
import torch

import byol_tutorial as bt
from byol_tutorial.diagnose import ALARM, ALARM_STEPS, alarm_step

FAULTS = {
    "no predictor": {"predictor": "identity"},
    "no stop-gradient": {"stop_gradient": False},
}
HEALTHY = {
    "BYOL": {},
    "no EMA (τ = 0)": {"target": "online"},
    "fixed random target": {"target": "random"},
    "negatives, β = 1": {"negatives_weight": 1.0},
}
CHECK, FALL = 8, 0.05
BEFORE, AFTER = 4, 3  # epochs before a change, and after it


def collapse(seed: int, changes: dict, midway: bool) -> dict:
    """Steps, counted from where the fault begins, of the alarm and of the kNN accuracy's fall."""
    trainer = start(seed, {} if midway else changes)
    if midway:
        trainer.run(epochs=BEFORE, progress=False)
        trainer.change(**changes)
    begin, accuracies = trainer.steps_done, [trainer.knn()]
    for k in range(AFTER * trainer.steps_per_epoch):
        trainer.step()
        if (k + 1) % CHECK == 0:
            accuracies.append(trainer.knn())
    fell = next((CHECK * i for i, a in enumerate(accuracies) if a < max(accuracies[: i + 1]) - FALL), None)
    fired = alarm_step(trainer.history.std[begin:])
    early = alarm_step(trainer.history.std[:begin]) is not None
    return {"alarm": fired, "knn_fall": fell, "false_alarm_before": early, "knn": accuracies}


def healthy(seed: int, changes: dict, _midway: bool) -> dict:
    trainer = start(seed, changes)
    trainer.run(progress=False)
    return {"alarm": alarm_step(trainer.history.std), "least_std": min(trainer.history.std)}


def start(seed: int, changes: dict) -> bt.Trainer:
    torch.set_num_threads(1)
    train, test = bt.load("shapes", seed=seed), bt.load("shapes", "test", seed=seed)
    return bt.Trainer(bt.preset("shapes", seed=seed, knn_every=0, **changes), train, test, device="cpu")


def _star(job) -> dict:
    function, *arguments = job
    return function(*arguments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(parser.parse_args().seeds)
    jobs = [(f"{name}, {when}", (collapse, seed, changes, when == "midway"))
            for when in ("midway", "from the start") for name, changes in FAULTS.items() for seed in seeds]  # fmt: skip
    jobs += [(name, (healthy, seed, changes, False)) for name, changes in HEALTHY.items() for seed in seeds]
    runs: dict[str, list[dict]] = {}
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for (name, _), result in zip(jobs, pool.imap(_star, [job for _, job in jobs]), strict=True):
            runs.setdefault(name, []).append(result)
            print(name, {k: v for k, v in result.items() if k != "knn"}, flush=True)

    provoked = [r for name, results in runs.items() if name not in HEALTHY for r in results]
    both = [r["knn_fall"] - r["alarm"] for r in provoked if r["alarm"] is not None and r["knn_fall"] is not None]
    summary = {
        "rule": f"mean of {ALARM_STEPS} steps of √d·std below {ALARM}",
        "collapses": len(provoked),
        "alarms": sum(r["alarm"] is not None for r in provoked),
        "knn_falls": sum(r["knn_fall"] is not None for r in provoked),
        "steps_earlier": {"least": min(both), "median": statistics.median(both), "most": max(both)} if both else None,
        "healthy_runs": sum(len(runs[name]) for name in HEALTHY),
        "false_alarms": sum(r["alarm"] is not None for name in HEALTHY for r in runs[name])
        + sum(r["false_alarm_before"] for r in provoked),
    }
    print(summary)
    common.write("alarm", {"seeds": list(seeds), "summary": summary, "runs": runs})


if __name__ == "__main__":
    main()
