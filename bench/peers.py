"""Compare the training speed with other libraries, in one run on the same work: python bench/peers.py [--quick]

Measures the images a second of whole training steps: views, both networks, loss, gradient, SGD, moving average. All use
the same encoder, heads, batch, image size and views, as far as the options of a library allow; the result says what
differs. The libraries take turns in rounds, so that a busy moment of the machine affects all of them. The result has
medians, and ratios to ours.

solo-learn needs torch 1.9, which no supported Python has; it is left out.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Iterator

import common
import torch
import torchvision.transforms as T
from torch import nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

import byol_tutorial as bt
from byol_tutorial.augment.views import Views
from byol_tutorial.networks.encoders import Branch

HIDDEN, PROJECTION = 256, 64
DIFFERENCES = {
    "lightly": "views per image with PIL in DataLoader workers (best of 0, all cores, and a half, a quarter, an eighth of them); PIL's bilinear crops; its kernel "
    "size of the blur",
    "byol-pytorch": "one augmentation drawn for a whole batch, not per image; torchvision on tensors; its MLPs have biases "
    "on the output; simplicial embeddings off",
}


class Pictures(Dataset):
    """A data set of PIL images, for a library that augments images one by one."""

    def __init__(self, images: torch.Tensor, transform: Callable):
        self.images = [T.functional.to_pil_image(image) for image in images]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        return self.transform(self.images[index])


def config_for(size: int, batch: int, encoder: str, precision: str) -> bt.Config:
    return bt.preset(
        "byol-imagenet-100", encoder=encoder, batch_size=batch, hidden_dim=HIDDEN, projection_dim=PROJECTION,
        optimizer="sgd", lr=0.06, weight_decay=4e-4, epochs=1000, view_size=size, precision=precision, knn_every=0, compile="off",
    )  # fmt: skip


# --- the libraries: each generator makes one training step at a time -------------------------------


def ours(images: torch.Tensor, config: bt.Config, device: str) -> Iterator[None]:
    trainer = bt.Trainer(config, bt.ImageSet("bench", "train", images), device=device)
    while True:
        trainer.step()
        yield


def encoder_of(config: bt.Config, device: str) -> nn.Module:
    return Branch(config, config.view_size, (0.5,) * 3, (0.25,) * 3).encoder.to(
        device, memory_format=torch.channels_last
    )


def with_lightly(images: torch.Tensor, config: bt.Config, device: str, workers: int) -> Iterator[None]:
    """Train as in lightly's own BYOL example."""
    from lightly.loss import NegativeCosineSimilarity
    from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
    from lightly.models.utils import deactivate_requires_grad, update_momentum
    from lightly.transforms.byol_transform import BYOLTransform, BYOLView1Transform, BYOLView2Transform
    from lightly.utils.scheduler import cosine_schedule

    size = config.view_size
    transform = BYOLTransform(BYOLView1Transform(input_size=size), BYOLView2Transform(input_size=size))
    pictures = Pictures(images, transform)
    # one endless epoch, because workers would have to start again at each end, and few pictures make short epochs
    endless = RandomSampler(pictures, replacement=True, num_samples=10**9)
    loader = DataLoader(
        pictures, config.batch_size, sampler=endless, num_workers=workers, pin_memory=device != "cpu",
        multiprocessing_context="fork" if workers else None,
    )  # fmt: skip
    encoder = encoder_of(config, device)
    width = encoder(torch.zeros(2, 3, size, size, device=device)).shape[1]
    online = nn.Sequential(encoder, BYOLProjectionHead(width, HIDDEN, PROJECTION)).to(device)
    predictor = BYOLPredictionHead(PROJECTION, HIDDEN, PROJECTION).to(device)
    target = copy.deepcopy(online)
    deactivate_requires_grad(target)
    loss_of = NegativeCosineSimilarity()
    weights = [*online.parameters(), *predictor.parameters()]
    optimizer = torch.optim.SGD(weights, lr=0.01, momentum=0.9, weight_decay=4e-4)
    half = config.precision == "mixed"
    for step, (v1, v2) in enumerate(loader):
        v1, v2 = v1.to(device, non_blocking=True), v2.to(device, non_blocking=True)
        update_momentum(online, target, cosine_schedule(step, 100_000, 0.99, 1))
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=half):
            p1, p2 = predictor(online(v1)), predictor(online(v2))
            with torch.no_grad():
                z1, z2 = target(v1), target(v2)
            loss = 0.5 * (loss_of(p1, z2) + loss_of(p2, z1))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        yield


