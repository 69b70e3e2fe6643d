"""Measure the speed on a CUDA device, and which parts take the time: python bench/gpu.py [PART ...] [--quick]

Without a PART, all parts run in this order. Results are written after every case, so that a run that is interrupted
leaves its results so far, and a case that fails leaves its error. bench/gpu.sh gives each part its own time limit.
"""

import argparse
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Callable

import common
import torch
from torch.utils.flop_counter import FlopCounterMode

import byol_tutorial as bt
from byol_tutorial.augment.operations import constant
from byol_tutorial.augment.views import Views
from byol_tutorial.config.fields import METHODS

PAPER = {
    "crop_area": (0.08, 1.0), "jitter_p": 0.8, "brightness": 0.4, "contrast": 0.4, "saturation": 0.2, "hue": 0.1,
    "grayscale_p": 0.2, "blur_p": (1.0, 0.1), "solarize_p": (0.0, 0.2),
}  # fmt: skip
RUN = {"epochs": 1_000_000, "knn_every": 0, "compile": "off"}
RESNET18 = PAPER | RUN | {"encoder": "resnet18", "batch_size": 512, "precision": "bfloat16"}
RESNET50 = PAPER | RUN | {
    "encoder": "resnet50", "view_size": 224, "batch_size": 256, "hidden_dim": 4096, "projection_dim": 256,
    "precision": "bfloat16",
}  # fmt: skip
LESSON = RUN  # the small encoder at 32 px, batch 32, float32
EAGER, GRAPH = {"cuda_graph": False}, {"cuda_graph": True}
COMPILED, BOTH = {"compile": "on", "cuda_graph": False}, {"compile": "on", "cuda_graph": True}


# --- measuring ------------------------------------------------------------------------------------


def noise(size: int, n: int = 4096) -> bt.ImageSet:
    return bt.ImageSet("noise", "train", torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8))


def trainer_of(config: dict) -> bt.Trainer:
    size = config.get("view_size", 32)
    return bt.Trainer(bt.Config(**config), noise(size, max(1024, config.get("batch_size", 32))), device="cuda")


def milliseconds(work: Callable, least: float) -> float:
    """Return the median over three rounds of the mean time of a call; each round takes at least `least` seconds."""
    rounds = []
    for _ in range(3):
        torch.cuda.synchronize()
        start, n = time.perf_counter(), 0
        while n == 0 or time.perf_counter() - start < least:
            work()
            n += 1
            if n % 16 == 0:
                torch.cuda.synchronize()  # without this, a growing queue would hide the time of the kernels
        torch.cuda.synchronize()
        rounds.append(1e3 * (time.perf_counter() - start) / n)
    return statistics.median(rounds)


def profile(work: Callable, n: int = 10) -> dict:
    """Return the kernels of one call and their times, and the share of the wall time in which the device has work."""
    work()
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
        start = time.perf_counter()
        for _ in range(n):
            work()
        torch.cuda.synchronize()
        wall = time.perf_counter() - start
    events = [e for e in seen.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    busy = sum(e.time_range.elapsed_us() for e in events) / 1e6
    kinds: Counter = Counter()
    for e in events:
        kinds[e.name[:60]] += e.time_range.elapsed_us() / 1e3 / n
    return {
        "kernels": round(len(events) / n),
        "device_ms": round(1e3 * busy / n, 3),
        "busy_share": round(busy / wall, 3),
        "longest_ms": {name: round(value, 3) for name, value in kinds.most_common(14)},
    }


def steps(config: dict, least: float, details: bool = False) -> dict:
    """Return the images a second of whole steps, and the seconds of the first five, which compile and record."""
    start = time.perf_counter()
    trainer = trainer_of(config)
    for _ in range(5):
        trainer.step()
    first = time.perf_counter() - start
    ms = milliseconds(trainer.step, least)
    found = {
        "ms": round(ms, 3), "images_per_second": round(1e3 * trainer.config.batch_size / ms),
        "five_steps_s": round(first, 1), "recorded": trainer.computation.graph.recorded, "triton_views": Views.triton,
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2),
    }  # fmt: skip
    torch.cuda.reset_peak_memory_stats()
    if details:
        found["profile"] = profile(trainer.step)
    return found


# --- parts ------------------------------------------------------------------------------------------


