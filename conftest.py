"""For every pytest run, of tests and of notebooks: smoke scale unless told otherwise."""

import os

os.environ.setdefault("BYOL_SCALE", "smoke")
