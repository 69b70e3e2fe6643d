"""Exercises of lesson 04, the predictor and the stop-gradient."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .record import Exercise, Mistake

Number = float | Tensor
LEARNS = ("learns", "learns nothing")

# --- four runs on a sphere ----------------------------------------------------------------------

PLACES = ("one point", "many places")

SPHERE = Exercise(
    id="04-sphere",
    title="Four runs on a sphere",
    kind="predict",
    difficulty=1,
    minutes=3,
    hints=(
        "For each run ask: if all pictures were at one point, would its loss be as low as it can be?",
        (
            "A constant is the best answer where both sides may move to it, and a bad one where something pushes the pictures "
            "apart, or where the target stays different from picture to picture. BYOL's loss is 0 for a constant, too; "
            "lesson 0 showed whether it goes there."
        ),
        (
            "same = torch.ones(32, 3)  # the loss of a constant: 0 is the lowest possible\n"
            "print(bt.byol_loss(same, same))\n"
            "print(bt.byol_loss(same, torch.randn(32, 3)))  # the target differs from picture to picture"
        ),
    ),
    questions={"agreement": PLACES, "byol": PLACES, "simclr": PLACES, "fixed_target": PLACES},
    reference={
        "agreement": "one point",
        "byol": "many places",
        "simclr": "many places",
        "fixed_target": "many places",
    },
    mistakes=(
        Mistake(
            "nothing collapses",
            {"agreement": "many places"},
            "agreement: nothing in this run keeps two pictures apart, and a single point is the shortest way to a loss of 0.",
        ),
        Mistake(
            "only negatives help",
            {"agreement": "one point", "byol": "one point", "simclr": "many places", "fixed_target": "one point"},
            "negatives are one way to exclude the constant. A target that differs from picture to picture is another: a constant "
            "predicts it badly.",
        ),
        Mistake(
            "BYOL collapses",
            {"byol": "one point"},
            "byol: a point would be as good for its loss as for that of agreement alone, but its gradient does not lead there. "
            "The rest of this lesson asks why.",
        ),
        Mistake(
            "the fixed target collapses",
            {"fixed_target": "one point"},
            "fixed_target: its answers differ from picture to picture and never change, so one point is a bad prediction.",
        ),
        Mistake(
            "negatives collapse",
            {"simclr": "one point"},
            "simclr: pictures at the same point cannot be told apart, and its loss asks for exactly that.",
        ),
    ),
    praise="right: only agreement alone has nothing that keeps the pictures apart.",
)


# --- from rung to rung --------------------------------------------------------------------------

RUNGS = Exercise(
    id="04-rungs",
    title="What a rung stands on",
    kind="predict",
    difficulty=2,
    minutes=3,
    hints=(
        "What does the next network get from its target: the target's accuracy, or the differences between its answers?",
        (
            "The best prediction is a mean of the target's answers. If these differ from picture to picture, the mean has to "
            "know the picture. If they do not, what must it know?"
        ),
        (
            "# do the answers of random weights differ between pictures? Their √d·std:\n"
            "z = bt.BYOL(config, 32).target(bt.augment.Views(config)(test.images)[0])\n"
            "print(bt.diagnose.spread(z))  # that of the collapsed one ends the first row of spheres"
        ),
    ),
    questions={"random": LEARNS, "collapsed": LEARNS},
    reference={"random": "learns", "collapsed": "learns nothing"},
    mistakes=(
        Mistake(
            "a trained target is better",
            {"random": "learns nothing", "collapsed": "learns"},
            "the other way round. The collapsed network was trained, but its answers hardly differ any more, and those of the "
            "random one do.",
        ),
        Mistake(
            "nothing comes of nothing",
            {"random": "learns nothing"},
            "random: its answers were learned from nothing, but they differ from picture to picture, and to predict them from "
            "another view one has to know the picture.",
        ),
        Mistake(
            "any target is enough",
            {"collapsed": "learns"},
            "collapsed: its answers are nearly the same for all pictures, so a constant predicts them, and nothing about the "
            "picture has to be known.",
        ),
    ),
    praise="right: a rung stands on the differences between the target's answers.",
)


# --- the best prediction ------------------------------------------------------------------------


def _best(z: Tensor, target: Tensor) -> Tensor:
    return _by_answer(lambda own: own.mean(0))(z, target)


def _by_answer(value: Callable) -> Callable:
    """Return the prediction that gives each picture `value` of the targets that come with its answer."""

    def prediction(z: Tensor, target: Tensor) -> Tensor:
        p = torch.empty_like(target)
        for k in z.unique():
            p[z == k] = value(target[z == k])
        return p

    return prediction


def _answers_and_targets() -> list[tuple]:
    g = torch.Generator().manual_seed(9)
    return [
        (torch.tensor([0, 2, 0, 5, 2, 0]), 4 * torch.rand(6, 2, generator=g)),
        (torch.randint(4, (40,), generator=g), torch.randn(40, 3, generator=g) + 1),
    ]


BEST = Exercise(
    id="04-best",
    title="The best prediction",
    kind="implement",
    difficulty=2,
    minutes=8,
    hints=(
        "All pictures with the same answer get the same prediction. Which vector has the smallest mean squared distance to "
        "their targets?",
        (
            "It is their mean. For each answer k that occurs, take the rows target[z == k] and their mean over the pictures, "
            "and write it into the rows of these pictures."
        ),
        (
            "p = torch.zeros_like(target)\nfor k in z.unique():\n    own = z == k  # the pictures with this answer\n"
            "    # p[own] = ..., the mean of target[own] over the pictures"
        ),
    ),
    cases=_answers_and_targets,
    reference=_best,
    mistakes=(
        Mistake(
            "one mean for all",
            lambda z, target: target.mean(0).expand_as(target),
            "that is the mean of all targets, the best prediction for someone who does not know z. Here z is known.",
        ),
        Mistake(
            "the target itself",
            lambda z, target: target.clone(),
            "these are the targets themselves. The predictor sees only z: two pictures with the same z get the same prediction.",
        ),
        Mistake(
            "a sum",
            _by_answer(lambda own: own.sum(0)),
            "these are sums over the pictures with the same answer: divide each by the number of these pictures.",
        ),
        Mistake(
            "divided by all",
            lambda z, target: _by_answer(lambda own: own.sum(0))(z, target) / len(z),
            "the sum for an answer was divided by the number of all pictures, not of those that got this answer.",
        ),
        Mistake(
            "the median",
            _by_answer(lambda own: own.median(0).values),
            "the median has the smallest mean *absolute* distance in each dimension. For the squared distance it is the mean.",
        ),
        Mistake(
            "dimensions mixed",
            _by_answer(lambda own: own.mean().expand(own.shape[1])),
            "the mean was taken over the dimensions, too: z′ is a vector, and each of its dimensions has its own mean.",
        ),
        Mistake(
            "a table",
            lambda z, target: torch.stack([target[z == k].mean(0) for k in z.unique()]),
            "these are the right means, one row for each answer. A prediction has one row for each picture: give every picture "
            "the row of its answer.",
        ),
        Mistake(
            "sorted",
            lambda z, target: torch.cat([target[z == k].mean(0).expand(int((z == k).sum()), -1) for k in z.unique()]),
            "the right rows in another order: row i belongs to picture i, and its answer is z[i].",
        ),
        Mistake(
            "without itself",
            lambda z, target: torch.stack(
                [(target[z == k].sum(0) - target[i]) / max(int((z == k).sum()) - 1, 1) for i, k in enumerate(z)]
            ),
            "each picture's own target was left out of its mean. The best predictor is a mean over all pictures with this "
            "answer.",
        ),
    ),
    praise="right: the conditional mean, E[z′ | z]. Its squared error is the conditional variance.",
)


# --- what counts as collapse --------------------------------------------------------------------

CHANGES = ("grows", "stays")

COUNTS = Exercise(
    id="04-what-counts",
    title="What does the best predictor notice?",
    kind="predict",
    difficulty=2,
    minutes=4,
    hints=(
        "The best predictor gives a prediction to each different answer. Which of the changes let it tell the same pictures "
        "apart as before?",
        "It is a table from answers to means. Write other names or numbers into its left column: does the right one change?",
        (
            "from byol_tutorial.course.best_prediction import answers, conditional_variance, lines, views\n"
            "v, target = views()\nz = answers(v, lines(0))\n"
            "print(conditional_variance(z, target), conditional_variance(z // 2, target))  # pairs of answers become one"
        ),
    ),
    questions={"smaller": CHANGES, "renamed": CHANGES, "merged": CHANGES, "constant": CHANGES},
    reference={"smaller": "stays", "renamed": "stays", "merged": "grows", "constant": "grows"},
    mistakes=(
        Mistake(
            "everything harms",
            {"smaller": "grows", "renamed": "grows", "merged": "grows", "constant": "grows"},
            "as long as different answers stay different, the best predictor gives each its own mean, whatever the answers are "
            "called and however small their differences are.",
        ),
        Mistake(
            "smaller is less",
            {"smaller": "grows"},
            "smaller: the best predictor answers a small difference with a large one, so nothing is lost. A predictor that is "
            "learned has to keep up with such a change, and that is another question.",
        ),
        Mistake(
            "names count",
            {"renamed": "grows"},
            "renamed: the predictor is a table, and its rows only get other names.",
        ),
        Mistake(
            "a small loss",
            {"merged": "stays"},
            "merged: two groups of pictures now get one prediction, which lies between their two means and fits both worse.",
        ),
        Mistake(
            "the constant is the best",
            {"constant": "stays"},
            "constant: the loss of *agreement* is lowest there. The conditional variance is at its largest: nothing is known.",
        ),
    ),
    praise="right: only what z tells apart counts, not its scale or its names.",
)


# --- five predictors ----------------------------------------------------------------------------

PREDICTORS = Exercise(
    id="04-predictors",
    title="Five predictors",
    kind="predict",
    difficulty=2,
    minutes=4,
    hints=(
        (
            "A predictor can only help if it answers to what the online network gives it at this moment. Which of "
            "the four can follow while the online network changes, and how fast?"
        ),
        (
            "Sort them: no predictor cannot differ from its input; a fixed one never follows; a trained matrix "
            "follows at the common learning rate; the optimal one is computed anew in each step. Six epochs are "
            "short."
        ),
        (
            "# how many weights of each predictor learn? The optimal one is set anew in each step instead\n"
            "for name in ('identity', 'linear', 'fixed', 'optimal'):\n"
            "    q = bt.BYOL(config.replace(predictor=name), 32).predictor\n"
            "    print(name, sum(w.numel() for w in q.parameters() if w.requires_grad))"
        ),
    ),
    questions={"none": LEARNS, "linear": LEARNS, "fixed": LEARNS, "optimal": LEARNS},
    reference={"none": "learns nothing", "linear": "learns nothing", "fixed": "learns nothing", "optimal": "learns"},
    mistakes=(
        Mistake(
            "any predictor is enough",
            {"none": "learns nothing", "linear": "learns", "fixed": "learns", "optimal": "learns"},
            "the two sides then differ, but that is not enough: a predictor that does not keep up with the online network is a "
            "detour on the way to the constant.",
        ),
        Mistake(
            "the target is enough",
            {"none": "learns", "linear": "learns", "fixed": "learns", "optimal": "learns"},
            "the target follows the online network. If both may give the constant answer, they get there together, only more slowly.",
        ),
        Mistake(
            "none learns",
            {"none": "learns"},
            "none: without a predictor both sides may give the constant answer, and nothing stops them. A slow target only "
            "delays it.",
        ),
        Mistake(
            "the optimal one does not",
            {"optimal": "learns nothing"},
            "optimal: it is computed anew in every step, so it always fits what the online network gives now. If a predictor can "
            "help at all, this one can.",
        ),
        Mistake(
            "the fixed one",
            {"fixed": "learns"},
            "fixed: it makes the two sides differ, but it does not follow the online network: it is a detour on the way to the "
            "constant.",
        ),
        Mistake(
            "the trained matrix",
            {"linear": "learns"},
            "linear: it follows, but is it fast enough? In six epochs with the common learning rate a matrix does not catch up with "
            "the online network.",
        ),
    ),
    praise="right: what counts is whether the predictor keeps up.",
)


# --- an alignment -------------------------------------------------------------------------------


def _alignment_by(direction: Callable, absolute: bool = True) -> Callable:
    def alignment(W: Tensor, C: Tensor, k: int) -> Tensor:
        _, u = torch.linalg.eigh(C)
        found = [F.cosine_similarity(W @ direction(u, j), direction(u, j), dim=0) for j in range(k)]
        return torch.stack([c.abs() if absolute else c for c in found]).mean()

    return alignment


_alignment = _alignment_by(lambda u, j: u[:, -1 - j])


def _squared_cosines(W: Tensor, C: Tensor, k: int) -> Tensor:
    u = torch.linalg.eigh(C)[1]
    return F.cosine_similarity(W @ u, u, dim=0).flip(0)[:k].square().mean()


def _other_side(W: Tensor, C: Tensor, k: int) -> Tensor:
    return _alignment(W.T, C, k)


def _correlations() -> list[tuple]:
    """Return (W, C, k) three times: W with C's eigenvectors and one negative eigenvalue, then a random W for k = 2 and 4."""
    g = torch.Generator().manual_seed(4)
    u = torch.linalg.qr(torch.randn(6, 6, generator=g)).Q
    C = (u * torch.tensor([8.0, 4.0, 2.0, 1.0, 0.5, 0.1])) @ u.T
    same = (u * torch.tensor([3.0, -2.0, 1.0, 0.5, 0.2, 0.1])) @ u.T
    return [(same, C, 3), (torch.randn(6, 6, generator=g), C, 2), (torch.randn(6, 6, generator=g), C, 4)]


