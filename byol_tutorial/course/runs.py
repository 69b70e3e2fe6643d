"""The runs of a lesson: trained once, kept on disk, and trained several at a time where that is faster.

    byol = run(bt.preset("shapes"), train, test)
    some = run_all({"BYOL": config, "no predictor": config.replace(predictor="identity")}, train, test)
    some["BYOL"].linear, some["BYOL"].knn, some["BYOL"].std
    some                    # a table, as the last line of a cell
    some.curves()           # a picture

A run is kept under a key made of all that it depends on: config (with its seed), images, epochs, scale, the library's
code and the options given here.
"""

import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..config.config import Config
from ..config.errors import UserError
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..methods.base import Objective
from ..methods.registry import build_model
from ..networks.encoders import Encoder
from ..runtime.device import resolve_device
from ..runtime.markup import html_table
from ..train.history import History
from . import cache
from .jobs import Job
from .measures import TRACKS
from .parallel import carry_out
from .scale import scale

if TYPE_CHECKING:
    from ..figures import Picture

Changes = dict[float, dict]  # epoch -> fields of Config that change there


@dataclass
class FinishedRun:
    """A finished run: its config, its history and what it reached.

    name, config, steps_per_epoch
    history       loss, std, knn ... of every step, as Trainer.history
    knn, linear   accuracies on the test images, in [0, 1]; None without labels, `linear` also with probe=False
    std, rank, verdict   of the projections of up to 512 test images, as Trainer.report()
    tracked       what `track` asked for: name -> float (T, ...); "epoch" -> float (T,), the epochs of these T entries
    seconds       how long it trained, on the machine that trained it
    from_cache    whether it was read instead of trained
    """

    name: str
    key: str
    config: Config
    steps_per_epoch: int
    history: History
    knn: float | None
    linear: float | None
    std: float
    rank: float
    verdict: str
    tracked: dict[str, Tensor] = field(repr=False)
    seconds: float
    from_cache: bool
    network: Objective = field(repr=False)

    @property
    def encoder(self) -> Encoder:
        """The encoder f after the run, in evaluation mode. At gpu scale it is a copy on CUDA."""
        return self._on_cuda if scale() == "gpu" else self.network.encoder.eval()

    @cached_property
    def _on_cuda(self) -> Encoder:
        return copy.deepcopy(self.network.encoder).eval().to(resolve_device("auto"))

    def random_encoder(self) -> Encoder:
        """Return the encoder f as it was before the first step, the random baseline of this run."""
        return self.random_network().encoder.eval().to(next(self.encoder.parameters()).device)

    def random_network(self) -> Objective:
        """Return the whole network as it was before the first step, on the CPU."""
        f = self.network.encoder
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            return build_model(self.config, f.view_size, f.pixel_mean.tolist(), f.pixel_std.tolist())


class Results(dict[str, FinishedRun]):
    """Finished runs by name, in the order asked for. They show as a table; `curves()` draws them."""

    def rows(self) -> list[tuple[str, ...]]:
        """Return the table's rows, as texts."""
        show = lambda x: "–" if x is None else f"{x:.3f}"  # noqa: E731
        return [(n, show(r.knn), show(r.linear), show(r.std), f"{r.rank:.1f}", r.verdict) for n, r in self.items()]

    HEAD = ("", "kNN", "linear probe", "√d·std", "rank", "verdict")

    def __str__(self) -> str:
        return "\n".join(f"{r[0]:<28}" + "".join(f"{cell:>14}" for cell in r[1:]) for r in (self.HEAD, *self.rows()))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_table(self.HEAD, self.rows())

    def curves(self) -> "Picture":
        """Draw loss, spread and kNN accuracy over training, by figures.curves."""
        from .. import figures

        per_epoch = {r.steps_per_epoch for r in self.values()}
        runs = {name: r.history.to_dict() for name, r in self.items()}
        return figures.curves(runs, per_epoch.pop() if len(per_epoch) == 1 else 1)  # otherwise the axis counts steps


# --- one run ------------------------------------------------------------------------------------


