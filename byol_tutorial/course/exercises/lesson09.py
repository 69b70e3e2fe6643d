"""Exercises of lesson 09, maps."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...evaluate.embed import pca_embedding
from .record import Exercise, Mistake, UnusableError
from .values import ASKS_FOR, kind, tensor

# --- PCA ----------------------------------------------------------------------------------------


def _clouds() -> list[tuple]:
    g = torch.Generator().manual_seed(0)
    scale = torch.tensor([4.0, 2.0, 1.0, 0.5, 0.2])
    mix = torch.linalg.qr(torch.randn(5, 5, generator=g))[0]
    return [((torch.randn(40, 5, generator=g) * scale) @ mix + shift,) for shift in (0.0, 3.0)]


def _seen(pca: Callable, x: Tensor) -> dict[str, Tensor]:
    """Return what does not depend on the sign of an axis: lengths along both axes, and the points' scalar products."""
    found = pca(x)
    m = tensor(found)
    if m is None or m.shape != (len(x), 2):
        raise UnusableError(
            f"your function returns {kind(found)}{ASKS_FOR}a tensor of shape ({len(x)}, 2): a place for each point."
        )
    return {"products": m @ m.T, "spread along the axes": m.std(0), "mean": m.mean(0)}


def _pca(x: Tensor, centred: bool = True, lengths: bool = True, first: int = 0) -> Tensor:
    x = x - x.mean(0) if centred else x
    u, s, _ = torch.linalg.svd(x, full_matrices=False)
    m = u * s if lengths else u
    return m[:, first : first + 2]


PCA = Exercise(
    id="09-pca",
    title="Two directions of most variance",
    kind="implement",
    difficulty=2,
    minutes=10,
    hints=(
        "In which directions do the points vary most? Variation is around the mean.",
        (
            "Take the mean of each column away; then `u, s, vt = torch.linalg.svd(x, full_matrices=False)` gives "
            "x = U S Vᵀ. The map is x times the first two columns of V."
        ),
        (
            "y = y - y.mean(0)\n"
            "u, s, vt = torch.linalg.svd(y, full_matrices=False)  # y = u @ diag(s) @ vt, largest s first\n"
            "# the map: y times the first two rows of vt, as columns"
        ),
    ),
    cases=_clouds,
    observe=_seen,
    reference=pca_embedding,
    mistakes=(
        Mistake(
            "not centred",
            lambda x: _pca(x, centred=False),
            "this is right where the points lie around 0. Where they do not, the first axis only points to where they lie: subtract the "
            "mean first.",
        ),
        Mistake(
            "lengths lost",
            lambda x: _pca(x, lengths=False),
            "both axes are equally long: U alone has lost the lengths, which are S.",
        ),
        Mistake(
            "the second first",
            lambda x: _pca(x).flip(1),
            "the directions are right, but the second comes first: the first axis is that of most variance.",
        ),
        Mistake(
            "two columns",
            lambda x: (x - x.mean(0))[:, :2],
            "these are the first two columns of y as it is. The directions in which the points vary most lie in between.",
        ),
        Mistake(
            "V the wrong way round",
            lambda x: (x - x.mean(0)) @ torch.linalg.svd(x - x.mean(0), full_matrices=False)[2][:, :2],
            "svd gives Vᵀ, whose *rows* are the directions: multiply by vt[:2].T.",
        ),
        Mistake(
            "lengths squared",
            lambda x: _pca(x) * torch.linalg.svd(x - x.mean(0), full_matrices=False)[1][:2],
            "the lengths are counted twice: y times V, or U times S, but not y V S.",
        ),
        Mistake(
            "each column scaled",
            lambda x: _pca((x - x.mean(0)) / x.std(0)),
            "every column was brought to the same spread first. That is another method: here the unit of y is kept.",
        ),
        Mistake(
            "the last two",
            lambda x: _pca(x, first=3),
            "these are the directions of least variance: `eigh` gives the smallest eigenvalue first, `svd` the largest.",
            when=lambda seen, wanted: bool(
                seen[0]["spread along the axes"].max() < wanted[0]["spread along the axes"].min() / 2
            ),
        ),
    ),
    praise="right. Which way an axis points is chance: the mirror image is as good an answer.",
)


# --- UMAP's weights -----------------------------------------------------------------------------


def _distances() -> list[tuple]:
    g = torch.Generator().manual_seed(1)
    d = torch.rand(6, 5, generator=g).sort(dim=1).values
    return [(d, torch.full((6,), 0.3)), (d + 2.0, 0.1 + torch.rand(6, generator=g))]