def with_byol_pytorch(images: torch.Tensor, config: bt.Config, device: str) -> Iterator[None]:
    from byol_pytorch import BYOL

    def views(blur: float, solarize: float) -> nn.Module:
        size = config.view_size
        some = [T.RandomApply([T.ColorJitter(0.4, 0.4, 0.2, 0.1)], 0.8), T.RandomGrayscale(0.2)]
        some += [T.RandomApply([T.GaussianBlur(3, (0.1, 2.0))], blur), T.RandomSolarize(0.5, solarize)]
        return nn.Sequential(T.RandomResizedCrop(size, antialias=True), T.RandomHorizontalFlip(), *some,
                             T.Normalize([0.5] * 3, [0.25] * 3))  # fmt: skip

    learner = BYOL(
        encoder_of(config, device), config.view_size, hidden_layer=-1, projection_size=PROJECTION,
        projection_hidden_size=HIDDEN, augment_fn=views(1.0, 0.0), augment_fn2=views(0.1, 0.2),
        use_simplicial_embeddings=False,
    )  # fmt: skip
    optimizer = torch.optim.SGD(learner.parameters(), lr=0.01, momentum=0.9, weight_decay=4e-4)
    half = config.precision == "mixed"
    on_device = images.to(device)
    while True:
        batch = on_device[torch.randint(len(images), (config.batch_size,), device=device)].float().div_(255)
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=half):
            loss = learner(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        learner.update_moving_average()
        yield


# --- measuring -----------------------------------------------------------------------------------


def rate(steps: Iterator[None], batch: int, seconds: float, device: str, ahead: int = 0) -> float:
    """Return the images a second of whole steps, measured for at least `seconds`.

    An eighth of that time, and `ahead` steps, are made first and not counted. They use up the batches that workers made
    while others were measured, and in this time the workers of the previous library finish filling their queue.
    """
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None

    def run(least: float, at_least: int) -> tuple[int, float]:
        start, n = time.perf_counter(), 0
        while n < at_least or time.perf_counter() - start < least:
            next(steps)
            n += 1
        wait()
        return n, time.perf_counter() - start

    run(seconds / 8, ahead)
    n, taken = run(seconds, 1)
    return n * batch / taken


def race(
    contestants: dict[str, Iterator[None]], batch: int, seconds: float, rounds: int, device: str, ahead: int = 0
) -> dict:
    for steps in contestants.values():
        for _ in range(3):
            next(steps)
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, steps in contestants.items():
            rates[name].append(rate(steps, batch, seconds, device, ahead if name == "lightly" else 0))
    return rates


def augmentation(size: int, batch: int, seconds: float, rounds: int, device: str) -> dict:
    """Return the images a second of two views: ours, kornia's per-image draws, torchvision v2 one image at a time."""
    import kornia.augmentation as K
    from torchvision.transforms import v2

    images = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, device=device)
    config = config_for(size, batch, "small", "float32")
    kernel = 2 * (size // 20) + 1

    def kornia_views(blur: float, solarize: float) -> nn.Module:
        return nn.Sequential(
            K.RandomResizedCrop((size, size), scale=(0.08, 1.0), resample="BICUBIC", cropping_mode="resample"),
            K.RandomHorizontalFlip(), K.ColorJiggle(0.4, 0.4, 0.2, 0.1, p=0.8), K.RandomGrayscale(p=0.2),
            K.RandomGaussianBlur((kernel, kernel), (0.1, 2.0), p=blur), K.RandomSolarize(0.0, 0.0, p=solarize),
            K.Normalize(torch.tensor([0.5] * 3), torch.tensor([0.25] * 3)),
        )  # fmt: skip

    def torchvision_views(blur: float, solarize: float) -> Callable:
        return v2.Compose([
            v2.RandomResizedCrop(size, (0.08, 1.0), interpolation=v2.InterpolationMode.BICUBIC, antialias=True),
            v2.RandomHorizontalFlip(), v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.2, 0.1)], 0.8), v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(kernel, (0.1, 2.0))], blur), v2.RandomSolarize(128, solarize),
            v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.25] * 3),
        ])  # fmt: skip

    mine = Views(config, (0.5,) * 3, (0.25,) * 3, torch.Generator(device).manual_seed(0))
    k1, k2 = kornia_views(1.0, 0.0), kornia_views(0.1, 0.2)
    t1, t2 = torchvision_views(1.0, 0.0), torchvision_views(0.1, 0.2)

    def forever(draw: Callable) -> Iterator[None]:
        while True:
            draw()
            yield

    contestants = {
        "ours": forever(lambda: mine(images)),
        "kornia": forever(lambda: (k1(images.float() / 255), k2(images.float() / 255))),
        "torchvision v2": forever(lambda: [(t1(image), t2(image)) for image in images]),
    }
    return race(contestants, batch, seconds, rounds, device)


