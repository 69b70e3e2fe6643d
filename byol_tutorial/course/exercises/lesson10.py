"""Exercises of lesson 10, DINO and its relatives."""

import torch
from torch import Tensor

from ...methods.dino import dino_loss
from .record import Exercise, Mistake

# --- centring and sharpening --------------------------------------------------------------------


def _teachers() -> list[tuple]:
    g = torch.Generator().manual_seed(10)
    return [
        (torch.randn(n, k, generator=g) / 3 + 0.2, torch.randn(k, generator=g) / 5, t, m)
        for n, k, t, m in ((6, 5, 0.1, 0.9), (3, 8, 0.04, 0.6))
    ]


def _sort(scores: Tensor, center: Tensor, temperature: float, momentum: float) -> tuple[Tensor, Tensor]:
    return ((scores - center) / temperature).softmax(1), momentum * center + (1 - momentum) * scores.mean(0)


SORT = Exercise(
    id="10-sort",
    title="Centring and sharpening",
    kind="implement",
    difficulty=1,
    minutes=8,
    hints=(
        (
            "Two results. What do all pictures agree on, and what is it subtracted from? Then: how does a moving "
            "average take in a new value?"
        ),
        (
            "Subtract first, then divide: the centre is a mean of scores. The softmax goes over the prototypes. "
            "The new centre is much of the old, and a little of this batch's mean over the pictures."
        ),
        (
            "probabilities = ((scores - center) / temperature).softmax(dim=1)\n"
            "mean = scores.mean(dim=0)  # (K,), of this batch\n"
            "# the new centre: momentum is the share of the old one"
        ),
    ),
    cases=_teachers,
    reference=_sort,
    mistakes=(
        Mistake(
            "centre added",
            lambda s, c, t, m: (((s + c) / t).softmax(1), _sort(s, c, t, m)[1]),
            "the centre is added: what all pictures agree on grows instead of being taken away.",
        ),
        Mistake(
            "not centred",
            lambda s, c, t, m: ((s / t).softmax(1), _sort(s, c, t, m)[1]),
            "the centre plays no part in the probabilities.",
        ),
        Mistake(
            "centre outside of the temperature",
            lambda s, c, t, m: ((s / t - c).softmax(1), _sort(s, c, t, m)[1]),
            "the centre is subtracted after dividing by the temperature; it is a mean of scores, so both are divided.",
        ),
        Mistake(
            "softmax over the batch",
            lambda s, c, t, m: (((s - c) / t).softmax(0), _sort(s, c, t, m)[1]),
            "columns sum to 1, not rows: the softmax goes over the prototypes, dim=1.",
        ),
        Mistake(
            "multiplied by the temperature",
            lambda s, c, t, m: (((s - c) * t).softmax(1), _sort(s, c, t, m)[1]),
            "multiplied by the temperature: a low one would soften. Divide.",
        ),
        Mistake(
            "momentum the wrong way",
            lambda s, c, t, m: (_sort(s, c, t, m)[0], (1 - m) * c + m * s.mean(0)),
            "m and 1 − m are exchanged: the centre would follow the last batch.",
        ),
        Mistake(
            "a sum over the batch",
            lambda s, c, t, m: (_sort(s, c, t, m)[0], m * c + (1 - m) * s.sum(0)),
            "the probabilities are right. The new centre takes in the *mean* over the pictures, not the sum, which grows with the batch.",
        ),
        Mistake(
            "only the batch's mean",
            lambda s, c, t, m: (_sort(s, c, t, m)[0], s.mean(0)),
            "the probabilities are right. The new centre is a moving average: most of the old one stays.",
        ),
        Mistake(
            "mean of the probabilities",
            lambda s, c, t, m: (_sort(s, c, t, m)[0], m * c + (1 - m) * _sort(s, c, t, m)[0].mean(0)),
            "the probabilities are right. The centre is a mean of *scores*, not of probabilities.",
        ),
        Mistake(
            "mean of centred scores",
            lambda s, c, t, m: (_sort(s, c, t, m)[0], m * c + (1 - m) * (s - c).mean(0)),
            "the probabilities are right. The centre takes in the mean of the scores as they are, not of the centred ones.",
        ),
        Mistake(
            "exchanged",
            lambda s, c, t, m: _sort(s, c, t, m)[::-1],
            "the two results are exchanged: first the probabilities, then the new centre.",
        ),
        Mistake(
            "logarithms",
            lambda s, c, t, m: (((s - c) / t).log_softmax(1), _sort(s, c, t, m)[1]),
            "these are logarithms of the probabilities: softmax, not log_softmax.",
        ),
        Mistake(
            "the new centre already",
            lambda s, c, t, m: (_sort(s, _sort(s, c, t, m)[1], t, m)[0], _sort(s, c, t, m)[1]),
            "this batch is centred by a centre that it has changed itself. The paper uses the old one, and moves it afterwards.",
        ),
        Mistake(
            "the centre stays",
            lambda s, c, t, m: (_sort(s, c, t, m)[0], c),
            "the probabilities are right, but the centre is returned as it was: it moves a little towards the mean of this batch's scores.",
        ),
    ),
    praise="right. The next cells look at what such a teacher makes of the pictures.",
)


