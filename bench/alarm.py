"""Is the alarm raised before the kNN accuracy falls, and never on healthy runs? python bench/alarm.py --seeds 5 6 7

On drawn shapes, a run is damaged from the first step, or by a live change at the end of its second or fourth epoch.
From the same step a healthy twin goes on with the same weights, batches and views. The steps of alarm and fall are
counted from the damage.

A single check of the accuracy is noisy (2,048 test images, 2,048 train images, every 4 steps at first, then every 16;
the noise comes from the training itself). So each of the following must hold in all checks within STAYS steps, and its
step is that of the first of them:

    fall     the accuracy is more than MARGIN below the mean of the checks before the damage, and below the twin's
    behind   the accuracy is more than MARGIN below the twin's; this also counts what the run did not learn

An alarm is false in a whole healthy run, in a healthy run up to the damage and beyond it, and after a live change that
is not a fault. MARGIN and STAYS are chosen so that no healthy run falls; the results show this, and the noise of a check.
"""

import argparse
import multiprocessing
import os
import statistics
import tempfile
from pathlib import Path

import common
import torch

import byol_tutorial as bt
from byol_tutorial.evaluate.diagnose import THRESHOLDS, alarm_step

COLLAPSES = {
    "no predictor": {"predictor": "identity"},
    "no stop-gradient": {"stop_gradient": False},
    "no predictor, no EMA": {"predictor": "identity", "target": "online"},
    "no stop-gradient, 4 lr": {"stop_gradient": False, "lr": 3.2},
}
DAMAGES = {"fixed predictor, 4 lr": {"predictor": "fixed", "lr": 3.2}}  # the accuracy falls, the spread hardly does
HARMLESS = {
    "lr doubled": {"lr": 1.6},
    "lr quartered": {"lr": 0.2},
    "τ 0.99": {"tau_base": 0.99},
    "τ 0.5": {"tau_base": 0.5, "tau_schedule": "constant"},
    "no EMA": {"target": "online"},
    "target kept as it is": {"target": "random"},
    "negatives": {"negatives_weight": 1.0},
    "one direction of the loss": {"symmetric": False},
    "predictor 10 lr": {"predictor_lr_multiplier": 10.0},
    "smaller crops": {"crop_area": (0.2, 1.0)},
    "no colour jitter": {"jitter_p": 0.0, "grayscale_p": 0.0},
    "all grey": {"grayscale_p": 1.0},
}
PREDICTORS = {"linear predictor": {"predictor": "linear"}, "optimal predictor": {"predictor": "optimal"}}
HEALTHY = {
    "BYOL": {},
    "no EMA (τ = 0)": {"target": "online"},
    "fixed random target": {"target": "random"},
    "negatives, β = 1": {"negatives_weight": 1.0},
}
ONSETS = (0, 2, 4)  # epochs
AFTER, LONGER = 96, 192  # steps for which runs with harmless changes, and damaged runs, are watched
CHECKS = (*range(0, 48, 4), *range(48, LONGER + 1, 16))  # steps after the damage
LATE = tuple(k for k in CHECKS if 48 < k <= AFTER)  # the checks after a harmless change
MARGIN, STAYS = 0.05, 32