ALIGNMENT = Exercise(
    id="04-alignment",
    title="A measure that never says 1",
    kind="find the bug",
    difficulty=2,
    minutes=10,
    core=False,
    hints=(
        "Is an eigenvector a row of u, or a column? Try it: C @ v must be a multiple of v.",
        (
            "torch.linalg.eigh gives C = u @ diag(s) @ u.T with the eigenvectors in columns, the eigenvalues in "
            "ascending order."
        ),
        ("largest = u[:, -1]  # the eigenvector of the largest eigenvalue\nsecond = u[:, -2]"),
    ),
    cases=_correlations,
    reference=_alignment,
    mistakes=(
        Mistake(
            "unchanged",
            _alignment_by(lambda u, j: u[-1 - j]),
            "for a W with exactly the eigenvectors of C it gives less than 1. Are the directions that it uses eigenvectors at "
            "all?",
        ),
        Mistake(
            "the smallest directions",
            _alignment_by(lambda u, j: u[:, j]),
            "these are eigenvectors now, but those of the *smallest* eigenvalues: eigh gives them in ascending order.",
        ),
        Mistake(
            "rows, and the smallest",
            _alignment_by(lambda u, j: u[j]),
            "still rows of u, and now from the other end.",
        ),
        Mistake(
            "the sign counts",
            _alignment_by(lambda u, j: u[:, -1 - j], absolute=False),
            "a W that reverses a direction also keeps it in place: the given code took the absolute value.",
        ),
        Mistake(
            "a sum",
            lambda W, C, k: k * _alignment(W, C, k),
            "the mean over the k directions was lost: for k directions that are kept exactly this gives k, not 1.",
        ),
        Mistake(
            "all directions",
            lambda W, C, k: _alignment(W, C, len(C)),
            "all directions of C were taken, but only the k with the largest eigenvalues are asked for.",
        ),
        Mistake(
            "squared cosines",
            _squared_cosines,
            "the directions are right now, but the cosines are squared: their absolute value is asked for.",
        ),
        Mistake(
            "W transposed",
            _other_side,
            "the directions are right now, but they go through W from the other side: p = W z, so W @ u, not u @ W.",
        ),
        Mistake(
            "columns of both",
            lambda W, C, k: F.cosine_similarity(W, C, dim=0).abs()[:k].mean(),
            "the columns of W are compared with those of C. Compare W u with u, for eigenvectors u of C.",
        ),
    ),
    praise="right: columns. For W with the eigenvectors of C it is 1, for a random W small.",
)


