"""Exercise 07-recipe, “Hands”."""

from collections.abc import Callable

from ....config.config import Config
from ....config.presets import preset
from ..record import Exercise, Mistake

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
