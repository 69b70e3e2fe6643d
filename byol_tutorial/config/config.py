"""Config: every switch of the algorithm in one flat, frozen, validated record. presets.py has named recipes.

Each field gives its meaning, its range, and whether a running Trainer can change it ("live") or only a new one
("structural"). The command line takes its options, their help and their ranges from here, and sliders their bounds.
fields.py checks each value, and combinations.py those that exclude each other.
"""

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from .checks import brief
from .combinations import RANGES, RESIDUAL, refuse_combinations
from .errors import ConfigError
from .fields import METHODS, Pair, checked, option

__all__ = [
    "FIELDS",
    "LIVE",
    "OWN",
    "PREDICTING",
    "RANGES",
    "RESIDUAL",
    "TARGETED",
    "VIEWS",
    "Changes",
    "Config",
    "refuse_unknown",
]

Changes = dict[str, Any]  # a field of Config: its value

TARGETED, PREDICTING = ("byol", "dino"), ("byol", "simsiam")  # methods with a target network; with a predictor
OWN = "own"  # the encoder of a run that trains a module of the user's

RUN, ALGORITHM, OPTIMISER, NETWORK = "Run", "Algorithm", "Optimiser", "Networks"
HARDWARE, VIEWS, DINO = "Hardware", "Views T and T′", "DINO"


