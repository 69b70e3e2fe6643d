"""byol-tutorial evaluate: judge a run by its table or by protocols, beside guests if there are any."""

from dataclasses import replace
from pathlib import Path

import rich_click as click

from ..config.errors import DataError
from ..data import streaming
from ..data.reading import channels_of_an_encoder
from ..evaluate.protocols import PROTOCOLS
from ..runtime.device import resolve_device
from ..runtime.threads import set_threads
from ..train.trainer import Trainer
from . import report, run_folder
from .console import console
from .data_source import DataSource, Images
from .moment import name_earlier_maps
from .options import (
    CORRUPT,
    DEVICE,
    THREADS,
    WORKERS,
    UserPath,
    check_channels,
    check_guests,
    guest_options,
    load_guests,
    only_one,
)
from .run_lock import own_until_the_end


@click.command()
@click.argument("run", type=UserPath())
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    help=f"{', '.join(PROTOCOLS)}; the option can be repeated [none: verdict and table]",
)
@click.option(
    "--data",
    callback=only_one,
    multiple=True,
    metavar="TEXT",
    help="other data for the protocols; without one, the place to which the run's images have moved",
)
@click.option("--corrupt", **CORRUPT)
@guest_options
@click.option("--seed", type=int, default=0, help="seed for splits, batches and crops of the protocols [0]")
@click.option("--device", **DEVICE)
@click.option("--threads", **THREADS)
@click.option("--workers", **WORKERS)
def evaluate(
    run: Path,
    protocols: tuple[str, ...],
    data: str | None,
    corrupt: str | None,
    guests: tuple[str, ...],
    guest_size: int | None,
    seed: int,
    device: str,
    threads: int | None,
    workers: int | None,
) -> None:
    """Judge the run in folder RUN by its verdict and its table, or by protocols.

    RUN may also be a checkpoint in a run folder, such as RUN/checkpoint-0010.pt. Its results and figures go to a folder
    of its name, RUN/checkpoint-0010.

    knn and linear are quick and use frozen features. sgd-linear is the paper's linear evaluation. few-labels-1 and
    few-labels-10 fine-tune on 1 % and 10 % of the labels. transfer judges on another data set, which --data names.
    factors tells how much the features hold of each factor of "shapes", and dense how well its feature map, from before
    the pooling, tells what is at every pixel. Each protocol judges the random encoder, too.

    Guests are encoders that others trained. They see the same images, resized to the size they were made for.
    """
    if threads:
        set_threads(threads)
    streaming.set_workers(workers)
    report.check_protocols(protocols, data)
    invited = load_guests(guests, guest_size, resolve_device(device))
    options = {} if corrupt is None else {"corrupt": corrupt}
    run, checkpoint = run_folder.folder_and_checkpoint(run)
    out = run if checkpoint == "checkpoint.pt" else run / Path(checkpoint).stem
    own_until_the_end(run)
    with channels_of_an_encoder():
        trainer, images, test = open_with_images(run, device, options, data, bool(protocols), checkpoint)
    if data is None or not protocols:
        check_guests(invited, images.channels)
    (out / "figures").mkdir(parents=True, exist_ok=True)
    console.print(f"{out}: {trainer.steps_done} of {trainer.total_steps} steps on {images!r}")
    if out == run:
        name_earlier_maps(run)
    if not protocols:
        report.judge(trainer, test, out, trainer.diagnosis(), invited)
        return
    own = True
    if data is not None:
        other = DataSource(data, size=images.image_size[0], corrupt=corrupt or "refuse")
        if data.startswith("folder:"):
            other = replace(other, **run_folder.reading(run))
        with channels_of_an_encoder():
            images, test = other.load()
        check_channels(trainer.model.encoder, images)
        check_guests(invited, images.channels)
        console.print(repr(images))
        own = other.absolute().name == run_folder.read_source(run).absolute().name
    report.run_protocols(protocols, trainer, images, test, seed, out, invited, own)


def open_with_images(
    run: Path, device: str, options: dict[str, str], data: str | None, protocols: bool, checkpoint: str
) -> tuple[Trainer, Images, Images | None]:
    """Open the run with its own images, or with `data` where they have moved there.

    Protocols look at `data` later, and need the run's own images for their names only, which may be gone.
    """
    moved = {} if data is None else {"name": data}
    if not protocols:
        return run_folder.open_run(run, device, options | moved, same_images=False, checkpoint=checkpoint)
    try:
        return run_folder.open_run(run, device, options, same_images=False, checkpoint=checkpoint)
    except DataError:
        if data is None:
            raise
        return run_folder.open_run(run, device, options | moved, same_images=False, checkpoint=checkpoint)
