"""Whether an optional package is installed here."""

import importlib.util


def is_installed(name: str) -> bool:
    """Return whether a package can be imported from its files.

    A folder of this name in the current directory also counts as a package for Python, an empty one without an origin;
    a user who keeps event files in a folder `tensorboard` has not installed TensorBoard.
    """
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None
