"""Train on small photographs: python bench/photos.py DATA [--epochs N] [--limit 10000] [--preset cifar10 --device cuda]

DATA is an image folder with train/ and test/, and one sub-folder per class. The results in this repository are for
CIFAR-10 re-encoded as JPEG, named CIFAR-10-JPEG. The library chooses the number of threads; only the training is timed. Each result is written at
once; --encoder also writes the encoder.
"""

import argparse
from pathlib import Path

import common
import torch

import byol_tutorial as bt
from byol_tutorial.evaluate.features import pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--limit", type=int, default=10_000, help="training images")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--preset", default="photos")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="cuda uses half precision")
    parser.add_argument("--compile", default="auto", choices=["auto", "on", "off"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="CIFAR-10-JPEG")
    parser.add_argument("--every", type=int, default=10, help="epochs between measurements of kNN accuracy and speed")
    parser.add_argument("--encoder", type=Path, help="write the trained encoder to this file, its weights as bfloat16")
    options = parser.parse_args()

    train = bt.load(f"folder:{options.data}", limit=options.limit)
    test = bt.load(f"folder:{options.data}", "test")
    config = bt.preset(options.preset, seed=options.seed, knn_every=0, compile=options.compile)
    given = {"epochs": options.epochs, "batch_size": options.batch_size}
    config = config.replace(**{name: value for name, value in given.items() if value})
    if options.device == "cuda":
        config = config.replace(precision="mixed")
    trainer = bt.Trainer(config, train, test, device=options.device)
    name = "photos" if options.preset == "photos" else f"photos_{options.preset}_{options.device}"
    result = {
        "data": options.name, "train": len(train), "test": len(test), "config": config.to_dict(), "seconds": 0.0,
        "threads": trainer.history.threads, "on_the_way": [], "knn": {},
    }  # fmt: skip

    def knn(a: torch.Tensor, b: torch.Tensor) -> float:
        a, b = a.to(trainer.device), b.to(trainer.device)
        return round(bt.knn_accuracy(a, train.labels, b, test.labels), 4)

    def look(encoder: torch.nn.Module) -> float:
        return knn(bt.features(encoder, train), bt.features(encoder, test))

    result["knn"]["raw pixels"] = knn(pixels(train.images), pixels(test.images))
    result["knn"]["random encoder"] = look(trainer.initial_encoder())
    print(f"{options.name}: {len(train)} training and {len(test)} test images of {train.images.shape[-1]} px")
    while trainer.steps_done < trainer.total_steps and not trainer.interrupted:
        steps, seconds = trainer.steps_done, trainer.history.seconds
        trainer.run(epochs=options.every, progress=False)
        steps, seconds = trainer.steps_done - steps, trainer.history.seconds - seconds
        result["seconds"] = round(trainer.history.seconds, 1)
        result["knn"]["BYOL"] = look(trainer.model.encoder)
        result["on_the_way"].append(
            {"epoch": round(trainer.epoch), "knn": result["knn"]["BYOL"], "images_per_second": round(steps * config.batch_size / seconds),
             "loss": round(trainer.history.loss[-1], 4), "std": round(trainer.history.std[-1], 3)}
        )  # fmt: skip
        print(result["seconds"], result["on_the_way"][-1], flush=True)
        common.write(name, result, add=True)
    result["report"] = str(trainer.report())
    common.write(name, result)
    print(f"{result['knn']}; {result['seconds']} s; {result['report']}")
    if options.encoder:
        for weight in trainer.model.encoder.parameters():
            weight.data = weight.data.bfloat16() if weight.ndim > 1 else weight.data
        trainer.save_encoder(options.encoder)


if __name__ == "__main__":
    main()
