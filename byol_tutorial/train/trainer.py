"""Trainer: whole runs, and changes to a run while it trains. One step of it: step.py."""

import copy
import signal
from collections.abc import Callable
from pathlib import Path

import torch

from ..augment.views import Views
from ..config.config import FIELDS, LIVE, PREDICTING, Config, refuse_unknown
from ..config.errors import ConfigError, DivergedError, TrainingError
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..evaluate.diagnose import CollapseReport, Diagnosis, collapse_report, diagnose
from ..evaluate.features import features
from ..evaluate.knn import knn_accuracy
from ..methods.base import Objective
from ..runtime.device import resolve_device, resolve_precision
from ..runtime.progress import hidden
from ..runtime.seeding import seed_at
from ..runtime.signals import stop_flag
from . import checkpoint, encoder_file
from .cuda_graph import OUTSIDE
from .history import History
from .state import check, is_finite, refuse_other_config, refuse_other_images, restore, state_of
from .step import Stepper

__all__ = ["DivergedError", "History", "Trainer", "TrainingError", "resolve_device", "resolve_precision"]

KNN_BANK, KNN_QUERIES = 1024, 512  # images of the kNN check while training
# fields by which a loss becomes another one: its rise or fall at their change says nothing of the run
SCALES = frozenset(
    {"symmetric", "negatives_weight", "negatives", "temperature", "loss_normalization", "stop_gradient", "student_temperature",
     "teacher_temperature", "teacher_temperature_start", "centering", "ibot_weight", "koleo_weight"}
)  # fmt: skip
REPORTED = 512  # images that report() and diagnosis() look at


