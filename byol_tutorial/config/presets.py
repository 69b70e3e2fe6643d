"""Named recipes: the settings of the paper and its successors, and settings that suit a laptop.

Each recipe is a function whose docstring cites its source; `preset(name)` makes the Config. A recipe gives every field
in which it differs from the defaults of Config, which are the recipe for "shapes".
"""

from collections.abc import Callable
from typing import Any

from .config import RESIDUAL, Changes, Config, refuse_unknown
from .errors import ConfigError

# T and T′ of the paper (appendix B), which differ only in blur and solarize.
PAPER_VIEWS: Changes = {
    "crop_area": (0.08, 1.0),
    "crop_ratio": (3 / 4, 4 / 3),
    "flip_p": 0.5,
    "jitter_p": 0.8,
    "brightness": 0.4,
    "contrast": 0.4,
    "saturation": 0.2,
    "hue": 0.1,
    "grayscale_p": 0.2,
    "blur_p": (1.0, 0.1),
    "blur_sigma": (0.1, 2.0),
    "solarize_p": (0.0, 0.2),
}
PAPER_HEADS: Changes = {"hidden_dim": 4096, "projection_dim": 256}  # both MLPs (section 3.3)

HEADS: dict[str, Changes] = {  # what each method needs to learn from some thousand images
    "simclr": {"temperature": 0.5},
    "simsiam": {
        "heads": "simsiam",
        "projection_dim": 256,
        "projector_depth": 3,
        "output_norm": True,
        "predictor_hidden_dim": 64,
    },
    "dino": {"projection_dim": 256, "projector_depth": 3},
}

PRESETS: dict[str, Callable[[], Changes]] = {}


def _recipe(function: Callable[[], Changes]) -> Callable[[], Changes]:
    PRESETS[function.__name__.replace("_", "-")] = function
    return function


def preset(name: str, **changes: Any) -> Config:
    """Return the named recipe, with any field changed: `preset("shapes", tau_base=0.9)`. PRESETS lists the names.

    With a `method` that is not the recipe's own, the recipe gets the heads and temperatures of that method, HEADS.
    With fewer `epochs` than the recipe's warm-up, the warm-up takes the whole run, unless `warmup_epochs` is given.
    With another `encoder` or `norm`, fields of the recipe's ResNet that it does not have are left out.

    Raises:
        ConfigError: an unknown preset, field or value.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset {name!r}: choose one of {', '.join(PRESETS)}")
    refuse_unknown(changes)
    recipe = PRESETS[name]()
    if changes.get("method", recipe.get("method", "byol")) != recipe.get("method", "byol"):
        recipe |= HEADS.get(changes["method"], {})
    if not str((recipe | changes).get("encoder")).startswith("resnet"):
        recipe = {name: value for name, value in recipe.items() if name not in RESIDUAL}
    elif changes.get("norm") == "none":
        recipe.pop("zero_init_residual", None)
    usual, epochs = recipe.get("warmup_epochs", Config.warmup_epochs), changes.get("epochs")
    if isinstance(epochs, int) and 0 < epochs < usual:
        recipe["warmup_epochs"] = float(epochs)
    return Config(**(recipe | changes))


# --- for a laptop -------------------------------------------------------------------------------


@_recipe
def shapes() -> Changes:
    """Train on ten drawn curves, 32 px, in about a minute on two CPU cores. Source: measured by bench/shapes.py."""
    return {}


@_recipe
def digits() -> Changes:
    """Train on scikit-learn's digits, without flips: a mirrored digit is another sign. Source: this project."""
    return {
        "tau_base": 0.95,
        "crop_ratio": (3 / 4, 4 / 3),
        "hue": 0.0,
        "saturation": 0.0,
        "grayscale_p": 0.0,
        "epochs": 40,
    }


@_recipe
def photos() -> Changes:
    """Train on small photographs on a CPU: the paper's colours, a milder crop. Source: measured by bench/photos.py."""
    return PAPER_VIEWS | {
        "crop_area": (0.2, 1.0),
        "blur_p": 0.0,
        "lr": 0.4,
        "tau_base": 0.98,
        "width": 24,
        "warmup_epochs": 1.0,
        "epochs": 18,
        "batch_size": 64,
    }


# --- ImageNet, the paper's ----------------------------------------------------------------------


def _imagenet(epochs: int, lr: float, weight_decay: float, tau_base: float) -> Changes:
    return (
        PAPER_VIEWS
        | PAPER_HEADS
        | {
            "encoder": "resnet50",
            "view_size": 224,
            "batch_size": 4096,
            "optimizer": "lars",
            "warmup_epochs": 10.0,
            "epochs": epochs,
            "lr": lr,
            "weight_decay": weight_decay,
            "tau_base": tau_base,
            "knn_every": 0,
        }
    )


