"""Trainer: steps, whole runs, and changes to a run while it trains."""

import math
import signal
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from . import checkpoint
from .augment import Views
from .byol import BYOL, tau_at
from .config import FIELDS, LIVE, Config, ConfigError, UserError, refuse_unknown
from .data import ImageSet
from .diagnose import CollapseReport, collapse_report, spread
from .evaluate import features, knn_accuracy
from .optim import build_optimizer, lr_factor_at, set_hyperparameters

KNN_BANK, KNN_QUERIES = 1024, 512  # images of the kNN check while training


class TrainingError(UserError):
    """A run that cannot start or go on."""


@dataclass
class History:
    """What happened, one entry per step in each list of the first block.

    loss   in [0, 8]          std   √d·std of the online projections
    lr     after schedule     tau   τ of the update that followed
    knn    [(step, accuracy)], while training      changes   [(step, {field: value})], by Trainer.change
    """

    loss: list[float] = field(default_factory=list)
    std: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    tau: list[float] = field(default_factory=list)
    knn: list[tuple[int, float]] = field(default_factory=list)
    changes: list[tuple[int, dict]] = field(default_factory=list)
    seconds: float = 0.0  # spent in steps

    def to_dict(self) -> dict:
        return asdict(self)


def resolve_device(name: str | torch.device) -> torch.device:
    """The device of this name; "auto" is CUDA where there is one, else the CPU."""
    if str(name) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise TrainingError(
            f"device {str(name)!r} is not available here: choose auto, cpu"
            + (", cuda" if torch.cuda.is_available() else " (no CUDA device was found)")
        ) from error
    return device


@contextmanager
def _interrupt_flag():
    """An event that Ctrl-C sets instead of breaking into a step; a second Ctrl-C breaks in as usual.

    Only the main thread receives Ctrl-C: in any other, the event is never set.
    """
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = signal.getsignal(signal.SIGINT)

    def on_interrupt(*_):
        flag.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)


