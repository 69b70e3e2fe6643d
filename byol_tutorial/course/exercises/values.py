"""The values that exercises compare: converted first, then equal up to rounding, or their difference in words.

A list of numbers, a NumPy array and a tensor with the same numbers are the same answer.
"""

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

ASKS_FOR = "; the exercise asks for "  # in the message about an answer of another form: a shape, a length, a sort


def plain(value: Any) -> Any:
    """Return the value with its tensors detached, and NumPy's arrays and numbers as torch's and Python's."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return torch.from_numpy(value.copy())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {plain(key): plain(v) for key, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    return list(map(plain, value)) if isinstance(value, (tuple, range)) else value


def tensor(value: Any) -> Tensor | None:
    """Return a number, or numbers in lists, tuples, arrays or tensors, as float64 on the CPU; None if it is something else."""
    value = plain(value)
    if isinstance(value, Tensor):
        return value.double().cpu() if not value.is_complex() else None
    if isinstance(value, numbers.Real):  # bool is one, too
        return torch.tensor(float(value), dtype=torch.float64)
    if isinstance(value, (list, tuple)):
        parts = [tensor(v) for v in value]
        if parts and all(p is not None and p.shape == getattr(parts[0], "shape", None) for p in parts):
            return torch.stack([p for p in parts if p is not None])
    return None


def same(a: Any, b: Any, tolerance: float) -> bool:
    """Return whether an answer `a` equals the wanted `b`, numbers up to a relative tolerance.

    A tensor of one number is that number. The larger the largest number of a tensor, the further from 0 rounding may
    leave its small ones.
    """
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k], tolerance) for k in a)
    if _is_list(a) and _is_list(b):
        return len(a) == len(b) and all(same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    x, y = _beside(a, b)
    if x is not None and y is not None:
        if x.shape != y.shape:
            return False
        largest = max([1.0, *y[y.isfinite()].abs().flatten().tolist()])
        return torch.allclose(x, y, rtol=tolerance, atol=tolerance / 100 * largest, equal_nan=True)
    if isinstance(a, Tensor) and _is_list(b):
        a = list(a) if a.ndim else a
        return _is_list(a) and same(a, b, tolerance)
    return x is None and y is None and type(a) is type(b) and bool(a == b)


def _beside(a: Any, b: Any) -> tuple[Tensor | None, Tensor | None]:
    """Return both as tensors, where they are numbers; if `b` is one number, so is an `a` that holds one."""
    x, y = tensor(a), tensor(b)
    if x is not None and y is not None and y.ndim == 0 and x.numel() == 1:
        x = x.reshape(())
    return x, y


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def difference(seen: Sequence, wanted: Sequence, tolerance: float = 1e-4) -> str:
    """Describe the first difference between two lists of observations."""
    for i, (a, b) in enumerate(zip(seen, wanted, strict=True)):
        if not same(a, b, tolerance):
            where = f"in test {i + 1} of {len(wanted)} " if len(wanted) > 1 else ""
            return f"not yet: {where}{differs(a, b, tolerance)}"
    return "not yet: close, but not within the tolerance; is something computed in a lower precision?"


def differs(a: Any, b: Any, tolerance: float = 1e-4) -> str:
    """Describe how an answer `a` differs from the wanted `b`."""
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return f"your answer has {_keys(a)}{ASKS_FOR}{_keys(b)}"
        name = next(k for k in a if not same(a[k], b[k], tolerance))
        return f"“{name}”: {differs(a[name], b[name], tolerance)}"
    x, y = _beside(a, b)
    if x is None or y is None:
        if _is_list(a) and _is_list(b) and len(a) == len(b):
            i = next(i for i in range(len(a)) if not same(a[i], b[i], tolerance))
            return f"at position {i} {differs(a[i], b[i], tolerance)}"
        if isinstance(a, str) and isinstance(b, str):
            return f"{a!r} is not the answer"
        return f"your answer is {kind(a)}{ASKS_FOR}{sort(b)}"
    if x.shape != y.shape:
        return f"your answer is {kind(a)}{ASKS_FOR}{sort(b)}"
    if not x.isfinite().all() and y.isfinite().all():
        return "your answer is not finite (NaN or infinite)"
    at = (x - y).abs().nan_to_num(torch.inf).argmax()
    mine, right = float(x.flatten()[at]), float(y.flatten()[at])
    if isinstance(b, bool):
        return f"you have {bool(mine)} where {b} is right"
    return f"you have {mine:.6g} where {right:.6g} is right"


def _keys(value: dict) -> str:
    return f"the keys {', '.join(map(str, value))}" if value else "no keys"


def kind(value: Any) -> str:
    """Return in words what a value is: a tensor of shape (3, 2), a list of 4, one number, 0.5, the text 'x'."""
    value = plain(value)
    if isinstance(value, Tensor) and not value.ndim and not value.is_complex():
        value = value.item()
    if isinstance(value, bool):
        return f"the word {value}"
    if isinstance(value, (int, float)):
        return f"one number, {value:.4g}"
    return f"the text {value!r}" if isinstance(value, str) else sort(value)


def sort(value: Any) -> str:
    """Return in words of what sort a value is, without the value itself: what an exercise asks for."""
    value = plain(value)
    if isinstance(value, Tensor) and value.ndim:
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, bool):
        return "True or False"
    if isinstance(value, (int, float, Tensor)):
        return "one number"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, dict):
        return f"a dict with {_keys(value)}"
    if _is_list(value):
        inner = f", tensors of shape {tuple(value[0].shape)}" if value and isinstance(value[0], Tensor) else ""
        return f"a {type(value).__name__} of {len(value)}{inner}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, torch.nn.Module):
        return "a network"
    return "a function" if callable(value) else f"a {type(value).__name__}"