@_recipe
def byol_imagenet_40() -> Changes:
    """Train ResNet-50 for 40 epochs. Source: the authors' published code, with settings for 40, 100, 300 and 1000.

    In that code the last scale of each residual block starts at 0, which the authors found more stable.
    """
    return _imagenet(40, 0.45, 1e-6, 0.97) | {"zero_init_residual": True}


@_recipe
def byol_imagenet_100() -> Changes:
    """Train ResNet-50 for 100 epochs. Source: the authors' published code, as for 40 epochs."""
    return _imagenet(100, 0.45, 1e-6, 0.99) | {"zero_init_residual": True}


@_recipe
def byol_imagenet_300() -> Changes:
    """Train ResNet-50 for 300 epochs, the reference of every ablation: 72.5. Source: Grill et al. 2020, section 5.

    The paper's results were obtained without zero_init_residual (the README of the authors' code, which has it).
    """
    return _imagenet(300, 0.3, 1e-6, 0.99)


@_recipe
def byol_imagenet_1000() -> Changes:
    """Train ResNet-50 for 1000 epochs: 74.3 top-1. Source: Grill et al. 2020, section 3.3."""
    return _imagenet(1000, 0.2, 1.5e-6, 0.996)


@_recipe
def byol_imagenet_b512() -> Changes:
    """Train ResNet-50 for 1000 epochs, batches of 512. Source: Grill et al. 2020, appendix: lr 0.4, τ_base 0.9995."""
    return _imagenet(1000, 0.4, 1.5e-6, 0.9995) | {"batch_size": 512}


@_recipe
def imagenette() -> Changes:
    """Train ResNet-18 on ten classes of ImageNet, 128 px: 92.3 top-1, online. Source: the authors' published code.

    Its ResNet-18 has a projection in the shortcut of the first group too. Its scales start at 1, because Haiku's BlockV1
    starts them at 0 in blocks with a bottleneck alone.
    """
    encoder: Changes = {"encoder": "resnet18", "projection_shortcut": True}
    return _imagenet(1000, 2.0, 1e-6, 0.996) | encoder | {"view_size": 128, "batch_size": 256}


# --- CIFAR-10 -----------------------------------------------------------------------------------


def _cifar10() -> Changes:
    """Return what all runs of lightly's CIFAR-10 benchmark share. Its lr 0.06 at B 128 is a base rate of 0.12.

    In all of them the stem has no ReLU, see `cifar10`.
    """
    return PAPER_VIEWS | {
        "encoder": "resnet18",
        "saturation": 0.4,
        "blur_p": 0.0,
        "solarize_p": 0.0,
        "batch_size": 128,
        "lr": 0.12,
        "weight_decay": 5e-4,
        "warmup_epochs": 0.0,
        "tau_base": 0.99,
        "tau_schedule": "constant",
        "epochs": 200,
        "knn_every": 10,
    }


@_recipe
def cifar10() -> Changes:
    """Train ResNet-18 with the 3×3 stem by SGD for 200 epochs: kNN 86.9. Source: lightly's CIFAR-10 benchmark.

    The network that was measured there has no ReLU after the BatchNorm of the stem: the benchmark puts the modules of
    lightly's ResNet in a row, and that ReLU is a call, not a module. Ours has it, as in He et al. 2015.

    Its loss is half the sum of two negative cosines, a quarter of ours. So a quarter of its rate, and four times its
    weight decay, which the rate multiplies, make the same steps.
    """
    return _cifar10() | {"hidden_dim": 1024, "projection_dim": 256, "lr": 0.03, "weight_decay": 2e-3}


@_recipe
def cifar10_lars() -> Changes:
    """Train ResNet-18 with the 3×3 stem by LARS for 1000 epochs: 92.6 linear, online.

    Source: solo-learn's cifar/byol.yaml. Its LARS adds λ‖w‖ to ‖∇L‖ in the trust ratio, where the paper has ‖∇L + λw‖.
    """
    return (
        PAPER_VIEWS
        | PAPER_HEADS
        | {
            "encoder": "resnet18",
            "blur_p": 0.0,
            "batch_size": 256,
            "optimizer": "lars",
            "trust_coefficient": 0.02,
            "trust_clip": True,
            "lr": 1.0,
            "weight_decay": 1e-5,
            "warmup_epochs": 10.0,
            "tau_base": 0.99,
            "epochs": 1000,
            "knn_every": 10,
        }
    )