# --- DirectPred ---------------------------------------------------------------------------------


def _direct(
    C: Tensor, epsilon: float, root: bool = True, relative: bool = True, inside: bool = False, turned: bool = False
) -> Tensor:
    s, u = torch.linalg.eigh(C)
    s = s.clamp(min=0)
    s = s / s.max() if relative else s
    if inside:
        s = s + epsilon
    p = s.sqrt() if root else s
    p = p if inside else p + epsilon
    return (u.T * p) @ u if turned else (u * p) @ u.T


def _scaled(C: Tensor, epsilon: float) -> Tensor:
    s, u = torch.linalg.eigh(C)
    root = s.clamp(min=0).sqrt()
    return (u * (root + epsilon * root.max())) @ u.T


def _equation_18(C: Tensor, epsilon: float) -> Tensor:
    s, u = torch.linalg.eigh(C)
    s = s.clamp(min=0)
    return (u * (s.sqrt() + epsilon * s.max())) @ u.T


def _not_clamped(C: Tensor, epsilon: float) -> Tensor:
    s, u = torch.linalg.eigh(C)
    return (u * ((s / s.max()).sqrt() + epsilon)) @ u.T


def _backwards(C: Tensor, epsilon: float) -> Tensor:
    s, u = torch.linalg.eigh(C)
    s = s.clamp(min=0)
    return (u * ((s / s.max()).sqrt().flip(0) + epsilon)) @ u.T


