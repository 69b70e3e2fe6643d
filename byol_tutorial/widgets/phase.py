"""The phase plane: why a predictor and a little weight decay keep BYOL from collapsing, and when they do not.

Tian et al. 2021 (arXiv 2102.06810): in a linear BYOL the predictor's eigenspace aligns with that of the correlation
of its input. From then on each direction changes independently, by the predictor's eigenvalue p and the correlation s:

    dp/dt = α s (τ̂ − (1 + σ²) p) − η p
    ds/dt = 2 p s (τ̂ − (1 + σ²) p) − 2 η s

Everything is computed in the browser, so the panel needs no kernel: dynamics.js computes, and phase.js draws.
"""

import math

import traitlets

from ..config.errors import UserError
from .assets import script, source
from .explained import explained
from .panel import Panel

RANGES = {"tau": (0.05, 1.0), "eta": (0.0, 0.4), "alpha": (0.1, 10.0), "noise": (0.0, 2.0)}  # the sliders' ends
START = {"p": (-0.4, 1.4), "s": (0.0, 10.0)}
TEXTS = {  # part: (what it is and does, equation or "", number of the lesson)
    "tau": ("Sets the size of the target's weights relative to the online network's. A slow moving average lags behind while these grow. "
            "It is not the decay rate τ.", "τ̂ = ‖ξ‖/‖θ‖", "5"),
    "eta": ("Pulls the weights of network and predictor to 0.", "−η p,  −2 η s", "4"),
    "alpha": ("Sets the learning rate of the predictor, relative to the network's. A predictor that learns too slowly lets its input collapse.",
              "all trajectories approach s = p²/α", "4"),
    "noise": ("Sets the variance that the augmentations add in this direction.", "p → τ̂/(1 + σ²)", "2"),
    "equations": ("These equations describe one direction of the representation (Tian et al. 2021): p is the predictor's eigenvalue in it, s how much the "
                  "online output varies along it. Collapse is s → 0.", "s = E[z zᵀ] in this direction", "4"),
    "keys": ("On each of the two dashed lines the velocity is 0 in one direction; where they cross, nothing moves. Every start in "
             "the shaded region goes to the collapse, every start outside of it to the healthy point.", "ṗ = 0,  ṡ = 0", "4"),
    "start": ("Shows where the trajectory starts: drag it, or use the arrow keys.", "(p, s) at t = 0", "4"),
    "outcome": ("Shows where this start ends, and when all but a hundredth of the way is done.", "", "4"),
    "limit": ("With more weight decay than this, no point is healthy.", "η ≤ τ̂²/(4 (1 + σ²))", "4"),
    "time": ("Shows the place on the trajectory at time t; press play to see how fast it is passed.", "", "4"),
    "keep": ("Keeps this trajectory in the plane, beside those that follow.", "", "4"),
}  # fmt: skip


def phase_plane(
    tau: float = 1.0,
    eta: float = 0.05,
    alpha: float = 1.0,
    noise: float = 0.1,
    start: tuple[float, float] = (0.05, 0.15),
) -> "PhasePlane":
    """Make a panel of Tian et al.'s dynamics of one direction: field, fixed points, basin of collapse, one trajectory.

    >>> bt.widgets.phase_plane(eta=0.3)         # shown as a cell's last line

    Args:
        tau: τ̂, the size of the target's weights relative to the online network's, in [0.05, 1]. It is not BYOL's decay
            rate τ, which decides how far the target lags behind while the weights grow.
        eta: η, weight decay, in [0, 0.4].
        alpha: α, the predictor's learning rate relative to the network's, in [0.1, 10].
        noise: σ², the variance that the augmentations add, in [0, 2].
        start: the trajectory's start, p in [−0.4, 1.4] and s in [0, 10].

    Raises:
        UserError: a value out of its range.

    Accessible names, for tests and assistive technology: region "Phase plane of BYOL's predictor"; group "presets";
    sliders "τ̂, target / online", "η, weight decay", "α, predictor's rate", "σ², noise of the views", "time t" and
    "start point: arrow keys move p and s"; buttons "play time", "keep this trajectory" and "clear the kept trajectories".
    """
    values = {"tau": tau, "eta": eta, "alpha": alpha, "noise": noise}
    if not isinstance(start, tuple | list) or len(start) != 2:
        raise UserError(f"start={start!r}: give two numbers, p and s")
    given = values | dict(zip(START, start, strict=True))
    for name, (low, high) in (RANGES | START).items():
        value = given[name]
        if not isinstance(value, int | float) or not math.isfinite(value) or not low <= value <= high:
            raise UserError(f"{name}={value!r}: give a number from {low:g} to {high:g}")
    return PhasePlane(values=values, start=list(start))


class PhasePlane(Panel):
    """The panel of the dynamics; see `phase_plane`. Its traits hold the first values; changes stay in the browser."""

    _esm = source("dynamics", "js") + "".join(script(name) for name in ("marks.js", "hints.js", "phase.js"))
    _css = source("phase", "css")

    values = traitlets.Dict().tag(sync=True)
    start: traitlets.List = traitlets.List().tag(sync=True)
    about = traitlets.Dict(explained(TEXTS)).tag(sync=True)
