"""byol-tutorial evaluate: a run that is there, judged by the table or by protocols, beside guests if there are any."""

from pathlib import Path

import rich_click as click

from ..data import streaming
from ..evaluate.protocols import PROTOCOLS
from ..runtime.device import resolve_device
from . import report, run_folder
from .console import console
from .data_source import DataSource
from .options import DEVICE, WORKERS, guest_options, invite


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    help=f"{', '.join(PROTOCOLS)}; several are possible [none: verdict and table]",
)
@click.option("--data", help="judge the encoder by the protocols on this data instead of the run's own")
@guest_options
@click.option("--seed", type=int, default=0, help="decides splits, batches and crops of the protocols [0]")
@click.option("--device", **DEVICE)
@click.option("--workers", **WORKERS)
def evaluate(
    run: Path,
    protocols: tuple[str, ...],
    data: str | None,
    guests: tuple[str, ...],
    guest_size: int | None,
    seed: int,
    device: str,
    workers: int | None,
) -> None:
    """Judge the run in folder RUN again: verdict, kNN and linear probe beside the baselines; or by protocols.

    knn, linear: quick, on frozen features. sgd-linear: the paper's linear evaluation. few-labels-1, -10:
    fine-tuning on 1 % or 10 % of the labels. transfer: another data set, with --data. factors: what is left
    of each factor of "shapes". The random encoder goes through the same, and stands beside.

    Guests are encoders that others trained. They see the same images, brought to the size they are made for.
    """
    streaming.set_workers(workers)
    report.check_protocols(protocols, data)
    invited = invite(guests, guest_size, resolve_device(device))
    trainer, images, test = run_folder.open_run(run, device)
    console.print(f"{run}: {trainer.steps_done} of {trainer.total_steps} steps on {images!r}")
    if not protocols:
        report.judge(trainer, test, run, trainer.diagnosis(), invited)
        return
    if data is not None:
        images, test = DataSource(data, size=images.image_size[0]).load()
        console.print(repr(images))
    report.run_protocols(protocols, trainer, images, test, seed, run, invited)