def _membership(d: Tensor, sigma: Tensor) -> Tensor:
    return torch.exp(-(d - d[:, :1]).clamp(min=0) / sigma[:, None])


MEMBERSHIP = Exercise(
    id="09-weights",
    title="A unit of its own for every point",
    kind="implement",
    difficulty=2,
    minutes=8,
    hints=(
        ("Each row has a ρ and a σ of its own: what shape must they have, so that they fit the columns of the row?"),
        ("ρ is each row's first entry, kept as a column: d[:, :1]. σ is needed as a column, too: sigma[:, None]."),
        (
            "rho = d[:, :1]  # (N, 1): the nearest of each point\n"
            "exponent = -(d - rho).clamp(min=0)  # still to be divided by each row's own σ"
        ),
    ),
    cases=_distances,
    reference=_membership,
    mistakes=(
        Mistake(
            "without ρ",
            lambda d, sigma: torch.exp(-d / sigma[:, None]),
            "the nearest neighbour must weigh 1, however far it is: what counts is how much farther away the others are.",
        ),
        Mistake(
            "σ squared",
            lambda d, sigma: torch.exp(-((d - d[:, :1]) ** 2) / sigma[:, None] ** 2),
            "that is a Gaussian, which t-SNE uses. UMAP's weights fall exponentially: (d − ρ)/σ, not squared.",
        ),
        Mistake(
            "one ρ for all",
            lambda d, sigma: torch.exp(-(d - d.min()) / sigma[:, None]),
            "ρ is the same for all points here. Each point has its own: the distance of *its* nearest neighbour.",
        ),
        Mistake(
            "ρ of the first point",
            lambda d, sigma: torch.exp(-(d - d[:1]).clamp(min=0) / sigma[:, None]),
            "d[:1] is the first *row*, the distances of the first point. ρ is the first entry of each row: d[:, :1].",
        ),
        Mistake(
            "no σ",
            lambda d, sigma: torch.exp(-(d - d[:, :1])),
            "σ is not used: each point has a unit of length of its own.",
        ),
        Mistake(
            "times σ",
            lambda d, sigma: torch.exp(-(d - d[:, :1]) * sigma[:, None]),
            "the distances are multiplied by σ. It is a unit of length, so they are divided by it.",
        ),
        Mistake(
            "rows that sum to 1",
            lambda d, sigma: _membership(d, sigma) / _membership(d, sigma).sum(1, keepdim=True),
            "each row sums to 1 now, as in t-SNE. UMAP does not divide by the sum: the nearest weighs 1.",
        ),
        Mistake(
            "the sign",
            lambda d, sigma: torch.exp((d - d[:, :1]) / sigma[:, None]),
            "the weights grow with the distance.",
        ),
        Mistake(
            "distances alone",
            lambda d, sigma: torch.exp(-d),
            "neither ρ nor σ is used: each row has its own nearest distance and its own unit.",
        ),
    ),
    praise="right. Twice all distances, twice all σ: the weights are the same. That is why a map by UMAP has no unit.",
)


# --- neighbours kept ----------------------------------------------------------------------------


def _scattered() -> list[tuple]:
    g = torch.Generator().manual_seed(2)
    y = torch.randn(60, 8, generator=g)
    return [(y, y[:, :2].clone(), 5), (y, torch.randn(60, 2, generator=g), 5), (y, torch.randn(60, 2, generator=g), 10)]


def _kept(y: Tensor, points: Tensor, k: int) -> Tensor:
    y = F.normalize(y, dim=1)
    a = (y @ y.T).fill_diagonal_(-torch.inf).topk(k).indices
    b = torch.cdist(points, points).fill_diagonal_(torch.inf).topk(k, largest=False).indices
    return (a[:, :, None] == b[:, None, :]).any(2).float().mean()


def _kept_with_bug(y: Tensor, points: Tensor, k: int) -> Tensor:
    y = F.normalize(y, dim=1)
    a = (y @ y.T).topk(k).indices
    b = torch.cdist(points, points).topk(k, largest=False).indices
    return (a[:, :, None] == b[:, None, :]).any(2).float().mean()


def _one_side(y: Tensor, points: Tensor, k: int) -> Tensor:
    y = F.normalize(y, dim=1)
    a = (y @ y.T).fill_diagonal_(-torch.inf).topk(k).indices
    b = torch.cdist(points, points).topk(k, largest=False).indices
    return (a[:, :, None] == b[:, None, :]).any(2).float().mean()