def run(
    config: Config,
    train: ImageSet | StreamedSet,
    test: ImageSet | StreamedSet | None = None,
    epochs: float | None = None,
    name: str = "BYOL",
    probe: bool = True,
    target: FinishedRun | None = None,
    changes: Changes | None = None,
    track: tuple[str, ...] = (),
    track_every: float = 1.0,
    progress: bool = True,
) -> FinishedRun:
    """Train and evaluate a run, or read it where the same call was made before.

    Args:
        train, test: images, as load() returns them. Without labels or test images there are no accuracies.
        epochs: stop after so many epochs of the schedule of config.epochs. Default: the whole schedule.
        name: the run's name in tables and pictures; not part of the key.
        probe: fit the linear probe too (about 3 seconds on "shapes").
        target: a run whose online network is the fixed target instead of a random network; needs config.target
            "random".
        changes: fields that change at these epochs of the training: {6: {"predictor": "identity"}}.
        track: what to measure each `track_every` epochs: any of alignment, rank, spectrum, modes, features (TRACKS).
        progress: show a bar while training.

    Raises:
        UserError: an option is not allowed, or Trainer raised it.
        KeyboardInterrupt: the run was stopped; it is not kept.
    """
    return run_all({name: config}, train, test, epochs, probe, target, changes, track, track_every, progress)[name]


def run_all(
    configs: dict[str, Config],
    train: ImageSet | StreamedSet,
    test: ImageSet | StreamedSet | None = None,
    epochs: float | None = None,
    probe: bool = True,
    target: FinishedRun | None = None,
    changes: Changes | None = None,
    track: tuple[str, ...] = (),
    track_every: float = 1.0,
    progress: bool = True,
) -> Results:
    """Train and evaluate several runs, as `run` does each, with one progress bar. Kept runs are read.

    Where it pays (long runs, on CPU cores that are free, images in memory) they train side by side in processes of their
    own, one core each. These are new interpreters, in which nothing of the notebook is imported or executed. A run that
    another notebook is training is not trained a second time, but read when it is done. Ctrl-C ends the runs; those that
    were finished are kept.
    """
    for wanted in (track,) if isinstance(track, str) else track:
        if wanted not in TRACKS:
            raise UserError(f"track={wanted!r}: choose some of {', '.join(TRACKS)}")
    if target is not None and any(c.target != "random" for c in configs.values()):
        raise UserError(
            "target: only configs with target='random', a target that stays fixed, can take another run's network"
        )
    options = {
        "epochs": epochs,
        "probe": probe,
        "changes": {float(k): v for k, v in sorted((changes or {}).items())},
        "track": [track] if isinstance(track, str) else list(track),
        "track_every": track_every,
    }
    data = {"train": cache.fingerprint(train), "test": cache.fingerprint(test)}
    jobs = {
        name: Job(cache.key_of(config=c, target=target, **options, **data), c, options) for name, c in configs.items()
    }
    states = {job.key: state for job in jobs.values() if (state := cache.kept(job.key)) is not None}
    missing = {job.key: (name, job) for name, job in jobs.items() if job.key not in states}
    if missing:
        network = None if target is None else target.network
        done, read = carry_out(list(missing.values()), train, test, network, progress)
        states |= done
        missing = {key: pair for key, pair in missing.items() if key not in read}
    return Results({name: _result(name, job, states[job.key], job.key not in missing) for name, job in jobs.items()})


def _result(name: str, job: Job, state: dict, from_cache: bool) -> FinishedRun:
    with torch.random.fork_rng(devices=[]):
        network = build_model(job.config, state["view_size"]).requires_grad_(False)
    network.load_state_dict(state["model"])
    history = History(**state["history"])
    numbers = {key: state[key] for key in ("steps_per_epoch", "knn", "linear", "std", "rank", "verdict", "tracked")}
    return FinishedRun(
        name,
        job.key,
        job.config,
        history=history,
        seconds=history.seconds,
        from_cache=from_cache,
        network=network,
        **numbers,
    )