class Trainer:
    """Trains BYOL on an ImageSet.

    >>> trainer = Trainer(Config(), load("shapes"), test=load("shapes", "test"))
    >>> trainer.run()

    Everything random depends on (seed, step) only: which images make batch k and how their views are
    drawn. So a run that is saved and resumed, or two runs side by side, are not disturbed by anything
    else, and on a CPU the same seed, config and number of threads give the same losses, bit for bit.

    An epoch has ⌊N / batch_size⌋ steps; the images left over are others in each epoch.

    Args:
        config: the run's switches.
        train: images to learn from. Labels, if any, are used for the kNN check alone.
        test: images of the kNN check. Default: none, so no check.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".

    Raises:
        ConfigError: a batch larger than the set.
        TrainingError: no such device here.
    """

    def __init__(self, config: Config, train: ImageSet, test: ImageSet | None = None, device="auto"):
        if config.batch_size > len(train):
            raise ConfigError(f"batch_size={config.batch_size}: the set has {len(train)} images; give at most that")
        self.device = resolve_device(device)
        self.train, self.test = train, test
        self.images = train.images.to(self.device)
        self.view_size = config.view_size or min(train.images.shape[2:])
        self.mean, self.std = train.statistics()
        self.model = self._build(config).to(self.device, memory_format=torch.channels_last)
        self.optimizer = build_optimizer(self.model, config)
        self.steps_done = 0
        self.interrupted = False  # whether Ctrl-C ended the last run
        self.history = History()
        self._views_generator = torch.Generator(self.device)
        self._order = torch.empty(0)
        self._set_config(config)

    def _build(self, config: Config) -> BYOL:
        """The model at step 0. Torch's global random state is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            return BYOL(config, self.view_size, self.mean, self.std)

    def _set_config(self, config: Config) -> None:
        self.config = self.model.config = config
        self.views = Views(config, self.mean, self.std, self._views_generator)

    @property
    def steps_per_epoch(self) -> int:
        return len(self.train) // self.config.batch_size

    @property
    def total_steps(self) -> int:
        return self.steps_per_epoch * self.config.epochs

    @property
    def epoch(self) -> float:
        return self.steps_done / self.steps_per_epoch

    def initial_encoder(self) -> nn.Module:
        """The encoder as it was before the first step: the random baseline of this run."""
        return self._build(self.config).encoder.to(self.device)

    # --- one step -------------------------------------------------------------------------------

    def step(self) -> float:
        """Views, loss, gradient, optimiser, moving average; the loss is returned.

        After the last step of the schedule the learning rate is 0 and τ is 1: nothing moves any more.

        Raises:
            TrainingError: the loss is NaN or infinite. The step is not carried out.
        """
        start = time.perf_counter()
        k, total = self.steps_done, self.total_steps
        factor = lr_factor_at(min(k, total), total, round(self.config.warmup_epochs * self.steps_per_epoch))
        lr = set_hyperparameters(self.optimizer, self.config, factor)

        self.model.train()
        v1, v2 = self._next_views(k)
        output = self.model(v1, v2)
        self.optimizer.zero_grad()
        output.loss.backward()
        loss = output.loss.item()
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} at step {k}, with lr {lr:.3g}: lower lr, or lengthen warmup_epochs"
            )
        self.optimizer.step()
        tau = self._tau(k + 1)
        self.model.update_target(tau)

        self.steps_done += 1
        h = self.history
        h.loss.append(loss)
        h.std.append(spread(output.z).item())
        h.lr.append(lr)
        h.tau.append(tau)
        h.seconds += time.perf_counter() - start
        return loss

    def _next_views(self, k: int) -> tuple[Tensor, Tensor]:
        """The views of step k."""
        epoch, position = divmod(k, self.steps_per_epoch)
        if position == 0 or len(self._order) == 0:
            generator = torch.Generator().manual_seed(self._seed(2 * epoch))
            self._order = torch.randperm(len(self.train), generator=generator).to(self.device)
        batch = self._order[position * self.config.batch_size :][: self.config.batch_size]
        self._views_generator.manual_seed(self._seed(2 * k + 1))
        v1, v2 = self.views(self.images[batch])
        return v1.contiguous(memory_format=torch.channels_last), v2.contiguous(memory_format=torch.channels_last)

    def _seed(self, count: int) -> int:
        return (self.config.seed * 1_000_003 + count) % 2**32

    def _tau(self, k: int) -> float:
        """The decay rate of update k of K (τ_0 belongs to the start, before any update)."""
        if self.config.target == "online" or not self.config.stop_gradient:
            return 0.0
        if self.config.target == "random":
            return 1.0
        if self.config.tau_schedule == "constant":
            return self.config.tau_base
        return tau_at(min(k, self.total_steps), self.total_steps, self.config.tau_base)

    # --- a run ----------------------------------------------------------------------------------

    def run(self, epochs: float | None = None, progress: bool = True, on_step: Callable | None = None) -> "Trainer":
        """Train for so many epochs, or to the end of config.epochs; with a progress bar.

        Ctrl-C (or the notebook's stop button) ends the run after a whole step: what was learned is kept.

        Args:
            on_step: called with the trainer after every step.
        """
        from tqdm.auto import tqdm

        end = self.total_steps
        if epochs is not None:
            end = min(end, self.steps_done + round(epochs * self.steps_per_epoch))
        bar = tqdm(total=end, initial=self.steps_done, unit="step", disable=not progress, mininterval=0.3)
        with bar, _interrupt_flag() as interrupt:
            while self.steps_done < end and not interrupt.is_set():
                self.step()
                if self._check_due():
                    self.history.knn.append((self.steps_done, self.knn()))
                if on_step is not None:
                    on_step(self)
                bar.set_postfix_str(self._status(), refresh=False)
                bar.update()
            self.interrupted = interrupt.is_set()
        return self

    def _check_due(self) -> bool:
        every = self.config.knn_every * self.steps_per_epoch
        has_labels = self.test is not None and self.test.labels is not None and self.train.labels is not None
        return has_labels and every > 0 and self.steps_done % every == 0

    def _status(self) -> str:
        h = self.history
        knn = f", kNN {h.knn[-1][1]:.2f}" if h.knn else ""
        rate = len(h.loss) * self.config.batch_size / max(h.seconds, 1e-9)
        return f"loss {h.loss[-1]:.3f}, √d·std {h.std[-1]:.2f}{knn}, {rate:,.0f} images/s"

    def knn(self) -> float:
        """kNN accuracy on at most 512 test images, from at most 1,024 train images; needs labels for both."""
        bank, queries = self.train.sample(KNN_BANK), self.test.sample(KNN_QUERIES)
        f = self.model.encoder
        return knn_accuracy(features(f, bank.images), bank.labels, features(f, queries.images), queries.labels)

    def report(self) -> CollapseReport:
        """Collapse measures of the projections of up to 512 test (else train) images, without augmentation."""
        images = (self.test or self.train).sample(512).images
        y = features(self.model.encoder, images).to(self.device)
        self.model.projector.eval()
        with torch.no_grad():
            z = self.model.projector(y)
        self.model.projector.train()
        return collapse_report(z.cpu())

    # --- live changes ---------------------------------------------------------------------------

    def change(self, **fields) -> None:
        """Change live fields of the Config between two steps; recorded in history.changes.

        Raises:
            ConfigError: an unknown field, a value out of range, or a field that only a new Trainer can change.
        """
        refuse_unknown(fields)
        for name in fields:
            if name not in LIVE:
                raise ConfigError(
                    f"{name!r} cannot change while training: build a new Trainer with config.replace({name}=...)"
                )
        self._set_config(self.config.replace(**fields))
        self.history.changes.append((self.steps_done, {name: getattr(self.config, name) for name in fields}))

    # --- keep -----------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write all that is needed to go on, in one file; see checkpoint.save."""
        checkpoint.save(
            path,
            {
                "config": self.config.to_dict(),
                "data": self.train.name,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "steps_done": self.steps_done,
                "history": self.history.to_dict(),
            },
        )

    @classmethod
    def resume(cls, path: str | Path, train: ImageSet, test: ImageSet | None = None, device="auto") -> "Trainer":
        """A Trainer in the state that `save` wrote.

        Raises:
            CheckpointError: the file is missing, damaged, or no checkpoint of this library.
            ConfigError: it was written by a version with other fields.
        """
        state = checkpoint.load(path)
        trainer = cls(Config.from_dict(state["config"]), train, test, device)
        trainer.model.load_state_dict(state["model"])
        trainer.optimizer.load_state_dict(state["optimizer"])
        trainer.steps_done = state["steps_done"]
        trainer.history = History(**state["history"])
        trainer.mean, trainer.std = trainer.model.encoder.pixel_mean.tolist(), trainer.model.encoder.pixel_std.tolist()
        trainer._set_config(trainer.config)
        return trainer


assert FIELDS.keys() >= LIVE