# --- the two collapses --------------------------------------------------------------------------

_IN_USE = ("about one", "some", "nearly all")
_LOSS = ("near 0", "between", "near ln K")
_BOTH = {
    "no_centring_in_use": "about one",
    "no_centring_loss": "near 0",
    "no_sharpening_in_use": "nearly all",
    "no_sharpening_loss": "near ln K",
}

COLLAPSE = Exercise(
    id="10-collapse",
    title="One force alone",
    kind="predict",
    difficulty=2,
    minutes=5,
    hints=(
        (
            "Sharpening makes the largest score even larger, whichever prototype it belongs to. Centring takes "
            "away what all share, and adds nothing. Where does each of them end, alone?"
        ),
        (
            "What is the cross entropy of a choice that is certain, for teacher and student alike? And of one "
            "that is even over K prototypes?"
        ),
        (
            "K = 64\n"
            "for p in (torch.eye(K)[0], torch.full((K,), 1 / K)):  # all on one, and even\n"
            "    print(float(-(p * p.clamp(min=1e-12).log()).sum()))"
        ),
    ),
    questions={
        "no_centring_in_use": _IN_USE,
        "no_centring_loss": _LOSS,
        "no_sharpening_in_use": _IN_USE,
        "no_sharpening_loss": _LOSS,
    },
    reference=_BOTH,
    mistakes=(
        Mistake(
            "exchanged",
            {
                "no_centring_in_use": "nearly all",
                "no_centring_loss": "near ln K",
                "no_sharpening_in_use": "about one",
                "no_sharpening_loss": "near 0",
            },
            "the other way round: sharpening, left alone, puts all weight on one prototype; centring, left alone, evens out.",
        ),
        Mistake(
            "no centring keeps many",
            {"no_centring_in_use": "nearly all"},
            "no_centring_in_use: sharpening makes the largest score larger, and nothing takes away what all pictures share, so one "
            "prototype wins more and more pictures.",
        ),
        Mistake(
            "no centring keeps some",
            {"no_centring_in_use": "some"},
            "no_centring_in_use: nothing holds sharpening back, so it does not stop half way: which prototype loses a picture to a larger one?",
        ),
        Mistake(
            "the loss of a collapse is always large",
            {"no_centring_loss": "near ln K"},
            "no_centring_loss: all weight on one prototype, for teacher and student: the cross entropy of that is 0.",
        ),
        Mistake(
            "a certain answer costs something",
            {"no_centring_loss": "between"},
            "no_centring_loss: if teacher and student always choose the same prototype and are certain of it, what is left to pay?",
        ),
        Mistake(
            "no sharpening leaves one",
            {"no_sharpening_in_use": "about one"},
            "no_sharpening_in_use: centring takes away what all pictures share, so no prototype can take them all.",
        ),
        Mistake(
            "no sharpening leaves some",
            {"no_sharpening_in_use": "some"},
            "no_sharpening_in_use: nothing gives the teacher contrast, so its answers even out over all prototypes.",
        ),
        Mistake(
            "the loss of a collapse is always small",
            {"no_sharpening_loss": "near 0"},
            "no_sharpening_loss: all prototypes alike is agreement, but it is not free: the cross entropy of two even distributions is ln K.",
        ),
        Mistake(
            "an even answer costs less",
            {"no_sharpening_loss": "between"},
            "no_sharpening_loss: the cross entropy of two even distributions over K is as large as it can be. How large is that?",
        ),
    ),
    praise="right: two opposite collapses, and each force holds the other back.",
)


# --- pairs --------------------------------------------------------------------------------------


def _views() -> list[tuple]:
    g = torch.Generator().manual_seed(11)
    return [
        ([torch.randn(n, k, generator=g).softmax(1) for _ in range(2)],
         [torch.randn(n, k, generator=g).log_softmax(1) for _ in range(2 + local)])
        for n, k, local in ((5, 6, 3), (4, 3, 0))
    ]  # fmt: skip


