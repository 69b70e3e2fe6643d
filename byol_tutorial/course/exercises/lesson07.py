"""Exercises of lesson 07, training for real."""

import copy
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...config.config import Config
from ...config.presets import preset
from ...methods.byol import byol_loss, tau_at
from .record import Exercise, Mistake, UnusableError
from .values import ASKS_FOR, kind

# --- LARS ---------------------------------------------------------------------------------------


def _layers() -> list[tuple]:
    g = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=g)  # noqa: E731
    return [
        (3 * draw(4, 5), draw(4, 5), draw(4, 5), 0.5, 0.9, 0.1, 0.02),
        (draw(6, 3), 0.01 * draw(6, 3), torch.zeros(6, 3), 2.0, 0.9, 0.0, 0.001),
        (draw(7), draw(7), draw(7), 0.5, 0.9, 0.1, 0.02),
    ]


def _lars(
    w: Tensor,
    g: Tensor,
    m: Tensor,
    lr: float,
    momentum: float,
    weight_decay: float,
    eta: float,
    decay: str = "inside",
    late: bool = True,
    upside_down: bool = False,
    all_alike: bool = False,
    trust: bool = True,
    dampened: bool = False,
) -> tuple[Tensor, Tensor]:
    u = g
    if w.ndim > 1 or all_alike:
        u = g + weight_decay * w if decay in ("inside", "sum of lengths") else g
        length = g.norm() + weight_decay * w.norm() if decay == "sum of lengths" else u.norm()
        ratio = eta * length / w.norm() if upside_down else eta * w.norm() / length
        u = u * (ratio if trust else 1) + (weight_decay * w if decay == "after" else 0)
    u = u * (1 - momentum) if dampened else u
    m = momentum * m + (u if late else lr * u)
    return w - (lr * m if late else m), m


def _lars_by_gradient(
    w: Tensor, g: Tensor, m: Tensor, lr: float, momentum: float, weight_decay: float, eta: float
) -> tuple[Tensor, Tensor]:
    if w.ndim == 1:
        return _lars(w, g, m, lr, momentum, weight_decay, eta)
    m = momentum * m + (g + weight_decay * w) * eta * w.norm() / g.norm()
    return w - lr * m, m


LARS = Exercise(
    id="07-lars",
    title="A step of LARS",
    kind="implement",
    difficulty=2,
    minutes=15,
    core=False,
    hints=(
        "Two kinds of parameters, by their number of dimensions: what is u for each?",
        (
            "For w.ndim > 1: u = g + λw, then u = u · η‖w‖/‖u‖. For w.ndim == 1: u = g. Then m = μm + u and w − "
            "lr·m, for both."
        ),
        (
            "u = g\n"
            "if w.ndim > 1:\n"
            "    u = g + weight_decay * w\n"
            "    u = u * eta * w.norm() / u.norm()\n"
            "# momentum and step are the same for both"
        ),
    ),
    cases=_layers,
    reference=_lars,
    mistakes=(
        Mistake(
            "weight decay after the ratio",
            partial(_lars, decay="after"),
            "the weight decay is added after the scaling; in the paper it is a part of what is scaled.",
        ),
        Mistake(
            "no weight decay",
            partial(_lars, decay="none"),
            "where is the weight decay? λw belongs to u, before its length is measured.",
        ),
        Mistake(
            "the ratio of You et al.",
            partial(_lars, decay="sum of lengths"),
            "this is the ratio as You et al. 2017 write it, η‖w‖/(‖g‖ + λ‖w‖). BYOL's code, which we follow here, divides by "
            "‖g + λw‖.",
        ),
        Mistake(
            "LARS as You et al. write it",
            partial(_lars, decay="sum of lengths", late=False),
            "this is LARS as You et al. 2017 write it, with η‖w‖/(‖g‖ + λ‖w‖) and the learning rate inside the momentum. "
            "BYOL's code, which we follow here, divides by ‖g + λw‖, and its learning rate multiplies after the momentum.",
        ),
        Mistake(
            "biases like weights",
            partial(_lars, all_alike=True),
            "right for matrices. Parameters of one dimension, biases and those of normalisation, have neither trust ratio nor "
            "weight decay.",
        ),
        Mistake(
            "ratio upside down",
            partial(_lars, upside_down=True),
            "the ratio is upside down: a layer with large weights may move far, one with a large gradient need not.",
        ),
        Mistake(
            "the length of the gradient",
            _lars_by_gradient,
            "the ratio divides by ‖g‖. It divides by ‖u‖, the length of what is scaled, with the weight decay in it.",
        ),
        Mistake(
            "no trust ratio",
            partial(_lars, trust=False),
            "this is SGD with momentum: the step of a matrix is not yet scaled to its own length, by η‖w‖/‖u‖.",
        ),
        Mistake(
            "dampened momentum",
            partial(_lars, dampened=True),
            "the new step is multiplied by 1 − μ, as in a moving average. Here m = μm + u: the momentum adds up.",
        ),
        Mistake(
            "uphill",
            lambda w, *a: (2 * w - _lars(w, *a)[0], _lars(w, *a)[1]),
            "the step goes uphill: w − lr·m.",
        ),
        Mistake(
            "exchanged",
            lambda *a: _lars(*a)[::-1],
            "the two are exchanged: first the new w, then the new m.",
        ),
        Mistake(
            "without what was",
            lambda w, g, m, lr, momentum, weight_decay, eta: _lars(w, g, 0 * m, lr, momentum, weight_decay, eta),
            "the old momentum is not used: m = μm + u.",
        ),
        Mistake(
            "learning rate inside the momentum",
            partial(_lars, late=False),
            "the learning rate is inside the momentum. It multiplies after it: w − lr·m, so that a change of lr acts at once.",
        ),
        Mistake(
            "plain descent",
            lambda w, g, m, lr, *others: (w - lr * g, m),
            "this is plain gradient descent: neither momentum nor, for matrices, weight decay and trust ratio are used.",
        ),
    ),
    praise="right. Whatever the scale of the loss, a matrix moves by about lr · η of its own length: the loss may be halved, "
    "and only biases and normalisation notice.",
)