def _of_the_trace(C: Tensor, epsilon: float) -> Tensor:
    s, u = torch.linalg.eigh(C)
    s = s.clamp(min=0)
    return (u * ((s / s.sum()).sqrt() + epsilon)) @ u.T


def _root_over_largest(C: Tensor, epsilon: float) -> Tensor:
    s, u = torch.linalg.eigh(C)
    s = s.clamp(min=0)
    return (u * (s.sqrt() / s.max() + epsilon)) @ u.T


def _direct_cases() -> list[tuple]:
    g = torch.Generator().manual_seed(6)
    z = torch.randn(40, 5, generator=g) * torch.tensor([3.0, 2.0, 1.0, 0.5, 0.1])
    z = z @ torch.linalg.qr(torch.randn(5, 5, generator=g)).Q
    flat = z[:, :1] @ torch.randn(1, 4, generator=g)  # has rank 1, so eigenvalues are 0, or just below it by rounding
    return [(z.T @ z / 40, 0.1), (z.T @ z / 40, 0.3), (flat.T @ flat / 40, 0.1)]


DIRECTPRED = Exercise(
    id="04-directpred",
    title="A predictor without training",
    kind="implement",
    difficulty=2,
    minutes=12,
    core=False,
    hints=(
        "C and W have the same eigenvectors. Only the eigenvalues differ: which function of s gives p?",
        (
            "s, u = torch.linalg.eigh(C), and s.clamp(min=0), since rounding may make an eigenvalue slightly "
            "negative. Make the vector p from s; then U diag(p) Uᵀ is (u * p) @ u.T."
        ),
        ("s, u = torch.linalg.eigh(C)\ns = s.clamp(min=0)\np = (s / s.max()).sqrt()  # and ε\n# W = U diag(p) Uᵀ"),
    ),
    cases=_direct_cases,
    reference=_direct,
    tolerance=1e-3,
    mistakes=(
        Mistake(
            "no root",
            lambda C, e: _direct(C, e, root=False),
            "the root is missing: p_j goes with √s_j. Without it, the predictor answers small directions far too weakly.",
        ),
        Mistake(
            "right but for its scale",
            _scaled,
            "√s + ε max √s has the right eigenvectors and ratios, but it grows with the projections. Here, as in the authors' code, "
            "the formula is √(s / max s) + ε: divide by √(max s), so that the largest is 1 + ε.",
        ),
        Mistake(
            "equation 18",
            _equation_18,
            "√s + ε max s is the paper's equation 18, which is the formula asked for only where max s is 1. Here, as in the authors' "
            "code, s is divided by its largest first: √(s / max s) + ε.",
        ),
        Mistake(
            "not clamped",
            _not_clamped,
            "a part of it is NaN: by rounding, an eigenvalue that should be 0 can be slightly negative, and has no root. Bring those to 0 "
            "first.",
            when=lambda seen, wanted: any(not torch.as_tensor(W).isfinite().all() for W in seen),
        ),
        Mistake(
            "eigenvalues backwards",
            _backwards,
            "the p are in the opposite order of their eigenvectors: eigh gives both in ascending order, so leave them as they are.",
        ),
        Mistake(
            "only the numerator's root",
            _root_over_largest,
            "the root was taken of s_j alone: it is the root of the ratio, √(s_j / max s).",
        ),
        Mistake(
            "relative to the sum",
            _of_the_trace,
            "s was divided by the sum of the eigenvalues, not by the largest one.",
        ),
        Mistake(
            "not relative",
            lambda C, e: _direct(C, e, relative=False),
            "s was not divided by the largest eigenvalue: W would grow with the projections.",
        ),
        Mistake(
            "ε inside the root",
            lambda C, e: _direct(C, e, inside=True),
            "ε was added before the root was taken; it is added to the root.",
        ),
        Mistake("no ε", lambda C, e: _direct(C, 0.0), "ε is missing: a direction with s = 0 could never come back."),
        Mistake(
            "turned round",
            lambda C, e: _direct(C, e, turned=True),
            "the eigenvalues of W are right, but not its eigenvectors: C = U diag(s) Uᵀ with the eigenvectors in the "
            "*columns* of U.",
        ),
        Mistake(
            "the correlation itself",
            lambda C, e: C,
            "that is C itself. Decompose it, change its eigenvalues and compose it again.",
        ),
    ),
    praise="right: it is aligned by construction, and none of it was learned.",
)


