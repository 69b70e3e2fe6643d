"""Which controls have no effect in the present state of the run, and why. The panel switches them off and says it."""

from collections.abc import Callable

from ...config.config import FIELDS, LIVE, Config

JITTER = ("hue", "brightness", "contrast", "saturation")
FINISHED = "the run is finished: no step follows that could use it; branch from an earlier step, or reset"
RULES: tuple[tuple[tuple[str, ...], Callable[[Config], bool], str], ...] = (  # fields, when, why
    (("tau_base",), lambda c: c.method == "byol" and not c.stop_gradient, "without stop-gradient the target is the online network, ξ = θ"),
    (("tau_base",), lambda c: c.method == "byol" and c.target == "online", "the target is the online network, which is τ = 0"),
    (("tau_base",), lambda c: c.method == "byol" and c.target == "random", "the target stays as it is, which is τ = 1"),
    (("target",), lambda c: not c.stop_gradient, "without stop-gradient the target is the online network, ξ = θ"),
    (("predictor_lr_multiplier",), lambda c: c.predictor in ("identity", "fixed", "optimal"), "no gradient trains this predictor"),
    (("temperature",), lambda c: c.method == "byol" and c.negatives_weight == 0, "it belongs to the negatives, whose weight β is 0"),
    (("temperature",), lambda c: c.method == "simclr" and not c.negatives, "it belongs to the negatives, which are off"),
    (("center_momentum",), lambda c: c.centering != "mean", "it belongs to the centre, which is a mean only with centring “mean”"),
    (JITTER, lambda c: c.jitter_p == (0, 0), "the probability of colour jitter is 0 in both views"),
)  # fmt: skip


def inert(config: Config, done: bool) -> dict[str, str]:
    """Return why a field has no effect now, for each field that has none. done: whether no step follows any more."""
    found = dict.fromkeys(LIVE, FINISHED) if done else {}
    for fields, applies, why in RULES:
        known = [name for name in fields if config.method in FIELDS[name].metadata["of"]]
        if known and applies(config):
            found |= {name: found.get(name, why) for name in known}
    return found