# --- a batch that shares its draw ---------------------------------------------------------------


def _views_of(kind: str) -> Callable:
    def views(images: Tensor) -> tuple[Tensor, Tensor]:
        g = torch.Generator().manual_seed(0)
        n = len(images)
        draws = {"healthy": (n, n), "shared": (1, 1), "v′ shares": (n, 1), "v shares": (1, n)}[kind]
        factor = [0.5 + torch.rand(d, 1, 1, 1, generator=g).expand(n, 1, 1, 1) for d in draws]
        return images * factor[0], images * factor[1]

    return views


def _image() -> Tensor:
    return torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1))


def _differ(views: Callable, image: Tensor) -> bool:
    batch = image.expand(8, -1, -1, -1)
    return all(len(v.flatten(1).unique(dim=0)) == len(v) for v in views(batch))


DIFFER = Exercise(
    id="07-views",
    title="A test for views",
    kind="implement",
    difficulty=2,
    minutes=10,
    hints=(
        (
            "If all images of a batch share one draw, how could you see that in the output? Choose the images of "
            "the batch so that you can."
        ),
        (
            "Make a batch of one image, eight times: image.expand(8, -1, -1, -1). If each has a draw of its own, "
            "no two of the eight views v are equal; nor of the v′."
        ),
        (
            "v1, v2 = views(image.expand(8, -1, -1, -1))\n"
            'print(len(v1.flatten(1).unique(dim=0)), "of 8 are different")  # and those of v2?'
        ),
    ),
    cases=lambda: [(_views_of(kind), _image()) for kind in ("healthy", "shared", "v′ shares", "v shares")],
    reference=_differ,
    mistakes=(
        Mistake(
            "v against v′",
            lambda views, image: not torch.equal(*views(image.expand(8, -1, -1, -1))),
            "this says True even where all images share a draw. v and v′ differ there too: compare the views of the batch with each "
            "other, and give it more than one.",
        ),
        Mistake(
            "v only",
            lambda views, image: len(views(image.expand(8, -1, -1, -1))[0].flatten(1).unique(dim=0)) == 8,
            "the views v are tested, the views v′ are not.",
        ),
        Mistake(
            "v′ only",
            lambda views, image: len(views(image.expand(8, -1, -1, -1))[1].flatten(1).unique(dim=0)) == 8,
            "the views v′ are tested, the views v are not.",
        ),
        Mistake(
            "one of the two is enough",
            lambda views, image: any(len(v.flatten(1).unique(dim=0)) == 8 for v in views(image.expand(8, -1, -1, -1))),
            "this says True where only one of v and v′ has draws of its own: both must.",
        ),
        Mistake(
            "some differ",
            lambda views, image: False,
            "this says False for every function, also for one that is as it should be. Which two things have to differ?",
        ),
        Mistake(
            "the wrong way round",
            lambda views, image: not _differ(views, image),
            "the wrong way round: True is for views that are as they should be.",
        ),
    ),
    praise="right: three lines that find a bug which no loss curve shows.",
)