# --- the dynamics -------------------------------------------------------------------------------


def _velocity(p: Number, s: Number, tau: float, eta: float, alpha: float, noise: float) -> tuple[Number, Number]:
    pull = tau - (1 + noise) * p
    return alpha * s * pull - eta * p, 2 * p * s * pull - 2 * eta * s


def _with(change: Callable) -> Callable:
    """Return the velocity whose arguments were first changed by `change`."""
    return lambda *args: _velocity(*change(*args))


def _no_two(p: Number, s: Number, tau: float, eta: float, alpha: float, noise: float) -> tuple[Number, Number]:
    pull = tau - (1 + noise) * p
    return alpha * s * pull - eta * p, p * s * pull - eta * s


def _eta_once(p: Number, s: Number, tau: float, eta: float, alpha: float, noise: float) -> tuple[Number, Number]:
    pull = tau - (1 + noise) * p
    return alpha * s * pull - eta * p, 2 * p * s * pull - eta * s


def _no_p(p: Number, s: Number, tau: float, eta: float, alpha: float, noise: float) -> tuple[Number, Number]:
    pull = tau - (1 + noise) * p
    return alpha * s * pull - eta * p, 2 * s * pull - 2 * eta * s


def _growing(p: Number, s: Number, tau: float, eta: float, alpha: float, noise: float) -> tuple[Number, Number]:
    pull = tau - (1 + noise) * p
    return alpha * s * pull + eta * p, 2 * p * s * pull + 2 * eta * s