@_recipe
def cifar10_simclr() -> Changes:
    """Train ResNet-18 by SimCLR at α 0.5. Source: lightly's CIFAR-10 benchmark; not run here, it needs a GPU."""
    return _cifar10() | {"method": "simclr", "temperature": 0.5, "hidden_dim": 512, "projection_dim": 128}


@_recipe
def cifar10_simsiam() -> Changes:
    """Train ResNet-18 by SimSiam. Source: lightly's CIFAR-10 benchmark; not run here, it needs a GPU.

    The projector has two layers, as in that benchmark. Its last BatchNorm has no scale and shift, as in the code of
    SimSiam's authors; that of the benchmark has them.
    """
    heads = {"heads": "simsiam", "hidden_dim": 2048, "projection_dim": 2048, "projector_depth": 2, "output_norm": True}
    return _cifar10() | {"method": "simsiam", "predictor_hidden_dim": 512} | heads


@_recipe
def cifar10_dino() -> Changes:
    """Train ResNet-18 by DINO, 2,048 prototypes. Source: lightly's CIFAR-10 benchmark; not run here, it needs a GPU."""
    heads = {"hidden_dim": 2048, "projection_dim": 256, "projector_depth": 2, "prototypes": 2048}
    temperatures = {"teacher_temperature": 0.04, "teacher_temperature_start": 0.04}
    return _cifar10() | {"method": "dino"} | heads | temperatures


# --- relatives, on "shapes" ---------------------------------------------------------------------


@_recipe
def simclr() -> Changes:
    """Train by SimCLR: negatives, no predictor, no target network. Source: Chen et al. 2020, arXiv 2002.05709.

    α 0.5 is from its appendix B.9, the other settings are those of "shapes". The switches of BYOL can make the same run
    (table 5b: "no, no, 1"). Its loss is then 4 + 4α · NT-Xent, so with α 0.5 the rate here is twice BYOL's, and the
    decay, which the rate multiplies, is half.
    """
    return {"method": "simclr", "lr": 1.6, "weight_decay": 2e-4} | HEADS["simclr"]


@_recipe
def simsiam() -> Changes:
    """Train by SimSiam: no moving average, only the stop-gradient. Source: Chen & He 2020, arXiv 2011.10566, section 3.

    The heads are an eighth as wide as in the paper: a projector of three layers with a normalised output, and a
    predictor whose hidden layer is a quarter of z. Their biases are those of the authors' code. The other settings are
    those of "shapes". The loss is a quarter of BYOL's sum, so four times the rate and a quarter of the decay make the
    steps of BYOL with target "online".
    """
    return {"method": "simsiam", "lr": 3.2, "weight_decay": 1e-4} | HEADS["simsiam"]


DINO_ON_SHAPES: Changes = {"method": "dino", "lr": 0.4, "tau_base": 0.99} | HEADS["dino"]


@_recipe
def dino() -> Changes:
    """Train a convolutional encoder by DINO with 1,024 prototypes. Source: Caron et al. 2021, arXiv 2104.14294.

    Temperatures, rate and τ are from this project. The paper's τ_t of 0.04 to 0.07 belongs to 65,536 prototypes and
    1024 images a step. With 1,024 and 32, scores differ too little for it: every view is spread equally over all
    groups, unless the teacher sharpens more.
    """
    return dict(DINO_ON_SHAPES)


VIT: Changes = {"encoder": "vit_nano", "patch_size": 8, "optimizer": "adamw", "lr": 0.008, "weight_decay": 0.05}


@_recipe
def dino_vit() -> Changes:
    """Train a small vision transformer by DINO. Source: as `dino`; rate and centring are from this project.

    It centres by Sinkhorn-Knopp, because by the mean it learns less in the same epochs (the ledger has both).
    """
    return DINO_ON_SHAPES | VIT | {"centering": "sinkhorn"}


@_recipe
def dinov2() -> Changes:
    """Train by DINO with Sinkhorn-Knopp, iBOT and KoLeo. Source: Oquab et al. 2023, arXiv 2304.07193, section 4.

    iBOT and KoLeo have the weights of the paper, 1 and 0.1, and the scales of its code: iBOT's loss is the mean over all
    global views, KoLeo's the sum over the two, and Sinkhorn-Knopp assigns the hidden patches alone. What differs, besides
    all sizes, rates and temperatures: class token and patches share one head, as in iBOT (the large models of DINOv2 have
    two); the head has BatchNorm, over all patches, where DINOv2 has none; patches are hidden one by one, in a view with
    probability ½, where DINOv2 hides blocks, in exactly half of the views; layer scale and stochastic depth are left out.
    """
    return dino_vit() | {"ibot_weight": 1.0, "koleo_weight": 0.1}