@dataclass(frozen=True)
class Config:
    """The settings of one run of BYOL or of a relative of it.

    The defaults are BYOL's recipe for "shapes". `preset(name)` gives the other recipes, and `preset(name, method=...)`
    the heads that suit the method.

    A field of type Pair holds one value for each view distribution, (T, T′); a single number is used for both. The
    fields named in RANGES hold the ends of a range that both views draw from. `low` and `high` below are inclusive.

    Raises:
        ConfigError: a value out of its range, NaN, of the wrong type, or two that exclude each other.
    """

    method: str = option(
        "byol",
        RUN,
        "what is trained: BYOL, SimCLR (negatives), SimSiam (no moving average), DINO (sorting into prototypes)",
        choices=METHODS,
    )
    seed: int = option(0, RUN, "decides weights, batches and views; same seed, same run", low=0, high=2**31 - 1)
    epochs: int = option(15, RUN, "passes over the training images", low=1)
    batch_size: int = option(32, RUN, "images per forward pass; each gives two views", low=2)
    accumulation_steps: int = option(
        1,
        RUN,
        "forward passes whose gradients are averaged into one optimiser step; BatchNorm, negatives, Sinkhorn-Knopp and "
        "KoLeo use one pass at a time",
        low=1,
        high=65536,
    )
    knn_every: int = option(1, RUN, "epochs between kNN checks while training; 0 never", low=0, live=True)

    target: str = option(
        "ema",
        ALGORITHM,
        "target network ξ: a moving average of the online one, the online network itself (τ = 0), or a "
        "fixed random one (τ = 1)",
        choices=("ema", "online", "random"),
        live=True,
        of=("byol",),
    )
    tau_base: float = option(
        0.9, ALGORITHM, "τ at the first update: ξ ← τξ + (1−τ)θ", low=0, high=1, live=True, of=TARGETED
    )
    tau_schedule: str = option(
        "cosine",
        ALGORITHM,
        "τ rises from tau_base to 1 along a cosine, or stays constant",
        choices=("cosine", "constant"),
        live=True,
        of=TARGETED,
    )
    predictor: str = option(
        "mlp",
        ALGORITHM,
        "predictor q: the paper's MLP, one linear map, identity (none), a random MLP that stays fixed, or the linear "
        "map that the correlation of the projections calls for (DirectPred)",
        choices=("mlp", "linear", "identity", "fixed", "optimal"),
        live=True,
        of=PREDICTING,
    )
    stop_gradient: bool = option(
        True,
        ALGORITHM,
        "no gradient through z′; off: ξ = θ, and the gradient passes through both branches",
        live=True,
        of=PREDICTING,
    )
    symmetric: bool = option(
        True, ALGORITHM, "add the loss with the two views exchanged (a sum, in [0, 8])", live=True, of=("byol",)
    )
    negatives_weight: float = option(
        0.0,
        ALGORITHM,
        "β, weight of the negatives: 0 is BYOL, 1 InfoNCE (table 5b)",
        low=0,
        high=1,
        live=True,
        of=("byol",),
    )
    temperature: float = option(
        0.1,
        ALGORITHM,
        "α of the negatives: cosines are divided by it",
        low=0.001,
        high=10,
        live=True,
        of=("byol", "simclr"),
    )
    loss_normalization: str = option(
        "l2",
        ALGORITHM,
        "how p and z′ are normalised before their squared distance",
        choices=("l2", "layernorm", "batchnorm", "none"),
        live=True,
        of=("byol",),
    )

    negatives: bool = option(
        True, ALGORITHM, "SimCLR: push the batch's other images away; off: pull alone", live=True, of=("simclr",)
    )

    prototypes: int = option(1024, DINO, "K, the groups that views are sorted into", low=2, of=("dino",))
    student_temperature: float = option(
        0.1, DINO, "τ_s, of the student's softmax", low=0.001, high=10, live=True, of=("dino",)
    )
    teacher_temperature: float = option(
        0.01,
        DINO,
        "τ_t, of the teacher's: lower than τ_s it sharpens",
        low=0.001,
        high=10,
        live=True,
        of=("dino",),
    )
    teacher_temperature_start: float = option(
        0.01, DINO, "τ_t at the first step", low=0.001, high=10, live=True, of=("dino",)
    )
    teacher_warmup_epochs: float = option(0.0, DINO, "epochs from there to τ_t", low=0, live=True, of=("dino",))
    centering: str = option(
        "mean",
        DINO,
        "what keeps one prototype from taking all: subtract the mean score, Sinkhorn-Knopp as in DINOv2, or nothing",
        choices=("mean", "sinkhorn", "none"),
        live=True,
        of=("dino",),
    )
    center_momentum: float = option(0.9, DINO, "m: c ← m c + (1−m) mean score", low=0, high=1, live=True, of=("dino",))
    local_crops: int = option(
        0, DINO, "small views besides the two global ones; the student alone sees them", low=0, high=32, of=("dino",)
    )
    local_view_size: int = option(
        0, DINO, "pixels a side of a local view; 0: half of a global one", low=0, high=1024, of=("dino",)
    )
    local_crop_area: Pair = option(
        (0.1, 0.5),
        DINO,
        "smallest and largest local crop, fraction of area",
        low=0.001,
        high=1,
        live=True,
        of=("dino",),
    )
    ibot_weight: float = option(
        0.0,
        DINO,
        "weight of iBOT's loss at hidden patches, a mean over all global views; needs a ViT",
        low=0,
        high=100,
        of=("dino",),
    )
    mask_ratio: Pair = option(
        (0.1, 0.5), DINO, "smallest and largest share of patches to hide", low=0.01, high=0.99, live=True, of=("dino",)
    )
    mask_p: float = option(0.5, DINO, "P(patches of a view are hidden)", low=0, high=1, live=True, of=("dino",))
    koleo_weight: float = option(
        0.0,
        DINO,
        "weight of KoLeo, summed over both global views, which keeps neighbours apart",
        low=0,
        high=100,
        live=True,
        of=("dino",),
    )

    optimizer: str = option(
        "sgd", OPTIMISER, "the paper's LARS, SGD with momentum, or AdamW", choices=("lars", "sgd", "adamw")
    )
    lr: float = option(
        0.8,
        OPTIMISER,
        "base learning rate; a step uses lr · batch_size · accumulation_steps / 256",
        above=0,
        high=1e30,  # so that the rate of any step is a float32
        live=True,
    )
    warmup_epochs: float = option(2.0, OPTIMISER, "epochs of linear warm-up from 0, before the cosine to 0", low=0)
    momentum: float = option(0.9, OPTIMISER, "momentum of LARS and SGD, β1 of AdamW", low=0, high=0.9999)
    trust_coefficient: float = option(
        1e-3, OPTIMISER, "LARS: step length of a layer, relative to its weights", above=0, high=1
    )
    trust_clip: bool = option(False, OPTIMISER, "LARS: lr is the most that a layer's update is multiplied by (LARC)")
    weight_decay: float = option(
        4e-4, OPTIMISER, "weight decay; none on biases and normalisation", low=0, high=1, live=True
    )
    clip_grad_norm: float = option(
        0.0,
        OPTIMISER,
        "largest L2 norm of the gradient of all parameters together; a longer gradient is shortened to it; 0: none",
        low=0,
        live=True,
    )
    predictor_lr_multiplier: float = option(
        1.0, OPTIMISER, "predictor's learning rate, times the others'", low=0, high=1000, live=True, of=PREDICTING
    )

    encoder: str = option(
        "small",
        NETWORK,
        "encoder f: four convolutions, a torchvision ResNet (3×3 stem for views up to 64 px), a vision transformer, a "
        "network that timm or torchvision builds by its name, or own: the module that Trainer gets as encoder=",
        choices=(
            "small",
            "resnet18",
            "resnet34",
            "resnet50",
            "vit_nano",
            "vit_tiny",
            "vit_small",
            "timm:NAME",
            "torchvision:NAME",
            OWN,
        ),
    )
    patch_size: int = option(4, NETWORK, "pixels a side of a vision transformer's patch", low=1, high=256)
    width: int = option(16, NETWORK, "channels of the small encoder's first layer; y has 4 × width", low=4, high=1024)
    norm: str = option(
        "bn",
        NETWORK,
        "normalisation: BatchNorm, GroupNorm with weight standardisation, or none",
        choices=("bn", "gn_ws", "none"),
    )
    zero_init_residual: bool = option(
        False,
        NETWORK,
        "ResNets: the scale of the last normalisation of each residual block starts at 0, as in the code of BYOL and of "
        "SimSiam for ResNet-50, so that each block begins as its shortcut",
    )
    projection_shortcut: bool = option(
        False,
        NETWORK,
        "ResNet-18 and -34: a 1×1 convolution in the shortcut of the first group too, as in BYOL's code; ResNet-50 has it "
        "anyway",
    )
    heads: str = option(
        "byol",
        NETWORK,
        "biases of projector and predictor: byol has them in hidden layers and not on outputs; simsiam has none in hidden "
        "layers, one on the predictor's output, and no scale and shift in the projector's output_norm",
        choices=("byol", "simsiam"),
    )
    hidden_dim: int = option(256, NETWORK, "hidden units of projector g", low=2)
    projection_dim: int = option(64, NETWORK, "dimension of projection z and prediction p", low=2)
    projector_depth: int = option(2, NETWORK, "linear layers of projector g", low=1, high=8)
    output_norm: bool = option(False, NETWORK, "normalise z too, as SimSiam does; BYOL does not")
    predictor_hidden_dim: int = option(
        0, NETWORK, "hidden units of predictor q; 0: as the projector", low=0, of=PREDICTING
    )
    predictor_depth: int = option(2, NETWORK, "linear layers of predictor q", low=1, high=8, of=PREDICTING)

    precision: str = option(
        "float32",
        HARDWARE,
        "of the networks: float32; bfloat16; float16, whose loss is scaled; mixed, which is bfloat16 where the device "
        "has it and float16 elsewhere",
        choices=("float32", "mixed", "bfloat16", "float16"),
    )
    compile: str = option(
        "auto",
        HARDWARE,
        "compile the model with torch.compile, which takes a minute and then saves a third of each step: auto does it "
        "on CUDA in a run that is long enough",
        choices=("auto", "on", "off"),
        alone="on",
    )
    cuda_graph: bool = option(
        True, HARDWARE, "on CUDA, record a step as a graph and replay it: the same step, with one launch"
    )

    view_size: int = option(0, VIEWS, "pixels a side of a view; 0: as the images", low=0, high=1024)
    crop_area: Pair = option(
        (0.5, 1.0), VIEWS, "smallest and largest crop, fraction of area", low=0.001, high=1, live=True
    )
    crop_ratio: Pair = option(
        (0.9, 1.1), VIEWS, "narrowest and widest crop; the paper's are 3/4 and 4/3", low=0.1, high=10, live=True
    )
    flip_p: Pair = option((0.0, 0.0), VIEWS, "P(horizontal flip); 0.5 in the paper", low=0, high=1, live=True)
    vertical_flip_p: Pair = option(
        (0.0, 0.0), VIEWS, "P(vertical flip), for images from above", low=0, high=1, live=True
    )
    quarter_turn_p: Pair = option(
        (0.0, 0.0),
        VIEWS,
        "P(turn by 90°, 180° or 270°, each as likely), for images from above; 0.75 makes all four directions as likely",
        low=0,
        high=1,
        live=True,
    )
    jitter_p: Pair = option((1.0, 1.0), VIEWS, "P(colour jitter)", low=0, high=1, live=True)
    colour_form: str = option(
        "torchvision",
        VIEWS,
        "brightness multiplies, contrast pivots on the mean luma, and the blur reflects at the border; or as in the "
        "authors' code: brightness adds, contrast pivots on each channel's mean, and the blur takes 0 beyond the border",
        choices=("torchvision", "authors"),
        live=True,
    )
    brightness: Pair = option(
        (0.4, 0.4), VIEWS, "factor in 1 ± this; with colour_form authors an offset", low=0, high=1, live=True
    )
    contrast: Pair = option((0.4, 0.4), VIEWS, "factor in 1 ± this", low=0, high=1, live=True)
    saturation: Pair = option((0.4, 0.4), VIEWS, "factor in 1 ± this", low=0, high=1, live=True)
    hue: Pair = option((0.5, 0.5), VIEWS, "turn of the colour circle, ± this", low=0, high=0.5, live=True)
    grayscale_p: Pair = option((0.3, 0.3), VIEWS, "P(grayscale)", low=0, high=1, live=True)
    blur_p: Pair = option((0.0, 0.0), VIEWS, "P(Gaussian blur)", low=0, high=1, live=True)
    blur_sigma: Pair = option(
        (0.1, 2.0), VIEWS, "smallest and largest sigma, in pixels of a view", low=0.01, high=20, live=True
    )
    solarize_p: Pair = option((0.0, 0.0), VIEWS, "P(solarize): x → 1 − x where x ≥ 0.5", low=0, high=1, live=True)

    def __post_init__(self) -> None:
        if isinstance(self.compile, bool):  # its type before it could be "auto"
            object.__setattr__(self, "compile", "on" if self.compile else "off")
        for f in dataclasses.fields(self):
            object.__setattr__(self, f.name, checked(f, getattr(self, f.name)))
        refuse_combinations(self)

    def replace(self, **changes: Any) -> "Config":
        """Return a copy with these fields changed.

        Raises:
            ConfigError: an unknown field, or a value that is not allowed.
        """
        refuse_unknown(changes)
        return dataclasses.replace(self, **changes)

    @property
    def rgb_operations(self) -> tuple[str, ...]:
        """The fields by which views change what only images of three channels, red, green and blue, have."""
        jittered = [name for name in ("saturation", "hue") if any(map(min, self.jitter_p, getattr(self, name)))]
        return (*jittered, *(["grayscale_p"] if any(self.grayscale_p) else []))

    def for_channels(self, channels: int) -> "Config":
        """Return the config for images of this many channels: without saturation, hue and grayscale unless it is 3."""
        return self if channels == 3 else self.replace(saturation=0.0, hue=0.0, grayscale_p=0.0)

    def check_channels(self, channels: int) -> None:
        """Raise ConfigError if views change colours, and images of this many channels have none."""
        if channels != 3 and self.rgb_operations:
            named = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.rgb_operations)
            raise ConfigError(
                f"{named}: this takes three channels, red, green and blue, and the images have {channels}; give "
                f"{' and '.join(f'{name}=0' for name in self.rgb_operations)}, or config.for_channels({channels})"
            )

    def to_dict(self) -> Changes:
        """Return the value of each field by its name."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """Return the fields as a JSON text, which `from_dict(json.loads(text))` reads back."""
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_dict(cls, values: Changes) -> "Config":
        """Make a Config of these fields; those that are missing get their defaults.

        Files that are older than compile="auto" have False there. False was then the default, so it becomes "auto".
        """
        refuse_unknown(values)
        if values.get("compile") is False:
            values = values | {"compile": "auto"}
        return cls(**values)

    @property
    def foreign_encoder(self) -> bool:
        """Whether the encoder is a network that another library or the user has written."""
        return self.encoder == OWN or ":" in self.encoder

    def local_size(self, view_size: int) -> int:
        """Return the pixels a side of a local view, for global views of this size."""
        return self.local_view_size or view_size // 2

    @property
    def step_lr(self) -> float:
        """The learning rate after warm-up, base lr · B / 256 with B the images of a whole step (section 3.3)."""
        return self.lr * self.step_images / 256

    @property
    def step_images(self) -> int:
        """The number of images whose gradients go into one optimiser step, the effective batch."""
        return self.batch_size * self.accumulation_steps


FIELDS = {f.name: f for f in dataclasses.fields(Config)}
LIVE = frozenset(name for name, f in FIELDS.items() if f.metadata["live"])


def refuse_unknown(names: Iterable[str]) -> None:
    """Raise ConfigError for the first name that is not a field of Config."""
    for name in names:
        if name not in FIELDS:
            near = get_close_matches(name, FIELDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the fields are {', '.join(FIELDS)}"
            raise ConfigError(f"{brief(name)} is not a field of Config: {hint}")
