"""What the cockpit sends to the browser: the numbers of a snapshot, as JSON and bytes."""

import math

import numpy as np

from ...augment.operations import as_float
from ...config.errors import ExperimentError, UserError
from ...data.colours import thumbnails
from ...data.names import described
from ...evaluate.balance import floor_if_uneven
from ...live.curves import shortened
from ...live.effects import effect
from ...live.experiment import Experiment
from ...live.reach import late_change
from ...live.session import Session
from ...live.snapshot import Measure, Snapshot
from ..atlas import make_atlas
from ..film import hue_circle
from ..playground.fields import fragment, plan
from .controls import change_words, shown_value
from .explanations import explanations
from .inert import inert

POINTS = 800  # values of a curve, at most; longer curves are averaged in blocks
HUES = 24  # colours of the circle
THUMBNAIL = 24  # pixels a side of an image that the map shows
PARTS = ("loss", "std", "rank", "knn", "map", "verdict", "state", "names", "ask", "counter", "play", "step", "reset", "undo",
         "fork", "swap", "speed", "seed", "code", "preset", "network", "link", "picture", "curves",
         "clip", "tour")  # fmt: skip


def setup_of(session: Session, controls: list[dict]) -> dict:
    """Return what stays the same as long as the panel lives: its controls and their explanations, images and classes."""
    source = session.test if session.test is not None else session.train
    shown = session.measured
    labels = np.zeros(len(shown)) if shown.labels is None else shown.labels.numpy()
    factors = {} if shown.factors is None else {"hue": shown.factors.hue.numpy().astype(np.float32).tobytes()}
    method = session.config.method
    atlas, columns = make_atlas(thumbnails(as_float(shown.images), THUMBNAIL)[:, None])
    return {
        "method": method,
        "atlas": atlas,
        "columns": columns,
        "thumbnail": THUMBNAIL,
        "controls": controls,
        "about": explanations([*PARTS, *(control["name"] for control in controls)]),
        "loss_low": -1 if method == "simsiam" else 0,
        "classes": list(source.classes or ()) if shown.labels is not None else [],
        "labels": labels.astype(np.uint16).tobytes(),  # more than 256 classes are common
        "factors": factors,
        "circle": hue_circle(HUES),
        "data": described(session.train),
        "floor": floor_if_uneven(source.labels),
    }


def frame_of(s: Snapshot, controls: list[dict], ranks: list[tuple[int, float]], maps: dict[str, bytes]) -> dict:
    """Return what a frame takes from a snapshot. ranks: (step, rank of z) of each measure so far; maps: of the last one."""
    loss, std = s.series("loss"), s.series("std")
    _, curves = shortened(POINTS, range(1, len(loss) + 1), loss, std)
    fields = [control["name"] for control in controls]
    return {
        "state": s.state,
        "step": s.step,
        "total": s.total_steps,
        "epoch": s.steps_per_epoch,
        "resets": s.resets,
        "verdict": s.verdict,
        "values": {name: shown_value(s.config, name) for name in fields} | {"seed": s.config.seed},
        "changes": changes_of(s),
        "late": late_change(s),
        "next": next_words(s),
        "inert": inert(s.config, s.state == "done"),
        "branched_at": s.branched_at,
        "curves": curves.astype(np.float32).tobytes(),
        "last": _last(s),
        "knn": [list(pair) for pair in s.knn],
        "balanced": [list(pair) for pair in s.knn_balanced if pair[0]],
        "start_knn": s.start_knn,
        "ranks": [list(pair) for pair in ranks],
        "dimensions": s.config.projection_dim,
        "maps": maps,
        "map_step": None if s.measure is None else s.measure.step,
    }


def maps_of(measure: Measure | None) -> dict[str, bytes]:
    """Return the maps "z" and "y" of a measure as `_as_int16` writes them; {} without one."""
    maps = {} if measure is None else measure.maps
    return {name: _as_int16(points.numpy(), name == "z") for name, points in maps.items()}


def _last(s: Snapshot) -> dict[str, float | None]:
    """Return loss, decay rate and mean cosine of p and z′ of the last step; None where it is not finite."""
    values = {name: s.series(name)[-1] for name in ("loss", "tau", "positive")} if s.step else {}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def passed_of(s: Snapshot) -> dict:
    """Return what went through the networks in the last step that was measured; see live/passed.py. {}: nothing yet."""
    if s.measure is None or s.measure.passed is None:
        return {}
    passed = s.measure.passed
    pictures = b"" if passed.pictures is None else passed.pictures.permute(0, 2, 3, 1).contiguous().numpy().tobytes()
    return {
        "step": passed.step,
        "pictures": pictures,  # uint8 (3, s, s, 3): image, view, view
        "lengths": passed.lengths,
        "spreads": passed.spreads,
    }


def curves_of(s: Snapshot, name: str, ranks: list) -> dict:
    """Return the name and the curves of a run that no longer trains."""
    _, curves = shortened(POINTS, range(1, s.step + 1), s.series("loss"), s.series("std"))
    return {
        "name": name,
        "step": s.step,
        "curves": curves.astype(np.float32).tobytes(),
        "knn": [list(pair) for pair in s.knn],
        "ranks": [list(pair) for pair in ranks],
        "at": None,
    }


def changes_of(s: Snapshot) -> list[list]:
    """Return each change as its step, its words, and its effect, which is empty as long as it is unknown."""
    rows: list[list] = []
    values = dict(vars(s.first_config))  # a Config for each change would be checked again in every frame
    for index, (step, fields) in enumerate(s.changes):
        rows.append([step, change_words(values, fields), effect(s, index) or ""])
        values |= fields
    return rows


def code_of(s: Snapshot, data: dict, transform: str | None) -> str:
    """Return the line of Python that rebuilds the run, or a comment that says why none can.

    data: the fingerprint of the images. transform: the name of the run's own transform.
    """
    try:
        return Experiment(data, s.first_config, s.changes, s.step, transform=transform).code
    except ExperimentError as error:
        return f"# {error}"


def link_of(s: Snapshot, data: dict, transform: str | None) -> dict[str, str]:
    """Return the run as the end of an address of the playground, or why no page can make it. data, transform: as above."""
    if transform is not None:
        return {"fragment": "", "why": f"this run has a transform of your own ({transform}), and no page has it"}
    try:
        run = Experiment(data, s.first_config, s.changes, s.step)
        return {"fragment": fragment(plan(run)), "why": ""}
    except UserError as error:
        return {"fragment": "", "why": f"{error}; the code makes it again in Python"}


def next_words(s: Snapshot) -> str:
    """Return what can be done with a run that has ended, or an empty text."""
    if s.state == "done":
        return "finished: branch from an earlier step with one change, reset to start again, or copy the code"
    if s.state == "failed":
        return "it cannot go on: branch from a step before it failed, or lower the learning rate and reset"
    return ""


def _as_int16(points: np.ndarray, directions: bool) -> bytes:
    """Return a map (M, 2) as int16 in units of 1/32000; empty if a number is not finite.

    A map of directions keeps its scale, because its spread shows a collapse. Others are scaled to fill [−1, 1].
    """
    if not np.isfinite(points).all():
        return b""
    points = points - (points.max(0) + points.min(0)) / 2
    scale = 1.0 if directions else max(np.abs(points).max(), 1e-12)
    return (points / scale * 32000).clip(-32767, 32767).astype(np.int16).tobytes()