# --- what a checkpoint must hold ----------------------------------------------------------------


class TinyRun:
    """A run that is small enough to follow: linear networks, SGD with momentum, six steps in all."""

    TOTAL = 6

    def __init__(self, seed: int = 0) -> None:
        g = torch.Generator().manual_seed(seed)
        self.online, self.predictor, self.target = (nn.Linear(4, 3), nn.Linear(3, 3), nn.Linear(4, 3))
        with torch.no_grad():
            for p in (*self.online.parameters(), *self.predictor.parameters(), *self.target.parameters()):
                p.copy_(torch.randn(p.shape, generator=g))
        self.target.requires_grad_(False)
        learned = [*self.online.parameters(), *self.predictor.parameters()]
        self.optimizer = torch.optim.SGD(learned, lr=0.1, momentum=0.9)
        self.steps_done = 0

    def step(self) -> None:
        g = torch.Generator().manual_seed(self.steps_done)  # the step decides batches and views too
        v1, v2 = torch.randn(2, 8, 4, generator=g)
        loss = byol_loss(self.predictor(self.online(v1)), self.target(v2))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        tau = tau_at(self.steps_done, self.TOTAL, 0.5)
        with torch.no_grad():
            for xi, theta in zip(self.target.parameters(), self.online.parameters(), strict=True):
                xi.lerp_(theta, 1 - tau)
        self.steps_done += 1


def _resumed(my_state: Callable) -> dict[str, Any]:
    run = TinyRun()
    for _ in range(3):
        run.step()
    state = my_state(run)
    if not isinstance(state, dict):
        raise UnusableError(f"your function returns {kind(state)}{ASKS_FOR}a dict with the names of attributes of run.")
    for _ in range(3):
        run.step()
    again = TinyRun(seed=1)
    _restore(again, state)
    for _ in range(3):
        again.step()
    flat = lambda network: torch.cat([p.flatten() for p in network.parameters()])  # noqa: E731
    return {
        "what is kept": sorted(state),
        "steps done": again.steps_done,
        "online network": flat(again.online),
        "target network": flat(again.target),
    }


def _restore(run: "TinyRun", state: dict[str, Any]) -> None:
    names = (*PARTS, "steps_done")
    for name, value in state.items():
        if name not in names:
            raise UnusableError(f"{name!r} is not the name of an attribute to keep: they are {', '.join(names)}.")
        if name == "steps_done":
            run.steps_done = int(value)
            continue
        if isinstance(value, (nn.Module, torch.optim.Optimizer)):
            raise UnusableError(
                f"“{name}” holds the object itself, which goes on changing: keep a copy of its state_dict()."
            )
        try:
            getattr(run, name).load_state_dict(value)
        except Exception as error:
            raise UnusableError(
                f"“{name}” cannot be restored from {kind(value)}: {str(error).splitlines()[0]}"
            ) from error


PARTS = ("online", "predictor", "target", "optimizer")


def _state(run: TinyRun, parts: Iterable[str] = PARTS, step: bool = True, copied: bool = True) -> dict:
    state = {name: getattr(run, name).state_dict() for name in parts}
    state |= {"steps_done": run.steps_done} if step else {}
    return copy.deepcopy(state) if copied else state


