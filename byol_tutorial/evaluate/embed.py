"""Maps: representations brought to two dimensions, one at a time or one after another while the network learns.

A map is drawn anew at every epoch, and nothing in PCA or UMAP says which way up. So each is laid on the one before:
PCA by the rotation or mirroring that moves the points least (Procrustes), with its lengths left alone, so that a
collapse shows as a cloud that shrinks; UMAP by starting from the map before.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..config.errors import EmbedError

KINDS = ("pca", "umap")
PAIRS = 2**24  # whose distances are held at a time
WARM_STEPS, WARM_RATE = 200, 0.25  # of UMAP from an earlier map; compared in bench/maps.py


# --- one map ------------------------------------------------------------------------------------


def pca_embedding(features: Tensor, components: int = 2, like: Tensor | None = None) -> Tensor:
    """The first principal components of features (N, D): float32 (N, components), centred, in the features' unit.

    Features may lie on any device; the map is returned on the CPU.

    like: an earlier map of the same points, (N, components). The new one is rotated or mirrored, not scaled, so that
        the points move as little as possible. Without it the sign of each component is the one that makes its largest
        entry positive.

    Raises:
        EmbedError: features that are not finite, or fewer of them, or of dimensions, than components.
    """
    _check(features, rows=components)
    if features.shape[1] < components:
        raise EmbedError(
            f"components={components}: the features have {features.shape[1]} dimensions; give at most these"
        )
    x = features.detach().cpu().double()
    x = x - x.mean(0)
    if len(x) >= x.shape[1]:  # eigenvectors of the smaller of X'X and XX'
        points = x @ torch.linalg.eigh(x.T @ x)[1][:, -components:].flip(1)
    else:
        values, vectors = torch.linalg.eigh(x @ x.T)
        points = (vectors * values.clamp(min=0).sqrt())[:, -components:].flip(1)
    if like is not None:
        return align(points, like)
    largest = points.gather(0, points.abs().argmax(0, keepdim=True))
    return (points * torch.where(largest < 0, -1.0, 1.0)).float()


def umap_embedding(
    features: Tensor, seed: int = 0, neighbours: int = 15, min_dist: float = 0.1, init: Tensor | None = None
) -> Tensor:
    """A UMAP of features (N, D), neighbours by cosine: float32 (N, 2), centred. The same for the same seed.

    Features may lie on any device; the map is made and returned on the CPU. Its lengths have no unit: UMAP keeps who is near to whom, not how far (McInnes et al. 2018, arXiv 1802.03426).

    Args:
        neighbours: how many each point is bound to, below N.
        min_dist: how close points may be packed, in [0, 1].
        init: an earlier map of the same points to start from, (N, 2). Fewer and smaller steps are made then, and the
            result is brought to its size and laid on it.

    Raises:
        EmbedError: umap-learn is not installed; a value that is not allowed; features, or a map to start from, that are
            not finite.
    """
    _check(features, rows=4)
    if neighbours != int(neighbours) or not 2 <= neighbours < len(features):
        raise EmbedError(
            f"neighbours={neighbours}: give a whole number from 2 to {len(features) - 1}, below the points"
        )
    if not 0 <= min_dist <= 1:
        raise EmbedError(f"min_dist={min_dist}: give a number in [0, 1]")
    features = features.detach().cpu()
    init = None if init is None else init.detach().cpu()
    if init is not None and not (init.shape == (len(features), 2) and 0 < size(init.float()) < math.inf):
        raise EmbedError(
            f"init has shape {tuple(init.shape)}: give a map of the {len(features)} points, not all in one place"
        )
    with _threads_kept():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of its compiler, about versions
                import umap
        except ImportError as error:
            raise EmbedError("UMAP needs umap-learn: pip install 'byol-tutorial[notebooks]', or take PCA") from error

        start = {} if init is None else {"n_epochs": WARM_STEPS, "learning_rate": WARM_RATE}
        # its own search calls Python for each pair of points below 4,096 of them, and compiles for half a minute above
        mapper = umap.UMAP(
            n_neighbors=int(neighbours), min_dist=min_dist, metric="cosine", random_state=seed, n_jobs=1,
            precomputed_knn=_neighbours(features, int(neighbours)), force_approximation_algorithm=True,
            disconnection_distance=math.inf,  # or a point opposite to all others would be bound to none, and no map made
            init="spectral" if init is None else init.numpy(), **start,
        )  # fmt: skip
        with warnings.catch_warnings():
            # of separate parts, which are what a good map has, and of new points, which nobody adds
            warnings.simplefilter("ignore", UserWarning)
            points = torch.from_numpy(np.asarray(mapper.fit_transform(_directions(features).numpy()), dtype=np.float32))
    points = points - points.mean(0)
    return points if init is None else align(points * (size(init) / size(points)), init)


def _neighbours(features: Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each point the k nearest by cosine, itself first, and their distances 1 − cosine: int64 and float32 (N, k)."""
    x = _directions(features)
    indices, distances = [], []
    for rows in torch.arange(len(x)).split(max(1, PAIRS // len(x))):
        distance = 1 - x[rows] @ x.T
        distance[torch.arange(len(rows)), rows] = -torch.inf  # itself before its copies
        nearest = distance.topk(k, largest=False)
        indices.append(nearest.indices)
        distances.append(nearest.values.clamp(min=0))
    return torch.cat(indices).numpy(), torch.cat(distances).numpy()


def _directions(features: Tensor) -> Tensor:
    """Brought to length 1, float32; by way of float64, which holds the square of any float32."""
    return F.normalize(features.double(), eps=1e-300).float()


@contextmanager
def _threads_kept() -> Iterator[None]:
    """UMAP's compiler asks OpenMP for every core, and torch on this thread would compute with as many from then on:
    slower beside other work, and with other roundings than before."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def align(points: Tensor, like: Tensor) -> Tensor:
    """Points (N, d) rotated or mirrored about their mean, to be as near to `like` (N, d) as they can: float32, centred.

    Orthogonal Procrustes: R = U Vᵀ with U S Vᵀ = PᵀL minimises ‖P R − L‖ (Schönemann 1966).
    """
    if points.shape != like.shape:
        raise EmbedError(f"the earlier map has shape {tuple(like.shape)}, the new one {tuple(points.shape)}")
    points, like = (m.double() - m.double().mean(0) for m in (points, like))
    u, _, v = torch.linalg.svd(points.T @ like)
    return (points @ (u @ v)).float()


def size(points: Tensor) -> float:
    """How large a map is: the root mean square distance of its points (N, d) from their mean."""
    return float((points - points.mean(0)).square().sum(1).mean().sqrt())


def successive_maps(frames: Sequence[Tensor], kind: str = "pca", seed: int = 0) -> Tensor:
    """Maps of the same N points' features at T times, each laid on the one before: float32 (T, N, 2).

    Features are brought to length 1 first: as in BYOL's loss, only their direction counts.
    """
    if kind not in KINDS:
        raise EmbedError(f"kind={kind!r}: choose one of {', '.join(KINDS)}")
    maps: list[Tensor] = []
    for frame in frames:
        x, before = _directions(frame), maps[-1] if maps else None
        maps.append(pca_embedding(x, like=before) if kind == "pca" else umap_embedding(x, seed, init=before))
    return torch.stack(maps)


def _check(features: Tensor, rows: int) -> None:
    if features.ndim != 2 or len(features) < rows:
        raise EmbedError(f"features have shape {tuple(features.shape)}: give a matrix (N, D) of at least {rows} rows")
    if not torch.isfinite(features).all():
        raise EmbedError("the features are not finite: the run has diverged; record it up to where it did")