def methods(least: float) -> dict[str, Callable]:
    """Return cases of one step of each method in float32 and bfloat16, and how often a step waits for the device."""
    images = bt.load("shapes", limit=64)

    def one(method: str, precision: str) -> dict:
        config = bt.Config(method=method, precision=precision, prototypes=16, local_crops=2, batch_size=32, **RUN)
        trainer = bt.Trainer(config, images, device="cuda")
        losses = [trainer.step() for _ in range(3)]
        torch.cuda.set_sync_debug_mode("warn")
        with warnings.catch_warnings(record=True) as waits:
            warnings.simplefilter("always")
            losses += [trainer.step() for _ in range(2)]
        torch.cuda.set_sync_debug_mode("default")
        said = Counter(str(w.message)[:120] for w in waits)
        return {
            "losses": [round(x, 4) for x in losses],
            "recorded": trainer.computation.graph.recorded,
            "waits_of_two_steps": said,
        }

    return {f"{m}, {p}": lambda m=m, p=p: one(m, p) for m in METHODS for p in ("float32", "bfloat16")}


def ceilings(least: float) -> dict[str, Callable]:
    """Return cases for the speed of the card itself: a matrix product on random numbers, and a copy."""

    def matmul() -> dict:
        a, b = torch.randn(2, 8192, 8192, device="cuda", dtype=torch.bfloat16)
        return {"tflops": round(2 * 8192**3 / milliseconds(lambda: a @ b, least) / 1e9, 1)}

    def copy() -> dict:
        a, b = torch.empty(2, 2**29, dtype=torch.float32, device="cuda")
        return {"tb_per_second": round(2 * a.nbytes / milliseconds(lambda: a.copy_(b), least) / 1e9, 2)}

    def flop(config: dict) -> dict:
        trainer = trainer_of(config | EAGER)
        views = trainer.computation.views_of(0)
        trainer.computation.make_views = lambda *drawn: views
        trainer.step()
        with FlopCounterMode(display=False) as counter:
            trainer.step()
        return {"gflop_per_image": round(counter.get_total_flops() / trainer.config.batch_size / 1e9, 3)}

    return {"matmul 8192, bf16": matmul, "copy": copy, "resnet18, 32 px": lambda: flop(RESNET18),
            "resnet50, 224 px": lambda: flop(RESNET50 | {"batch_size": 64})}  # fmt: skip


def views(least: float) -> dict[str, Callable]:
    """Return cases of both views of 512 images with given draws: step by step, compiled, by Triton; and of drawing."""

    def prepared(size: int, dtype: torch.dtype = torch.bfloat16) -> tuple:
        maker = Views(bt.Config(**PAPER), generator=torch.Generator("cuda").manual_seed(0))
        images = noise(size, 512).images.cuda()
        return maker, images, maker.draw(512, size, size, "cuda")

    def batched(size: int, compiled: bool) -> dict:
        maker, images, drawn = prepared(size)
        maker._apply = torch.compile(maker._apply) if compiled else maker._apply
        Views.triton = False
        try:
            maker.carry_out(images, drawn)
            return {"ms": round(milliseconds(lambda: maker.carry_out(images, drawn), least), 3)}
        finally:
            Views.triton = True

    def by_triton(size: int, warps: int) -> dict:
        from byol_tutorial.augment import triton_kernels

        maker, images, drawn = prepared(size)
        triton_kernels.WARPS[size] = warps
        start = time.perf_counter()
        ours = torch.cat(maker.carry_out(images, drawn))
        compiling = time.perf_counter() - start
        ms = milliseconds(lambda: maker.carry_out(images, drawn, torch.bfloat16), least)
        Views.triton = False
        theirs = torch.cat(maker.carry_out(images, drawn))
        Views.triton = True
        return {
            "ms": round(ms, 3),
            "compiling_s": round(compiling, 1),
            "most_different": (ours - theirs).abs().max().item(),
        }

    def drawing() -> dict:
        maker, *_ = prepared(32)
        return {"ms": round(milliseconds(lambda: maker.draw(512, 32, 32, "cuda"), least), 3)}

    cases: dict[str, Callable] = {"drawing": drawing}
    for size, choices in ((32, (4, 8)), (64, (8, 16))):
        cases |= {f"{size} px, triton, {w} warps": lambda s=size, w=w: by_triton(s, w) for w in choices}
        cases[f"{size} px, batched"] = lambda s=size: batched(s, False)
    return cases | {"32 px, compiled": lambda: batched(32, True)}


def eager(least: float) -> dict[str, Callable]:
    """Return cases of steps that Python starts kernel by kernel."""

    def without_triton() -> dict:
        Views.triton = False
        try:
            return steps(RESNET18 | EAGER, least, details=True)
        finally:
            Views.triton = True

    return {
        "resnet18, 32 px, batch 512": lambda: steps(RESNET18 | EAGER, least, details=True),
        "resnet18, 32 px, batch 512, batched views": without_triton,
        "lesson, batch 32": lambda: steps(LESSON | EAGER, least),
    }


