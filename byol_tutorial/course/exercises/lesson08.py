"""Exercises of lesson 08, what a representation is worth, and how one can be wrong about it."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .record import Exercise, Mistake, UnusableError
from .values import ASKS_FOR, kind, tensor

# --- kNN ----------------------------------------------------------------------------------------


def _banks() -> list[tuple]:
    g = torch.Generator().manual_seed(8)
    cases = []
    for n, q, d, k, t in ((40, 12, 3, 5, 0.1), (30, 10, 3, 9, 0.5)):
        bank, query = torch.randn(n, d, generator=g) * torch.rand(n, 1, generator=g) * 4, torch.randn(q, d, generator=g)
        cases.append((bank, torch.randint(3, (n,), generator=g), query, k, t, 3))
    return cases


def _knn(
    bank: Tensor,
    labels: Tensor,
    query: Tensor,
    k: int,
    temperature: float,
    classes: int,
    normalise: bool = True,
    weigh: bool = True,
    largest: bool = True,
) -> Tensor:
    if normalise:
        bank, query = F.normalize(bank, dim=1), F.normalize(query, dim=1)
    similarity, index = (query @ bank.T).topk(k, dim=1, largest=largest)
    weight = ((similarity - similarity.max()) / temperature).exp() if weigh else torch.ones_like(similarity)
    return torch.zeros(len(query), classes).scatter_add_(1, labels[index], weight).argmax(1)


def _times_temperature(bank: Tensor, labels: Tensor, query: Tensor, k: int, temperature: float, classes: int) -> Tensor:
    return _knn(bank, labels, query, k, 1 / temperature, classes)


def _nearest_only(bank: Tensor, labels: Tensor, query: Tensor, k: int, temperature: float, classes: int) -> Tensor:
    return _knn(bank, labels, query, 1, temperature, classes)


def _by_distance(bank: Tensor, labels: Tensor, query: Tensor, k: int, temperature: float, classes: int) -> Tensor:
    distance, index = torch.cdist(query, bank).topk(k, dim=1, largest=False)
    weight = (-distance / temperature).exp()
    return torch.zeros(len(query), classes).scatter_add_(1, labels[index], weight).argmax(1)


def _nearest_position(bank: Tensor, labels: Tensor, query: Tensor, k: int, temperature: float, classes: int) -> Tensor:
    return (F.normalize(query, dim=1) @ F.normalize(bank, dim=1).T).argmax(1)


def _everyone(bank: Tensor, labels: Tensor, query: Tensor, k: int, temperature: float, classes: int) -> Tensor:
    return _knn(bank, labels, query, len(bank), temperature, classes)


KNN = Exercise(
    id="08-knn",
    title="A vote of the neighbours",
    kind="implement",
    difficulty=2,
    minutes=15,
    hints=(
        (
            "Three steps: how near is each query to each of the bank, which k are nearest, and which class has "
            "most of their votes?"
        ),
        (
            "Cosines of all queries with all of the bank: F.normalize both, then query @ bank.T. `.topk(k, "
            "dim=1)` gives values and positions; labels[positions] the classes. Then torch.zeros(Q, "
            "classes).scatter_add_(1, classes_of_neighbours, weights)."
        ),
        (
            "similarity = F.normalize(query, dim=1) @ F.normalize(bank, dim=1).T  # (Q, N)\n"
            "nearest, index = similarity.topk(k, dim=1)  # (Q, k) each\n"
            "# votes: torch.zeros(Q, classes).scatter_add_(1, labels[index], weights), then argmax(1)"
        ),
    ),
    cases=_banks,
    reference=_knn,
    mistakes=(
        Mistake(
            "one neighbour",
            _nearest_only,
            "only the nearest neighbour is asked. Let k of them vote.",
        ),
        Mistake(
            "every vote the same",
            partial(_knn, weigh=False),
            "all k votes count the same. A neighbour's vote weighs exp(cosine / temperature), so near ones count more.",
        ),
        Mistake(
            "no normalisation",
            partial(_knn, normalise=False),
            "these are products, not cosines: long vectors of the bank seem near to everything.",
        ),
        Mistake(
            "times the temperature",
            _times_temperature,
            "the k votes weigh nearly the same: the cosines are multiplied by the temperature instead of divided, or the exponential is "
            "missing.",
        ),
        Mistake(
            "distances",
            _by_distance,
            "nearness is measured by the distance here: a long vector is then far from everything. Use the cosine.",
        ),
        Mistake(
            "positions",
            _nearest_position,
            "these are positions in the bank, not classes: labels[positions] are their classes.",
        ),
        Mistake(
            "everyone votes",
            _everyone,
            "the whole bank votes here, but only the k nearest may.",
        ),
        Mistake(
            "the farthest",
            partial(_knn, largest=False),
            "these are the k farthest. A large cosine is near.",
        ),
    ),
    praise="right: it has no parameters that are fitted, and two that are chosen, k and the temperature. More of that below.",
)


# --- dense tasks --------------------------------------------------------------------------------


DENSE = Exercise(
    id="08-dense",
    title="What is where",
    kind="predict",
    difficulty=2,
    minutes=3,
    hints=(
        "What does the supervised loss ask of a place on the map: which shape there is in the picture, or where its line runs?",
        (
            "y is the mean over the places. If each place, on the ground too, says which shape the picture has, the mean is "
            "right. Which of the three tasks does that help, and which not?"
        ),
        "print(bt.dense_probe(told, train, test))\nprint(bt.dense_probe(byol, train, test))",
    ),
    questions=dict.fromkeys(("classes", "figure", "centre"), ("BYOL", "supervised")),
    reference={"classes": "supervised", "figure": "BYOL", "centre": "BYOL"},
    mistakes=(
        Mistake(
            "pooled accuracy tells all",
            {"classes": "supervised", "figure": "supervised", "centre": "supervised"},
            "that is the order of the linear probe, which sees the mean over all places. Two encoders can have the same mean with "
            "very different maps.",
        ),
        Mistake(
            "labels are of no use",
            {"classes": "BYOL"},
            "classes: a pixel is right only if its shape is named, and that is what the labels have taught.",
        ),
        Mistake(
            "labels tell the border",
            {"figure": "supervised"},
            "figure: the labels name the shape of the whole picture. A place on the ground may name it as well, and no label objects.",
        ),
        Mistake(
            "labels tell the place",
            {"centre": "supervised"},
            "centre: the label is the same wherever the curve lies, so supervised training has no reason to keep its position.",
        ),
    ),
    praise="right: what a loss does not ask for, pooled accuracy does not miss.",
)


# --- a baseline ---------------------------------------------------------------------------------


def _near_enough(answer: dict) -> str | None:
    random, byol = answer["random_encoder"], answer["byol_encoder"]
    if random < 0.75:
        return (
            "random_encoder: its features are not those that shapes need, but pictures of digits, centred and upright, are easy to "
            "tell apart. What would the raw pixels give?"
        )
    if random > 0.97:
        return (
            "random_encoder: that is better than the raw pixels give. Random filters and an average over the picture lose a part of "
            "what the pixels say."
        )
    if byol < 0.85:
        return "byol_encoder: even the raw pixels of such digits give more than that to a linear probe."
    if byol > 0.99:
        return "byol_encoder: that is what networks reach that are trained on digits, with labels. This one has seen only drawn curves."
    if byol < random:
        return (
            "byol_encoder: training on shapes did not make the features worse for other curves, and digits are curves."
        )
    return None


BASELINE = Exercise(
    id="08-baseline",
    title="Digits, by an encoder of shapes",
    kind="predict",
    difficulty=1,
    minutes=3,
    core=False,
    hints=(
        (
            "The digits are 8 × 8 pixels, all of one size, upright and in the middle. Think of the pixels "
            "themselves as features."
        ),
        (
            "A random encoder is a fixed function of the picture, so it keeps much of what the pixels say. A "
            "linear probe on raw pixels of such digits is right for more than nine of ten."
        ),
        (
            "a, b = bt.load('digits'), bt.load('digits', 'test')\n"
            "flat = [digits.images.flatten(1).float() for digits in (a, b)]\n"
            "print(bt.linear_probe(flat[0], a.labels, flat[1], b.labels).accuracy)  # the raw pixels"
        ),
    ),
    questions={"byol_encoder": (0.0, 1.0), "random_encoder": (0.0, 1.0)},
    reference={"byol_encoder": 0.95, "random_encoder": 0.9},
    accept=_near_enough,
    mistakes=(
        Mistake(
            "chance without training",
            {"random_encoder": 0.1},
            "random_encoder: an untrained encoder is not a constant: it is a fixed function of the picture, and a linear probe is trained on "
            "top. Chance is what you get without looking at the picture.",
            when=lambda seen, wanted: seen[0]["random_encoder"] <= 0.2,
        ),
        Mistake(
            "as on shapes",
            {"random_encoder": 0.3},
            "random_encoder: on shapes it is poor, as rotation and colour change what it sees. Digits stand upright.",
            when=lambda seen, wanted: 0.2 < seen[0]["random_encoder"] <= 0.6,
        ),
    ),
    praise="right: most of the accuracy was there before training. A number without this baseline says little.",
)


# --- leakage ------------------------------------------------------------------------------------


def _with_bug(image_of: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    order = torch.randperm(len(image_of), generator=torch.Generator().manual_seed(seed))
    n = round(share * len(order))
    return order[n:], order[:n]


def _by_image(image_of: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    images = image_of.unique()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    held = torch.isin(image_of, images[order[: round(share * len(images))]])
    return (~held).nonzero()[:, 0], held.nonzero()[:, 0]


def _drops_shared(image_of: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    train, test = _with_bug(image_of, share, seed)
    return train[~torch.isin(image_of[train], image_of[test])], test


def _first_images(image_of: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    last = image_of.unique()[-round(share * len(image_of.unique())) :]
    held = torch.isin(image_of, last)
    return (~held).nonzero()[:, 0], held.nonzero()[:, 0]


def _each_by_chance(image_of: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    images = image_of.unique()
    chance = torch.rand(len(images), generator=torch.Generator().manual_seed(seed))
    held = torch.isin(image_of, images[chance < share])
    return (~held).nonzero()[:, 0], held.nonzero()[:, 0]


def _without_seed(image_of: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    return _by_image(image_of, share, int(torch.randint(1000, ())))


def _positions(value: Any, image_of: Tensor) -> Tensor:
    """Return the positions that a list, an array, a tensor or a mask of pictures gives, int64."""
    found = tensor(list(value) if isinstance(value, (range, set)) else value)
    if value is not None and hasattr(value, "__len__") and len(value) == 0:
        return torch.zeros(0, dtype=torch.long)
    if found is None or found.ndim != 1 or not torch.equal(found, found.round()):
        raise UnusableError(
            f"a part of the split is {kind(value)}{ASKS_FOR}the positions of pictures, one after the other."
        )
    if torch.as_tensor(value).dtype == torch.bool and len(found) == len(image_of):
        return found.nonzero()[:, 0]
    if len(found) and not 0 <= found.min() <= found.max() < len(image_of):
        raise UnusableError(
            f"a position is {found.max():.0f}, but the {len(image_of)} pictures have the positions 0 ... {len(image_of) - 1}."
        )
    return found.long()


def _split(split: Callable, image_of: Tensor, share: float) -> dict[str, bool]:
    def parts(seed: int) -> tuple[Tensor, Tensor]:
        both = split(image_of, share, seed)
        if not isinstance(both, (tuple, list)) or len(both) != 2:
            raise UnusableError(
                f"your function returns {kind(both)}{ASKS_FOR}two parts, the train and the test pictures."
            )
        return _positions(both[0], image_of), _positions(both[1], image_of)

    found = [parts(seed) for seed in range(6)]
    again = [parts(seed) for seed in range(6)]
    images = [image_of[test].unique() for _, test in found]
    tests = [tuple(sorted(test.tolist())) for _, test in found]
    return {
        "every picture is in one of the two parts, once": all(
            sorted([*train.tolist(), *test.tolist()]) == list(range(len(image_of))) for train, test in found
        ),
        "no image is in both": not any(torch.isin(image_of[train], image_of[test]).any() for train, test in found),
        "the test part has its share of the images, whatever the seed": all(
            abs(len(n) - share * len(image_of.unique())) < 1 for n in images
        ),
        "first the train part, then the test part": all(
            abs(len(image_of[train].unique()) - share * len(image_of.unique())) >= 1 for train, _ in found
        ),
        "the same seed gives the same split": tests == [tuple(sorted(test.tolist())) for _, test in again],
        "another seed gives another split": len(set(tests)) > 3,
    }


LEAK = Exercise(
    id="08-leak",
    title="Copies on both sides",
    kind="find the bug",
    difficulty=2,
    minutes=10,
    hints=(
        "Copies of an image must stay together. What should be drawn: pictures, or images?",
        (
            "Draw among image_of.unique(), not among the pictures; then torch.isin(image_of, drawn) marks all "
            "copies of those images."
        ),
        (
            "images = image_of.unique()\n"
            "order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))\n"
            "drawn = images[order[:round(share * len(images))]]\n"
            "held = torch.isin(image_of, drawn)  # bool (P,): now its positions, and those of the rest"
        ),
    ),
    cases=lambda: [
        (torch.arange(30).repeat(4), 0.3),
        (torch.arange(20).repeat_interleave(3), 0.25),
        (7 * torch.arange(200), 0.2),
    ],
    observe=_split,
    reference=_by_image,
    mistakes=(
        Mistake(
            "unchanged",
            _with_bug,
            "as it was given: most images of the test part have copies in the train part. Print the image numbers of both.",
        ),
        Mistake(
            "pictures thrown away",
            _drops_shared,
            "no image is in both now, but nearly all pictures of the train part were thrown away for it.",
        ),
        Mistake(
            "always the same images",
            _first_images,
            "the split is clean, but it does not depend on the seed: it is always the same images, in the order of the files. A "
            "folder is often sorted by class.",
        ),
        Mistake(
            "each image by chance",
            _each_by_chance,
            "no image is in both, but each is drawn by itself, so the test part is sometimes too large and sometimes too small. Its share "
            "of the images is given: draw so many.",
        ),
        Mistake(
            "the parts exchanged",
            lambda image_of, share, seed: _by_image(image_of, share, seed)[::-1],
            "the split is clean, but the two parts are exchanged: first the train pictures, then the test pictures, which are the given share.",
        ),
        Mistake(
            "without the seed",
            _without_seed,
            "the same seed gives another split each time: draw with torch.Generator().manual_seed(seed), or nobody can repeat it.",
            when=lambda seen, wanted: not all(case["the same seed gives the same split"] for case in seen),
        ),
    ),
    praise="right: split what is independent. That may be the patient, the video or the day, rather than the picture.",
)


# --- choosing -----------------------------------------------------------------------------------


def _scores() -> list[tuple]:
    g = torch.Generator().manual_seed(9)
    return [(torch.rand(12, generator=g), torch.rand(12, generator=g)) for _ in range(4)]


CHOOSE = Exercise(
    id="08-choose",
    title="What may be reported",
    kind="implement",
    difficulty=1,
    minutes=4,
    hints=(
        "Which of the two lists of scores may take part in the choice of a setting?",
        (
            "Two steps: which setting is best on the held-out train images (argmax)? And which score does *that* "
            "setting have on the test images?"
        ),
        "chosen = held_out_scores.argmax()  # by the held-out images alone",
    ),
    cases=_scores,
    reference=lambda held, test: test[held.argmax()],
    mistakes=(
        Mistake(
            "chosen on the test images",
            lambda held, test: test.max(),
            "this is the best test score, so the test images made the choice. They may only be looked at after it.",
        ),
        Mistake(
            "the held-out score",
            lambda held, test: held.max(),
            "this is the held-out score of the chosen setting. The choice was made by it, so it is too high itself; report the test score.",
        ),
        Mistake(
            "the position",
            lambda held, test: held.argmax(),
            "this is the number of the chosen setting. The score that *it* has on the test images is asked for.",
        ),
        Mistake(
            "the worst setting",
            lambda held, test: test[held.argmin()],
            "the setting with the lowest held-out score was chosen: argmax, not argmin.",
        ),
        Mistake(
            "the mean of both",
            lambda held, test: (held.max() + test[held.argmax()]) / 2,
            "the setting is the right one, but its held-out score is mixed in. It made the choice, so it is too high; report the test score alone.",
        ),
        Mistake(
            "mean of all settings",
            lambda held, test: test.mean(),
            "this is the mean over all settings: the held-out images must choose one.",
        ),
        Mistake(
            "best of both",
            lambda held, test: test[(held + test).argmax()],
            "the test images have half a vote in the choice. They must have none.",
        ),
        Mistake(
            "the best sum",
            lambda held, test: (held + test).max(),
            "two scores were added. The held-out scores choose a setting; its test score alone is reported.",
        ),
    ),
    praise="right: the held-out images choose, the test images judge, once.",
)


# --- is A better than B? ------------------------------------------------------------------------


def _runs() -> list[tuple]:
    g = torch.Generator().manual_seed(10)
    hard = torch.randn(6, generator=g) * 0.05  # a seed draws pictures too, and some are harder for both
    return [
        (0.8 + hard + 0.01 * torch.randn(6, generator=g), 0.82 + hard + 0.01 * torch.randn(6, generator=g)),
        (torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0.92, 0.81, 0.75])),
    ]


def _paired(a: Tensor, b: Tensor) -> Tensor:
    d = b - a
    return torch.stack((d.mean(), d.std() / math.sqrt(len(d))))


def _unpaired(a: Tensor, b: Tensor) -> Tensor:
    return torch.stack((b.mean() - a.mean(), ((a.var() + b.var()) / len(a)).sqrt()))


DIFFERENCE = Exercise(
    id="08-difference",
    title="Is one better than the other?",
    kind="extend",
    difficulty=3,
    minutes=12,
    core=False,
    hints=(
        "Seed i gives a pair of runs. What drops out if you subtract within the pair?",
        (
            "Take the differences first, one for each seed: d = b − a. Then their mean, and the standard error of "
            "that mean: the standard deviation (with n − 1) over √n."
        ),
        ("d = b - a\nspread = d.std()  # of single differences, with n − 1\n# of their mean: smaller by √n"),
    ),
    cases=_runs,
    reference=_paired,
    mistakes=(
        Mistake(
            "not paired",
            _unpaired,
            "the difference is right, but its error is that of unrelated runs. Both had the same pictures for the same seed: take "
            "the difference seed by seed, and what is hard for both drops out.",
        ),
        Mistake(
            "the wrong way round",
            lambda a, b: _paired(b, a),
            "the sign is wrong: b − a says how much better the second is.",
        ),
        Mistake(
            "spread instead of error",
            lambda a, b: torch.stack(((b - a).mean(), (b - a).std())),
            "that is the spread of single differences. A mean of n is more certain than a single one: divide by √n.",
        ),
        Mistake(
            "divided by n",
            lambda a, b: torch.stack(((b - a).mean(), (b - a).std() / len(a))),
            "the spread is divided by n; the error of a mean falls with √n.",
        ),
        Mistake(
            "variance",
            lambda a, b: torch.stack(((b - a).mean(), (b - a).var() / len(a))),
            "this is the square of the standard error, the variance of the mean: take its root.",
        ),
        Mistake(
            "n instead of n − 1",
            lambda a, b: torch.stack(((b - a).mean(), (b - a).std(correction=0) / math.sqrt(len(a)))),
            "the standard deviation divides by n here: with so few seeds, n − 1 matters.",
        ),
        Mistake(
            "best against best",
            lambda a, b: torch.stack((b.max() - a.max(), (b - a).std() / math.sqrt(len(a)))),
            "this compares the best seed of the one with the best of the other: with more seeds both grow, whatever the methods.",
        ),
        Mistake(
            "without an error",
            lambda a, b: torch.stack(((b - a).mean(), torch.zeros(()))),
            "the mean is right, but its standard error is missing: how far would it move with other seeds?",
        ),
    ),
    praise="right. A difference of less than twice its error should not be called one.",
)

EXERCISES = (KNN, DENSE, BASELINE, LEAK, CHOOSE, DIFFERENCE)
