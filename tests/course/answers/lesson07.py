"""Answers to the exercises of lesson 07, as people write them."""

import copy
import io
import itertools
import pickle

import numpy as np
import torch

import byol_tutorial as bt

# --- 07-lars ------------------------------------------------------------------------------------


def by_cases(w, g, m, lr, momentum, weight_decay, eta):
    if w.dim() == 1:
        m = momentum * m + g
        return w - lr * m, m
    u = g + weight_decay * w
    m = momentum * m + eta * torch.linalg.norm(w) / torch.linalg.norm(u) * u
    return w - lr * m, m


def by_numpy(w, g, m, lr, momentum, weight_decay, eta):
    w, g, m = w.numpy(), g.numpy(), m.numpy()
    u = g if w.ndim < 2 else g + weight_decay * w
    scale = 1.0 if w.ndim < 2 else eta * np.sqrt((w**2).sum() / (u**2).sum())
    m = momentum * m + scale * u
    return [w - lr * m, m]


def by_flattening(w, g, m, lr, momentum, weight_decay, eta):
    matrix = float(w.ndim > 1)
    u = g.add(w, alpha=weight_decay * matrix)
    ratio = eta * w.flatten().norm() / u.flatten().norm() if matrix else 1.0
    m = m.mul(momentum).add(u * ratio)
    return torch.sub(w, m, alpha=lr), m


def no_ratio(w, g, m, lr, momentum, weight_decay, eta):
    u = g + weight_decay * w if w.ndim > 1 else g
    m = momentum * m + u
    return w - lr * m, m


def by_the_gradient(w, g, m, lr, momentum, weight_decay, eta):
    u = g
    if w.ndim > 1:
        u = (g + weight_decay * w) * eta * w.norm() / g.norm()
    m = momentum * m + u
    return w - lr * m, m


def biases_too(w, g, m, lr, momentum, weight_decay, eta):
    u = g + weight_decay * w
    m = momentum * m + u * eta * w.norm() / u.norm()
    return w - lr * m, m


def rate_inside(w, g, m, lr, momentum, weight_decay, eta):
    u = g
    if w.ndim > 1:
        u = g + weight_decay * w
        u = u * eta * w.norm() / u.norm()
    m = momentum * m + lr * u
    return w - m, m


def returns_in_one_case(w, g, m, lr, momentum, weight_decay, eta):  # noqa: RET503
    if w.ndim > 1:
        u = g + weight_decay * w
        m = momentum * m + u * eta * w.norm() / u.norm()
        return w - lr * m, m


LARS = {
    "right": [by_cases, by_numpy, by_flattening],
    "wrong": [
        (no_ratio, "SGD with momentum"),
        (biases_too, "neither trust ratio nor"),
        (rate_inside, "inside the momentum"),
        (returns_in_one_case, "does not always return"),
        (lambda *a: by_cases(*a)[::-1], "exchanged"),
        (lambda *a: by_cases(*a)[0], "asks for"),
        (by_the_gradient, "divides by ‖g‖"),
    ],
}

# --- 07-resume ----------------------------------------------------------------------------------

NETWORKS = ("online", "predictor", "target")


def by_cloning(run):
    state = {name: {k: v.clone() for k, v in getattr(run, name).state_dict().items()} for name in NETWORKS}
    return {**state, "optimizer": copy.deepcopy(run.optimizer.state_dict()), "steps_done": run.steps_done}


def by_saving(run):
    file = io.BytesIO()
    parts = {name: getattr(run, name).state_dict() for name in (*NETWORKS, "optimizer")}
    torch.save(parts | {"steps_done": run.steps_done}, file)
    file.seek(0)
    return torch.load(file)


def by_pickling(run):
    state = {name: getattr(run, name).state_dict() for name in (*NETWORKS, "optimizer")}
    state["steps_done"] = torch.tensor(run.steps_done)
    return pickle.loads(pickle.dumps(state))


def as_given(run):
    return {"online": run.online.state_dict(), "predictor": run.predictor.state_dict(), "steps_done": run.steps_done}


def without(run, *left_out):
    return {name: part for name, part in by_cloning(run).items() if name not in left_out}


RESUME = {
    "right": [by_cloning, by_saving, by_pickling],
    "wrong": [
        (as_given, "ends elsewhere"),
        (
            lambda run: {**as_given(run), "target": run.target.state_dict(), "optimizer": run.optimizer.state_dict()},
            "Copy them",
        ),
        (lambda run: without(run, "optimizer"), "SGD remembers"),
        (lambda run: without(run, "target"), "the target is missing"),
        (lambda run: without(run, "steps_done"), "everything is there but the step"),
        (lambda run: without(run, "predictor"), "the predictor is missing"),
        (lambda run: {**by_cloning(run), "optimiser": 1}, "they are online, predictor, target, optimizer, steps_done"),
        (lambda run: {**by_cloning(run), "online": copy.deepcopy(run.online)}, "holds the object itself"),
        (lambda run: list(by_cloning(run).values()), "asks for a dict"),
    ],
}

