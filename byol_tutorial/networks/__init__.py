"""The networks: encoders f, and the heads g and q."""

from .encoders import SMALL_STEM_UP_TO, Branch, Encoder, SmallEncoder, build_encoder, resnet
from .heads import MLP, OptimalPredictor, build_predictor, build_projector
from .normalization import StandardisedConv2d, StandardisedLinear, build_norm, is_standardised, standardise

__all__ = [
    "MLP",
    "SMALL_STEM_UP_TO",
    "Branch",
    "Encoder",
    "OptimalPredictor",
    "SmallEncoder",
    "StandardisedConv2d",
    "StandardisedLinear",
    "build_encoder",
    "build_norm",
    "build_predictor",
    "build_projector",
    "is_standardised",
    "resnet",
    "standardise",
]
