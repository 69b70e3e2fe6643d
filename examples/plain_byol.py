"""BYOL (Grill et al. 2020) in plain PyTorch, on a folder of images: python examples/plain_byol.py IMAGES [EPOCHS]

It trains a ResNet-18 and writes its weights to encoder.pt. Nothing of byol_tutorial is used, so that you can copy the file.
Blank lines and this text not counted, it has 60 lines.
"""

import copy
import sys
from pathlib import Path

import torch
import torchvision
from torch import nn
from torch.utils.data import DataLoader
from torchvision.transforms import v2

SIZE, BATCH, LR, TAU = 64, 128, 0.015, 0.99  # with another BATCH, change LR by the same factor


def views(blur, solarize):  # appendix B: uint8 (3, H, W) -> float (3, SIZE, SIZE)
    steps = [
        v2.RandomResizedCrop(SIZE, (0.08, 1), interpolation=v2.InterpolationMode.BICUBIC),
        v2.RandomHorizontalFlip(),
        v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.2, 0.1)], 0.8),
        v2.RandomGrayscale(0.2),
        v2.RandomApply([v2.GaussianBlur(SIZE // 20 * 2 + 1, (0.1, 2))], blur),
        v2.RandomSolarize(128, solarize),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
    return v2.Compose(steps)


T, T_PRIME = views(blur=1.0, solarize=0.0), views(blur=0.1, solarize=0.2)


def pairs(files):  # two views of each image of a batch
    images = [torchvision.io.decode_image(file, "RGB") for file in files]
    return tuple(torch.stack([t(image) for image in images]) for t in (T, T_PRIME))


def mlp(n, hidden, out):  # the projector, and the predictor
    return nn.Sequential(nn.Linear(n, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, out, bias=False))


def distance(p, z):  # equation 2: ‖p/‖p‖ − z/‖z‖‖², its mean over the batch
    return 2 - 2 * nn.functional.cosine_similarity(p, z).mean()


def train(online, predictor, batches, epochs, lr=LR, tau=TAU):
    target = copy.deepcopy(online).requires_grad_(False)  # the gradient stops at it
    learned = [*online.parameters(), *predictor.parameters()]
    weights, others = [w for w in learned if w.ndim > 1], [w for w in learned if w.ndim == 1]  # the others do not decay
    optimizer = torch.optim.SGD([{"params": weights, "weight_decay": 4e-4}, {"params": others}], lr, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(batches))
    losses, device = [], next(online.parameters()).device
    for epoch in range(epochs):
        for pair in batches:
            v, w = (view.to(device) for view in pair)
            loss = distance(predictor(online(v)), target(w)) + distance(predictor(online(w)), target(v))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            fall = schedule.get_last_lr()[0] / lr  # from 1 to 0 along half a cosine
            for old, new in zip(target.parameters(), online.parameters(), strict=True):
                old.lerp_(new.detach(), (1 - tau) * fall)  # ξ ← τξ + (1 − τ)θ, where τ rises to 1
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}: loss {sum(losses[-len(batches) :]) / len(batches):.3f}")
    return losses, target


if __name__ == "__main__":
    files = [f for f in sorted(Path(sys.argv[1]).rglob("*")) if f.suffix.lower() in (".jpg", ".jpeg", ".png")]
    batches = DataLoader(files, min(BATCH, len(files)), shuffle=True, drop_last=True, collate_fn=pairs, num_workers=2)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder = torchvision.models.resnet18()
    encoder.fc = nn.Identity()
    online = nn.Sequential(encoder, mlp(512, 4096, 256)).to(device)
    predictor = mlp(256, 4096, 256).to(device)
    train(online, predictor, batches, int(sys.argv[2]) if len(sys.argv) > 2 else 100)
    torch.save(encoder.state_dict(), "encoder.pt")
