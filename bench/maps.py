"""Do points move from map to map, or jump? python bench/maps.py [--points 5000] [--quick]

BYOL trains on "shapes" for 12 epochs, and the test images' representations y at 13 times are mapped in several ways.
UMAP's maps are scaled to the same size and, except for AlignedUMAP's, aligned with the one before. AlignedUMAP is
umap-learn's own way, which optimises all maps together.

    step     how far a point moves from one map to the next, mean over points and maps, relative to the map's size (root
             mean square distance from its centre); late: the same over the last four steps
    kept     share of a point's 15 nearest by cosine that are among its 15 nearest in the map
    seconds  time of one core for all 13 maps
"""

import argparse
import itertools
import time
import warnings

import common
import numpy as np
import torch
import torch.nn.functional as F
from sklearn.neighbors import NearestNeighbors

import byol_tutorial as bt
from byol_tutorial.evaluate.embed import align, pca_embedding, size, successive_maps, umap_embedding

K = 15


def frames(points: int, epochs: int) -> list[torch.Tensor]:
    """Return the representations at the start and after each epoch, scaled to length 1."""
    test = bt.load("shapes", "test", limit=points)
    trainer = bt.Trainer(bt.preset("shapes", epochs=epochs, knn_every=0), bt.load("shapes"), device="cpu")
    seen = [bt.features(trainer.model.encoder, test.images)]

    def look(trainer):
        if trainer.steps_done % trainer.steps_per_epoch == 0:
            seen.append(bt.features(trainer.model.encoder, test.images))

    trainer.run(progress=False, on_step=look)
    return [F.normalize(y, dim=1) for y in seen]


def independent(seen: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return a UMAP of each representation, from its own start."""
    maps = [umap_embedding(seen[0])]
    for y in seen[1:]:
        new = umap_embedding(y)
        maps.append(align(new * size(maps[0]) / size(new), maps[-1]))
    return maps


def aligned(seen: list[torch.Tensor]) -> list[torch.Tensor]:
    import umap

    same = [{i: i for i in range(len(seen[0]))}] * (len(seen) - 1)
    mapper = umap.AlignedUMAP(n_neighbors=15, min_dist=0.1, metric="cosine", random_state=0)
    found = mapper.fit([y.numpy() for y in seen], relations=same).embeddings_
    maps = [torch.from_numpy(np.asarray(m)).float() for m in found]
    return [(m - m.mean(0)) * size(maps[0]) / size(m) for m in maps]


WAYS = {
    "PCA, each as it comes": lambda seen: [pca_embedding(y) for y in seen],
    "PCA, laid on the one before": lambda seen: successive_maps(seen, "pca"),
    "UMAP, each from its own start": independent,
    "UMAP, from the map before": lambda seen: successive_maps(seen, "umap"),
    "AlignedUMAP": aligned,
}


def nearest(x: np.ndarray) -> np.ndarray:
    return NearestNeighbors(n_neighbors=K).fit(x).kneighbors(return_distance=False)


def measure(way, seen: list[torch.Tensor], true: list[np.ndarray]) -> dict:
    start = time.process_time()
    maps = way(seen)
    seconds = time.process_time() - start
    steps = [float((b - a).norm(dim=1).mean()) / size(b) for a, b in itertools.pairwise(maps)]
    kept = [
        np.mean([len(np.intersect1d(a, b)) / K for a, b in zip(t, nearest(m.numpy()), strict=True)])
        for t, m in zip(true, maps, strict=True)
    ]
    return {
        "seconds": round(seconds, 1),
        "step": round(float(np.mean(steps)), 3),
        "late": round(float(np.mean(steps[-4:])), 3),
        "kept": round(float(np.mean(kept)), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=5000)
    parser.add_argument(
        "--quick", action="store_true", help="300 points, 2 epochs, nothing written: a check that it runs"
    )
    options = parser.parse_args()
    points, epochs = (300, 2) if options.quick else (options.points, 12)
    warnings.simplefilter("ignore", UserWarning)
    torch.set_num_threads(1)
    aligned([torch.rand(100, 8)] * 2)  # so that the time of its compiler is not counted
    seen = frames(points, epochs)
    true = [nearest(y.numpy()) for y in seen]  # the vectors have length 1, so this is the order by cosine
    results = {}
    for name, way in WAYS.items():
        results[name] = measure(way, seen, true)
        print(f"{name:<32}", results[name], flush=True)
    if not options.quick:
        common.write("maps", {"points": points, "maps": len(seen), "ways": results})


if __name__ == "__main__":
    main()
