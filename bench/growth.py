"""How speed and memory grow: python bench/growth.py [--quick]

Training: images a second, milliseconds a step and peak memory against batch size and image size, the small encoder, the
paper's views. UMAP: seconds against points. Each training case is a process of its own, so that its memory is its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import common
import torch

import byol_tutorial as bt

BATCHES = (32, 128, 512, 2048, 4096)  # at 32 px
SIZES = (32, 64, 96, 224)  # at batch 32
POINTS = (1000, 3000, 10_000, 30_000)


def train(batch: int, size: int, least: float, device: str) -> dict:
    """One case, in this process."""
    images = bt.ImageSet("bench", "train", torch.randint(0, 256, (max(batch, 64), 3, size, size), dtype=torch.uint8))
    config = bt.preset("byol-imagenet-100", encoder="small", batch_size=batch, hidden_dim=256, projection_dim=64,
                       optimizer="sgd", view_size=size, epochs=100_000, knn_every=0)  # fmt: skip
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
        "peak_mb": peak // 10**6,
    }


def umap(n: int) -> float:
    points = torch.randn(n, 64) + 4 * torch.nn.functional.one_hot(torch.arange(n) % 10, 64)
    start = time.perf_counter()
    bt.umap_embedding(points)
    return round(time.perf_counter() - start, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only see whether everything runs; write nothing")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--case", type=int, nargs=2, metavar=("BATCH", "SIZE"), help="one training case, as JSON")
    options = parser.parse_args()
    if options.case:
        print(json.dumps(train(*options.case, 0.0 if options.quick else 4.0, options.device)))
        return
    quick = ["--quick"] if options.quick else []
    cases = [(b, 32) for b in BATCHES[: 1 if quick else None]] + [(32, s) for s in SIZES[1 : 2 if quick else None]]
    result: dict = {"training": {}, "umap_seconds": {}}
    for batch, size in cases:
        command = [sys.executable, __file__, "--case", str(batch), str(size), "--device", options.device, *quick]
        end = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(end.stdout.splitlines()[-1])
        result["training"][f"batch {batch}, {size} px"] = found
        print(f"batch {batch}, {size} px: {found}")
    umap(300)  # compiles
    for n in POINTS[: 1 if quick else None]:
        result["umap_seconds"][str(n)] = umap(300 if quick else n)
        print(f"UMAP of {n:,} points: {result['umap_seconds'][str(n)]} s")
    if not quick:
        common.write(f"growth_{options.device}", result)


if __name__ == "__main__":
    main()
