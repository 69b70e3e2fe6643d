"""SimCLR (Chen et al. 2020, arXiv 2002.05709): no predictor, no target network. Images repel each other.

    v = t(x)   z = g(f(v))        v′ = t′(x)   z′ = g(f(v′))        one network for both

    ℓ(z_i) = −ln  exp(cos(z_i, z′_i)/α) / ( Σ_{j≠i} exp(cos(z_i, z_j)/α) + Σ_j exp(cos(z_i, z′_j)/α) )

The numerator pulls the two views of an image together; alone it would be largest for a constant z. The sum below it
pushes all other views of the batch away, so a constant z has the loss ln(2N − 1), not 0.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config.config import Config
from ..networks.encoders import Branch
from ..runtime.distributed import all_rows, process
from .base import Objective, Output


def nt_xent(z1: Tensor, z2: Tensor, temperature: float, negatives: bool = True) -> Tensor:
    """Return the normalised temperature-scaled cross entropy, mean over the 2N views: a scalar (equation 1).

    Args:
        z1, z2: float (N, D), projections of the two views. Under torchrun they are this process's part of the batch,
            and the negatives come from all processes.
        temperature: α, above 0.
        negatives: False leaves out the sum, and with it all that keeps the images apart. Then it is
            −mean cos(z, z′) / α.
    """
    z1, z2 = F.normalize(z1.float(), dim=1), F.normalize(z2.float(), dim=1)
    if not negatives:
        return -(z1 * z2).sum(1).mean() / temperature
    all1, all2 = all_rows(z1), all_rows(z2)  # (M, D), M = N × processes
    with torch.autocast(
        z1.device.type, enabled=False
    ):  # half precision would round the cosines, and α enlarges the error
        scores = torch.cat((z1, z2)) @ torch.cat((all1, all2)).T / temperature  # (2N, 2M)
    m, row = len(all1), process().rank * len(z1) + torch.arange(len(z1), device=z1.device)
    itself, partner = torch.cat((row, m + row)), torch.cat((m + row, row))
    scores = scores.scatter(1, itself[:, None], -torch.inf)
    return F.cross_entropy(scores, partner)


class SimCLR(Objective):
    """Encoder and projector alone. `Config.negatives` off shows what the negatives do."""

    scales = frozenset({"negatives", "temperature"})

    def __init__(
        self,
        config: Config,
        view_size: int,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.25, 0.25, 0.25),
        own: nn.Module | None = None,
    ) -> None:
        super().__init__(config)
        self.online = Branch(config, view_size, mean, std, own)

    def forward(self, v1: Tensor, v2: Tensor) -> Output:
        """Compute the loss of a batch of view pairs, each (N, 3, H, W): below ln(2N − 1) + 2/α."""
        z1, z2 = self.online(v1), self.online(v2)
        loss = nt_xent(z1, z2, self.config.temperature, self.config.negatives)
        z1, z2 = z1.detach().float(), z2.detach().float()
        return Output(loss, z1, z1, z2)
