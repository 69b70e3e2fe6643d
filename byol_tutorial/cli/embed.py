"""byol-tutorial embed: write the representations of images, and a map of them."""

import re
from pathlib import Path

import numpy
import rich_click as click
import torch
from torch import Tensor

from ..config.errors import UserError
from ..evaluate.embed import KINDS, pca_embedding, umap_embedding
from ..evaluate.features import features
from ..runtime.device import resolve_device
from ..runtime.files import write_atomically
from . import run_folder
from .console import console
from .data_source import DataSource, Images
from .options import DEVICE, guest_options, load_guests

TITLES = {"pca": "PCA", "umap": "UMAP"}


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--kind", type=click.Choice(KINDS), default="umap", help="how the map is made [umap]")
@click.option("--split", type=click.Choice(["train", "test"]), help="which images are mapped [test, if there are any]")
@click.option("--data", help="data to take the images from, resized to the size of the run's images [those of the run]")
@click.option("--limit", type=click.IntRange(4), default=5000, help="largest number of images [5000]")
@guest_options
@click.option("--seed", type=int, default=0, help="seed for the map and for the choice of images [0]")
@click.option("--device", **DEVICE)
def embed(
    run: Path,
    kind: str,
    split: str | None,
    data: str | None,
    limit: int,
    guests: tuple[str, ...],
    guest_size: int | None,
    seed: int,
    device: str,
) -> None:
    """Write the representations of images by the encoder in run folder RUN, and a map of them.

    RUN/embeddings.npz, which numpy.load reads, holds features (N, D) and map (N, 2), float32; labels (N,), int64, -1
    where unknown; and the names of the classes. RUN/figures/map.png shows the map.

    With guests, their representations are written instead: RUN/embeddings-NAME.npz and RUN/figures/map-NAME.png.
    """
    invited = load_guests(guests, guest_size, resolve_device(device))
    trainer, images, test = run_folder.open_run(run, device)
    if data is not None:
        images, test = DataSource(data, size=images.image_size[0]).load()
    chosen = choose(images, test, split, limit, seed)
    for name, encoder in (invited or {"": trainer.model.encoder}).items():
        y = features(encoder, chosen)
        points = pca_embedding(y) if kind == "pca" else umap_embedding(y, seed)
        file = write_map(run, name, kind, chosen, y, points)
        console.print(f"{name or run}: {chosen!r}; features {tuple(y.shape)} and their map in {file}")


def choose(images: Images, test: Images | None, split: str | None, limit: int, seed: int) -> Images:
    """Return the images of a split, or a random sample of `limit` of them if there are more.

    Without a split, these are the test images if there are any, else the train images.

    Raises:
        UserError: split "test" without test images.
    """
    if split == "test" and test is None:
        raise UserError(f"--split test: {images.name!r} has no test images; leave it out, or add a test/ folder")
    chosen = images if split == "train" or test is None else test
    return chosen if len(chosen) <= limit else chosen.sample(limit, seed)


def write_map(run: Path, guest: str, kind: str, images: Images, y: Tensor, points: Tensor) -> Path:
    """Write features and map as NumPy arrays, and the map as a picture. Return the file of the arrays.

    Args:
        run: the run folder.
        guest: whose features these are, for the names of the files; "" for the encoder of the run.
        kind: how the map was made, one of KINDS.
        images: the N images.
        y: their features, float32 (N, D).
        points: the map, float32 (N, 2).
    """
    from ..course.figures.maps import by_class, show_maps

    suffix = "-" + re.sub(r"[^\w.-]+", "-", guest).strip("-") if guest else ""
    labels = torch.full((len(images),), -1) if images.labels is None else images.labels
    arrays = {
        "features": y.numpy(),
        "map": points.numpy(),
        "labels": labels.numpy(),
        "classes": list(images.classes),
    }
    file = run / f"embeddings{suffix}.npz"
    write_atomically(file, lambda opened: numpy.savez(opened, **arrays))

    title = f"{TITLES[kind]} of {len(y):,} images"
    alt = f"{TITLES[kind]} of the representations of {len(y):,} images of {images.name!r}"
    alt += (f" by {guest}" if guest else "") + ", coloured by class"
    colours = by_class(labels.clamp(min=0))
    picture = show_maps([{title: points}], [colours], images.classes[:10], inches=5.0, alt=alt)
    write_atomically(run / "figures" / f"map{suffix}.png", lambda opened: opened.write(picture.png()))
    return file
