"""Names that would run a script, or break a page, where they reach HTML unescaped; and things that are named so."""

from types import SimpleNamespace

import torch

import byol_tutorial as bt
from byol_tutorial.config.paper_tables import Row
from byol_tutorial.course.exercises.catalogue import Overview
from byol_tutorial.course.exercises.hints import Note
from byol_tutorial.course.exercises.predictions import PredictionOutcome
from byol_tutorial.course.exercises.record import Exercise, Verdict
from byol_tutorial.course.runs import Results
from byol_tutorial.evaluate.comparison import Comparison
from byol_tutorial.evaluate.result import Result
from byol_tutorial.figures import Picture
from byol_tutorial.live.findings import Finding, Findings
from byol_tutorial.live.recording import Recording

NAMES = (
    "<script>window.ran=1</script>",
    "<img src=x onerror=window.ran=1>",
    '"><svg onload=window.ran=1>',
    "' onmouseover='window.ran=1",
    "</script><script>window.ran=1</script>",
    "</td></table><iframe srcdoc='<script>parent.ran=1</script>'>",
    "<!--<script>",
    "]]><img src=x onerror=window.ran=1>",
    "javascript:window.ran=1",
    "[a](javascript:window.ran=1)",
    "&lt;img src=x onerror=window.ran=1&gt;",
    "line\u2028window.ran=1\u2029",
    "```\n<img src=x onerror=window.ran=1>\n```",
    "`<b onclick=window.ran=1>`",
    "${window.ran=1}`",
    "ch\udce4t<b>",
    "$x^{<b>$ \\",
    "__proto__",
    "constructor",
)
ALL = " ".join(NAMES)
TINY = {"width": 4, "hidden_dim": 16, "projection_dim": 8, "batch_size": 8, "epochs": 99, "warmup_epochs": 0.5}


def shown_as_html() -> dict[str, object]:
    """Return what notebooks show as HTML, by class, with hostile names wherever a caller or a file chooses a text."""
    values = dict.fromkeys(NAMES, (0.5, 0.6))
    row = lambda name: Row(name, name, name, {}, 50.0, name)  # noqa: E731
    findings = Findings(
        {n: Finding(row(n), n, 0.5, 0.5, 0.1, 0.1, 0.5, 2.0, error=n * (i % 2)) for i, n in enumerate(NAMES)}
    )
    findings.caption = ALL
    exercise = Exercise(ALL, ALL, "implement", 1, 1, (ALL, ALL, ALL), None)
    run = SimpleNamespace(knn=0.5, linear=0.5, std=0.5, rank=1.0, verdict=ALL)
    result = Result(ALL, 0.5, 0.4, 0.1, 0, 9, 9, dict.fromkeys(NAMES, 1.0), NAMES)
    return {
        "Comparison": Comparison(values, values, chance=0.1, largest=0.9),
        "Result": result,
        "Result of factors": Result(ALL, 0.5, 0.4, 0.1, 0, 9, 9, table=dict.fromkeys(NAMES, (0.1, 0.2, 0.3))),
        "Findings": findings,
        "Results": Results(dict.fromkeys(NAMES, run)),
        "Verdict": Verdict(exercise, False, ALL),
        "Note": Note(ALL, ALL, code=True),
        "PredictionOutcome": PredictionOutcome(ALL, ((ALL, ALL, ALL, ALL),), NAMES),
        "Overview": Overview([exercise]),
        "Picture": Picture(2, 2, ALL),
    }


def images(n: int = 36) -> bt.ImageSet:
    """Return drawn shapes whose name and classes are hostile."""
    shapes = bt.load("shapes", limit=n)
    labels = torch.arange(n) % len(NAMES)
    return bt.ImageSet(ALL, ALL, shapes.images, labels, NAMES, shapes.factors)


def recording() -> Recording:
    """Return a recording whose name, note, classes and factors are hostile."""
    draw, n = torch.Generator().manual_seed(0), 36
    named = images(n)
    return Recording(
        name=ALL, kind="pca", space="y", note=ALL, epochs=torch.arange(2.0),
        maps=torch.randn(2, n, 2, generator=draw), neighbours=torch.zeros(2, n, 5, dtype=torch.int16),
        spread=torch.ones(2), knn=torch.ones(2), images=named.images, views=named.images[:, None].repeat(1, 2, 1, 1, 1),
        labels=named.labels, classes=NAMES, factors={name: torch.rand(n, generator=draw) for name in NAMES},
    )  # fmt: skip


def panels() -> dict[str, object]:
    """Return a panel of each kind, by class, with hostile names and a hostile message of an error."""
    named, config = images(), bt.Config(**TINY)
    made = {
        "Film": bt.widgets.film(recording()),
        "Cockpit": bt.widgets.cockpit(config, named, named, "cpu"),
        "LaboratoryBox": bt.widgets.laboratory(named, named, config, dict.fromkeys(NAMES, config), workers=1),
        "Explorer": bt.widgets.explorer(named, config),
        "Strip": bt.widgets.strip(named),
        "PhasePlane": bt.widgets.phase_plane(),
        "Board": bt.widgets.board(),
    }
    for panel in made.values():
        getattr(panel, "panel", panel).show(problem=ALL)
    return made
