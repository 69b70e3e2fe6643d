"""byol-tutorial train: a new run, or one that goes on, trained to its end and judged."""

import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import rich_click as click
import torch

from ..config.config import FIELDS, Config
from ..config.errors import DivergedError, RunError, UserError
from ..config.presets import PRESETS, preset
from ..data import streaming
from ..data.decode import LARGEST_DEFAULT
from ..data.embedded import EMBEDDED
from ..evaluate.features import kept_size
from ..runtime import distributed
from ..runtime.device import resolve_device
from ..runtime.distributed import process
from ..runtime.signals import ignored
from ..train.trainer import Trainer
from . import report, run_folder
from .console import console
from .data_source import DataSource, Images
from .options import DATA_HELP, DEVICE, WORKERS, config_options

PRESET_OF = {"shapes": "shapes", "digits": "digits"}  # any other data: "photos"


@click.command()
@click.option("--data", help=f"{DATA_HELP} [shapes]", panel="Run")
@click.option(
    "--out", type=click.Path(path_type=Path), help="folder of the run; must be new [runs/NAME-001, ...]", panel="Run"
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    help="go on with the run in this folder, from its last checkpoint, with its own data and options",
    panel="Run",
)
@click.option("--preset", "preset_name", help=f"recipe to start from: {', '.join(PRESETS)} [by the data]", panel="Run")
@click.option(
    "--size", type=int, help="pixels a side the images are brought to [their own up to 96 px, else 96]", panel="Run"
)
@click.option("--limit", type=int, help="use at most so many images [all]", panel="Run")
@click.option("--corrupt", help="files that cannot be read: refuse or skip [refuse]", panel="Run")
@click.option(
    "--stream/--no-stream",
    default=None,
    help="decode the images of a folder while training, or keep them in memory [by their size]",
    panel="Run",
)
@click.option("--device", panel="Run", **DEVICE)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads [as many as cores]", panel="Run")
@click.option("--workers", panel="Run", **WORKERS)
@config_options
def train(
    data: str | None,
    out: Path | None,
    resume: Path | None,
    preset_name: str | None,
    size: int | None,
    limit: int | None,
    corrupt: str | None,
    stream: bool | None,
    device: str,
    threads: int | None,
    workers: int | None,
    **fields: Any,
) -> None:
    """Train BYOL, or another --method, and judge it.

    Writes a run folder and ends with a table: raw pixels, the encoder before training, and after it, by kNN
    and by linear probe. Ctrl-C and SIGTERM stop after a whole step and keep what was learned; --resume goes on.

    The number in brackets is the default of "shapes". An option of two values, for T and T′, takes one
    number for both or two with a comma: --blur-p 1.0,0.1.

    On several GPUs: torchrun --nproc-per-node=N -m byol_tutorial train ...
    """
    data_options = typed({"name": data, "size": size, "limit": limit, "corrupt": corrupt, "stream": stream})
    changes = typed(fields)
    device = distributed.join(device)
    console.quiet = not process().is_main
    if threads:
        torch.set_num_threads(threads)
    streaming.set_workers(workers)
    if resume:
        trainer, test, out = resume_run(resume, out, preset_name, data_options, changes, device)
    else:
        trainer, test, out = start_run(out, preset_name, data_options, changes, device)
    train_to_the_end(trainer, out)
    diagnosis = trainer.diagnosis()  # by all processes together
    if process().is_main:
        report.judge(trainer, test, out, diagnosis)
        console.print(f"all of it is in {out}")


