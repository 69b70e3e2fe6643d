"""byol-tutorial embed: write the representations of images, and a map of them."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import rich_click as click
import torch
from torch import Tensor, nn

from ..config.errors import UserError
from ..config.user_text import printable, user_path
from ..data.found import beside_images
from ..data.image_set import draw_positions
from ..data.loading import SOURCES
from ..data.reading import channels_of_an_encoder
from ..data.streaming import StreamedSet
from ..data.value_range import check_scale
from ..evaluate.embed import KINDS, hash_of_weights, pca_embedding, place_on, umap_embedding
from ..evaluate.features import features
from ..evaluate.image_files import classes_of, embed_images, find_images, number_classes
from ..runtime.device import resolve_device
from ..runtime.threads import set_threads
from ..train.encoder_file import load_encoder, steps_of
from . import run_folder
from .console import console
from .data_source import DataSource
from .options import (
    CORRUPT,
    DEVICE,
    THREADS,
    RangeType,
    UserPath,
    check_channels,
    check_guests,
    guest_options,
    load_guests,
)
from .run_lock import own_place_of, own_until_the_end, plain_name
from .vector_files import (
    ENDINGS,
    check_parquet,
    check_same_encoder,
    check_same_images,
    read_map,
    with_dash,
    write_map,
    write_table,
)

TITLES = {"pca": "PCA", "umap": "UMAP"}
LIMIT = 5000  # images of the run's own data, unless a limit is given


@click.command()
@click.argument("run", type=UserPath())
@click.option(
    "--data", multiple=True, metavar="PATH", help="image files or folders to embed, all of them [the run's own]"
)
@click.option("--out", type=UserPath(), help="file to write, .npz, .csv or .parquet [RUN/embeddings.npz]")
@click.option(
    "--kind", type=click.Choice([*KINDS, "none"]), default="umap", help="how the map is made; or no map [umap]"
)
@click.option(
    "--onto", type=UserPath(), metavar="FILE", help="place the images on the map in this .npz of an earlier embed"
)
@click.option(
    "--split", type=click.Choice(["train", "test"]), help="which of the run's images [test, if there are any]"
)
@click.option("--limit", type=click.IntRange(1), help=f"largest number of images [of --data all, else {LIMIT}]")
@click.option("--corrupt", **CORRUPT)
@click.option("--value-range", type=RangeType(), help="values of --data that become 0 and 255 [as in training]")
@guest_options
@click.option("--seed", type=int, default=0, help="seed for the map and for the choice of images [0]")
@click.option("--device", **DEVICE)
@click.option("--threads", **THREADS)
def embed(
    run: Path,
    data: tuple[str, ...],
    out: Path | None,
    kind: str,
    onto: Path | None,
    split: str | None,
    limit: int | None,
    corrupt: str | None,
    value_range: tuple[float, float] | None,
    guests: tuple[str, ...],
    guest_size: int | None,
    seed: int,
    device: str,
    threads: int | None,
) -> None:
    """Write the representations of images by the encoder in run folder RUN, and a map of them.

    RUN may also be an encoder file in a run folder, such as RUN/encoder-best.safetensors; what is written has its name too.
    Only the encoder of the run is needed, not the images that it was trained on. --data names other images: files or
    folders, of which all images are taken, one is enough. Their representations go to RUN/embeddings-NAME.npz, unless
    --out says otherwise.

    An .npz file, which numpy.load reads, holds features (N, D) and map (N, 2), float32; labels (N,), int64, -1 where
    unknown; the names of the classes; the file of each image; a hash of the encoder's weights; the name of its file, and
    the steps that its run had made. A .csv or .parquet file has a row per image: file, label, map and features. RUN/figures/map.png shows the map. With --onto the images do
    not get a map of their own: each is placed among its nearest neighbours on the map of an earlier call by the same
    encoder, which the picture shows in grey; -onto is added to the names of what is written.

    With guests, their representations are written instead: RUN/embeddings-NAME.npz and RUN/figures/map-NAME.png.
    """
    if out is not None and out.suffix.lower() not in ENDINGS:
        raise UserError(f"--out {out}: give a file that ends in {', '.join(ENDINGS)}")
    if out is not None and len(guests) > 1:
        raise UserError(f"--out {out}: it is for one encoder; leave it out, or name one guest")
    if "" in data:
        raise UserError("--data '': give image files or folders")
    if value_range is not None:
        check_scale(value_range)
        if not data:
            raise UserError("--value-range: it is for --data; the run's own images are scaled as in training")
    if out is not None and out.suffix.lower() == ".parquet":
        check_parquet(out)  # before the work, so that it is not lost
    if data and split is not None:
        raise UserError(f"--split {split}: --data takes all images; leave one of them out")
    below = None if onto is None else read_map(onto)
    if threads:
        set_threads(threads)
    place = resolve_device(device)
    invited = load_guests(guests, guest_size, place)
    encoders: dict[str, nn.Module] = dict(invited)
    run, encoder_file = run_folder.folder_and_encoder(run)
    source = run_folder.read_source(run)
    named = DataSource(data[0], run_folder.image_size(run)) if len(data) == 1 and is_set(data[0]) else None
    if named is None:
        check_guests(invited, run_folder.reading(run).get("channels"))
    places = [user_path(path.removeprefix("folder:")) for path in data]
    of = (
        "the run's own images"
        if not data
        else data[0]
        if named is not None
        else ", ".join(map(os.path.abspath, places))
    )
    about = (
        "" if not data else data[0] if named is not None else plain_name(os.path.basename(os.path.abspath(places[0])))
    )
    which = "" if guests else encoder_file.stem.removeprefix("encoder").strip("-")
    suffixes = {
        name: "-".join(filter(None, (about, name, which, "onto" if onto is not None else "")))
        for name in encoders or ("",)
    }
    outputs = {name: out or run / f"embeddings{with_dash(suffix)}.npz" for name, suffix in suffixes.items()}
    for file in outputs.values():
        if onto is not None and file.exists() and file.samefile(onto):
            raise UserError(f"--onto {onto}: it would be overwritten, with its map; name another file with --out")
        if out is None:
            check_same_images(file, of)
    owned = None
    if out is None or kind != "none" or onto is not None:  # otherwise nothing is written there
        own_until_the_end(run)
        owned = run
    if out is not None:
        own_place_of(out, owned)
    encoders = encoders or {"": load_encoder(encoder_file).to(place)}
    hashes = {name: hash_of_weights(encoder) for name, encoder in encoders.items()}
    if below is not None:
        check_same_encoder(onto, below.encoder, {name or str(encoder_file): h for name, h in hashes.items()})
    for name, encoder in encoders.items():
        if named is not None:
            table = of_run(encoder, named, None, limit or LIMIT, seed)
        elif data:
            size, how = run_folder.image_size(run), run_folder.reading(run)
            how |= {} if value_range is None else {"value_range": value_range}
            table = of_files(encoder, places, size, how, corrupt or source.corrupt, limit, seed)
        else:
            source = replace(source, corrupt=corrupt or source.corrupt, **run_folder.reading(run))
            table = of_run(encoder, source, split, limit or LIMIT, seed)
        table["encoder"], table["steps"] = hashes[name], None if name else steps_of(encoder_file)
        table["encoder_file"], table["of"] = encoder_file.name, of
        if below is not None:
            table["map"] = place_on(table["features"], below.known, below.points).numpy()
        elif kind != "none" and len(table["features"]) > 1:
            table["map"] = map_of(table["features"], kind, seed).numpy()
        file = outputs[name]
        suffix = plain_name(file.stem) if out is not None and data else suffixes[name]
        write_table(file, table)
        words = f"{name or (encoder_file if which else run)}: features {tuple(table['features'].shape)} of {len(table['features']):,} images"
        if "map" in table:
            title = TITLES.get(kind, "") if onto is None else f"map of {onto.name}"
            words += f" and their map ({title})" if onto is None else f" and their places on the {title}"
            write_map(run, suffix, title, table, None if below is None else below.points)
        console.print(f"{words} in {file}")


def is_set(name: str) -> bool:
    """Return whether this is the name of a data set, and not a file or folder here."""
    return name in SOURCES and not Path(name).exists()


def of_files(
    encoder: nn.Module,
    places: list[Path],
    size: int | None,
    how: dict[str, Any],
    corrupt: str,
    limit: int | None,
    seed: int,
) -> dict[str, Any]:
    """Return the features of all image files in these places, or of a random sample of `limit`.

    how: channels, bits and value_range, as for embed_images.
    """
    tree = find_images(places)
    for line in beside_images(tree):
        console.print(line)
    files = tree.images
    if limit is not None and limit < len(files):
        files = [files[i] for i in draw_positions(len(files), limit, seed)]
    with channels_of_an_encoder():
        found = embed_images(encoder, files, size, corrupt=corrupt, **how)
    for file, reason in found.unreadable.items():
        console.print(f"  left out, cannot be read: {printable(file)} ({reason})")
    labels, classes = number_classes(classes_of(places, found.files))
    labels = torch.full((len(found.files),), -1) if labels is None else labels
    return {"features": found.features, "labels": labels, "classes": classes, "files": found.files}


def of_run(encoder: nn.Module, source: DataSource, split: str | None, limit: int, seed: int) -> dict[str, Any]:
    """Return the features of the run's own images of a split; without one, of its test images if there are any.

    Raises:
        UserError: split "test" without test images.
        DataError: the images are not there.
    """
    with channels_of_an_encoder():
        images, test = source.load()
    check_channels(encoder, images)
    if split == "test" and test is None:
        raise UserError(f"--split test: {images.name!r} has no test images; leave it out, or add a test/ folder")
    chosen = images if split == "train" or test is None else test
    if isinstance(chosen, StreamedSet) or len(chosen) > limit:  # a sample has no rows of files that cannot be read
        chosen = chosen.sample(limit, seed)
    console.print(repr(chosen))
    labels = torch.full((len(chosen),), -1) if chosen.labels is None else chosen.labels
    encoded = getattr(chosen, "files", None)
    files = [] if encoded is None else [os.fsdecode(file) for file in encoded]
    return {"features": features(encoder, chosen), "labels": labels, "classes": chosen.classes, "files": files}


def map_of(y: Tensor, kind: str, seed: int) -> Tensor:
    """Return a map (N, 2) of N >= 2 features; of too few for UMAP, or of one dimension, what PCA makes of them."""
    if kind == "umap" and len(y) >= 8:
        return umap_embedding(y, seed, neighbours=min(15, len(y) - 1))
    return pca_embedding(y)
