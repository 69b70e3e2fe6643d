"""Exercises of lesson 09, maps."""

from .collapse import COLLAPSE
from .first import FIRST
from .kept import KEPT
from .lay import LAY
from .pca import PCA
from .tight import TIGHT
from .weights import MEMBERSHIP

EXERCISES = (PCA, FIRST, KEPT, COLLAPSE, MEMBERSHIP, TIGHT, LAY)