def _noise_on_target(p: Number, s: Number, tau: float, eta: float, alpha: float, noise: float) -> tuple[Number, Number]:
    pull = tau * (1 + noise) - p
    return alpha * s * pull - eta * p, 2 * p * s * pull - 2 * eta * s


def _alpha_on_both(p: Number, s: Number, tau: float, eta: float, alpha: float, noise: float) -> tuple[Number, Number]:
    dp, _ = _velocity(p, s, tau, eta, alpha, noise)
    return dp, 2 * alpha * p * s * (tau - (1 + noise) * p) - 2 * eta * s


DYNAMICS = Exercise(
    id="04-dynamics",
    title="How one direction moves",
    kind="implement",
    difficulty=1,
    minutes=6,
    core=False,
    hints=(
        "Both contain the same bracket. Compute it once.",
        (
            "pull = τ̂ − (1 + noise)·p stands in both. The first equation has α before it, the second 2 p; weight "
            "decay is η p in the first and 2 η s in the second, both with a minus."
        ),
        (
            "pull = tau - (1 + noise) * p\n"
            "dp = alpha * s * pull - eta * p\n"
            "# ds: the factor 2 stands before both of its terms"
        ),
    ),
    cases=lambda: [
        (0.3, 0.8, 1.0, 0.05, 1.0, 0.1),
        (0.9, 0.2, 0.7, 0.2, 5.0, 0.5),
        (torch.linspace(0, 1, 4), torch.full((4,), 0.5), 1.0, 0.1, 2.0, 0.2),
    ],
    observe=lambda velocity, *args: list(velocity(*args)),
    reference=_velocity,
    mistakes=(
        Mistake("no factor 2", _no_two, "dp/dt is right; ds/dt has a factor 2 before both of its terms."),
        Mistake("weight decay once", _eta_once, "the weight decay of s is 2 η s: s is quadratic in the weights."),
        Mistake("without p", _no_p, "the pull on s is multiplied by p: where nothing is predicted, nothing grows."),
        Mistake("weight decay that grows", _growing, "weight decay pulls towards 0: both its terms have a minus."),
        Mistake(
            "noise on the target",
            _noise_on_target,
            "the noise σ² belongs to p, not to τ̂: it makes the input of the predictor larger than what can be predicted.",
        ),
        Mistake(
            "the noise is missing",
            _with(lambda p, s, tau, eta, alpha, noise: (p, s, tau, eta, alpha, 0.0)),
            "the bracket is τ̂ − (1 + σ²) p; σ² was not used.",
        ),
        Mistake("α on both", _alpha_on_both, "α is the predictor's rate: it stands before the change of p only."),
        Mistake(
            "the other way round",
            lambda *args: _velocity(*args)[::-1],
            "the two are exchanged: first the change of p, then that of s.",
        ),
    ),
    praise="right. Where does s stand still, if it is not 0?",
)


