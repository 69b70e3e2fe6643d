"""What `run(..., track=...)` can measure during training, at step 0 and then each `track_every` epochs.

Each measure is a function of `Looked`, which holds the run and what several measures need. It returns a tensor.
"""

import copy
from collections.abc import Callable
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..augment.views import Views
from ..evaluate.diagnose import collapse_report, eigenspace_alignment
from ..evaluate.directions import directions
from ..runtime.seeding import seed_at
from ..runtime.threads import computing
from ..train.monitor import REPORTED, looked_at
from ..train.trainer import Trainer


class Looked:
    """A run at one step. Representations are computed when a measure first asks for them, and once for all measures."""

    def __init__(self, trainer: Trainer):
        self.trainer = trainer

    @cached_property
    def plain(self) -> tuple[Tensor, Tensor]:
        """The y and z of the images that `Trainer.report` measures, without augmentation, float32 (512, D) and (512, d)."""
        return self.trainer.represent(looked_at(self.trainer).images)

    @cached_property
    def batch(self) -> tuple[Tensor, Tensor]:
        """The z and p of the same views of the same train images each time, in training mode, float32 (512, d)."""
        trainer = self.trainer
        images = trainer.train.sample(REPORTED).images.to(trainer.device)
        generator = torch.Generator(trainer.device).manual_seed(seed_at(trainer.config, 0))
        v1, _ = Views(trainer.config, trainer.mean, trainer.std, generator)(images)
        # A method without a predictor compares z itself.
        online, predictor = copy.deepcopy((trainer.model.online, getattr(trainer.model, "predictor", nn.Identity())))
        z = online.train()(v1)
        return z.float().cpu(), predictor.train()(z).float().cpu()


def alignment(looked: Looked) -> Tensor:
    """Return the eigenspace alignment of the predictor with E[z zᵀ], in [0, 1]; see diagnose.eigenspace_alignment."""
    return torch.tensor(eigenspace_alignment(*looked.batch))


def rank(looked: Looked) -> Tensor:
    """Return the effective rank of the projections, in [0, d], as in Trainer.report; see diagnose.effective_rank."""
    return torch.tensor(collapse_report(looked.plain[1]).rank)


def spectrum(looked: Looked) -> Tensor:
    """Return the eigenvalues of the covariance of z/‖z‖, largest first: float32 (d,). Their sum, the variance, is at most 1.

    z are the projections that Trainer.report measures.
    """
    z = F.normalize(looked.plain[1].double(), dim=-1)
    return (torch.linalg.svdvals(z - z.mean(0)) ** 2 / len(z)).float()


def modes(looked: Looked) -> Tensor:
    """Return s_j and p_j = u_jᵀ W u_j for each eigenvector u_j of E[z zᵀ], largest eigenvalue first: float32 (2, d).

    s_j is the eigenvalue, and W the predictor's best linear approximation, p ≈ W z. These are the axes of the phase
    plane of Tian et al. 2021.
    """
    z, p = (values.double() for values in looked.batch)
    s, u = torch.linalg.eigh(z.T @ z / len(z))
    w = (torch.linalg.pinv(z, rtol=1e-6) @ p).T
    return torch.stack((s, (u * (w @ u)).sum(0))).flip(1).float()


def test_features(looked: Looked) -> Tensor:
    """Return y of 512 test images, or of 512 train images where there is no test set: float32 (512, D)."""
    return looked.plain[0]


def projections(looked: Looked) -> Tensor:
    """Return the directions z/‖z‖ of the images that `Trainer.report` measures, on the unit sphere: float32 (512, d)."""
    return directions(looked.plain[1])


TRACKS: dict[str, Callable[[Looked], Tensor]] = {
    "alignment": alignment,
    "rank": rank,
    "spectrum": spectrum,
    "modes": modes,
    "features": test_features,
    "projections": projections,
}


@torch.no_grad()
@computing()
def measure(trainer: Trainer, names: tuple[str, ...]) -> dict[str, Tensor]:
    """Return these measures at the current step. Networks, running statistics and random states stay as they are."""
    looked = Looked(trainer)
    return {name: TRACKS[name](looked) for name in names}
