"""Measures of how good a representation is: kNN, probes, protocols, collapse; also maps, and encoders that others trained."""

from .comparison import Accuracies, Comparison, accuracies, compare
from .dense import DenseResult, dense_probe
from .features import PIXEL_GRID, centre, features, kept_size, network_input, pixels, seen_size, small_pixels
from .knn import knn_accuracy, nearest
from .linear import HELD_OUT, ITERATIONS, PENALTIES, ProbeResult, factor_probe, linear_probe

__all__ = [
    "HELD_OUT",
    "ITERATIONS",
    "PENALTIES",
    "PIXEL_GRID",
    "Accuracies",
    "Comparison",
    "DenseResult",
    "ProbeResult",
    "accuracies",
    "centre",
    "compare",
    "dense_probe",
    "factor_probe",
    "features",
    "kept_size",
    "knn_accuracy",
    "linear_probe",
    "nearest",
    "network_input",
    "pixels",
    "seen_size",
    "small_pixels",
]