def _every_pair(teacher: list[Tensor], log_student: list[Tensor]) -> Tensor:
    pairs = [(t, s) for t in teacher for s in log_student]
    return torch.stack([-(t * s).sum(1).mean() for t, s in pairs]).mean()


def _local_only(teacher: list[Tensor], log_student: list[Tensor]) -> Tensor:
    pairs = [(t, s) for t in teacher for s in log_student[len(teacher) :]] or [(teacher[0], log_student[1])]
    return torch.stack([-(t * s).sum(1).mean() for t, s in pairs]).mean()


def _pairs_after(teacher: list[Tensor], log_student: list[Tensor]) -> Tensor:
    pairs = [(t, s) for i, t in enumerate(teacher) for s in log_student[i + 1 :]]
    return torch.stack([-(t * s).sum(1).mean() for t, s in pairs]).mean()


SAME_VIEW = Exercise(
    id="10-same-view",
    title="Which views are compared",
    kind="find the bug",
    difficulty=1,
    minutes=6,
    hints=(
        (
            "The first of the teacher's views and the first of the student's are the same picture, cut and "
            "coloured alike. What can be learned from that pair?"
        ),
        (
            "enumerate() both loops, and leave a pair out if both numbers are the same. Count only the pairs that "
            "you add."
        ),
        (
            "for i, t in enumerate(teacher):\n"
            "    for j, s in enumerate(log_student):\n"
            "        if i != j:\n"
            "            ...  # add the pair, and count it"
        ),
    ),
    cases=_views,
    trains={"log_student": 1},
    as_trained=lambda scores: scores.log_softmax(1),
    reference=dino_loss,
    mistakes=(
        Mistake(
            "unchanged",
            _every_pair,
            "this is the code as it was given: each global view is also compared with itself, and two of the pairs ask for nothing that "
            "views have in common.",
        ),
        Mistake(
            "divided by all pairs",
            lambda teacher, student: dino_loss(teacher, student) * (1 - 1 / len(student)),
            "the pairs are right, but the sum is divided by the number of all of them, those of a view with itself included.",
        ),
        Mistake(
            "local views alone",
            _local_only,
            "the two global views are compared with each other as well, crosswise.",
        ),
        Mistake(
            "the sign",
            lambda teacher, student: -dino_loss(teacher, student),
            "the minus was lost: the loss is −Σ P ln P′, at least 0.",
        ),
        Mistake(
            "a view with itself only",
            lambda teacher, student: (
                sum(-(t * s).sum(1).mean() for t, s in zip(teacher, student, strict=False)) / len(teacher)
            ),
            "the condition is turned: only the pairs of a view with itself are left. They are the ones to leave out.",
        ),
        Mistake(
            "each pair once",
            _pairs_after,
            "only pairs i < j are compared. The teacher's second global view must also meet the student's first.",
        ),
        Mistake(
            "a sum",
            lambda teacher, student: dino_loss(teacher, student) * len(teacher) * (len(student) - 1),
            "this is a sum over the pairs, so with more local views the steps would grow. Take the mean.",
        ),
    ),
    praise="right: G · (G + L − 1) pairs.",
)


# --- Sinkhorn-Knopp -----------------------------------------------------------------------------


def _scores() -> list[tuple]:
    g = torch.Generator().manual_seed(12)
    return [(torch.randn(n, k, generator=g) / 4, t, i) for n, k, t, i in ((8, 4, 0.2, 3), (5, 6, 0.1, 2))]


def _sinkhorn(
    scores: Tensor,
    temperature: float,
    iterations: int,
    columns: bool = True,
    rows: bool = True,
    rows_first: bool = False,
    share: bool = True,
) -> Tensor:
    q = ((scores - scores.max()) / temperature).exp()
    n, k = q.shape
    for _ in range(iterations):
        for step in ("rows", "columns") if rows_first else ("columns", "rows"):
            if step == "columns" and columns:
                q = q / q.sum(0) * (n / k if share else 1)
            if step == "rows" and rows:
                q = q / q.sum(1, keepdim=True)
    return q


