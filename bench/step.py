"""Measure the parts of a step, and how close it comes to the machine's own speed: python bench/step.py [--quick]

Each part is measured alone, in turns, and the medians are shown; "rest" is the whole step minus its parts: Python,
measures, history. The limits are the same step with views made beforehand, and the machine's own speed at a large
matrix product and at the encoder's widest convolution, in GFLOP/s beside the step's.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import common
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import byol_tutorial as bt
from byol_tutorial.methods.byol import byol_loss

CASES = {
    "shapes": {},  # the lessons' recipe: 32 px, batch 32
    "batch 128, the paper's views": {
        "batch_size": 128, "crop_area": (0.08, 1.0), "jitter_p": 0.8, "brightness": 0.4, "contrast": 0.4, "saturation": 0.2,
        "hue": 0.1, "grayscale_p": 0.2, "blur_p": (1.0, 0.1), "solarize_p": (0.0, 0.2),
    },
}  # fmt: skip


def parts_of(trainer: bt.Trainer) -> dict[str, Callable[[], object]]:
    """Return for each part of a step a function that carries it out, on the same batch each time."""
    model, optimizer = trainer.model.train(), trainer.optimizer
    half = torch.autocast(trainer.device.type, trainer.precision, enabled=trainer.precision != torch.float32)
    (v1, v2), _ = trainer.computation.views_of(0)

    def online():
        with half:
            return [model.predictor(model.online(v)) for v in (v1, v2)]

    @torch.no_grad()
    def target():
        with half:
            return [model.target(v) for v in (v1, v2)]

    answers = target()

    def forward_and_backward():
        p1, p2 = online()
        optimizer.zero_grad()
        (byol_loss(p1, answers[1]) + byol_loss(p2, answers[0])).backward()

    forward_and_backward()  # the optimiser needs gradients
    return {
        "augmentation": lambda: trainer.computation.views_of(0),
        "online forward": online,
        "target forward": target,
        "forward and backward": forward_and_backward,
        "optimiser": optimizer.step,
        "moving average": lambda: model.update_target(0.99),
        "whole step": trainer.step,
    }


def seconds(work: Callable, least: float) -> float:
    """Return the mean seconds of one call, measured for at least `least` seconds."""
    start, n = time.perf_counter(), 0
    while time.perf_counter() - start < least:
        work()
        n += 1
    return (time.perf_counter() - start) / n


def ceilings(trainer: bt.Trainer, least: float) -> dict[str, float]:
    """Return the GFLOP/s of a square matrix product, and of the small encoder's widest convolution, at this batch."""
    n, batch = 1024, trainer.config.batch_size
    a, b = torch.randn(2, n, n)
    x = torch.randn(batch, 64, 8, 8).contiguous(memory_format=torch.channels_last)
    w = torch.randn(64, 64, 3, 3).contiguous(memory_format=torch.channels_last)
    flops = 2 * batch * 8**2 * 64 * 9 * 64
    return {
        "matmul": 2 * n**3 / seconds(lambda: a @ b, least) / 1e9,
        "convolution": flops / seconds(lambda: F.conv2d(x, w, padding=1), least) / 1e9,
    }


def measure(changes: dict, least: float, rounds: int) -> dict:
    images = bt.load("shapes")
    trainer = bt.Trainer(bt.preset("shapes", epochs=1000, knn_every=0, **changes), images, device="cpu")
    for _ in range(3):
        trainer.step()
    parts = parts_of(trainer)
    bare = bt.Trainer(trainer.config, images, device="cpu")  # its views are made beforehand
    views = bare.computation.views_of(0)
    bare.computation.make_views = lambda *drawn: views
    with FlopCounterMode(display=False) as counter:
        bare.step()
    parts["whole step, views made beforehand"] = bare.step
    times: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(rounds):
        for name, work in parts.items():
            times[name].append(seconds(work, least))
    t = {name: statistics.median(values) for name, values in times.items()}
    t["backward"] = t.pop("forward and backward") - t["online forward"]
    known = ("augmentation", "online forward", "target forward", "backward", "optimiser", "moving average")
    t["rest"] = t["whole step"] - sum(t[name] for name in known)
    flops, top = counter.get_total_flops(), ceilings(trainer, least)
    return {
        "milliseconds": {name: round(1e3 * value, 3) for name, value in t.items()},
        "share_of_step": {name: round(t[name] / t["whole step"], 3) for name in (*known, "rest")},
        "images_per_second": {n: round(trainer.config.batch_size / t[n]) for n in t if n.startswith("whole step")},
        "gflop_per_step": round(flops / 1e9, 2),
        "gflops": round(flops / t["whole step"] / 1e9, 1),
        "ceilings_gflops": {name: round(value, 1) for name, value in top.items()},
        "of_matmul_ceiling": round(flops / t["whole step"] / 1e9 / top["matmul"], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only check that everything runs; write nothing")
    parser.add_argument(
        "--device", default="cpu", choices=["cpu"], help="this benchmark measures the CPU; bench/gpu.py measures a GPU"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="[torch's default]")
    options = parser.parse_args()
    bt.set_threads(options.threads)
    least, rounds = (0.02, 1) if options.quick else (1.0, 5)
    result: dict = {"threads": torch.get_num_threads(), "cases": {}}
    for name, changes in CASES.items():
        found = result["cases"][name] = measure(changes, least, rounds)
        print(name, found["share_of_step"], found["images_per_second"], found["of_matmul_ceiling"], flush=True)
        if not options.quick:  # after every case, so that a run that is interrupted leaves its results so far
            common.write("step_cpu", result)


if __name__ == "__main__":
    main()