# --- 07-bugs ------------------------------------------------------------------------------------

BUGS = {
    "right": [
        {"lowest_loss": "target", "lowest_accuracy": "target"},
        ("target", "Target"),
        {"lowest_accuracy": np.str_("target"), "lowest_loss": " target"},
    ],
    "wrong": [
        (("averaged", "target"), "half as large"),
        (("target", "adam"), "belongs to the constant answer"),
        (("shared", "target"), "lowest_loss: images that share a draw"),
        (("target", "constant"), "lowest_accuracy: a target that stays fast"),
        (("healthy", "target"), "give one of 'adam', 'averaged'"),
    ],
}

# --- 07-views -----------------------------------------------------------------------------------


def by_pairs(views, image):
    v, w = views(torch.stack([image] * 6))
    pairs = list(itertools.combinations(range(6), 2))
    return not any(torch.equal(part[i], part[j]) for part in (v, w) for i, j in pairs)


def by_spread(views, image):
    return all((part.std(dim=0) > 0).any() for part in views(image[None].repeat(16, 1, 1, 1)))


def by_bytes(views, image):
    found = [{x.numpy().tobytes() for x in part} for part in views(image.expand(5, *image.shape))]
    return np.bool_([len(f) == 5 for f in found]).all()


def v_against_other(views, image):
    v, w = views(image[None])
    return not torch.allclose(v, w)


VIEWS = {
    "right": [by_pairs, by_spread, by_bytes],
    "wrong": [
        (v_against_other, "compare the views of the batch with each"),
        (lambda views, image: bool((views(image.expand(4, -1, -1, -1))[0].std(0) > 0).any()), "the views v′ are not"),
        (lambda views, image: bool((views(image.expand(4, -1, -1, -1))[1].std(0) > 0).any()), "the views v are not"),
        (lambda views, image: not by_pairs(views, image), "the wrong way round"),
        (lambda views, image: any((p.std(0) > 0).any() for p in views(image.expand(4, -1, -1, -1))), "both must"),
    ],
}

# --- 07-recipe ----------------------------------------------------------------------------------


def photos(**changes):
    return bt.preset(
        "photos", **({"encoder": "resnet18", "batch_size": 32, "accumulation_steps": 8, "flip_p": 0.0} | changes)
    )


RECIPE = {
    "right": [
        photos(),
        photos(batch_size=16, accumulation_steps=16, encoder="resnet50", grayscale_p=0.0, view_size=128),
        bt.Config(
            encoder="resnet34", batch_size=32, accumulation_steps=8, flip_p=(0, 0), epochs=100, quarter_turn_p=0.5
        ),
        photos(method="simclr"),
    ],
    "wrong": [
        (photos(predictor="identity"), "BYOL collapses"),
        (photos(crop_area=(0.01, 0.02)), "seldom show the same part"),
        (photos(jitter_p=0.01), "no two X-rays are exposed alike"),
        (photos(flip_p=0.5), "left hands and right hands"),
        (photos(vertical_flip_p=0.5), "whichever way it is mirrored"),
        (photos(accumulation_steps=1), "the step is as small as the card"),
        (photos(batch_size=256, accumulation_steps=1), "do not fit on the card"),
        (photos(stop_gradient=False), "they agree on a constant"),
        (photos(target="random"), "stays random"),
        (photos(predictor_lr_multiplier=0.0), "BYOL collapses"),
        (photos(encoder="small"), "a ResNet is asked for"),
        (photos(epochs=1), "far too short"),
        (photos(lr=1e-9), "does not move"),
        (photos(crop_area=(1.0, 1.0)), "the place of every pixel"),
        (photos(view_size=16), "lose the bones"),
        (photos(projection_dim=2), "too little about an image"),
        (photos(contrast=0.0), "no two X-rays are exposed alike"),
        (photos(jitter_p=(1.0, 0.0)), "no two X-rays are exposed alike"),
        (photos(tau_base=1.0), "stays random"),
        (photos(lr=1e6), "does not stay finite"),
        (photos(weight_decay=1.0), "faster than they are learned"),
        (photos(clip_grad_norm=1e-9), "next to nothing"),
        (photos(crop_ratio=(0.1, 0.2)), "squeezed into a strip"),
        (photos(method="simclr", negatives=False), "SimCLR without negatives collapses"),
        ({"encoder": "resnet18"}, "give a Config"),
    ],
}

ANSWERS = {
    "07-lars": LARS,
    "07-resume": RESUME,
    "07-bugs": BUGS,
    "07-views": VIEWS,
    "07-recipe": RECIPE,
}