def graph(least: float) -> dict[str, Callable]:
    """Return cases of steps that are replayed from a CUDA graph."""

    def parts(config: dict) -> dict:
        """Return the times of the parts outside of the graph, and of the graph."""
        trainer = trainer_of(config | GRAPH)
        for _ in range(5):
            trainer.step()
        work = {
            "optimiser": trainer.optimizer.step, "moving average": lambda: trainer.model.update_target(0.99),
            "replay": trainer.computation.graph._graph.replay, "batch": lambda: trainer.feed.batch(3),
            "keeping buffers": trainer.computation.kept.take,
        }  # fmt: skip
        return {f"{name}_ms": round(milliseconds(w, least / 2), 3) for name, w in work.items()}

    cases = {
        "resnet18, 32 px, batch 512": lambda: steps(RESNET18 | GRAPH, least, details=True),
        "resnet18, 32 px, batch 512, parts": lambda: parts(RESNET18),
        "lesson, batch 32, parts": lambda: parts(LESSON),
        "lesson, batch 32": lambda: steps(LESSON | GRAPH, least, details=True),
    }
    cases |= {
        f"resnet18, 32 px, batch {b}": lambda b=b: steps(RESNET18 | GRAPH | {"batch_size": b}, least)
        for b in (128, 256, 1024)
    }
    return cases


def compiled(least: float) -> dict[str, Callable]:
    """Return cases of steps of networks that torch.compile has fused, with and without a graph."""
    cases = {
        f"resnet18, 32 px, batch {b}, graph": lambda b=b: steps(
            RESNET18 | BOTH | {"batch_size": b}, least, details=b == 512
        )
        for b in (512, 256, 128)
    }
    return cases | {
        "resnet18, 32 px, batch 512, no graph": lambda: steps(RESNET18 | COMPILED, least),
        "lesson, batch 32, graph": lambda: steps(LESSON | BOTH, least),
    }


def large(least: float) -> dict[str, Callable]:
    """Return cases of ResNet-50 at 224 px with images on the device, and of the batched views."""
    return {
        "resnet50, 224 px, batch 256": lambda: steps(RESNET50 | EAGER, least, details=True),
        "resnet50, 224 px, batch 256, graph": lambda: steps(RESNET50 | GRAPH, least),
        "resnet50, 224 px, batch 256, compiled, graph": lambda: steps(RESNET50 | BOTH, least, details=True),
    }


def others(least: float) -> dict[str, Callable]:
    """Return cases of a vision transformer, masked patches, GroupNorm and float16."""
    small = RUN | {"precision": "bfloat16", "batch_size": 128}
    vit = small | {"encoder": "vit_nano", "patch_size": 4}
    dino = vit | {"method": "dino", "prototypes": 256, "local_crops": 4}
    cases = {
        "byol, vit_nano": vit, "dino, vit_nano": dino, "dino, ibot, koleo, sinkhorn":
        dino | {"ibot_weight": 1.0, "koleo_weight": 0.1, "centering": "sinkhorn"},
        "resnet18, gn_ws": RESNET18 | {"norm": "gn_ws"}, "resnet18, float16": RESNET18 | {"precision": "float16"},
        "resnet18, float32": RESNET18 | {"precision": "float32"}, "optimal predictor": small | {"predictor": "optimal"},
    }  # fmt: skip
    return {name: lambda c=c: steps(c, least) for name, c in cases.items()}


PARTS = {f.__name__: f for f in (methods, ceilings, views, eager, graph, others, large, compiled)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="only check that everything runs; write nothing")
    parser.add_argument("--only", default="", metavar="WORDS", help="only cases whose name contains these words")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("no CUDA device here")
    least = 0.05 if options.quick else 0.4
    for part in options.parts or PARTS:
        cases: dict = {}
        for name, case in PARTS[part](least).items():
            if options.only not in name:
                continue
            start = time.perf_counter()
            try:
                found = case()
            except Exception as error:  # the next cases must still run
                found = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
            torch._dynamo.reset()
            torch.cuda.empty_cache()
            constant.cache_clear()
            cases[name] = found
            shown = {k: v for k, v in found.items() if k != "profile"} | {
                k: v for k, v in found.get("profile", {}).items() if k != "longest_ms"
            }
            print(f"{part}: {name}: {shown} [{time.perf_counter() - start:.1f} s]", flush=True)
            if not options.quick:
                common.write("gpu", {"parts": {part: {"what": PARTS[part].__doc__, "cases": cases}}}, add=True)


if __name__ == "__main__":
    main()
