"""Measure the phenomena of the paper on "shapes", over seeds: python bench/shapes.py [--seeds 3] [--healthy 10] [--quick]

A seed determines the pictures, the weights, the batches and the views. The BYOL runs come first, with more seeds, one at a
time with one thread, and are timed; of each the verdict is taken every MOMENT steps, too, to see whether any moment of a
healthy run looks ill. The ablations follow, with one process per core, and are not timed.
"""

import argparse
import multiprocessing
import os
import statistics

import common

import byol_tutorial as bt
from byol_tutorial.evaluate.diagnose import alarm_step
from byol_tutorial.evaluate.features import pixels

MOMENT = 64  # steps; half an epoch
NO_COLOUR = {"jitter_p": 0.0, "grayscale_p": 0.0}
ABLATIONS = {
    "fixed random target": {"target": "random"},
    "no EMA (τ = 0)": {"target": "online"},
    "no colour augmentation": NO_COLOUR,
    "no predictor": {"predictor": "identity"},
    "no stop-gradient": {"stop_gradient": False},
}


def measure(seed: int, changes: dict, epochs: int | None) -> dict:
    """Train one run, and return the accuracies of its representation."""
    train, test = bt.load("shapes", seed=seed), bt.load("shapes", "test", seed=seed)
    config = bt.preset("shapes", seed=seed, knn_every=0, **changes | ({} if epochs is None else {"epochs": epochs}))
    trainer, ill = bt.Trainer(config, train, test, device="cpu"), []

    def look(trainer: bt.Trainer) -> None:
        if trainer.steps_done % MOMENT == 0 and (found := trainer.report()).verdict != "healthy":
            ill.append([trainer.steps_done, found.verdict])

    trainer.run(progress=False, on_step=None if changes else look)
    report, seconds = trainer.report(), trainer.history.seconds
    after = judge(trainer.model.encoder, train, test) | {"std": report.std, "rank": report.rank}
    after |= {"verdict": report.verdict, "seconds": seconds}
    return after if changes else after | {"ill_moments": ill, "alarm": alarm_step(trainer.history.std)}


def measure_baselines(seed: int) -> tuple[dict, dict]:
    """Return the accuracies of raw pixels, and of the encoder before its first step."""
    train, test = bt.load("shapes", seed=seed), bt.load("shapes", "test", seed=seed)
    knn = bt.knn_accuracy(pixels(train.images), train.labels, pixels(test.images), test.labels)
    encoder = bt.Trainer(bt.preset("shapes", seed=seed), train, device="cpu").initial_encoder()
    return {"knn": knn}, judge(encoder, train, test)


def judge(encoder, train, test) -> dict:
    found = bt.accuracies(encoder, train, test)
    return {
        "linear": found.linear,
        "knn": found.knn,
        "hue": bt.factor_probe(found.train_features, train, found.test_features, test, "hue").accuracy,
    }


def table(runs: dict[str, list[dict]]) -> str:
    """Return a table of means over seeds, as in the README."""
    lines = ["| run | linear | kNN | hue | √d·std | rank |", "|---|---|---|---|---|---|"]
    for name, results in runs.items():
        cells = [
            f"{statistics.mean(r[key] for r in results):.{digits}f}" if key in results[0] else "–"
            for key, digits in (("linear", 2), ("knn", 2), ("hue", 2), ("std", 3), ("rank", 1))
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for r in runs["BYOL"]:
        measures = ", ".join(f"{key} {r[key]:.3f}" for key in ("linear", "knn", "std", "rank"))
        lines.append(
            f"BYOL, one seed: {measures}; {r['seconds']:.0f} s; not healthy at {r['ill_moments'] or 'no moment'}"
        )
    return "\n".join(lines)


def _star(job) -> dict:
    return measure(*job)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="of the ablations")
    parser.add_argument("--healthy", type=int, default=10, help="seeds of BYOL itself")
    parser.add_argument(
        "--quick", action="store_true", help="one epoch, one seed, nothing written: a check that it runs"
    )
    options = parser.parse_args()
    seeds, epochs = (range(1), 1) if options.quick else (range(options.seeds), None)
    healthy = range(1) if options.quick else range(options.healthy)

    runs: dict[str, list[dict]] = {"raw pixels": [], "random encoder": [], "BYOL": []}
    for seed in healthy:
        runs["BYOL"].append(measure(seed, {}, epochs))
    for seed in seeds:
        for name, result in zip(("raw pixels", "random encoder"), measure_baselines(seed), strict=True):
            runs[name].append(result)
    jobs = [(name, (seed, changes, epochs)) for name, changes in ABLATIONS.items() for seed in seeds]
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for (name, _), result in zip(jobs, pool.imap(_star, [job for _, job in jobs]), strict=True):
            runs.setdefault(name, []).append(result)

    print(table(runs))
    if not options.quick:
        common.write("shapes", {"seeds": list(seeds), "seeds_of_byol": list(healthy), "runs": runs})


if __name__ == "__main__":
    main()
