"""The Trainer: one step of a run, whole runs, and changes to a run while it trains.

A step is views, loss, gradient, optimiser, moving average. The method defines loss and target (methods/base.py),
step_computation.py computes the gradient and moves the weights, batches.py yields a step's images and views, monitor.py
measures between steps, and saving.py saves and resumes.
"""

import copy
import math
import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..augment.own_transform import OwnTransform, Transforms
from ..augment.views import Views
from ..config.config import FIELDS, LIVE, OWN, Config, refuse_unknown
from ..config.errors import ConfigError, DivergedError
from ..data.fingerprint import fingerprint
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..evaluate.diagnose import CollapseReport, Diagnosis
from ..evaluate.features import representations
from ..methods.base import Objective
from ..methods.registry import OBJECTIVES, build_model
from ..networks.vit import synchronise_batchnorm
from ..runtime.device import memory_errors, resolve_compile, resolve_device, resolve_precision
from ..runtime.distributed import mean_over_processes, process
from ..runtime.progress import hidden, say_stopped
from ..runtime.seeding import OwnGenerator
from ..runtime.signals import stop_flag
from ..runtime.threads import chosen, on_threads
from . import monitor, saving, thread_choice
from .batches import Feed
from .cuda_graph import OUTSIDE
from .fixed import refuse_exchange
from .history import History
from .initial_weights import take_weights
from .moment import Moment, moment_of, put_back
from .optim import build_optimizer, lr_factor_at, set_hyperparameters
from .step_computation import StepComputation