def typed(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were typed: all others are None."""
    return {name: value for name, value in options.items() if value is not None}


# --- a new run ----------------------------------------------------------------------------------


def start_run(
    out: Path | None, preset_name: str | None, data_options: dict[str, Any], changes: dict[str, Any], device: str
) -> tuple[Trainer, Images | None, Path]:
    """Return a new run: its trainer, its test images and its folder, which is written.

    Args:
        data_options, changes: the fields of DataSource and of Config that were typed.
    """
    # First the checks that cost nothing: a typing error must not cost a download.
    source = DataSource(**({"name": "shapes"} | data_options))
    config = recipe(source.name, preset_name, changes)
    resolve_device(device)
    out = out or run_folder.new_path(source.short_name)
    if process().is_main:
        run_folder.check_free(out)
    if source.size is None and config.view_size:
        source = replace(source, size=stored_size(config.view_size, source.name))

    images, test = source.load()
    for each in (images, test):
        if each is not None:
            console.print(repr(each))
            for file in each.skipped:
                console.print(f"  left out, cannot be read: {file}")
    config = fit_batch(config, changes, len(images))
    trainer = Trainer(config, images, test, device)
    if process().is_main:
        run_folder.create(out)
        run_folder.write_settings(out, config, source)
    run_folder.save_state(out, trainer)  # so that a run that is killed before its first epoch ends can be resumed
    return trainer, test, out


def recipe(data: str, preset_name: str | None, changes: dict[str, Any]) -> Config:
    """The preset named, else that of the data, else, on "shapes", that of the method; with `changes`."""
    if preset_name is None and data == "shapes" and changes.get("method") in PRESETS:
        preset_name = changes["method"]
    config = preset(preset_name or PRESET_OF.get(data, "photos"), **changes)
    for name in changes:
        of = FIELDS[name].metadata["of"]
        if config.method not in of:
            raise UserError(
                f"{name}={changes[name]}: it has no part in {config.method}, but in {', '.join(of)}; leave it out"
            )
    return config


def stored_size(view_size: int, data: str) -> int | None:
    """Pixels a side to keep images at, for views of this size; None: their own. Small pictures are not enlarged."""
    keeps_its_own = data in EMBEDDED or (not data.startswith("folder:") and view_size <= LARGEST_DEFAULT)
    return None if keeps_its_own else kept_size(view_size)


def fit_batch(config: Config, changes: dict[str, Any], images: int) -> Config:
    """Return the config with steps of no more images than there are, unless `changes` has a batch size; say so."""
    if "batch_size" in changes or config.step_images <= images:
        return config
    passes = config.accumulation_steps if "accumulation_steps" in changes else 1
    batch = min(config.batch_size, max(2, images // passes))
    console.print(
        f"batch_size {batch} and accumulation_steps {passes} instead of {config.batch_size} and "
        f"{config.accumulation_steps}: there are {images} images"
    )
    return config.replace(batch_size=batch, accumulation_steps=passes)


# --- a run that goes on -------------------------------------------------------------------------


def resume_run(
    path: Path,
    out: Path | None,
    preset_name: str | None,
    data_options: dict[str, Any],
    changes: dict[str, Any],
    device: str,
) -> tuple[Trainer, Images | None, Path]:
    """Return the run in this folder, as its last checkpoint has it: trainer, test images, run folder.

    All options that were typed must be those of the run.
    """
    for option, value in (("--out", out), ("--preset", preset_name)):
        if value is not None:
            raise RunError(f"{option} {value}: a resumed run keeps its own; leave it out")
    trainer, _, test = run_folder.open_run(path, device, data_options, changes)
    if process().is_main:
        run_folder.remove_parts(path)
    console.print(f"{path}: going on at step {trainer.steps_done} of {trainer.total_steps} on {trainer.train!r}")
    return trainer, test, path


# --- training -----------------------------------------------------------------------------------


def train_to_the_end(trainer: Trainer, out: Path) -> None:
    """Train, saving after each epoch. After Ctrl-C or SIGTERM, save, say how to go on and exit."""
    config, left = trainer.config, trainer.feed.left_over
    console.print(
        f"{config.epochs} epochs of {trainer.steps_per_epoch} steps on {trainer.device}; run folder {out}"
        + (f"; {left} images wait for another epoch, others each time" if left else "")
    )

    def each_epoch(trainer: Trainer) -> None:
        if trainer.steps_done % trainer.steps_per_epoch == 0:
            run_folder.save_state(out, trainer)

    with ignored(signal.SIGTERM):  # a second one must not break into the saving
        try:
            trainer.run(on_step=each_epoch, stop_signals=(signal.SIGINT, signal.SIGTERM))
        except DivergedError:
            raise  # the weights before it are no good either: the last epoch's checkpoint stays
        except BaseException:
            if trainer.steps_done:
                run_folder.save_state(out, trainer)
            raise
        run_folder.save_state(out, trainer)
        if trainer.interrupted:
            console.print(f"stopped at step {trainer.steps_done} of {trainer.total_steps}; kept in {out}")
            console.print(f"go on with: byol-tutorial train --resume {out}")
            console.print(f"judge it with: byol-tutorial evaluate {out}")
            sys.exit(128 + (trainer.stop_signal or signal.SIGINT))
