"""Looks at a run between two steps: kNN accuracy, collapse measures, a verdict in words. They change nothing in it."""

import copy

import torch
from torch import Tensor

from ..augment.views import Views
from ..config.errors import DivergedError
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..evaluate.comparison import accuracies
from ..evaluate.diagnose import CollapseReport, Diagnosis, collapse_report, diagnose
from ..methods.base import Objective
from ..runtime.seeding import seed_at

KNN_BANK, KNN_QUERIES = 1024, 512  # images of the kNN check
REPORTED = 512  # images that report and diagnosis look at


def knn(trainer) -> float:
    """Accuracy in [0, 1] on at most 512 test images, by the votes of at most 1,024 train images; needs both labels."""
    return accuracies(trainer.model.encoder, trainer.train.sample(KNN_BANK), trainer.test.sample(KNN_QUERIES)).knn


def looked_at(trainer) -> ImageSet:
    """Return the images that `report` measures: up to 512 test images, or train images where there is no test set."""
    source = trainer.test if trainer.test is not None and len(trainer.test) > 1 else trainer.train
    return source.sample(REPORTED)


def represent_or_refuse(trainer, images: Tensor | ImageSet | StreamedSet) -> tuple[Tensor, Tensor]:
    """Return y and z of images, as Trainer.represent does.

    Raises:
        DivergedError: y or z is not finite. Weights can overflow in a step whose own loss was still finite.
    """
    y, z = trainer.represent(images)
    for name, values in (("representations", y), ("projections", z)):
        if not torch.isfinite(values).all():
            raise DivergedError(
                f"the {name} are not finite after step {trainer.steps_done}, with lr {trainer.config.step_lr:.3g}: "
                "lower lr, or lengthen warmup_epochs"
            )
    return y, z


def report(trainer) -> CollapseReport:
    """Measure the collapse of the projections of up to 512 test (else train) images, without augmentation."""
    return collapse_report(trainer.represent(looked_at(trainer).images)[1])


def diagnosis(trainer) -> Diagnosis:
    """Give a verdict on the run, from its history, its `report`, and fresh views of up to 512 train images."""
    images = trainer.train.sample(REPORTED).images.to(trainer.device)
    generator = torch.Generator(trainer.device).manual_seed(seed_at(trainer.config, 0))
    v1, v2 = Views(trainer.config, trainer.mean, trainer.std, generator)(images)
    model = copy_in_training_mode(trainer)
    with torch.no_grad():
        _, z, p, target = model(v1, v2)
    h, first = trainer.history, same_loss_since(trainer)
    losses, norms = h.loss[first:], h.gradient_norm[first:]
    return diagnose(losses, norms, h.std, z.cpu(), p.cpu(), target.cpu(), trainer.model.predicts, report(trainer))


def same_loss_since(trainer) -> int:
    """The step from which losses may be compared: since then nothing has changed the scale of the method's loss."""
    changed = [step for step, fields in trainer.history.changes if trainer.model.scales.intersection(fields)]
    return max([round(trainer.model.scale_settles * trainer.steps_per_epoch), *changed])


def copy_in_training_mode(trainer) -> Objective:
    """The model in training mode, with buffers of its own and the loss of one direction alone."""
    model = copy.deepcopy(trainer.model)
    model.config = model.one_direction()
    return model.train()
