"""What `run(..., track=...)` can measure during training, at step 0 and then each `track_every` epochs.

Each measure is a function of the trainer and of one batch's projections z and predictions p, float (512, d). The batch
holds the same views of the same train images each time. The function returns a tensor.
"""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..augment.views import Views
from ..evaluate.diagnose import eigenspace_alignment
from ..evaluate.directions import directions
from ..evaluate.features import features
from ..runtime.seeding import seed_at
from ..runtime.threads import computing
from ..train.monitor import REPORTED, looked_at
from ..train.trainer import Trainer


def alignment(trainer: Trainer, z: Tensor, p: Tensor) -> Tensor:
    """Return the eigenspace alignment of the predictor with E[z zᵀ], in [0, 1]; see diagnose.eigenspace_alignment."""
    return torch.tensor(eigenspace_alignment(z, p))


def rank(trainer: Trainer, z: Tensor, p: Tensor) -> Tensor:
    """Return the effective rank of the projections, in [0, d], as in Trainer.report; see diagnose.effective_rank."""
    return torch.tensor(trainer.report().rank)


def spectrum(trainer: Trainer, z: Tensor, p: Tensor) -> Tensor:
    """Return the eigenvalues of the covariance of z/‖z‖, largest first: float32 (d,). Their sum, the variance, is at most 1.

    z are the projections that Trainer.report measures.
    """
    _, z = trainer.represent(looked_at(trainer).images)
    z = F.normalize(z.double(), dim=-1)
    return (torch.linalg.svdvals(z - z.mean(0)) ** 2 / len(z)).float()


def modes(trainer: Trainer, z: Tensor, p: Tensor) -> Tensor:
    """Return s_j and p_j = u_jᵀ W u_j for each eigenvector u_j of E[z zᵀ], largest eigenvalue first: float32 (2, d).

    s_j is the eigenvalue, and W the predictor's best linear approximation, p ≈ W z. These are the axes of the phase
    plane of Tian et al. 2021.
    """
    z, p = z.double(), p.double()
    s, u = torch.linalg.eigh(z.T @ z / len(z))
    w = (torch.linalg.pinv(z, rtol=1e-6) @ p).T
    return torch.stack((s, (u * (w @ u)).sum(0))).flip(1).float()


def test_features(trainer: Trainer, z: Tensor, p: Tensor) -> Tensor:
    """Return y of 512 test images, or of 512 train images where there is no test set: float32 (512, D)."""
    return features(trainer.model.encoder, looked_at(trainer).images)


def projections(trainer: Trainer, z: Tensor, p: Tensor) -> Tensor:
    """Return the directions z/‖z‖ of the images that `Trainer.report` measures, on the unit sphere: float32 (512, d)."""
    return directions(trainer.represent(looked_at(trainer).images)[1]).cpu()


TRACKS: dict[str, Callable[[Trainer, Tensor, Tensor], Tensor]] = {
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
    images = trainer.train.sample(REPORTED).images.to(trainer.device)
    generator = torch.Generator(trainer.device).manual_seed(seed_at(trainer.config, 0))
    v1, _ = Views(trainer.config, trainer.mean, trainer.std, generator)(images)
    # A method without a predictor compares z itself.
    online, predictor = copy.deepcopy((trainer.model.online, getattr(trainer.model, "predictor", nn.Identity())))
    z = online.train()(v1)
    p = predictor.train()(z)
    return {name: TRACKS[name](trainer, z.float().cpu(), p.float().cpu()) for name in names}