class Shapes:
    """The pictures and the runs of one seed."""

    def __init__(self, seed: int):
        torch.set_num_threads(1)
        self.seed = seed
        self.train, self.test = bt.load("shapes", seed=seed), bt.load("shapes", "test", seed=seed)
        self.bank = self.train.sample(2048)

    def start(self, **changes) -> bt.Trainer:
        config = bt.preset("shapes", seed=self.seed, knn_every=0, **changes)
        return bt.Trainer(config, self.train, self.test, device="cpu")

    def elsewhere(self) -> dict[str, bt.Trainer]:
        """Return healthy runs on other pictures: an eighth of the shapes, from which BYOL learns little, and digits."""
        few = bt.preset("shapes", seed=self.seed, knn_every=0, epochs=30)
        digits = bt.preset("digits", seed=self.seed, knn_every=0, epochs=20)
        return {
            "BYOL, 512 images": bt.Trainer(few, self.train.sample(512), device="cpu"),
            "BYOL, digits": bt.Trainer(digits, bt.load("digits"), device="cpu"),
        }

    def accuracy(self, trainer: bt.Trainer) -> float:
        return bt.accuracies(trainer.model.encoder, self.bank, self.test).knn

    def go_on(self, trainer: bt.Trainer, steps: int, checks=()) -> list[float]:
        """Make this many steps; return the accuracies at the steps in `checks`, counted from here."""
        found = [self.accuracy(trainer)] if 0 in checks else []
        for k in range(1, steps + 1):
            trainer.step()
            if k in checks:
                found.append(self.accuracy(trainer))
        return found

    def damaged(self) -> dict:
        """Run every fault from every onset, their healthy twins, and the harmless changes from the last onset."""
        runs = {}
        trainer = self.start()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "run.pt"
            for onset in ONSETS:
                steps = onset * trainer.steps_per_epoch - trainer.steps_done
                checks = self.go_on(trainer, steps, range(steps - STAYS, steps, 8)) or [self.accuracy(trainer)]
                trainer.save(path)
                begin, before = trainer.steps_done, statistics.mean(checks)
                twin = self.changed(path, {}, LONGER, CHECKS)
                fine = twin["knn"][:12]  # every 4 steps
                noise = [(a - 2 * b + c) ** 2 / 6 for a, b, c in zip(fine, fine[1:], fine[2:], strict=False)]
                runs["twin", f"healthy, from epoch {onset}"] = twin | {
                    "alarm": alarm_step(twin["std"]),
                    "fall": fell(twin["knn"], [before] * len(CHECKS)),
                    "single_check_sd": statistics.mean(noise) ** 0.5,
                }
                for name, changes in (COLLAPSES | DAMAGES).items():
                    run = self.changed(path, changes, LONGER, CHECKS)
                    fired = alarm_step(run["std"])
                    kind = "collapse" if name in COLLAPSES else "damage"
                    runs[kind, f"{name}, from epoch {onset}"] = run | {
                        "alarm": None if fired is None else fired + 1 - begin,
                        "fall": fell(run["knn"], [min(before, t) for t in twin["knn"]]),
                        "behind": fell(run["knn"], twin["knn"]),
                        "before": before,
                    }
            twin = {k: a for k, a in zip(CHECKS, twin["knn"], strict=True) if k in LATE}
            for kind, some in (("harmless", HARMLESS), ("predictor", PREDICTORS)):
                for name, changes in some.items():
                    run = self.changed(path, changes, AFTER, LATE)
                    fired = alarm_step(run["std"])
                    more = statistics.mean(a - t for a, t in zip(run["knn"], twin.values(), strict=True))
                    runs[kind, name] = run | {
                        "alarm": None if fired is None else fired + 1 - begin,
                        "knn_above_twin": more,
                    }
        for (kind, _), run in runs.items():
            run["std"] = [
                round(s, 3) for s in run["std"][-LONGER if kind in ("twin", "collapse", "damage") else -AFTER :]
            ]
        return runs

    def changed(self, path: Path, changes: dict, steps: int, checks) -> dict:
        """Continue the run that is saved in this file, with these changes."""
        trainer = bt.Trainer.resume(path, self.train, self.test, device="cpu")
        if changes:
            trainer.change(**changes)
        found = self.go_on(trainer, steps, checks)
        return {"std": trainer.history.std, "knn": found}

    def healthy(self) -> dict:
        runs = {}
        for name, trainer in ({n: self.start(**c) for n, c in HEALTHY.items()} | self.elsewhere()).items():
            std = trainer.run(progress=False).history.std
            recent = [statistics.mean(std[k - THRESHOLDS.recent : k]) for k in range(THRESHOLDS.recent, len(std) + 1)]
            share = min(r / max(recent[max(0, k - THRESHOLDS.within) : k + 1]) for k, r in enumerate(recent))
            runs["healthy", name] = {"alarm": alarm_step(std), "least_std": min(recent), "least_share": share}
        return runs


