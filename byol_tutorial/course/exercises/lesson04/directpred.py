"""Exercise 04-directpred, “A predictor without training”."""

import torch
from torch import Tensor

from ..record import Exercise, Mistake


def _direct(
    C: Tensor, epsilon: float, root: bool = True, relative: bool = True, inside: bool = False, turned: bool = False
) -> Tensor:
    s, u = torch.linalg.eigh(C)
    s = s.clamp(min=0)
    s = s / s.max() if relative else s
    if inside:
        s = s + epsilon
    p = s.sqrt() if root else s
    p = p if inside else p + epsilon
    return (u.T * p) @ u if turned else (u * p) @ u.T


def _scaled(C: Tensor, epsilon: float) -> Tensor:
    s, u = torch.linalg.eigh(C)
    root = s.clamp(min=0).sqrt()
    return (u * (root + epsilon * root.max())) @ u.T


def _equation_18(C: Tensor, epsilon: float) -> Tensor:
    s, u = torch.linalg.eigh(C)
    s = s.clamp(min=0)
    return (u * (s.sqrt() + epsilon * s.max())) @ u.T


def _not_clamped(C: Tensor, epsilon: float) -> Tensor:
    s, u = torch.linalg.eigh(C)
    return (u * ((s / s.max()).sqrt() + epsilon)) @ u.T


def _backwards(C: Tensor, epsilon: float) -> Tensor:
    s, u = torch.linalg.eigh(C)
    s = s.clamp(min=0)
    return (u * ((s / s.max()).sqrt().flip(0) + epsilon)) @ u.T


def _of_the_trace(C: Tensor, epsilon: float) -> Tensor:
    s, u = torch.linalg.eigh(C)
    s = s.clamp(min=0)
    return (u * ((s / s.sum()).sqrt() + epsilon)) @ u.T


def _root_over_largest(C: Tensor, epsilon: float) -> Tensor:
    s, u = torch.linalg.eigh(C)
    s = s.clamp(min=0)
    return (u * (s.sqrt() / s.max() + epsilon)) @ u.T


def _direct_cases() -> list[tuple]:
    g = torch.Generator().manual_seed(6)
    z = torch.randn(40, 5, generator=g) * torch.tensor([3.0, 2.0, 1.0, 0.5, 0.1])
    z = z @ torch.linalg.qr(torch.randn(5, 5, generator=g)).Q
    flat = z[:, :1] @ torch.randn(1, 4, generator=g)  # has rank 1, so eigenvalues are 0, or just below it by rounding
    return [(z.T @ z / 40, 0.1), (z.T @ z / 40, 0.3), (flat.T @ flat / 40, 0.1)]


DIRECTPRED = Exercise(
    id="04-directpred",
    title="A predictor without training",
    kind="implement",
    difficulty=2,
    minutes=12,
    core=False,
    hints=(
        "C and W have the same eigenvectors. Only the eigenvalues differ: which function of s gives p?",
        (
            "s, u = torch.linalg.eigh(C), and s.clamp(min=0), since rounding may make an eigenvalue slightly "
            "negative. Make the vector p from s; then U diag(p) Uᵀ is (u * p) @ u.T."
        ),
        ("s, u = torch.linalg.eigh(C)\ns = s.clamp(min=0)\np = (s / s.max()).sqrt()  # and ε\n# W = U diag(p) Uᵀ"),
    ),
    cases=_direct_cases,
    reference=_direct,
    tolerance=1e-3,
    mistakes=(
        Mistake(
            "no root",
            lambda C, e: _direct(C, e, root=False),
            "the root is missing: p_j goes with √s_j. Without it, the predictor answers small directions far too weakly.",
        ),
        Mistake(
            "right but for its scale",
            _scaled,
            "√s + ε max √s has the right eigenvectors and ratios, but it grows with the projections. Here, as in the authors' code, "
            "the formula is √(s / max s) + ε: divide by √(max s), so that the largest is 1 + ε.",
        ),
        Mistake(
            "equation 18",
            _equation_18,
            "√s + ε max s is the paper's equation 18, which is the formula asked for only where max s is 1. Here, as in the authors' "
            "code, s is divided by its largest first: √(s / max s) + ε.",
        ),
        Mistake(
            "not clamped",
            _not_clamped,
            "a part of it is NaN: by rounding, an eigenvalue that should be 0 can be slightly negative, and has no root. Bring those to 0 "
            "first.",
            when=lambda seen, wanted: any(not torch.as_tensor(W).isfinite().all() for W in seen),
        ),
        Mistake(
            "eigenvalues backwards",
            _backwards,
            "the p are in the opposite order of their eigenvectors: eigh gives both in ascending order, so leave them as they are.",
        ),
        Mistake(
            "only the numerator's root",
            _root_over_largest,
            "the root was taken of s_j alone: it is the root of the ratio, √(s_j / max s).",
        ),
        Mistake(
            "relative to the sum",
            _of_the_trace,
            "s was divided by the sum of the eigenvalues, not by the largest one.",
        ),
        Mistake(
            "not relative",
            lambda C, e: _direct(C, e, relative=False),
            "s was not divided by the largest eigenvalue: W would grow with the projections.",
        ),
        Mistake(
            "ε inside the root",
            lambda C, e: _direct(C, e, inside=True),
            "ε was added before the root was taken; it is added to the root.",
        ),
        Mistake("no ε", lambda C, e: _direct(C, 0.0), "ε is missing: a direction with s = 0 could never come back."),
        Mistake(
            "turned round",
            lambda C, e: _direct(C, e, turned=True),
            "the eigenvalues of W are right, but not its eigenvectors: C = U diag(s) Uᵀ with the eigenvectors in the "
            "*columns* of U.",
        ),
        Mistake(
            "the correlation itself",
            lambda C, e: C,
            "that is C itself. Decompose it, change its eigenvalues and compose it again.",
        ),
    ),
    praise="right: it is aligned by construction, and none of it was learned.",
)