def _by_distance(y: Tensor, points: Tensor, k: int) -> Tensor:
    a = torch.cdist(y, y).fill_diagonal_(torch.inf).topk(k, largest=False).indices
    b = torch.cdist(points, points).fill_diagonal_(torch.inf).topk(k, largest=False).indices
    return (a[:, :, None] == b[:, None, :]).any(2).float().mean()


def _one_more(y: Tensor, points: Tensor, k: int) -> Tensor:
    return _kept_with_bug(y, points, k + 1)


def _in_the_same_place(y: Tensor, points: Tensor, k: int) -> Tensor:
    y = F.normalize(y, dim=1)
    a = (y @ y.T).fill_diagonal_(-torch.inf).topk(k).indices
    b = torch.cdist(points, points).fill_diagonal_(torch.inf).topk(k, largest=False).indices
    return (a == b).float().mean()


def _other_side(y: Tensor, points: Tensor, k: int) -> Tensor:
    y = F.normalize(y, dim=1)
    a = (y @ y.T).topk(k).indices
    b = torch.cdist(points, points).fill_diagonal_(torch.inf).topk(k, largest=False).indices
    return (a[:, :, None] == b[:, None, :]).any(2).float().mean()


def _farthest(y: Tensor, points: Tensor, k: int) -> Tensor:
    y = F.normalize(y, dim=1)
    a = (y @ y.T).fill_diagonal_(-torch.inf).topk(k).indices
    b = torch.cdist(points, points).topk(k).indices
    return (a[:, :, None] == b[:, None, :]).any(2).float().mean()


KEPT = Exercise(
    id="09-kept",
    title="Too good for points thrown at random",
    kind="find the bug",
    difficulty=2,
    minutes=8,
    hints=(
        "Print `a[:, 0]`. Whose nearest neighbour is that?",
        (
            "Each point is its own nearest neighbour, in y and in the map. Make that impossible on both sides "
            "before topk: the diagonal holds it."
        ),
        (
            "similarity = (y @ y.T).fill_diagonal_(-torch.inf)  # no point is its own neighbour\n"
            "# the distances in the map need the same, with the other sign"
        ),
    ),
    cases=_scattered,
    reference=_kept,
    mistakes=(
        Mistake(
            "unchanged",
            _kept_with_bug,
            "this is the code as it was given: every map gets at least 1/k, even one that has nothing to do with y. Which "
            "neighbour is always found on both sides?",
        ),
        Mistake(
            "corrected on one side",
            _one_side,
            "a point is no longer its own neighbour in y, but still in the map, where it takes the place of a true one.",
        ),
        Mistake(
            "corrected on the other side",
            _other_side,
            "a point is no longer its own neighbour in the map, but still in y, where it takes the place of a true one.",
        ),
        Mistake(
            "one more neighbour",
            _one_more,
            "one neighbour more is taken, but the point itself is still among them and is counted as kept. Leave it out.",
        ),
        Mistake(
            "the same place in the list",
            _in_the_same_place,
            "a neighbour counts here only if it is the same one at the same place of both lists. It is kept if it is anywhere among the k.",
        ),
        Mistake(
            "a number",
            lambda y, points, k: k * _kept(y, points, k),
            "this is how many of the k are kept; the exercise asks for their share, in [0, 1].",
        ),
        Mistake(
            "distances in y",
            _by_distance,
            "neighbours in y are those with the largest cosine, as it was given; here the distance decides, so lengths count.",
        ),
        Mistake("the farthest", _farthest, "topk takes the largest: in the map these are the farthest points."),
    ),
    praise="right: a point must not count as its own neighbour. Points thrown at random now get about k/(N − 1).",
)


# --- predictions --------------------------------------------------------------------------------

