"""Measures of a run between two steps: kNN accuracy, collapse measures, a verdict in words. They change nothing in the run."""

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..augment.views import Views
from ..config.errors import DataError, DivergedError
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..evaluate.balance import floor_if_uneven
from ..evaluate.comparison import Accuracies, accuracies
from ..evaluate.diagnose import CollapseReport, Diagnosis, collapse_report, diagnose, judged_with
from ..evaluate.features import work_of
from ..methods.base import Objective
from ..runtime.seeding import seed_at
from ..runtime.threads import computing

if TYPE_CHECKING:
    from .trainer import Trainer

KNN_BANK, KNN_QUERIES = 1024, 512  # images of the kNN check
REPORTED = 512  # images of report and diagnosis


def knn(trainer: "Trainer") -> float:
    """Measure kNN accuracy, in [0, 1], on at most 512 test images by the votes of at most 1,024 train images.

    Raises:
        DataError: no test images, or train or test images without labels.
        DivergedError: the representations are not finite.
    """
    return _quick(trainer).knn


def check_knn(trainer: "Trainer") -> float:
    """Measure kNN accuracy as `knn` does, and add it to the history; return it.

    Where the classes of the test images are not equally frequent, balanced accuracy is added too. Of the untrained encoder
    it alone is added.
    """
    found = _quick(trainer)
    step, history = trainer.steps_done, trainer.history
    if step:
        history.knn.append((step, found.knn))
    uneven = trainer.test is not None and floor_if_uneven(trainer.test.labels)
    if uneven and step not in dict(history.knn_balanced):
        history.knn_balanced.append((step, found.knn_balanced))
    return found.knn


def _quick(trainer: "Trainer") -> Accuracies:
    if trainer.test is None:
        raise DataError("knn: the trainer has no test images; give them to Trainer as test=")
    found = accuracies(trainer.model.encoder, trainer.train.sample(KNN_BANK), trainer.test.sample(KNN_QUERIES))
    if not found.finite:
        raise _not_finite(trainer, "representations")
    return found


def looked_at(trainer: "Trainer") -> ImageSet:
    """Return the images that `report` measures: up to 512 test images, or train images where there is no test set."""
    source = trainer.test if trainer.test is not None and len(trainer.test) > 1 else trainer.train
    return source.sample(REPORTED)


def represent_or_refuse(trainer: "Trainer", images: Tensor | ImageSet | StreamedSet) -> tuple[Tensor, Tensor]:
    """Return y and z of images, as Trainer.represent does, if all of them are finite.

    Raises:
        DivergedError: y or z is not finite. Weights can overflow in a step whose own loss was still finite.
    """
    y, z = trainer.represent(images)
    for name, values in (("representations", y), ("projections", z)):
        if not torch.isfinite(values).all():
            raise _not_finite(trainer, name)
    return y, z


def _not_finite(trainer: "Trainer", name: str) -> DivergedError:
    """Return the error that says that the run's representations or projections are not finite."""
    return DivergedError(
        f"the {name} are not finite after step {trainer.steps_done}, with lr {trainer.config.step_lr:.3g}: "
        "lower lr, or lengthen warmup_epochs"
    )


def report(trainer: "Trainer") -> CollapseReport:
    """Measure the collapse of the projections of up to 512 test (else train) images, without augmentation."""
    images = looked_at(trainer).images
    return judged_with(collapse_report(trainer.represent(images)[1]), images)


def diagnosis(trainer: "Trainer") -> Diagnosis:
    """Give a verdict on the run, from its history, its `report`, and new views of up to 512 train images."""
    images = trainer.train.sample(REPORTED).images.to(trainer.device)
    generator = torch.Generator(trainer.device).manual_seed(seed_at(trainer.config, 0))
    v1, v2 = Views(trainer.config, trainer.mean, trainer.std, generator)(images)
    if trainer.transform is not None:
        v1, v2 = trainer.transform((v1, v2), seed_at(trainer.config, 0))
    model = copy_in_training_mode(trainer)
    with (
        torch.no_grad(),
        computing(3 * len(images) * work_of(trainer.model.encoder, images)),
    ):  # two views, and the target of one
        _, z, p, target = model(v1, v2)
    h, first = trainer.history, same_loss_since(trainer)
    losses, norms = h.loss[first:], h.gradient_norm[first:]
    return diagnose(losses, norms, h.std, z.cpu(), p.cpu(), target.cpu(), trainer.model.predicts, report(trainer))


def same_loss_since(trainer: "Trainer") -> int:
    """Return the first step whose loss may be compared with today's: nothing has changed the loss's scale since then."""
    changed = [step for step, fields in trainer.history.changes if trainer.model.scales.intersection(fields)]
    return max([round(trainer.model.scale_settles * trainer.steps_per_epoch), *changed])


def copy_in_training_mode(trainer: "Trainer") -> Objective:
    """Copy the model, with its buffers, into training mode, with the loss of one direction alone."""
    model = copy.deepcopy(trainer.model)
    model.config = model.one_direction()
    return model.train()
