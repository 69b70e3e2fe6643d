"""Measure how time and memory grow: python bench/growth.py [--quick]

Training: images a second, milliseconds a step and peak memory for several batch sizes and image sizes, with the small
encoder and the paper's views. Streaming: the same for several numbers of image files, JPEGs of 64 px that are decoded
during training (a thousand files under as many names as are needed, so the reads come from memory). Each of these cases
runs in its own process, so that its memory is measured alone. Ablations: seconds for eight runs with several numbers of
processes. UMAP: seconds for several numbers of points.
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common
import torch
from PIL import Image

import byol_tutorial as bt
from byol_tutorial.config.paper_tables import tables
from byol_tutorial.live.laboratory import Laboratory

BATCHES = {"cpu": (32, 128, 512, 2048, 4096), "cuda": (32, 512, 4096)}  # at 32 px
SIZES = {"cpu": (64, 96, 224), "cuda": (96, 224)}  # at batch 32
FILES = {"cpu": (1000, 10_000, 100_000, 1_000_000), "cuda": (1000, 100_000)}
PROCESSES = (1, 2, 4, 8)
POINTS = (1000, 3000, 10_000, 30_000, 100_000)


def train(images, batch: int, size: int, least: float, device: str) -> dict:
    """Measure one case, in this process."""
    config = bt.preset("byol-imagenet-100", encoder="small", batch_size=batch, hidden_dim=256, projection_dim=64,
                       optimizer="sgd", view_size=size, epochs=100_000, knn_every=0)  # fmt: skip
    begin = time.perf_counter()
    trainer = bt.Trainer(config, images, device=device)
    trainer.step()
    start, n = time.perf_counter(), 0
    while n < 2 or time.perf_counter() - start < least:
        trainer.step()
        n += 1
    seconds = (time.perf_counter() - start) / n
    cuda = device == "cuda"
    peak = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "images_per_second": round(batch / seconds, 1),
        "ms_per_step": round(1e3 * seconds, 2),
        "first_step_seconds": round(start - begin, 2),
        "peak_mb": peak // 10**6,
    }


def in_memory(batch: int, size: int, least: float, device: str) -> dict:
    pixels = torch.randint(0, 256, (max(batch, 64), 3, size, size), dtype=torch.uint8)
    return train(bt.ImageSet("bench", "train", pixels), batch, size, least, device)


def streamed(files: int, different: int, least: float, device: str) -> dict:
    """Measure training in batches of 128 from a folder of ten classes, with so many different files among them."""
    with tempfile.TemporaryDirectory() as folder:
        shapes = bt.load("shapes", size=64, limit=different)
        for k in range(10):
            (Path(folder) / str(k)).mkdir()
        for i, image in enumerate(shapes.images[:different]):
            first = Path(folder) / str(i % 10) / f"{i}.jpg"
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(first, quality=90)
            for j in range(i + different, files, different):
                os.link(first, Path(folder) / str(i % 10) / f"{j}.jpg")
        start = time.perf_counter()
        images = bt.load(f"folder:{folder}", size=64, stream=True)  # 80 % of them; the others are for tests
        opened = time.perf_counter() - start
        return {"training_images": len(images), "open_seconds": round(opened, 2)} | train(
            images, 128, 64, least, device
        )


def ablations(processes: int, quick: bool) -> float:
    """Return the wall time of table 5b's eight rows, including the start of the processes; quick: of one step of each."""
    images = bt.load("shapes", limit=32 if quick else None)
    config = bt.preset("shapes", epochs=1 if quick else 6, knn_every=0)
    start = time.perf_counter()
    with Laboratory(tables("5b"), config, images, workers=processes) as runs:
        runs.run()
    return round(time.perf_counter() - start, 1)


def umap(n: int) -> float:
    points = torch.randn(n, 64) + 4 * torch.nn.functional.one_hot(torch.arange(n) % 10, 64)
    start = time.perf_counter()
    bt.umap_embedding(points)
    return round(time.perf_counter() - start, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only check that everything runs; write nothing")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--case", type=int, nargs=2, metavar=("BATCH", "SIZE"), help="one training case, as JSON")
    parser.add_argument("--files", type=int, metavar="N", help="one streamed case, as JSON")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the files of a case are removed
    device = options.device
    least = 0.0 if options.quick else 4.0 if device == "cpu" else 1.0
    if options.case:
        print(json.dumps(in_memory(*options.case, least, device)))
        return
    if options.files:
        print(json.dumps(streamed(options.files, 100 if options.quick else 1000, least, device)))
        return
    quick = ["--quick"] if options.quick else []

    def case(*arguments) -> dict:
        command = [sys.executable, __file__, *map(str, arguments), "--device", device, *quick]
        end = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(end.stdout.splitlines()[-1])

    def some(values: tuple) -> tuple:
        return values[:1] if options.quick else values

    result: dict = {"training": {}, "streaming": {}, "eight_ablations_seconds": {}, "umap_seconds": {}}

    def keep(what: str, at: str, found) -> None:
        """Write a result at once, so that a run that is interrupted leaves its results so far."""
        result[what][at] = found
        print(f"{what}, {at}: {found}", flush=True)
        if not options.quick:
            common.write(f"growth_{device}", result)

    for batch, size in some((*((b, 32) for b in BATCHES[device]), *((32, s) for s in SIZES[device]))):
        keep("training", f"batch {batch}, {size} px", case("--case", batch, size))
    for files in (200,) if options.quick else FILES[device]:
        keep("streaming", f"{files} files", case("--files", files))
    for processes in some(PROCESSES) if device == "cpu" else ():
        keep("eight_ablations_seconds", str(processes), ablations(processes, options.quick))
    if device == "cpu":
        umap(300)  # compiles
    for n in some(POINTS) if device == "cpu" else ():
        keep("umap_seconds", str(n), umap(300 if options.quick else n))


if __name__ == "__main__":
    main()