def fell(accuracies: list[float], references: list[float]) -> int | None:
    """Return the first check after the damage from which all checks of STAYS steps are more than MARGIN too low."""
    low = {step: a < r - MARGIN for step, a, r in zip(CHECKS, accuracies, references, strict=True)}
    for step in CHECKS[1:]:
        if step + STAYS <= CHECKS[-1] and all(low[k] for k in CHECKS if step <= k <= step + STAYS):
            return step
    return None


def one_seed(seed: int) -> dict:
    shapes = Shapes(seed)
    return shapes.damaged() | shapes.healthy()


def earlier(runs: list[dict], event: str) -> dict:
    """Return how many steps the alarm came before this event, where both happened; and how often only one happened."""
    both = [r[event] - r["alarm"] for r in runs if r[event] is not None and (r["alarm"] or 0) > 0]
    of = {"least": min(both), "median": statistics.median(both), "most": max(both)} if both else None
    return {
        "happened": sum(r[event] is not None for r in runs),
        "without_alarm": sum(r[event] is not None and r["alarm"] is None for r in runs),
        "alarm_first": sum(d > 0 for d in both),
        "alarm_at_the_same_step": sum(d == 0 for d in both),
        "alarm_late": sum(d < 0 for d in both),
        "steps_earlier": of,
    }


def found(runs: list[dict]) -> dict:
    """Return how often, and how early, the alarm was raised on damaged runs."""
    fired = [r["alarm"] for r in runs if (r["alarm"] or 0) > 0]
    return {
        "runs": len(runs),
        "alarms": len(fired),
        "alarms_before_the_damage": sum(r["alarm"] is not None and r["alarm"] <= 0 for r in runs),
        "steps_to_alarm": {"least": min(fired), "median": statistics.median(fired), "most": max(fired)}
        if fired
        else None,
        "fall": earlier(runs, "fall"),
        "behind": earlier(runs, "behind"),
    }


def count(runs: dict) -> dict:
    """Return the summary of the alarms for each kind of run."""
    of = {kind: [r for (k, _), some in runs.items() if k == kind for r in some] for kind, _ in runs}
    alarms = {kind: sum(r["alarm"] is not None for r in some) for kind, some in of.items()}
    return {
        "rule": f"mean of {THRESHOLDS.recent} steps of √d·std below {THRESHOLDS.fall} of the highest of {THRESHOLDS.within} steps, "
        f"or below {THRESHOLDS.alarm}",
        "collapses": found(of["collapse"]),
        "damages": found(of["damage"]),
        "single_check_sd": statistics.mean(r["single_check_sd"] for r in of["twin"]),
        "healthy_twins": {
            "runs": len(of["twin"]),
            "falls": sum(r["fall"] is not None for r in of["twin"]),
            "false_alarms": alarms["twin"],
        },
        "healthy_runs": {
            "runs": len(of["healthy"]),
            "false_alarms": alarms["healthy"],
            "least_share": min(r["least_share"] for r in of["healthy"]),
        },
        "harmless_changes": {"runs": len(of["harmless"]), "false_alarms": alarms["harmless"]},
        "changes_of_the_predictor": {"runs": len(of["predictor"]), "alarms": alarms["predictor"]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[5, 6, 7])
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    runs: dict[tuple, list[dict]] = {}
    with multiprocessing.get_context("spawn").Pool(arguments.processes) as pool:
        for of_seed in pool.imap(one_seed, arguments.seeds):
            for key, run in of_seed.items():
                runs.setdefault(key, []).append(run)
    for (kind, name), some in runs.items():
        print(kind, name, [{k: v for k, v in run.items() if k not in ("std", "knn")} for run in some])
    summary = count(runs)
    print(summary)
    named: dict[str, dict] = {}
    for (kind, name), some in runs.items():
        named.setdefault(kind, {})[name] = some
    common.write("alarm", {"seeds": arguments.seeds, "margin": MARGIN, "stays": STAYS, "checks": CHECKS, "summary": summary, "runs": named})  # fmt: skip


if __name__ == "__main__":
    main()