FIRST = Exercise(
    id="09-first",
    title="Which pictures does the encoder put together?",
    kind="predict",
    difficulty=1,
    minutes=2,
    hints=(
        (
            "What of a picture gets through four random convolutions and an average over the whole picture? And "
            "what does the colour jitter ask the trained one to ignore?"
        ),
        (
            "An average over random filters keeps the colour of the picture and little of its lines. The two "
            "views of training differ in hue, so hue does not help to predict."
        ),
        (
            "shown = bt.load('shapes', 'test', limit=512)\n"
            "colour = shown.images.float().mean((2, 3))  # of each picture only its mean colour\n"
            "near = bt.evaluate.nearest(colour, colour, k=2)[:, 1]  # the other one that is nearest\n"
            "print('same shape', (shown.labels[near] == shown.labels).float().mean())  # by chance 0.1\n"
            "apart = (shown.factors.hue[near] - shown.factors.hue).abs()\n"
            "print('hue apart', torch.minimum(apart, 1 - apart).mean())  # by chance 0.25"
        ),
    ),
    questions={"before": ("shape", "hue"), "after": ("shape", "hue")},
    reference={"before": "hue", "after": "shape"},
    mistakes=(
        Mistake(
            "shape from the start",
            {"before": "shape"},
            "before: an average over the picture of random filters' answers says more about its colour than about its lines.",
        ),
        Mistake(
            "hue to the end",
            {"after": "hue"},
            "after: the two views of a picture differ in hue, so hue does not help to predict one from the other.",
        ),
    ),
    praise="right: training exchanges the one for the other.",
)

COLLAPSE = Exercise(
    id="09-collapse",
    title="A collapse, mapped",
    kind="predict",
    difficulty=2,
    minutes=3,
    hints=(
        "PCA keeps the unit of what it maps. What does UMAP keep?",
        (
            "Spread 0 in PCA's unit is a dot. UMAP only asks which points are nearest to each point: have points "
            "that lie close together no nearest ones?"
        ),
        ("tiny = 1e-3 * z_byol + 1\nprint(size(pca(tiny)) / size(pca(z_byol)), size(umap(tiny)) / size(umap(z_byol)))"),
    ),
    questions={"pca": ("a dot", "a cloud"), "umap": ("a dot", "a cloud")},
    reference={"pca": "a dot", "umap": "a cloud"},
    mistakes=(
        Mistake(
            "both shrink",
            {"umap": "a dot"},
            "umap: UMAP asks which points are nearest to each point. Some always are, however near all of them are.",
        ),
        Mistake(
            "neither shrinks",
            {"pca": "a cloud"},
            "pca: in PCA's unit, which is that of BYOL's map, a spread of nearly 0 cannot be seen.",
        ),
    ),
    praise="right: only one of them has a unit of length.",
)


def _sizes(answer: dict) -> str | None:
    if not 0.6 <= answer["umap"] <= 1.6:
        return "umap: not near 1"
    if not 0.04 <= answer["pca"] <= 0.25:
        return "pca: not near a tenth"
    return None


TIGHT = Exercise(
    id="09-tight",
    title="A class drawn together",
    kind="predict",
    difficulty=2,
    minutes=3,
    hints=(
        "Which stars are nearest to which, before and after?",
        (
            "PCA is a linear map: a tenth of the size in y is about a tenth in the map. UMAP's weights are "
            "distances divided by σ, and σ shrinks with them."
        ),
        (
            "d = torch.rand(1, 5).sort().values\n"
            "for scale in (1.0, 0.1):\n"
            "    print(torch.exp(-(scale * d - scale * d[:, :1]) / (scale * 0.3)))  # UMAP's weights, before and after"
        ),
    ),
    questions={"umap": (0.0, 2.0), "pca": (0.0, 2.0)},
    reference={"umap": 1.0, "pca": 0.1},
    accept=_sizes,
    mistakes=(
        Mistake(
            "both a tenth",
            {"umap": 0.1},
            "umap: each point's distances are measured in a unit of its own, σ. A tenth of all distances gives a tenth of σ.",
            when=lambda seen, wanted: seen[0]["umap"] < 0.6,
        ),
        Mistake(
            "an island that grows",
            {"umap": 2.0},
            "umap: why should the island grow? Its inner neighbours and their weights are the same as before.",
            when=lambda seen, wanted: seen[0]["umap"] > 1.6,
        ),
        Mistake(
            "both unchanged",
            {"pca": 1.0},
            "pca: PCA is a linear map, so what is ten times smaller in y is about ten times smaller in the map.",
            when=lambda seen, wanted: seen[0]["pca"] > 0.25,
        ),
        Mistake(
            "nothing left",
            {"pca": 0.0},
            "pca: small, but a tenth in y is about a tenth in the map, too.",
            when=lambda seen, wanted: seen[0]["pca"] < 0.04,
        ),
    ),
    praise="right: PCA tells sizes, UMAP does not.",
)


# --- laying a map on another --------------------------------------------------------------------