RESUME = Exercise(
    id="07-resume",
    title="A resumed run that differs",
    kind="find the bug",
    difficulty=2,
    minutes=10,
    hints=(
        "What does a step read that the step before has written? Go through TinyRun.step line by line.",
        (
            "It reads three networks, the optimiser's momentum and steps_done. And state_dict() gives the tensors "
            "themselves, into which training goes on writing."
        ),
        (
            'copy.deepcopy({"online": run.online.state_dict(), "optimizer": run.optimizer.state_dict()})\n'
            "# two networks and the number of steps are still missing"
        ),
    ),
    observe=_resumed,
    reference=_state,
    mistakes=(
        Mistake(
            "unchanged",
            lambda run: _state(run, ("online", "predictor"), copied=False),
            "this is the code as it was given: the resumed run ends elsewhere than the uninterrupted one. What does a step read that "
            "is not kept? And does what is kept stay as it was?",
        ),
        Mistake(
            "two parts missing",
            lambda run: _state(run, ("online", "predictor")),
            "what you keep stays as it was now. But a step reads more than online network, predictor and step.",
        ),
        Mistake(
            "without momentum",
            lambda run: _state(run, ("online", "predictor", "target")),
            "networks and step are right, and yet the weights drift away: SGD remembers past gradients. Where?",
        ),
        Mistake(
            "without the target",
            lambda run: _state(run, ("online", "predictor", "optimizer")),
            "the target is missing. It is not the online network, but an average of what that network was.",
        ),
        Mistake(
            "without the predictor",
            lambda run: _state(run, ("online", "target", "optimizer")),
            "the predictor is missing: the new run has one with other weights.",
        ),
        Mistake(
            "without the online network",
            lambda run: _state(run, ("predictor", "target", "optimizer")),
            "the online network is missing: it is what the run is for.",
        ),
        Mistake(
            "only the target besides",
            lambda run: _state(run, ("online", "target")),
            "predictor and optimiser are missing: both have changed in every step.",
        ),
        Mistake(
            "nothing is kept",
            lambda run: {},
            "nothing is kept, so the new run begins from other weights at step 0.",
        ),
        Mistake(
            "without the step",
            lambda run: _state(run, step=False),
            "everything is there but the step: schedules, also that of τ, begin anew, and the first batches come again.",
        ),
        Mistake(
            "not copied",
            lambda run: _state(run, copied=False),
            "all is there, but state_dict() gives the tensors themselves, and training writes into them: what you kept has "
            "changed with the run. Copy them (torch.save does).",
        ),
    ),
    praise="right. In the library the random state is there as well, though batches and views are decided by seed and step.",
)


# --- the five bugs ------------------------------------------------------------------------------

_NAMES = ("adam", "averaged", "target", "shared", "constant")

BUGS = Exercise(
    id="07-bugs",
    title="Five bugs, six curves",
    kind="predict",
    difficulty=2,
    minutes=4,
    hints=(
        "Which bug lets the networks make the loss small without looking at the picture?",
        (
            "`averaged` halves the loss, `adam` makes large steps, `shared` and `constant` change little. With "
            "`target`, the target itself learns to be easy to predict."
        ),
        (
            "# a target that learns meets the prediction half way:\n"
            "z, t = (torch.randn(8, 4, requires_grad=True) for _ in range(2))\n"
            "for _ in range(200):\n"
            "    (g, h) = torch.autograd.grad(bt.byol_loss(z, t), (z, t))\n"
            "    z, t = z - g, t - h\n"
            "print(float(bt.byol_loss(z, t)))"
        ),
    ),
    questions={"lowest_loss": _NAMES, "lowest_accuracy": _NAMES},
    reference={"lowest_loss": "target", "lowest_accuracy": "target"},
    mistakes=(
        Mistake(
            "half a loss is the lowest",
            {"lowest_loss": "averaged"},
            "lowest_loss: an averaged loss is half as large. A collapse goes to 0.",
        ),
        Mistake(
            "large steps, low loss",
            {"lowest_loss": "adam"},
            "lowest_loss: a learning rate of SGD is far too large for Adam. Large steps do not find a low loss; another bug makes 0 easy "
            "to reach.",
        ),
        Mistake(
            "shared draws, low loss",
            {"lowest_loss": "shared"},
            "lowest_loss: images that share a draw are a little easier to predict, but v and v′ still differ. Another bug makes 0 easy to "
            "reach.",
        ),
        Mistake(
            "a constant τ, low loss",
            {"lowest_loss": "constant"},
            "lowest_loss: a τ that does not rise leaves the target a little faster at the end. Another bug makes 0 easy to reach.",
        ),
        Mistake(
            "a low loss is a good sign",
            {"lowest_accuracy": "adam"},
            "lowest_accuracy: Adam's run is poor. But in BYOL the lowest possible loss belongs to the constant answer, which tells no two "
            "images apart.",
        ),
        Mistake(
            "half the loss, half the accuracy",
            {"lowest_accuracy": "averaged"},
            "lowest_accuracy: half the loss is half the gradient, as if the learning rate were halved. That costs little.",
        ),
        Mistake(
            "shared draws, low accuracy",
            {"lowest_accuracy": "shared"},
            "lowest_accuracy: shared draws cost something, but two views of one image still have to agree on what it shows. A constant "
            "answer shows nothing.",
        ),
        Mistake(
            "a constant τ, low accuracy",
            {"lowest_accuracy": "constant"},
            "lowest_accuracy: a target that stays fast does well in a run as short as this one.",
        ),
    ),
    praise="right: the one that can reach 0 has learned nothing.",
)