def summary(rates: dict[str, list[float]]) -> dict:
    """Return the medians, and the median over rounds of our speed divided by the other library's."""
    median = {name: statistics.median(values) for name, values in rates.items()}
    times = {
        name: statistics.median(a / b for a, b in zip(rates["ours"], values, strict=True))
        for name, values in rates.items()
        if name != "ours"
    }
    return {
        "images_per_second": {name: round(value, 1) for name, value in median.items()},
        "ours_times_as_fast_as": {name: round(value, 2) for name, value in times.items()},
        "rounds": {name: [round(v, 1) for v in values] for name, values in rates.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only check that everything runs; write nothing")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, nargs="+", help="numbers of workers to try for lightly")
    parser.add_argument("--compile", action="store_true", help="measure ours also with torch.compile")
    options = parser.parse_args()
    device, quick = options.device, options.quick
    size, batch, encoder, precision = (
        (32, 128, "small", "float32") if device == "cpu" else (32, 512, "resnet18", "mixed")
    )
    seconds, rounds = (0.2, 1) if quick else (4.0, 5) if device == "cpu" else (2.0, 3)
    images = torch.randint(0, 256, (256 if quick else 4096, 3, size, size), dtype=torch.uint8)
    config = config_for(size, batch, encoder, precision)

    cores = torch.get_num_threads()
    result = {
        "what": f"{encoder} encoder, {size} px, batch {batch}, {precision}, heads {HIDDEN}/{PROJECTION}, on {device}",
        "threads": cores,
        "differences": DIFFERENCES,
        "alone": {},  # each is measured alone first, so that a run that is interrupted has a result of each
        "absent": {},
        "training": {},
        "augmentation": {},
    }

    def keep() -> None:
        if not quick:
            common.write(f"peers_{device}", result)

    def alone(name: str, contestant: Iterator[None], ahead: int = 0) -> float:
        """Return its speed alone, or 0 if it is not installed, and store the reason."""
        try:
            result["alone"][name] = round(rate(contestant, batch, seconds / 2, device, ahead), 1)
        except ImportError as error:
            result["absent"][name] = str(error)
        print(f"{name}: {result['alone'].get(name, result['absent'].get(name))}", flush=True)
        keep()
        return result["alone"].get(name, 0.0)

    contestants = {"ours": ours(images, config, device)}
    alone("ours", contestants["ours"])
    if options.compile:
        contestants["ours, compiled"] = ours(images, config.replace(compile="on"), device)
        alone("ours, compiled", contestants["ours, compiled"])
    workers = (
        [0] if quick else options.workers or sorted({0, *(cores // part for part in (1, 2, 4, 8) if cores // part)})
    )
    choices = {w: with_lightly(images, config, device, w) for w in workers}
    # the number of batches that a DataLoader makes in advance, and one more
    ahead = {w: 0 if quick else 2 * w + 1 for w in workers}
    speeds = {w: alone(f"lightly, {w} workers", choices[w], ahead[w]) for w in workers}
    best = max(speeds, key=speeds.get)
    for w in set(choices) - {best}:
        choices[w].close()
    result["lightly_workers"] = best
    if speeds[best]:
        contestants["lightly"] = choices[best]
    peer = with_byol_pytorch(images, config, device)
    if alone("byol-pytorch", peer):
        contestants["byol-pytorch"] = peer
    result["training"] = summary(race(contestants, batch, seconds, rounds, device, ahead[best]))
    print("training:", result["training"]["images_per_second"], result["training"]["ours_times_as_fast_as"])
    keep()
    for size, batch in [(32, 16)] if quick else [(32, 128), (96, 64), (224, 16)]:
        try:
            found = summary(augmentation(size, batch, seconds / 2, rounds, device))
        except ImportError as error:
            result["absent"]["kornia"] = str(error)
            break
        result["augmentation"][f"{size} px, batch {batch}"] = found
        print(f"augmentation, {size} px:", found["images_per_second"], found["ours_times_as_fast_as"])
    keep()


if __name__ == "__main__":
    main()
