"""Small photographs: python bench/photos.py DATA [--epochs N] [--limit 10000] [--preset cifar10 --device cuda --keep FILE]

DATA is an image folder with train/ and test/, one sub-folder a class. Results in this repository are of
CIFAR-10 re-encoded as JPEG, named CIFAR-10-JPEG. All cores train; only the training is timed.
"""

import argparse
from pathlib import Path

import common
import torch

import byol_tutorial as bt
from byol_tutorial.evaluate import pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--limit", type=int, default=10_000, help="training images")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--preset", default="photos")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="on cuda in half precision")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="CIFAR-10-JPEG")
    parser.add_argument(
        "--keep", type=Path, help="save to this file every ten epochs, and go on from it if it is there"
    )
    options = parser.parse_args()

    train = bt.load(f"folder:{options.data}", limit=options.limit)
    test = bt.load(f"folder:{options.data}", "test")
    config = bt.preset(options.preset, seed=options.seed, knn_every=0)
    given = {"epochs": options.epochs, "batch_size": options.batch_size}
    config = config.replace(**{name: value for name, value in given.items() if value})
    if options.device == "cuda":
        config = config.replace(precision="mixed")
    if options.keep and options.keep.exists():
        trainer = bt.Trainer.resume(options.keep, train, test, options.device, config)
    else:
        trainer = bt.Trainer(config, train, test, device=options.device)
    encoders = {"random encoder": trainer.initial_encoder(), "BYOL": trainer.model.encoder}
    while trainer.steps_done < trainer.total_steps:
        trainer.run(epochs=10)
        if options.keep:
            trainer.save(options.keep)

    knn = {"raw pixels": bt.knn_accuracy(pixels(train.images), train.labels, pixels(test.images), test.labels)}
    for name, encoder in encoders.items():
        a, b = bt.features(encoder, train.images), bt.features(encoder, test.images)
        knn[name] = bt.knn_accuracy(a, train.labels, b, test.labels)
    print(f"{options.name}: {len(train)} training and {len(test)} test images of {train.images.shape[-1]} px")
    for name, accuracy in knn.items():
        print(f"{name:<16} kNN {accuracy:.3f}")
    seconds = trainer.history.seconds
    print(f"trained {seconds:.0f} s on {torch.get_num_threads()} threads, {trainer.report()}")
    result = {"data": options.name, "train": len(train), "test": len(test), "epochs": config.epochs, "seconds": seconds}
    name = "photos" if options.preset == "photos" else f"photos_{options.preset}_{options.device}"
    common.write(name, result | {"seed": options.seed, "threads": torch.get_num_threads(), "knn": knn})


if __name__ == "__main__":
    main()