class Trainer(Stepper):
    """Trains BYOL, or what else Config.method names, on an ImageSet or a StreamedSet.

    >>> trainer = Trainer(Config(), load("shapes"), test=load("shapes", "test"))
    >>> trainer.run()

    Everything random depends on (seed, step) only: which images make batch k and how their views are
    drawn. So a run that is saved and resumed, or two runs side by side, are not disturbed by anything
    else, and on a CPU the same seed, config and number of threads give the same losses, bit for bit.

    An epoch has ⌊N / images per step⌋ steps; the images left over are others in each epoch. Under torchrun
    the processes share each batch, see batches.py, and together make the same steps as one process would.

    Args:
        config: the run's switches.
        train: images to learn from. Labels, if any, are used for the kNN check alone.
        test: images of the kNN check. Default: none, so no check.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".

    Raises:
        ConfigError: a batch larger than the set.
        TrainingError: no such device here.
    """

    def run(
        self,
        epochs: float | None = None,
        progress: bool = True,
        on_step: Callable | None = None,
        stop_signals: tuple[int, ...] = (signal.SIGINT,),
    ) -> "Trainer":
        """Train for so many epochs, or to the end of config.epochs; with a progress bar.

        Ctrl-C (or the notebook's stop button) ends the run after a whole step: what was learned is kept.

        Args:
            on_step: called with the trainer after every step.
            stop_signals: what ends the run like that. The command line adds SIGTERM, which schedulers send.
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
                        self.history.knn.append((self.steps_done, self.knn()))
                    if on_step is not None:
                        on_step(self)
                    bar.set_postfix_str(self._status(), refresh=False)
                    bar.update()
                    # with one process a signal need not wait for the next step's agreement
                    self.interrupted |= self.process.world_size == 1 and self._stop.is_set()
                self.stop_signal = self._stop.signal
        finally:
            self._stop = None
            self.feed.close()
        return self

    def knn_due(self) -> bool:
        """Whether the step just done is one after which config.knn_every asks for a kNN check, and labels allow it."""
        every = self.config.knn_every * self.steps_per_epoch
        return self.has_labels and every > 0 and self.steps_done % every == 0

    @property
    def has_labels(self) -> bool:
        """Whether knn() is possible, that is, there are test images, and labels for both sets."""
        return self.test is not None and self.test.labels is not None and self.train.labels is not None

    def _status(self) -> str:
        h = self.history
        knn = f", kNN {h.knn[-1][1]:.2f}" if h.knn else ""
        rate = len(h.loss) * self.config.step_images / max(h.seconds, 1e-9)
        return f"loss {h.loss[-1]:.3f}, √d·std {h.std[-1]:.2f}{knn}, {rate:,.0f} images/s"

    def knn(self) -> float:
        """kNN accuracy on at most 512 test images, from at most 1,024 train images; needs labels for both."""
        bank, queries = self.train.sample(KNN_BANK), self.test.sample(KNN_QUERIES)
        f = self.model.encoder
        return knn_accuracy(features(f, bank.images), bank.labels, features(f, queries.images), queries.labels)

    def report(self) -> CollapseReport:
        """Collapse measures of the projections of up to 512 test (else train) images, without augmentation."""
        source = self.test if self.test is not None and len(self.test) > 1 else self.train
        y = features(self.model.encoder, source.sample(REPORTED).images).to(self.device)
        self.model.projector.eval()
        with torch.no_grad():
            z = self.model.projector(y)
        self.model.projector.train()
        return collapse_report(z.cpu())

    def diagnosis(self) -> Diagnosis:
        """A verdict on the run, from its history and from fresh views of up to 512 train images.

        The networks and the run's randomness are left as they were. Several processes call it together, since
        SyncBatchNorm needs them all.
        """
        images = self.train.sample(REPORTED).images.to(self.device)
        generator = torch.Generator(self.device).manual_seed(seed_at(self.config, 0))
        v1, v2 = Views(self.config, self.mean, self.std, generator)(images)
        model = self._copy()
        with torch.no_grad():
            _, z, p, target = model(v1, v2)
        h, first = self.history, self._same_loss_since()
        predicts = self.config.method in PREDICTING
        return diagnose(h.loss[first:], h.gradient_norm[first:], h.std, z.cpu(), p.cpu(), target.cpu(), predicts)

    def _same_loss_since(self) -> int:
        """The step from which losses may be compared: none of the fields that set their scale has moved since."""
        changed = [step for step, fields in self.history.changes if SCALES.intersection(fields)]
        warm = self.config.teacher_warmup_epochs if self.config.method == "dino" else 0
        return max([round(warm * self.steps_per_epoch), *changed])

    def _copy(self) -> Objective:
        """The model in training mode, with buffers of its own."""
        model = copy.deepcopy(self.model)
        model.config = self.config.replace(negatives_weight=0.0, symmetric=False)
        return model.train()

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
            of = FIELDS[name].metadata["of"]
            if self.config.method not in of:
                raise ConfigError(
                    f"{name!r} has no part in method {self.config.method!r}; it belongs to {', '.join(of)}"
                )
        self._set_config(self.config.replace(**fields), recording_holds=OUTSIDE.issuperset(fields))
        self.history.changes.append((self.steps_done, {name: getattr(self.config, name) for name in fields}))

    # --- keep -----------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write all that is needed to go on, in one file; see checkpoint.save. Only the main process writes.

        Raises:
            DivergedError: the weights are not finite; the file that was there stays.
            CheckpointError: the file cannot be written; the file that was there stays.
        """
        if not self.process.is_main:
            return
        state = state_of(self)
        if not is_finite(state):
            raise DivergedError(
                f"the weights are not finite after step {self.steps_done}, so {str(path)!r} was not written: train anew "
                "with a lower lr, or Trainer.resume an earlier checkpoint and change(lr=...)"
            )
        checkpoint.save(path, state)

    def save_encoder(self, path: str | Path) -> None:
        """Write the encoder alone, as safetensors; see encoder_file.save_encoder. Only the main process writes."""
        if self.process.is_main:
            encoder_file.save_encoder(path, self.model.encoder, self.config, self.view_size)

    @classmethod
    def resume(
        cls,
        path: str | Path,
        train: ImageSet | StreamedSet,
        test: ImageSet | StreamedSet | None = None,
        device="auto",
        config: Config | dict | None = None,
    ) -> "Trainer":
        """A Trainer in the state that `save` wrote; Python's, NumPy's and torch's random states are restored too.

        Args:
            config: what the caller believes the run's config, or some of its fields, to be. Default: no opinion.

        Raises:
            CheckpointError: the file is missing, damaged, or no checkpoint of this library, or not one of a whole run.
            ConfigError: it was written with another config, or by a version with other fields.
            DataError: it was written with other images.
        """
        state = checkpoint.load(path)
        check(path, state)
        saved = Config.from_dict(state["config"])
        config = saved.replace(**config) if isinstance(config, dict) else config or saved
        refuse_other_config(path, saved, config)
        trainer = cls(saved, train, test, device)
        refuse_other_images(path, state["data"], trainer.fingerprint)
        restore(path, trainer, state)
        trainer._set_config(trainer.config)  # the views, with the mean and standard deviation restored
        return trainer