# --- table 21 -----------------------------------------------------------------------------------

TABLE_21 = Exercise(
    id="04-table-21",
    title="Without a moving average",
    kind="predict",
    difficulty=2,
    minutes=3,
    hints=(
        ("The same question as for the five predictors: which of these predictors keeps up with the online network?"),
        (
            "λ = 0 is a predictor that does not learn at all; you have seen one. SimSiam has no moving average "
            "and the usual rate: what did it find?"
        ),
        (
            'print(in_the_ledger("no_ema_predictor_lr_0"), in_the_ledger("no_ema"), '
            'in_the_ledger("no_ema_predictor_lr_10"))'
        ),
    ),
    questions={"rate_0": LEARNS, "rate_1": LEARNS, "rate_10": LEARNS},
    reference={"rate_0": "learns nothing", "rate_1": "learns", "rate_10": "learns"},
    mistakes=(
        Mistake(
            "the paper's answer",
            {"rate_0": "learns nothing", "rate_1": "learns nothing", "rate_10": "learns"},
            "that is what the paper found on ImageNet: 5.5 % for the usual rate. Here, as in SimSiam, the usual rate is enough.",
        ),
        Mistake(
            "nothing without a moving average",
            {"rate_0": "learns nothing", "rate_1": "learns nothing", "rate_10": "learns nothing"},
            "the moving average is not what makes the gradient leave the spread alone; the predictor and the stop-gradient are.",
        ),
        Mistake(
            "without learning",
            {"rate_0": "learns"},
            "rate_0: λ = 0 is a predictor that does not learn, the fixed one of the first table, which learned nothing even with a "
            "slow target.",
        ),
        Mistake(
            "the fast one fails",
            {"rate_10": "learns nothing"},
            "rate_10: the faster the predictor, the better it keeps up with the online network.",
        ),
    ),
    praise="right: a predictor that keeps up, and a stop-gradient.",
)