def _pairs_of_maps() -> list[tuple]:
    g = torch.Generator().manual_seed(3)
    new = torch.randn(30, 2, generator=g) + 2
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    mirror = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    common = torch.arange(20)
    noise = 0.1 * torch.randn(20, 2, generator=g)
    return [(new, (new[:20] - 1) @ turn + noise, common), (new, 0.5 * new[:20] @ mirror + 1, common)]


def _lay(
    new: Tensor,
    old: Tensor,
    common: Tensor,
    mirror: bool = True,
    scale: bool = False,
    middle: str = "common",
    all_points: bool = False,
) -> Tensor:
    known = new[common]
    a, b = known - known.mean(0), old - old.mean(0)
    u, s, v = torch.linalg.svd(a.T @ b)
    if not mirror and torch.det(u @ v) < 0:
        u = u * torch.tensor([1.0, -1.0])
    turn = u @ v * (s.sum() / a.square().sum() if scale else 1.0)
    if all_points:
        return a @ turn + old.mean(0)
    centre = known.mean(0) if middle == "common" else new.mean(0)
    return (new - centre) @ turn + old.mean(0)


def _shifted_only(new: Tensor, old: Tensor, common: Tensor) -> Tensor:
    return new - new[common].mean(0) + old.mean(0)


def _turned_back(new: Tensor, old: Tensor, common: Tensor) -> Tensor:
    known = new[common]
    u, _, v = torch.linalg.svd((known - known.mean(0)).T @ (old - old.mean(0)))
    return (new - known.mean(0)) @ (u @ v).T + old.mean(0)


def _any_linear_map(new: Tensor, old: Tensor, common: Tensor) -> Tensor:
    known = new[common]
    a, b = known - known.mean(0), old - old.mean(0)
    return (new - known.mean(0)) @ torch.linalg.lstsq(a, b).solution + old.mean(0)


LAY = Exercise(
    id="09-lay",
    title="New pictures on an old map",
    kind="extend",
    difficulty=3,
    minutes=15,
    core=False,
    hints=(
        (
            "Which turn brings the common points of the new map to their old places? Find it from them alone, "
            "then move everything."
        ),
        (
            "Find the rotation R from the common points alone, both sets centred: R = U Vᵀ with U S Vᵀ = AᵀB. "
            "Then move all points: take the common points' mean away, turn, add the old map's mean."
        ),
        (
            "known = new[common]\n"
            "a, b = known - known.mean(0), old - old.mean(0)\n"
            "u, s, vt = torch.linalg.svd(a.T @ b)\n"
            "turn = u @ vt  # allows a mirror image as well; now move *all* of new by it"
        ),
    ),
    cases=_pairs_of_maps,
    reference=_lay,
    mistakes=(
        Mistake(
            "scaled",
            lambda new, old, common: _lay(new, old, common, scale=True),
            "the new map was made smaller or larger as well. Then a collapse could not be seen any more: turn, mirror, shift.",
        ),
        Mistake(
            "no mirror",
            lambda new, old, common: _lay(new, old, common, mirror=False),
            "this is right for a turned map, but a mirrored map stays mirrored. U Vᵀ, used as it is, allows both.",
        ),
        Mistake(
            "the wrong middle",
            lambda new, old, common: _lay(new, old, common, middle="all"),
            "the middle that goes to the old map's middle is that of the common points, not of all.",
        ),
        Mistake(
            "not shifted back",
            lambda new, old, common: _lay(new, old, common) - old.mean(0),
            "the map is turned, but it lies around 0: add the old map's mean.",
        ),
        Mistake(
            "shifted only",
            _shifted_only,
            "the map is shifted, but not turned.",
        ),
        Mistake(
            "turned the wrong way",
            _turned_back,
            "the map is turned by the same angle the wrong way: the rotation is transposed.",
        ),
        Mistake(
            "any linear map",
            _any_linear_map,
            "least squares over all matrices also scales and shears. Only turns and mirrors are allowed: U Vᵀ.",
        ),
        Mistake(
            "the common points only",
            lambda new, old, common: _lay(new, old, common, all_points=True),
            "the points that the old map lacks are missing: find the turn from the common points, and apply it to all.",
        ),
    ),
    praise="right: this is Procrustes on the points that both maps have. `embed.align` is the case in which both have the same points.",
)

EXERCISES = (PCA, FIRST, KEPT, COLLAPSE, MEMBERSHIP, TIGHT, LAY)
