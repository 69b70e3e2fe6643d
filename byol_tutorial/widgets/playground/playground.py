"""The playground: BYOL that trains in the browser, without Python. See js/playground for the engine and the panel."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import traitlets

from ...config.config import Config, refuse_unknown
from ...config.errors import UserError
from ...data.shapes import CLASSES
from ...evaluate.diagnose import THRESHOLDS, VERDICTS
from ...live.experiment import Experiment
from ..assets import source
from ..film import hue_circle
from ..panel import Panel
from ..predictions import KNN_MARGIN, LATE, SPREAD_ANSWER, questions
from .build import module
from .fields import OPEN_END, SIZES, about, page_settings, plan, settings


def playground(
    experiment: str | Experiment | None = None,
    *,
    size: int = 24,
    beside: Mapping[str, Any] | None = None,
    **changes: Any,
) -> "Playground":
    """Make a panel in which BYOL trains in the browser: it needs no kernel, and answers to every control at once.

    >>> bt.widgets.playground()                                                # BYOL, ready to train
    >>> bt.widgets.playground(predictor="identity")                            # without its predictor
    >>> bt.widgets.playground(beside={"predictor": "identity"})                # both, side by side
    >>> bt.widgets.playground(str(bt.Experiment.of(session)))                  # a run of the library again

    The shapes, the views, the small encoder, the recipe and the measures are those of the library, computed by JavaScript
    and WebAssembly. The random numbers are the browser's own, so a seed gives another run than in Python.

    Args:
        experiment: an Experiment, or its text, on "shapes" of 24 or 32 px. Default: BYOL's recipe, with a rate and a τ that
            stay constant after the warm-up.
        size: pixels a side of a picture: 24 with an encoder of width 8, or 32 with the course's width 16. Only without
            `experiment`.
        beside: fields of Config in which a second run differs, shown beside the first. Default: one run.
        changes: fields of Config in which the run differs. Only without `experiment`.

    Raises:
        ConfigError: an unknown field, or a value that is not allowed.
        UserError: a field that the page cannot change, another set of images, or an experiment together with changes.

    Accessible names, for tests and assistive technology: region "BYOL playground"; buttons "train", "step", "start again",
    "new seed", one for each experiment, "copy link", "copy experiment", "save picture" and "save curves"; sliders and
    choices named as in the cockpit; images "Map of ...", "Network: ...", "Pairs of views ...", "Neighbours ...".
    """
    if experiment is not None:
        if changes or size != 24:
            raise UserError("an experiment has all settings of its own: give it alone, or the changes alone")
        first = experiment if isinstance(experiment, Experiment) else Experiment.parse(experiment)
        plans = [plan(first)]
    else:
        refuse_unknown(changes)
        if size not in SIZES:
            raise UserError(f"size={size!r}: choose one of {', '.join(map(str, SIZES))}")
        config = Config(**({"width": SIZES[size]} | OPEN_END | changes))
        plans = [{"settings": settings(config, size), "changes": [], "steps": 0}]
    if beside is not None:
        refuse_unknown(beside)
        other = (first.config if experiment is not None else config).replace(**beside)
        plans.append(
            {"settings": settings(other, plans[0]["settings"]["pixels"]), "changes": [], "steps": plans[0]["steps"]}
        )
    return Playground(plans=plans)


class Playground(Panel):
    """The panel that trains in the page; see `playground`.

    about: what the page needs to know about settings, verdicts and questions. plans: the one or two runs to begin with.
    """

    _esm = module()
    _css = source("playground", "css")
    about = traitlets.Dict().tag(sync=True)
    plans: traitlets.List = traitlets.List().tag(sync=True)

    def __init__(self, plans: list[dict[str, Any]]):
        asked = {"late": LATE, "margin": KNN_MARGIN, "questions": questions("byol"), "spread": SPREAD_ANSWER}
        verdicts = {"thresholds": asdict(THRESHOLDS), "verdicts": VERDICTS}
        super().__init__(
            about=about() | verdicts | {"asked": asked, "classes": CLASSES, "circle": hue_circle(24)}, plans=plans
        )


def first_look() -> "FirstLook":
    """Make the panel with which the course begins: BYOL trains as soon as it is visible, and one button removes its predictor.

    It is the playground's engine with a map, two curves and that button, which first asks for a guess. It needs no kernel.

    >>> bt.widgets.first_look()

    Accessible names: region "BYOL at first sight"; buttons "remove the predictor", "pause" or "train", then one for each
    guess, and "start again, with the predictor"; images "Map of ...", "loss over steps, ...", "spread ...".
    """
    plans = [{"settings": page_settings(), "changes": [], "steps": 0}]
    return FirstLook(plans=plans)


class FirstLook(Playground):
    """The first panel of the course; see `first_look`."""

    _esm = module("first")
    _css = source("first", "css")