# --- your own recipe ----------------------------------------------------------------------------


# What makes a recipe for these X-rays useless, and why; the first that fits is told.
_USELESS: tuple[tuple[Callable[[Config], bool], str], ...] = (
    (lambda c: c.batch_size > 32, "batch_size={c.batch_size}: no more than 32 images fit on the card."),
    (lambda c: c.step_images != 256, "a step has {c.step_images} images: 256 are asked for."),
    (
        lambda c: max(*c.flip_p, *c.vertical_flip_p) > 0,
        "a mirrored left hand is a right hand, whichever way it is mirrored.",
    ),
    (lambda c: "resnet" not in c.encoder, "encoder={c.encoder!r}: a ResNet is asked for."),
    (
        lambda c: min(c.jitter_p) < 0.3 or min(*c.brightness, *c.contrast) < 0.1,
        "brightness and contrast change too rarely or too little (jitter_p={c.jitter_p}, brightness={c.brightness}, "
        "contrast={c.contrast}): the exposure would be a shortcut.",
    ),
    (
        lambda c: c.crop_area[1] < 0.3,
        "crop_area={c.crop_area}: two crops as small as that seldom show the same part of a hand, so there is nothing to predict.",
    ),
    (
        lambda c: c.crop_area[0] > 0.9,
        "crop_area={c.crop_area}: both views always show the whole image, so the place of every pixel is a shortcut.",
    ),
    (
        lambda c: c.crop_ratio[0] < 0.25 or c.crop_ratio[1] > 4,
        "crop_ratio={c.crop_ratio}: hands that are squeezed into a strip are no hands.",
    ),
    (
        lambda c: 0 < c.view_size < 48 or c.view_size > 256,
        "view_size={c.view_size}: the images have 128 pixels a side. Smaller views than 48 lose the bones; larger ones only cost time.",
    ),
    (
        lambda c: min(c.blur_p) > 0.9 and c.blur_sigma[0] > 4,
        "blur_sigma={c.blur_sigma} on every view: nothing of the bones is left.",
    ),
    (
        lambda c: (
            c.method in ("byol", "simsiam")
            and c.negatives_weight == 0
            and (c.predictor in ("identity", "fixed") or c.predictor_lr_multiplier == 0)
        ),
        "predictor={c.predictor!r}, predictor_lr_multiplier={c.predictor_lr_multiplier}: without a predictor that learns, BYOL collapses "
        "(lesson 4).",
    ),
    (
        lambda c: c.method in ("byol", "simsiam") and not c.stop_gradient and c.negatives_weight == 0,
        "stop_gradient=False: both sides are then trained to agree, and they agree on a constant.",
    ),
    (
        lambda c: c.method == "byol" and (c.target == "random" or c.tau_base == 1),
        "target={c.target!r}, tau_base={c.tau_base}: this target stays random, so it never becomes better than that.",
    ),
    (lambda c: c.method == "simclr" and not c.negatives, "negatives=False: SimCLR without negatives collapses."),
    (
        lambda c: c.method == "dino" and (c.centering == "none" or c.teacher_temperature >= c.student_temperature),
        "centering={c.centering!r}, teacher_temperature={c.teacher_temperature}: DINO needs centring and sharpening, or it collapses.",
    ),
    (
        lambda c: c.epochs < 5,
        "epochs={c.epochs}: 3,000 images are 11 steps of 256 an epoch, so this is far too short to learn anything.",
    ),
    (
        lambda c: not (1e-5 <= c.lr <= 0.02 if c.optimizer == "adamw" else 0.005 <= c.lr <= 10),
        "lr={c.lr:g} with optimizer={c.optimizer!r}: with that rate it either does not move or does not stay finite.",
    ),
    (
        lambda c: 0 < c.clip_grad_norm < 0.01 or (c.optimizer == "lars" and not 1e-4 <= c.trust_coefficient <= 0.1),
        "clip_grad_norm={c.clip_grad_norm:g}, trust_coefficient={c.trust_coefficient:g}: every step is then next to nothing, or far too long.",
    ),
    (
        lambda c: c.norm == "none",
        "norm='none': without any normalisation a ResNet hardly trains by BYOL (Richemond et al. 2020); give 'bn' or 'gn_ws'.",
    ),
    (
        lambda c: c.warmup_epochs >= c.epochs,
        "warmup_epochs={c.warmup_epochs:g}: the learning rate never gets to its value.",
    ),
    (
        lambda c: min(c.hidden_dim, c.projection_dim) < 16,
        "hidden_dim={c.hidden_dim}, projection_dim={c.projection_dim}: fewer than 16 numbers say too little about an image.",
    ),
    (
        lambda c: c.weight_decay > 0.2,
        "weight_decay={c.weight_decay:g}: it removes the weights faster than they are learned.",
    ),
)