class Trainer:
    """A run of BYOL, or of another method that Config.method names, on an ImageSet or a StreamedSet.

    >>> trainer = Trainer(Config(), load("shapes"), test=load("shapes", "test"))
    >>> trainer.run()

    Everything random depends on (seed, step) only: which images are in batch k, and how their views are drawn. So nothing
    else changes a run that is saved and resumed, or one of two runs side by side. On a CPU the same seed, config and number
    of threads give the same losses, bit for bit. Small networks train with one thread. The number of a large one is
    measured (thread_choice.py) and kept in history.threads, unless `bt.set_threads` sets one.

    An epoch of N images has ⌊N / images per step⌋ steps; the images left over differ from epoch to epoch. Under torchrun
    the processes share each batch, see batches.py, and together make the same steps as one process.

    Args:
        config: all settings of the run.
        train: images to learn from. Labels, if there are any, are used for the kNN check alone.
        test: images of the kNN check. Without them there is no check.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        init: a run folder, checkpoint or encoder file whose weights the run starts from, see initial_weights.py;
            `taken` then says what became of each part; "timm:NAME=FILE" names weights that others trained. Default:
            random weights.
        encoder: a module of your own to train as encoder f: float32 (N, C, H, W) -> float32 (N, D). The run trains a deep
            copy of it, `trainer.model.encoder`, and `config.encoder` is "own". Like every encoder it gets views that are
            already normalised, (v − mean) / std for each channel, with the statistics of the training images. They
            become its buffers `pixel_mean` and `pixel_std`; its attributes `feature_dim` (D) and `view_size` are set,
            too. Two images go through it first, see backbones.own_encoder. In the step it may draw random numbers from
            torch's global generator, as dropout does. Default: the encoder that config names.
        transform: augmentations of your own, after ours: a function or a transform of torchvision.transforms.v2 that
            maps views, float32 (N, C, H, W) in [0, 1], to views of the same shape; or a pair of two, for T and T′. They
            are not recorded in a CUDA graph. See own_transform.py.

    Raises:
        ConfigError: a batch larger than the set; operations on colours, and images without; an `encoder` that cannot be
            trained.
        TrainingError: the device is not available; a `transform` that cannot be used.
        CheckpointError: `init` cannot be read, or its encoder does not fit.
    """

    config: Config

    def __init__(
        self,
        config: Config,
        train: ImageSet | StreamedSet,
        test: ImageSet | StreamedSet | None = None,
        device: str | torch.device = "auto",
        init: str | Path | None = None,
        encoder: nn.Module | None = None,
        transform: Transforms | None = None,
    ) -> None:
        if encoder is not None and config.encoder == FIELDS["encoder"].default:
            config = config.replace(encoder=OWN)
        self.device, self.process = resolve_device(device), process()
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = True  # shapes stay the same, so let cuDNN try its algorithms once
        self.train, self.test = train, test
        OBJECTIVES[config.method].check_images(config, train)
        config.check_channels(train.channels)
        with memory_errors(f"on {self.device} with the images", "take fewer or smaller ones, or another device"):
            self.feed = Feed(train, config, self.device, self.process)
        self.view_size = config.view_size or min(train.image_size)
        self.mean, self.std = train.statistics()
        self.fingerprint = fingerprint(train)  # taken now, because a file that disappears later must not prevent a save
        self.precision = resolve_precision(config.precision, self.device)
        self.compiled = resolve_compile(config.compile, self.device, self.feed.steps_per_epoch * config.epochs)
        with memory_errors(f"on {self.device} with the networks", "choose a smaller encoder, or another device"):
            self.own: nn.Module | None = encoder
            model = self._build(config)
            self.own = None if encoder is None else copy.deepcopy(encoder).cpu()  # as it was given, for the baseline
            self.taken = {} if init is None else take_weights(model, config, init)
            layout: dict[str, Any] = {"memory_format": torch.channels_last}  # torch's own annotations lack it
            self.model = model.to(self.device, **layout)
        if self.process.world_size > 1 and self.device.type == "cuda":
            synchronise_batchnorm(self.model)
        fused = self.device.type == "cuda" and self.precision != torch.float16
        self.optimizer = build_optimizer(self.model, config, fused)
        self.transform = None if transform is None else OwnTransform(transform, self.mean, self.std)
        self.computation = StepComputation(
            self.model, self.feed, self.optimizer, self.process, self.precision, self.compiled, self.transform
        )
        self.steps_done = 0
        self.interrupted = False  # whether a signal ended the last call of `run`
        self.stop_signal: int | None = None  # the signal that did
        self._stop: threading.Event | None = None
        self._choice: thread_choice.ThreadChoice | None = None
        self.history = History()
        self._set_config(config)

    def _build(self, config: Config) -> Objective:
        """Build the model at step 0. Torch's global random state is neither used nor changed."""
        with OwnGenerator(config.seed):
            return build_model(config, self.view_size, self.mean, self.std, self.own)

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute; raise TrainingError for one whose new value the run would not use."""
        refuse_exchange(name, name in vars(self))
        super().__setattr__(name, value)

    def _set_config(self, config: Config, recording_holds: bool = False) -> None:
        """Make this the run's config; unless a CUDA graph that was recorded before it still holds, drop that graph."""
        vars(self)["config"] = self.model.config = config
        if not recording_holds:  # otherwise the views must stay too, because the graph reads their tensors
            self.computation.set_config(config, self.view_size, self.mean, self.std)

    @property
    def views(self) -> Views:
        """The maker of the two views v and v′, by the run's present config, without a transform of your own."""
        return self.computation.views.kinds[0]

    @property
    def steps_per_epoch(self) -> int:
        """The number of steps in an epoch, ⌊images / images per step⌋."""
        return self.feed.steps_per_epoch

    @property
    def total_steps(self) -> int:
        """The number of steps of the whole schedule, config.epochs long."""
        return self.steps_per_epoch * self.config.epochs

    @property
    def epoch(self) -> float:
        """The number of epochs trained so far, with its fraction."""
        return self.steps_done / self.steps_per_epoch

    def initial_encoder(self) -> nn.Module:
        """Build the encoder with the random weights of this run's seed: its baseline, also where the run has `init`.

        In a run that trains a module of yours, it is the module as it was given.
        """
        return self._build(self.config).encoder.to(self.device)

    # --- one step ---------------------------------------------------------------------------------

    def step(self) -> float:
        """Carry out one step: views, loss, gradient, optimiser, moving average. Return the loss.

        With accumulation_steps > 1 the gradients of that many forward passes are averaged first; optimiser and moving
        average step once. Learning rate and τ are those of index k, the number of steps before this one, as in the authors'
        code: the first step has τ_base and, with a warm-up, the learning rate 0. After the last step of the schedule the
        learning rate is 0 and τ is 1, so nothing changes.

        A step that fails before the optimiser steps is undone, so that it can be tried again. With float16, a step whose
        gradient overflows is left out, as loss scaling requires: neither the optimiser nor the moving average steps.

        Raises:
            DivergedError: the loss, or its gradient, is NaN or infinite. The step is not carried out.
            TrainingError: memory does not suffice. If that is before the optimiser steps, the step is not carried out.
            DataError: an image of a streamed set can no longer be read, or a worker has died. The step is not carried out.
        """
        start, k = time.perf_counter(), self.steps_done
        lr = set_hyperparameters(self.optimizer, self.config, self._lr_factor(k))
        with self._memory(), on_threads(threads := thread_choice.threads(self)):
            with self.computation.undone_if_it_fails():
                self.model.epoch.fill_(self.epoch)
                loss, std, positive, negative, norm, stop = self._agree(self.computation.gradient(k))
                self._refuse_divergence(loss, norm, lr)
            tau = self.model.tau(k, self.total_steps)
            if self.computation.move_weights():  # the optimiser
                self.model.update_target(tau)  # the moving average
        self.steps_done += 1
        self.interrupted = stop > 0
        self.history.add(loss, std, positive, negative, norm, lr, tau)
        if self.device.type == "cpu":  # another device computes with none, and so says nothing about how many pay
            self.history.count_threads(k, threads)
        seconds = time.perf_counter() - start
        self.history.seconds += seconds
        if self._choice is not None and chosen() is None:
            self._choice.add(seconds)
        return loss

    def _agree(self, numbers: Tensor) -> list[float]:
        """Return the step's numbers, and last whether to stop. Only here does a step wait for its device.

        Several processes get the mean of all. So each gets a NaN, or a request to stop, of any of them at the same step.
        """
        stop = float(self._stop is not None and self._stop.is_set())
        if self.process.world_size == 1:
            return [*numbers.tolist(), stop]
        return mean_over_processes(torch.cat((numbers, torch.full_like(numbers[:1], stop)))).tolist()

    def _lr_factor(self, k: int) -> float:
        """Return the schedule's factor of the learning rate at step k, in [0, 1]."""
        total = self.total_steps
        return lr_factor_at(min(k, total), total, round(self.config.warmup_epochs * self.steps_per_epoch))

    def _memory(self) -> AbstractContextManager[None]:
        """Turn a lack of memory into a TrainingError that names step, batch and view size."""
        where = f"on {self.device} at step {self.steps_done}, with batch_size={self.config.batch_size} and views of "
        remedy = "lower batch_size and raise accumulation_steps as much, or give precision='mixed'"
        return memory_errors(f"{where}{self.view_size} px", remedy)

    def _refuse_divergence(self, loss: float, norm: float, lr: float) -> None:
        """Raise DivergedError if loss or gradient is not finite. Loss scaling deals with an infinite gradient itself."""
        what, value = ("loss", loss) if not math.isfinite(loss) else ("gradient's norm", norm)
        if not math.isfinite(value) and not (what != "loss" and self.precision == torch.float16):
            raise DivergedError(
                f"the {what} is {value} at step {self.steps_done}, with lr {lr:.3g}: lower lr, or lengthen warmup_epochs"
            )

    # --- whole runs -------------------------------------------------------------------------------

    def run(
        self,
        epochs: float | None = None,
        progress: bool = True,
        on_step: Callable[["Trainer"], object] | None = None,
        stop_signals: tuple[int, ...] = (signal.SIGINT,),
    ) -> "Trainer":
        """Train for a number of epochs, or to the end of config.epochs. Return the trainer.

        Ctrl-C, or the notebook's stop button, ends the run after a whole step, and all that was learned is kept.

        Args:
            epochs: how many more epochs to train, at most to the end of the schedule; fractions are allowed.
            progress: whether to show a progress bar.
            on_step: called with the trainer after every step.
            stop_signals: the signals that end the run in this way. The command line adds SIGTERM, which schedulers send.
        """
        from tqdm.auto import tqdm

        end = self.total_steps
        if epochs is not None:
            end = min(end, self.steps_done + round(epochs * self.steps_per_epoch))
        shown = progress and self.process.is_main
        bar = tqdm(total=end, initial=self.steps_done, unit="step", disable=hidden(shown), mininterval=0.3)
        self.interrupted, self.stop_signal = False, None
        try:
            with bar, stop_flag(stop_signals) as self._stop:
                while self.steps_done < end and not self.interrupted:
                    self.step()
                    if self.knn_due():
                        self.check_knn()
                    if on_step is not None:
                        on_step(self)
                    bar.set_postfix_str(self._status(), refresh=False)
                    bar.update()
                    # a single process need not wait for the next step's agreement
                    self.interrupted |= self.process.world_size == 1 and self._stop.is_set()
                self.stop_signal = self._stop.signal
                if self.interrupted and self.steps_done < end:
                    say_stopped(bar, "what was learned is kept, run() goes on from here")
        finally:
            self._stop = None
            self.feed.close()
        return self

    def knn_due(self) -> bool:
        """Return whether a kNN check is due after the last step, by config.knn_every, and labels allow it."""
        every = self.config.knn_every * self.steps_per_epoch
        return self.has_labels and every > 0 and self.steps_done % every == 0

    @property
    def has_labels(self) -> bool:
        """Whether knn() is possible, which takes test images and labels for both sets."""
        return self.test is not None and self.test.labels is not None and self.train.labels is not None

    def _status(self) -> str:
        """Return the progress bar's text."""
        h = self.history
        knn = f", quick kNN {h.knn[-1][1]:.2f}" if h.knn else ""
        knn += f", balanced {h.knn_balanced[-1][1]:.2f}" if h.knn and h.knn_balanced else ""
        rate = len(h.loss) * self.config.step_images / max(h.seconds, 1e-9)
        return f"loss {h.loss[-1]:.3f}, √d·std {h.std[-1]:.2f}{knn}, {rate:,.0f} images/s"

    # --- measures between steps, see monitor.py --------------------------------------------------

    def knn(self) -> float:
        """Measure kNN accuracy, in [0, 1], on at most 512 test images by the votes of at most 1,024 train images.

        Both sets need labels; see `has_labels`.
        """
        return monitor.knn(self)

    def check_knn(self) -> float:
        """Measure kNN accuracy as `knn` does, and add it to the history, with balanced accuracy where classes are uneven."""
        return monitor.check_knn(self)

    def represent(self, images: Tensor | ImageSet | StreamedSet) -> tuple[Tensor, Tensor]:
        """Return y and z of images without augmentation, float32 (N, D) and (N, d) on the CPU.

        Both are those of the online network in evaluation mode, see evaluate.features.representations; y is
        bt.features of the encoder. The run is not changed.
        """
        return representations(self.model.online, images)

    def report(self) -> CollapseReport:
        """Measure the collapse of the projections of up to 512 test (else train) images, without augmentation."""
        return monitor.report(self)

    def diagnosis(self) -> Diagnosis:
        """Give a verdict on the run, from its history, its report, and new views of up to 512 train images.

        Networks and random numbers of the run stay as they were. Several processes must call it together, because
        SyncBatchNorm needs all of them.
        """
        return monitor.diagnosis(self)

    # --- live changes ---------------------------------------------------------------------------

    def change(self, **fields: Any) -> None:
        """Change live fields of the Config between two steps; history.changes records it.

        Raises:
            ConfigError: an unknown field, a value out of range, a field that only a new Trainer can change, or
                operations on colours, and images without.
        """
        refuse_unknown(fields)
        for name in fields:
            if name not in LIVE:
                raise ConfigError(
                    f"{name!r} cannot change while training: build a new Trainer with config.replace({name}=...)"
                )
            of = FIELDS[name].metadata["of"]
            if self.config.method not in of:
                raise ConfigError(
                    f"{name!r} has no effect in method {self.config.method!r}; it belongs to {', '.join(of)}"
                )
        config = self.config.replace(**fields)
        config.check_channels(self.train.channels)
        self._set_config(config, recording_holds=OUTSIDE.issuperset(fields))
        self.history.changes.append((self.steps_done, {name: getattr(self.config, name) for name in fields}))

    # --- back to an earlier moment, see moment.py ------------------------------------------------

    def moment(self) -> Moment:
        """Copy the state of the run, to go back to it later."""
        return moment_of(self)

    def go_back(self, moment: Moment, history: History | None = None) -> None:
        """Put the run into the state of an earlier moment of its own. The steps that follow are those that followed then.

        history: what the run goes on with. Default: its own, cut at the moment.
        """
        put_back(self, moment, history)
        self._set_config(moment.config)  # also drops a recorded CUDA graph, which would use the old tensors

    # --- save and resume ------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write all that is needed to continue the run, in one file; see checkpoint.save. Only the main process writes.

        Raises:
            DivergedError: the weights are not finite; a file that was there is as before.
            CheckpointError: the file cannot be written; a file that was there is as before.
        """
        saving.save(self, path)

    def save_encoder(self, path: str | Path) -> None:
        """Write the encoder alone, as safetensors; see encoder_file.save_encoder. Only the main process writes."""
        saving.save_encoder(self, path)

    @classmethod
    def resume(
        cls,
        path: str | Path,
        train: ImageSet | StreamedSet,
        test: ImageSet | StreamedSet | None = None,
        device: str | torch.device = "auto",
        config: Config | dict[str, Any] | None = None,
        same_images: bool = True,
        encoder: nn.Module | None = None,
        transform: Transforms | None = None,
    ) -> "Trainer":
        """Build a Trainer in the state that `save` wrote, and restore Python's, NumPy's and torch's random states.

        Args:
            config: the config, or some of its fields, that the checkpoint must have. By default it may have any.
            same_images: whether `train` must hold the images that the run was trained on, as going on with it needs.
                The encoder can be evaluated on others.
            encoder: for a run that trains a module of yours, a module of the same layers; its weights are replaced.
            transform: for a run with augmentations of your own, the same ones.

        Raises:
            CheckpointError: the file is missing, damaged, no checkpoint of this library, or not one of a whole run.
            ConfigError: it was written with another config, or by a version with other fields.
            DataError: it was written with other images.
        """
        trainer = saving.resume(cls, path, train, test, device, config, same_images, encoder, transform)
        trainer._set_config(trainer.config)  # the views, with the mean and standard deviation restored
        return trainer
