"""DINO (Caron et al. 2021, arXiv 2104.14294): a target network that sorts views into K groups, which it invents.

    s(v) = cos(g(f(v)), w_k), k = 1..K                      scores of a view for K prototypes
    P_teacher = softmax((s_ξ(v) − c) / τ_t)                 centred and sharpened, no gradient
    P_student = softmax(s_θ(v′) / τ_s),   τ_t < τ_s
    L = −Σ_k P_teacher,k ln P_student,k                     over all pairs of a global view v and another view v′
    ξ ← τ ξ + (1 − τ) θ,   c ← m c + (1 − m) mean s_ξ

Like BYOL it has a target that follows and no negatives, but it has no predictor. Two opposite forces guard it: centring
keeps one prototype from taking all views, sharpening keeps all prototypes from taking the same share of each view.
Multi-crop: the student also sees small local crops, and must predict from a part the teacher's output for the whole.
"""

import copy
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config.config import Config
from ..config.errors import ConfigError
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..networks.backbones import takes
from ..networks.encoders import Branch, Encoder
from ..networks.vit import check_patches, tokens
from ..runtime.distributed import mean_over_processes
from .base import Objective, Output
from .byol import scheduled_tau
from .dinov2 import draw_masks, ibot_loss, koleo, sinkhorn


def teacher_temperature_at(epoch: Tensor, config: Config) -> Tensor:
    """Return τ_t: linear from teacher_temperature_start to teacher_temperature within teacher_warmup_epochs."""
    warmup = config.teacher_warmup_epochs
    # a shorter warm-up counts as none, because in float32 it would give 0 / 0
    done = (epoch / warmup).clamp(max=1) if warmup > 1e-30 else torch.ones_like(epoch)
    return config.teacher_temperature_start * (1 - done) + config.teacher_temperature * done


def dino_loss(teacher: list[Tensor], log_student: list[Tensor]) -> Tensor:
    """Return the mean cross entropy over pairs of a teacher's view and another view of the student: a scalar in [0, ∞).

    Args:
        teacher: probabilities (N, K) of each global view, without gradient.
        log_student: log probabilities (N, K) of each view: the global ones in the same order, then the local ones.

    G global and L local views make G · (G + L − 1) pairs.
    """
    pairs = [(t, s) for i, t in enumerate(teacher) for j, s in enumerate(log_student) if i != j]
    return cast(Tensor, sum(-(t * s).sum(1).mean() for t, s in pairs)) / len(pairs)


def check_local_size(config: Config, view_size: int, encoder: Encoder) -> None:
    """Raise ConfigError for local crops larger than the views, or of a size that the encoder cannot take."""
    local = config.local_size(view_size)
    if local > view_size:
        raise ConfigError(
            f"local_view_size={local}: local crops are smaller than the global views of {view_size} px; lower it, or "
            "0 for half of those"
        )
    if config.encoder.startswith("vit"):
        check_patches(local, config.patch_size)
    elif encoder.fixed_size and (reason := takes(encoder, local, len(encoder.pixel_mean))):
        raise ConfigError(
            f"local_crops={config.local_crops}: encoder={config.encoder!r} takes views of one size ({reason}); give "
            "local_crops=0, another local_view_size, or another encoder"
        )


class SortingBranch(Branch):
    """Encoder, projector, and prototypes: x → y → z → s."""

    def __init__(
        self,
        config: Config,
        view_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        own: nn.Module | None = None,
    ) -> None:
        super().__init__(config, view_size, mean, std, own)
        self.prototypes = nn.Linear(config.projection_dim, config.prototypes, bias=False)
        if config.encoder.startswith("vit"):
            self.mask_token = nn.Parameter(torch.zeros(self.encoder.feature_dim))

    def scores(self, z: Tensor) -> Tensor:
        """Return the cosine of each projection with each prototype: (..., D) -> (..., K), float32 in [−1, 1].

        Half precision is not used, because after a division by 0.01 its rounding would decide the groups.
        """
        with torch.autocast(z.device.type, enabled=False):
            return F.linear(F.normalize(z.float(), dim=-1), F.normalize(self.prototypes.weight.float(), dim=1))