def _recipe_wrong(config: Config) -> str | None:
    return next((reason.format(c=config) for useless, reason in _USELESS if useless(config)), None)


_RIGHT = {"encoder": "resnet18", "batch_size": 32, "accumulation_steps": 8, "flip_p": 0.0}

RECIPE = Exercise(
    id="07-recipe",
    title="Hands",
    kind="extend",
    difficulty=2,
    minutes=10,
    core=False,
    hints=(
        (
            "What must two views of one hand have in common, and what may differ? And how does a step of 256 fit "
            "on a card for 32?"
        ),
        (
            'Start from bt.preset("photos", ...) and change only what the X-rays ask for: no mirroring; jitter '
            "stays, since exposure differs; batch_size · accumulation_steps is the number of images in a step."
        ),
        (
            'bt.preset("photos", encoder="resnet18", batch_size=32, flip_p=0.0)\n'
            "# still missing: so many forward passes that a step has 256 images"
        ),
    ),
    reference=preset("photos", **_RIGHT),
    accept=_recipe_wrong,
    mistakes=(
        Mistake(
            "mirrored",
            preset("photos", **(_RIGHT | {"flip_p": 0.5})),
            "left hands and right hands are two classes here, and the flip turns one into the other: BYOL would learn to "
            "ignore the difference.",
            when=lambda seen, wanted: (
                max(seen[0].flip_p) > 0 and seen[0].step_images == 256 and seen[0].batch_size <= 32
            ),
        ),
        Mistake(
            "too large for the card",
            preset("photos", **(_RIGHT | {"batch_size": 256, "accumulation_steps": 1})),
            "256 images do not fit on the card at once. Which field makes one step of several forward passes?",
            when=lambda seen, wanted: seen[0].batch_size > 32,
        ),
        Mistake(
            "steps of 32",
            preset("photos", **(_RIGHT | {"accumulation_steps": 1})),
            "the step is as small as the card. Which field makes one step of several forward passes?",
            when=lambda seen, wanted: seen[0].step_images < 256,
        ),
        Mistake(
            "the exposure is a shortcut",
            preset("photos", **(_RIGHT | {"jitter_p": 0.0})),
            "no two X-rays are exposed alike, but the two views of one always are: without jitter, brightness alone tells which "
            "image a view shows.",
            when=lambda seen, wanted: (
                _recipe_wrong(seen[0].replace(jitter_p=1.0, brightness=0.4, contrast=0.4)) is None
            ),
        ),
    ),
    praise="right. BatchNorm still sees 32 images at a time: accumulation makes the gradient of a large batch, not its statistics.",
)

EXERCISES = (LARS, RESUME, BUGS, DIFFER, RECIPE)