# --- beyond the lesson --------------------------------------------------------------------------


def _limit(tau: float, noise: float) -> float:
    return tau**2 / (4 * (1 + noise))


LIMIT = Exercise(
    id="04-limit",
    title="Too much weight decay",
    kind="extend",
    difficulty=3,
    minutes=15,
    core=False,
    hints=(
        "With s > 0, at rest: set ds/dt = 0 and divide by 2 s. What is left?",
        ("With s > 0, ds/dt = 0 means p (τ̂ − (1 + σ²) p) = η. The left side is a parabola in p: how high is its top?"),
        (
            "p = torch.linspace(0, 1, 1001)\n"
            "print((p * (tau - (1 + noise) * p)).max())  # the top by numbers: now by a formula\n"
            "# the derivative tau - 2 (1 + noise) p is 0 at the top"
        ),
    ),
    cases=lambda: [(1.0, 0.0), (1.0, 0.5), (0.6, 0.2)],
    reference=_limit,
    mistakes=(
        Mistake(
            "where the top is",
            lambda tau, noise: tau / (2 * (1 + noise)),
            "that is the p at which the parabola has its top. How high is it there?",
        ),
        Mistake(
            "where the pull ends",
            lambda tau, noise: tau / (1 + noise),
            "that is the p at which the pull is 0. With weight decay, s needs a pull that is larger than nothing.",
        ),
        Mistake(
            "noise forgotten",
            lambda tau, noise: tau**2 / 4,
            "this is right without noise. With noise, the parabola is p (τ̂ − (1 + σ²) p).",
        ),
        Mistake(
            "factor 2",
            lambda tau, noise: tau**2 / (2 * (1 + noise)),
            "twice as much: put p = τ̂ / (2 (1 + σ²)) into p (τ̂ − (1 + σ²) p) once more.",
        ),
        Mistake(
            "not a quarter",
            lambda tau, noise: tau**2 / (1 + noise),
            "four times too large: at the top of the parabola, p is half of where the pull ends, and the pull is half of τ̂.",
        ),
        Mistake(
            "noise squared", lambda tau, noise: tau**2 / (4 * (1 + noise) ** 2), "1 + σ² comes in once, not squared."
        ),
    ),
    praise="right: above it no direction survives, wherever it starts. Compare with the slider of the panel.",
)


EXERCISES = (SPHERE, RUNGS, BEST, COUNTS, PREDICTORS, TABLE_21, ALIGNMENT, DYNAMICS, DIRECTPRED, LIMIT)