class DINO(Objective):
    """Student (online), teacher (target), the centre c, float32 (K,), and the centre of the patches.

    Raises:
        ConfigError: local crops larger than the views, or patches that do not tile them.
    """

    online: SortingBranch
    target: SortingBranch
    center: Tensor
    patch_center: Tensor
    scales = frozenset(
        {
            "student_temperature",
            "teacher_temperature",
            "teacher_temperature_start",
            "centering",
            "ibot_weight",
            "mask_p",
            "koleo_weight",
        }
    )

    def __init__(
        self,
        config: Config,
        view_size: int,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.25, 0.25, 0.25),
        own: nn.Module | None = None,
    ) -> None:
        super().__init__(config)
        self.online = SortingBranch(config, view_size, mean, std, own)
        if config.local_crops > 0:
            check_local_size(config, view_size, self.online.encoder)
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        self.register_buffer("center", torch.zeros(config.prototypes))
        self.register_buffer("patch_center", torch.zeros(config.prototypes))
        self.noted: dict[str, list[Tensor]] = {}  # mean scores of this step; the centres follow at its end
        self.begin_step()
        self.patches = (view_size // config.patch_size) ** 2

    @classmethod
    def check_images(cls, config: Config, images: ImageSet | StreamedSet) -> None:
        """Raise ConfigError for fewer prototypes than classes, because classes could then not be told apart."""
        if config.prototypes < len(images.classes):
            raise ConfigError(
                f"prototypes={config.prototypes}: fewer than the {len(images.classes)} classes of {images.name!r}, "
                f"which could then not be told apart; give {len(images.classes)} at least"
            )

    def tau(self, step: int, total_steps: int) -> float:
        """Return τ by the schedule, as in BYOL."""
        return scheduled_tau(self.config, step, total_steps)

    @property
    def local_crops(self) -> int:
        """The number of local crops of each image, which only the student sees."""
        return self.config.local_crops

    @property
    def scale_settles(self) -> float:
        """The epochs in which the teacher's temperature moves, and with it its entropy, which is part of the loss."""
        return self.config.teacher_warmup_epochs

    def draw(self, n: int, generator: torch.Generator) -> Tensor | None:
        """Draw which patches of the two global views of n images to hide: bool (n, 2, P), or None without iBOT."""
        c = self.config
        return draw_masks((n, 2, self.patches), c.mask_ratio, c.mask_p, generator) if c.ibot_weight > 0 else None

    def begin_step(self) -> None:
        """Drop the mean scores of the last step."""
        self.noted = {"center": [], "patch_center": []}

    @torch.no_grad()
    def sort(self, scores: Tensor, center: str = "center", chosen: Tensor | None = None) -> Tensor:
        """Return the teacher's probabilities of scores (N, K), centred and sharpened. Training notes their mean.

        chosen: bool (N,), the rows that Sinkhorn-Knopp assigns; default: all. A mean is over all rows, as in iBOT.
        """
        temperature = teacher_temperature_at(self.epoch, self.config)
        match self.config.centering:
            case "sinkhorn":
                return sinkhorn(scores, temperature, chosen=chosen)
            case "none":
                return (scores / temperature).softmax(1)
        if self.training:
            self.noted[center].append(scores.mean(0))
        return ((scores - getattr(self, center)) / temperature).softmax(1)

    def forward(self, v1: Tensor, v2: Tensor, *local_crops: Tensor, drawn: Tensor | None = None) -> Output:
        """Compute the loss of two global views (N, 3, H, W) and any number of local ones (N, 3, h, w), h ≤ H."""
        c, n, both = self.config, len(v1), torch.cat((v1, v2))
        mask = None if drawn is None else drawn.transpose(0, 1).flatten(0, 1)  # (2N, P)
        with torch.no_grad():
            teacher_y = self.target.encoder(both) if mask is None else tokens(self.target.encoder, both)
            teacher_z = self.target.projector(teacher_y if mask is None else teacher_y[:, 0])
            teacher = self.sort(self.target.scores(teacher_z))
        if mask is None:
            y = self.online.encoder(both)
        else:
            seen = tokens(self.online.encoder, both, mask, self.online.mask_token)
            y = seen[:, 0]
        z = self.online.projector(y)
        projected = [z]
        if local_crops:
            projected.append(self.online(torch.cat(local_crops)))  # crops of one size in one pass
        log_student = [self._log_student(x) for x in projected]
        loss = dino_loss(list(teacher.split(n)), [view for views in log_student for view in views.split(n)])
        if mask is not None:
            loss = loss + c.ibot_weight * self._hidden_patches(teacher_y[:, 1:], seen[:, 1:], mask)
        if c.koleo_weight > 0:
            # the sum over the two global views, as in DINOv2's code
            loss = loss + c.koleo_weight * sum(map(koleo, y.split(n)))
        z1 = z[:n].detach().float()
        return Output(loss, z1, z1, teacher_z[n:].float())

    def _log_student(self, z: Tensor) -> Tensor:
        return (self.online.scores(z) / self.config.student_temperature).log_softmax(-1)

    def _hidden_patches(self, teacher_y: Tensor, y: Tensor, mask: Tensor) -> Tensor:
        """Return iBOT's loss. Patches share projector and prototypes with the class token. y: (2N, P, dim)."""
        with torch.no_grad():
            scores = self.target.scores(self.target.projector(teacher_y.flatten(0, 1)))
            teacher = self.sort(scores, "patch_center", mask.flatten()).view(*mask.shape, -1)
        log_student = self._log_student(self.online.projector(y.flatten(0, 1))).view(*mask.shape, -1)
        return ibot_loss(teacher, log_student, mask)

    @torch.no_grad()
    def update_target(self, tau: float) -> None:
        """Update ξ ← τ ξ + (1 − τ) θ and c ← m c + (1 − m) (mean score of the step), once per optimiser step."""
        for center, means in self.noted.items():
            # only those of this step's passes, because an evaluation of the model may have added one
            means = means[: self.config.accumulation_steps]
            if means:
                mean = mean_over_processes(torch.stack(means).mean(0))
                getattr(self, center).lerp_(mean, 1 - self.config.center_momentum)
        self.follow(tau)
