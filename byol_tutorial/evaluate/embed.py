"""Maps of representations in two dimensions: a single one, or a series of them while the network learns.

A new map is drawn at every epoch, and neither PCA nor UMAP decides how it is turned or mirrored. So each map is laid on
the one before. A PCA map is rotated or mirrored so that its points move least (Procrustes); its lengths stay as they are,
so a collapse shows as a cloud that shrinks. A UMAP map is computed with the map before as its start.
"""

import hashlib
import math
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..config.errors import EmbedError
from ..runtime.threads import computing
from .directions import directions
from .linear import fitting

KINDS = ("pca", "umap")
PAIRS = 2**24  # pairs of points whose distances are in memory at a time
WARM_STEPS, WARM_RATE = 200, 0.25  # UMAP's epochs and learning rate from an earlier map; bench/maps.py compares them


# --- one map ------------------------------------------------------------------------------------


@computing()
def pca_embedding(features: Tensor, components: int = 2, like: Tensor | None = None) -> Tensor:
    """Return the first principal components of features (N, D): float32 (N, components), centred, in the features' unit.

    The features may be on any device; the map is on the CPU.

    Args:
        like: an earlier map of the same points, (N, components). The new one is rotated or mirrored, not scaled, so that
            the points move as little as possible. Without it each component gets the sign that makes its largest entry
            positive.

    Raises:
        EmbedError: the features are not finite, or N or D is smaller than components.
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
    """Return a UMAP map of features (N, D), with neighbours by cosine: float32 (N, 2), centred. One seed gives one map.

    The features may be on any device; the map is on the CPU. Its lengths have no unit: UMAP keeps which points are
    neighbours, not how far apart points are (McInnes et al. 2018, arXiv 1802.03426).

    Args:
        neighbours: the number of nearest points to which each point is tied, from 2 to N − 1.
        min_dist: the smallest distance between points of the map, in [0, 1].
        init: an earlier map of the same points, (N, 2), to start from. UMAP then makes fewer and smaller steps, and the
            result is scaled to the earlier map's size and laid on it.

    Raises:
        EmbedError: umap-learn is not installed; a value is not allowed; the features or the earlier map are not finite.
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
    with computing():  # numba asks OpenMP for every core, and torch on this thread would keep that number
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # numba's warnings about its version
                import umap
        except ImportError as error:
            raise EmbedError("UMAP needs umap-learn: pip install 'byol-tutorial[notebooks]', or choose PCA") from error

        start = {} if init is None else {"n_epochs": WARM_STEPS, "learning_rate": WARM_RATE}
        # UMAP's own search for neighbours calls Python for each pair of points below 4,096 of them, and compiles for half
        # a minute above
        mapper = umap.UMAP(
            n_neighbors=int(neighbours), min_dist=min_dist, metric="cosine", random_state=seed, n_jobs=1,
            precomputed_knn=_neighbours(features, int(neighbours)), force_approximation_algorithm=True,
            disconnection_distance=math.inf,  # otherwise UMAP fails if a point is opposite to all others
            init="spectral" if init is None else init.numpy(), **start,
        )  # fmt: skip
        with warnings.catch_warnings():
            # UMAP warns of separate parts, which a good map has, and of adding points later, which is not done here
            warnings.simplefilter("ignore", UserWarning)
            points = torch.from_numpy(
                np.asarray(mapper.fit_transform(directions(features.double()).float().numpy()), dtype=np.float32)
            )
    points = points - points.mean(0)
    return points if init is None else align(points * (size(init) / size(points)), init)