SINKHORN = Exercise(
    id="10-sinkhorn",
    title="Sinkhorn-Knopp",
    kind="extend",
    difficulty=2,
    minutes=10,
    core=False,
    hints=(
        "N pictures in all, K prototypes: what must a column sum to, and what a row?",
        (
            "Begin with the exponential of scores / temperature. Divide each column by its sum and multiply by "
            "N/K; divide each row by its sum (keepdim); repeat both."
        ),
        (
            "q = (scores / temperature).exp()\n"
            "q = q / q.sum(dim=0) * (n / k)  # columns\n"
            "q = q / q.sum(dim=1, keepdim=True)  # rows: one turn, of `iterations`"
        ),
    ),
    cases=_scores,
    reference=_sinkhorn,
    mistakes=(
        Mistake(
            "a softmax",
            lambda s, t, i: (s / t).softmax(1),
            "that is a softmax of each row: rows sum to 1, but nothing makes the columns even.",
        ),
        Mistake(
            "rows first",
            lambda s, t, i: _sinkhorn(s, t, i, rows_first=True),
            "columns come last here, so rows do not sum to 1 and are not probabilities. Columns first, rows last.",
        ),
        Mistake(
            "times the temperature",
            lambda s, t, i: _sinkhorn(s, 1 / t, i),
            "the scores were multiplied by the temperature: divide them by it.",
        ),
        Mistake(
            "no temperature",
            lambda s, t, i: _sinkhorn(s, 1.0, i),
            "the temperature was not used.",
        ),
        Mistake(
            "one turn more",
            lambda s, t, i: _sinkhorn(s, t, i + 1),
            "one turn too many: `iterations` turns of columns and rows.",
        ),
        Mistake(
            "one turn less",
            lambda s, t, i: _sinkhorn(s, t, i - 1),
            "one turn is missing: `iterations` turns of columns and rows.",
        ),
        Mistake(
            "columns alone",
            lambda s, t, i: _sinkhorn(s, t, i, rows=False),
            "only the columns are scaled: a row does not sum to 1.",
        ),
        Mistake(
            "once",
            lambda s, t, i: _sinkhorn(s, t, 1),
            "this is one turn, whatever `iterations` says. But scaling the rows spoils the columns again, so it must be repeated.",
        ),
        Mistake(
            "a softmax of the columns",
            lambda s, t, i: (s / t).softmax(0),
            "that is a softmax of each column: columns sum to 1, and rows to nothing in particular. Columns to N/K, rows to 1, in turn.",
        ),
    ),
    praise="right. Rows sum to 1 exactly; columns get closer to N/K with each turn.",
)


# --- counting -----------------------------------------------------------------------------------


def _count(G: int, L: int) -> tuple[int, float]:
    return G * (G + L - 1), G * L / (G * (G + L - 1))


COUNT = Exercise(
    id="10-count",
    title="How many pairs",
    kind="implement",
    difficulty=1,
    minutes=5,
    core=False,
    hints=(
        "Draw them: the teacher's views on one side, the student's on the other. Which lines are missing?",
        ("Each of the teacher's G views meets all G + L views of the student's, except itself. Of those, L are local."),
        (
            "each = G + L - 1  # partners of one of the teacher's views: all of the student's but itself\n"
            "local = L  # of these\n"
            "# there are G of the teacher's"
        ),
    ),
    cases=lambda: [(2, 8), (2, 0), (3, 4)],
    reference=_count,
    mistakes=(
        Mistake(
            "a view with itself",
            lambda G, L: (G * (G + L), L / (G + L)),
            "a view is not compared with itself: G + L − 1 for each of the teacher's.",
        ),
        Mistake(
            "pairs without order",
            lambda G, L: ((G + L) * (G + L - 1) // 2, 1 - G * (G - 1) / ((G + L) * (G + L - 1))),
            "those are all pairs of views. The teacher does not see the local ones.",
        ),
        Mistake(
            "one view less",
            lambda G, L: (G * (G + L), G * L / (G * (G + L - 1))),
            "the share is right, but the number of pairs counts each view with itself.",
        ),
        Mistake(
            "the share of global pairs",
            lambda G, L: (G * (G + L - 1), 1 - L / (G + L - 1)),
            "that is the share of pairs with a *global* view of the student's.",
        ),
        Mistake(
            "per cent",
            lambda G, L: (G * (G + L - 1), 100 * L / (G + L - 1)),
            "the share is in per cent: give it in [0, 1].",
        ),
        Mistake(
            "exchanged",
            lambda G, L: _count(G, L)[::-1],
            "the two are exchanged: first the number, then the share.",
        ),
        Mistake(
            "the number of local pairs",
            lambda G, L: (G * (G + L - 1), G * L),
            "that is the number of pairs with a local view; the exercise asks for their share.",
        ),
        Mistake(
            "local pairs only",
            lambda G, L: (G * L, 1.0),
            "only the pairs with a local view are counted. The global views are compared with each other as well.",
        ),
    ),
    praise="right: with 2 and 8, 16 of the 18 comparisons are from a part to the whole.",
)

EXERCISES = (SORT, COLLAPSE, SAME_VIEW, SINKHORN, COUNT)
