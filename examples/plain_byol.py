"""BYOL (Grill et al. 2020) in plain PyTorch, on a folder of images: python examples/plain_byol.py IMAGES [EPOCHS]

It trains a ResNet-18 and writes its weights to encoder.pt. Nothing of byol_tutorial is used, so that you can copy the file.
"""

import copy
import math
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torchvision.models import resnet18
from torchvision.transforms import v2

SIZE, BATCH, LR, TAU = 64, 128, 0.03, 0.99  # LR is for 256 images, as in the paper


def views(blur: float, solarize: float) -> v2.Compose:  # appendix B: T is views(1.0, 0.0), and T′ is views(0.1, 0.2)
    return v2.Compose(
        [
            v2.ToImage(),
            v2.RandomResizedCrop(SIZE, (0.08, 1), interpolation=v2.InterpolationMode.BICUBIC),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.2, 0.1)], 0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(SIZE // 20 * 2 + 1, (0.1, 2))], blur),
            v2.RandomSolarize(128, solarize),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )


class Pairs(torch.utils.data.Dataset):
    def __init__(self, folder: str):
        self.paths = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
        self.one, self.other = views(1.0, 0.0), views(0.1, 0.2)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = Image.open(self.paths[i]).convert("RGB")
        return self.one(image), self.other(image)


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    first, last = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs, bias=False)
    return nn.Sequential(first, nn.BatchNorm1d(hidden), nn.ReLU(), last)


class BYOL(nn.Module):
    def __init__(self, encoder: nn.Module, features: int, hidden: int = 4096, outputs: int = 256):
        super().__init__()
        self.online = nn.Sequential(encoder, mlp(features, hidden, outputs))
        self.predictor = mlp(outputs, hidden, outputs)
        self.target = copy.deepcopy(self.online).requires_grad_(False)

    def forward(self, v: torch.Tensor, w: torch.Tensor) -> torch.Tensor:  # equation 2, with v and w in both orders
        with torch.no_grad():  # no gradient reaches the target
            targets = self.target(w), self.target(v)
        predictions = self.predictor(self.online(v)), self.predictor(self.online(w))
        return sum(2 - 2 * F.cosine_similarity(p, z).mean() for p, z in zip(predictions, targets, strict=True))

    @torch.no_grad()
    def follow(self, tau: float) -> None:  # ξ ← τξ + (1 − τ)θ
        for old, new in zip(self.target.parameters(), self.online.parameters(), strict=True):
            old.lerp_(new, 1 - tau)


def train(model: BYOL, batches, epochs: int, lr: float = LR * BATCH / 256, tau: float = TAU) -> list[float]:
    learned = [*model.online.parameters(), *model.predictor.parameters()]
    weights, others = [p for p in learned if p.ndim > 1], [p for p in learned if p.ndim == 1]  # the others do not decay
    optimizer = torch.optim.SGD([{"params": weights, "weight_decay": 4e-4}, {"params": others}], lr, momentum=0.9)
    losses, steps, device = [], epochs * len(batches), next(model.parameters()).device
    for _ in range(epochs):
        for v, w in batches:
            fall = (1 + math.cos(math.pi * len(losses) / steps)) / 2  # from 1 to 0 along half a cosine
            for group in optimizer.param_groups:
                group["lr"] = lr * fall
            loss = model(v.to(device), w.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            model.follow(1 - (1 - tau) * fall)
            losses.append(loss.item())
    return losses


if __name__ == "__main__":
    encoder = resnet18()
    encoder.fc = nn.Identity()
    model = BYOL(encoder, 512).to("cuda" if torch.cuda.is_available() else "cpu")
    pairs = Pairs(sys.argv[1])
    batches = torch.utils.data.DataLoader(pairs, min(BATCH, len(pairs)), shuffle=True, drop_last=True, num_workers=2)
    losses = train(model, batches, int(sys.argv[2]) if len(sys.argv) > 2 else 100)
    print(f"loss {losses[0]:.3f} at first, {losses[-1]:.3f} at last")
    torch.save(encoder.state_dict(), "encoder.pt")