def _neighbours(features: Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find each point's k nearest by cosine, itself first, with distances 1 − cosine: int64 and float32 (N, k)."""
    x = directions(features.double()).float()
    indices, distances = [], []
    with computing(x.numel() * len(x)):
        for rows in torch.arange(len(x)).split(max(1, PAIRS // len(x))):
            distance = 1 - x[rows] @ x.T
            distance[torch.arange(len(rows)), rows] = -torch.inf  # so that a point comes before its copies
            nearest = distance.topk(k, largest=False)
            indices.append(nearest.indices)
            distances.append(nearest.values.clamp(min=0))
    return torch.cat(indices).numpy(), torch.cat(distances).numpy()


def place_on(features: Tensor, known: Tensor, points: Tensor, neighbours: int = 15) -> Tensor:
    """Place new features (N, D) on an existing map: float32 (N, 2), in the unit of the map.

    A new point is at the mean of the places of its nearest known features by cosine, each weighted by 1 / (1 − cosine). So
    a known feature is placed where it is, and the map itself does not change. UMAP begins its own search for the place of
    new points with such a mean.

    Args:
        known: features of the map's points, (M, D).
        points: the map, (M, 2).
        neighbours: how many known features decide, at most M.

    Raises:
        EmbedError: features that are not finite or of another width, or a map of other points.
    """
    from sklearn.neighbors import KNeighborsRegressor

    _check(features, rows=1)
    _check(known, rows=1)
    if features.shape[1] != known.shape[1]:
        raise EmbedError(
            f"the new features have {features.shape[1]} columns, those of the map {known.shape[1]}: take the same encoder"
        )
    if points.shape != (len(known), 2) or not torch.isfinite(points).all():
        raise EmbedError(f"the map has shape {tuple(points.shape)}: give {len(known)} finite points, (N, 2)")
    x, new = (directions(y.detach().cpu().double()).numpy() for y in (known, features))
    mean = KNeighborsRegressor(min(neighbours, len(known)), weights="distance", metric="cosine", algorithm="brute")
    with fitting():
        return torch.from_numpy(mean.fit(x, points.detach().cpu().double().numpy()).predict(new)).float()


def hash_of_weights(encoder: nn.Module) -> str:
    """Return the SHA-256 of an encoder's parameters and buffers with their names: 64 hexadecimal digits on any device.

    Features can be compared only if they come from the same encoder, which then has the same hash.
    """
    digest = hashlib.sha256()
    for name, x in encoder.state_dict().items():
        if not isinstance(x, Tensor):  # the extra state of a module that is not this library's
            continue
        digest.update(f"{name} {x.dtype} {tuple(x.shape)}\n".encode())
        digest.update(x.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def align(points: Tensor, like: Tensor) -> Tensor:
    """Rotate or mirror points (N, d) about their mean, to be as near to `like` (N, d) as possible: float32, centred.

    Orthogonal Procrustes: R = U Vᵀ with U S Vᵀ = PᵀL minimises ‖P R − L‖ (Schönemann 1966).

    Raises:
        EmbedError: the maps have different shapes.
    """
    if points.shape != like.shape:
        raise EmbedError(
            f"the earlier map has shape {tuple(like.shape)}, the new one {tuple(points.shape)}: give maps of the same points"
        )
    from scipy.linalg import orthogonal_procrustes

    points, like = (m.detach().cpu().double() for m in (points, like))
    points, like = points - points.mean(0), like - like.mean(0)
    rotation, _ = orthogonal_procrustes(points.numpy(), like.numpy())
    return (points @ torch.from_numpy(rotation)).float()


def size(points: Tensor) -> float:
    """Return how large a map is: the root mean square distance of its points (N, d) from their mean."""
    return float((points - points.mean(0)).square().sum(1).mean().sqrt())


def successive_maps(frames: Sequence[Tensor], kind: str = "pca", seed: int = 0) -> Tensor:
    """Map the features of the same N points at T times, and lay each map on the one before: float32 (T, N, 2).

    Features are scaled to length 1 first: as in BYOL's loss, only their direction counts.

    Args:
        frames: T matrices of features, each (N, D).
        kind: "pca" or "umap".
        seed: UMAP's.

    Raises:
        EmbedError: an unknown kind, or what `pca_embedding` and `umap_embedding` refuse.
    """
    if kind not in KINDS:
        raise EmbedError(f"kind={kind!r}: choose one of {', '.join(KINDS)}")
    maps: list[Tensor] = []
    for frame in frames:
        x, before = directions(frame.double()).float(), maps[-1] if maps else None
        maps.append(pca_embedding(x, like=before) if kind == "pca" else umap_embedding(x, seed, init=before))
    return torch.stack(maps)


def _check(features: Tensor, rows: int) -> None:
    """Raise EmbedError unless the features are a finite matrix of at least so many rows."""
    if features.ndim != 2 or len(features) < rows:
        raise EmbedError(f"features have shape {tuple(features.shape)}: give a matrix (N, D) of at least {rows} rows")
    if not torch.isfinite(features).all():
        raise EmbedError("the features are not finite: the run has diverged; record the steps before that")
