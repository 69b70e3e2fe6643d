"""Named recipes: what the paper and its successors trained with, and what suits a laptop.

Each recipe is a function whose docstring cites its source; `preset(name)` makes the Config. A recipe
names every field in which it differs from Config's defaults, which are the recipe for "shapes".
"""

from collections.abc import Callable

from .config import Config, refuse_unknown
from .errors import ConfigError

# T and T′ of the paper, appendix B: they differ only in blur and solarize.
PAPER_VIEWS = {
    "crop_area": (0.08, 1.0),
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
PAPER_HEADS = {"hidden_dim": 4096, "projection_dim": 256}  # of projector and predictor (section 3.3)

HEADS = {  # what a method needs to learn from some thousand images
    "simclr": {"temperature": 0.5},
    "simsiam": {"projection_dim": 256, "projector_depth": 3, "output_norm": True, "predictor_hidden_dim": 64},
    "dino": {"projection_dim": 256, "projector_depth": 3},
}

PRESETS: dict[str, Callable[[], dict]] = {}


def _recipe(function: Callable[[], dict]) -> Callable[[], dict]:
    PRESETS[function.__name__.replace("_", "-")] = function
    return function


def preset(name: str, **changes) -> Config:
    """The named recipe, with any field changed: `preset("shapes", tau_base=0.9)`. PRESETS lists them.

    With `method`, of another method than the recipe's, the recipe gets that method's heads and temperatures, HEADS.

    In a run of fewer epochs than the recipe's warm-up has, the warm-up is all of it, unless it is given too.

    Raises:
        ConfigError: an unknown preset, field or value.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset {name!r}: choose one of {', '.join(PRESETS)}")
    refuse_unknown(changes)
    recipe = PRESETS[name]()
    if changes.get("method", recipe.get("method", "byol")) != recipe.get("method", "byol"):
        recipe |= HEADS.get(changes["method"], {})
    usual, epochs = recipe.get("warmup_epochs", Config.warmup_epochs), changes.get("epochs")
    if isinstance(epochs, int) and 0 < epochs < usual:
        recipe["warmup_epochs"] = float(epochs)
    return Config(**(recipe | changes))


# --- for a laptop -------------------------------------------------------------------------------


@_recipe
def shapes() -> dict:
    """Ten drawn curves, 32 px, about a minute on two CPU cores. Source: bench/shapes.py, measured there."""
    return {}


@_recipe
def digits() -> dict:
    """scikit-learn's 1,797 handwritten digits. A mirrored digit is another sign, so no flip. Source: this project."""
    return {"flip_p": 0.0, "hue": 0.0, "saturation": 0.0, "grayscale_p": 0.0, "epochs": 40}


@_recipe
def photos() -> dict:
    """Small photographs on a CPU: the paper's colours, a milder crop for a small encoder. Source: bench/photos.py."""
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


def _imagenet(epochs: int, lr: float, weight_decay: float, tau_base: float) -> dict:
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
def byol_imagenet_40() -> dict:
    """ResNet-50, 40 epochs. Source: the authors' published code, which has settings for 40, 100, 300 and 1000."""
    return _imagenet(40, 0.45, 1e-6, 0.97)


@_recipe
def byol_imagenet_100() -> dict:
    """ResNet-50, 100 epochs. Source: the authors' published code."""
    return _imagenet(100, 0.45, 1e-6, 0.99)


@_recipe
def byol_imagenet_300() -> dict:
    """ResNet-50, 300 epochs, the reference of every ablation: 72.5. Source: Grill et al. 2020, section 5."""
    return _imagenet(300, 0.3, 1e-6, 0.99)


@_recipe
def byol_imagenet_1000() -> dict:
    """ResNet-50, 1000 epochs: 74.3 top-1. Source: Grill et al. 2020, section 3.3."""
    return _imagenet(1000, 0.2, 1.5e-6, 0.996)


@_recipe
def byol_imagenet_b512() -> dict:
    """ResNet-50, 1000 epochs with batches of 512. Source: Grill et al. 2020, appendix: lr 0.4, τ_base 0.9995."""
    return _imagenet(1000, 0.4, 1.5e-6, 0.9995) | {"batch_size": 512}


@_recipe
def imagenette() -> dict:
    """ResNet-18 on ten classes of ImageNet at 128 px: 92.3 top-1, online. Source: the authors' published code."""
    return _imagenet(1000, 2.0, 1e-6, 0.996) | {"encoder": "resnet18", "view_size": 128, "batch_size": 256}


# --- CIFAR-10 -----------------------------------------------------------------------------------


def _cifar10() -> dict:
    """What lightly's CIFAR-10 benchmark has in common. Its lr 0.06 at B 128 is a base rate of 0.12."""
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
def cifar10() -> dict:
    """ResNet-18 with the 3×3 stem, SGD, 200 epochs: kNN 86.9. Source: lightly's CIFAR-10 benchmark.

    Its loss is half the sum of two negative cosines, a quarter of ours: so a quarter of its rate, and four times its
    weight decay, which the rate multiplies, make the same steps.
    """
    return _cifar10() | {"hidden_dim": 1024, "projection_dim": 256, "lr": 0.03, "weight_decay": 2e-3}


@_recipe
def cifar10_lars() -> dict:
    """ResNet-18 with the 3×3 stem, LARS, 1000 epochs: 92.6 linear, online. Source: solo-learn's cifar/byol.yaml.

    Its LARS adds λ‖w‖ to ‖∇L‖ in the trust ratio where the paper's has ‖∇L + λw‖.
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
def cifar10_simclr() -> dict:
    """ResNet-18 on CIFAR-10, by SimCLR at α 0.5. Source: lightly's CIFAR-10 benchmark. Not tried here: it takes a GPU."""
    return _cifar10() | {"method": "simclr", "temperature": 0.5, "hidden_dim": 512, "projection_dim": 128}


@_recipe
def cifar10_simsiam() -> dict:
    """ResNet-18 on CIFAR-10, by SimSiam with its heads. Source: lightly's CIFAR-10 benchmark. Not tried here: it takes a GPU."""
    heads = {"hidden_dim": 2048, "projection_dim": 2048, "projector_depth": 2, "output_norm": True}
    return _cifar10() | {"method": "simsiam", "predictor_hidden_dim": 512} | heads


@_recipe
def cifar10_dino() -> dict:
    """ResNet-18 on CIFAR-10, by DINO with 2,048 prototypes. Source: lightly's CIFAR-10 benchmark. Not tried here: it takes a GPU."""
    heads = {"hidden_dim": 2048, "projection_dim": 256, "projector_depth": 2, "prototypes": 2048}
    temperatures = {"teacher_temperature": 0.04, "teacher_temperature_start": 0.04}
    return _cifar10() | {"method": "dino"} | heads | temperatures


# --- relatives, on "shapes" ---------------------------------------------------------------------


@_recipe
def simclr() -> dict:
    """SimCLR: no predictor, no target network, negatives. Source: Chen et al. 2020, arXiv 2002.05709; α 0.5: B.9.

    The other settings are those of "shapes". BYOL's switches can make the same run (table 5b: "no, no, 1"): its loss
    is 4 + 4α · NT-Xent, so with α 0.5 the rate here is twice BYOL's, and the decay, which the rate multiplies, half.
    """
    return {"method": "simclr", "lr": 1.6, "weight_decay": 2e-4} | HEADS["simclr"]


@_recipe
def simsiam() -> dict:
    """SimSiam: no moving average, the stop-gradient alone. Source: Chen & He 2020, arXiv 2011.10566, section 3.

    Its heads, an eighth as wide: a projector of three layers with a normalised output, and a predictor whose hidden layer is a
    quarter of z. The other settings are those of "shapes"; its loss is a quarter of BYOL's sum, so four times the rate
    and a quarter of the decay make the steps of BYOL with target "online".
    """
    return {"method": "simsiam", "lr": 3.2, "weight_decay": 1e-4} | HEADS["simsiam"]


DINO_ON_SHAPES = {"method": "dino", "lr": 0.4, "tau_base": 0.99} | HEADS["dino"]


@_recipe
def dino() -> dict:
    """DINO with a convolutional encoder, 1,024 prototypes. Source: Caron et al. 2021, arXiv 2104.14294; temperatures, rate and τ: this project.

    The paper's τ_t of 0.04 to 0.07 goes with 65,536 prototypes and 1024 images a step. With 1,024 and 32, scores differ
    too little for it: all views end in all groups alike, unless the teacher sharpens more.
    """
    return dict(DINO_ON_SHAPES)


VIT = {"encoder": "vit_nano", "patch_size": 8, "optimizer": "adamw", "lr": 0.008, "weight_decay": 0.05}


@_recipe
def dino_vit() -> dict:
    """DINO with a small vision transformer. Source: as `dino`; rate and centring: this project.

    With Sinkhorn-Knopp, since with the mean for a centre it is behind after as many epochs (the ledger has both).
    """
    return DINO_ON_SHAPES | VIT | {"centering": "sinkhorn"}


@_recipe
def dinov2() -> dict:
    """DINO with what DINOv2 adds: Sinkhorn-Knopp, iBOT, KoLeo. Source: Oquab et al. 2023, arXiv 2304.07193, section 4.

    Their weights, 1 and 0.1. One head for class token and patches, as in iBOT; theirs are two at their scale.
    """
    return dino_vit() | {"ibot_weight": 1.0, "koleo_weight": 0.1}
