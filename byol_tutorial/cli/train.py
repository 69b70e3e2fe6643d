"""byol-tutorial train: start or resume a run, train it to its end, and judge it."""

import signal
import sys
from pathlib import Path
from typing import Any

import rich_click as click

from ..config.errors import DivergedError, UserError
from ..config.presets import PRESETS
from ..data import streaming
from ..runtime import distributed
from ..runtime.distributed import process
from ..runtime.signals import ending_signals, ignored
from ..runtime.threads import set_threads
from ..train.trainer import Trainer
from . import report, run_folder
from .console import console
from .metrics import NO_TENSORBOARD, has_tensorboard
from .moment import name_earlier_maps
from .new_run import start_run
from .options import DATA_HELP, DEVICE, THREADS, WORKERS, ChannelsType, RangeType, UserPath, config_options, only_one
from .records import Recorder, Records
from .resumed_run import resume_run


@click.command()
@click.option("--data", callback=only_one, multiple=True, metavar="TEXT", help=f"{DATA_HELP} [shapes]", panel="Run")
@click.option(
    "--out",
    type=UserPath(),
    help="folder of the run, which must be new [runs/NAME-001, ...]",
    panel="Run",
)
@click.option(
    "--resume",
    type=UserPath(),
    help="resume the run in this folder from its last checkpoint, with its own data and options; or from a file such as "
    "RUN/checkpoint-0010.pt in a folder of its own, which --out names",
    panel="Run",
)
@click.option(
    "--init",
    type=UserPath(),
    metavar="RUN|FILE|timm:NAME[=FILE]|torchvision:NAME[=FILE]",
    help="run folder, checkpoint or encoder file whose weights the new run starts from, to train longer or on other "
    "images; or weights of timm or torchvision, which are downloaded unless =FILE is given [random weights]",
    panel="Run",
)
@click.option(
    "--preset", "preset_name", help=f"recipe to start from: {', '.join(PRESETS)} [decided by the data]", panel="Run"
)
@click.option(
    "--size",
    type=click.IntRange(max=run_folder.LARGEST),
    help="side in pixels to which images are resized [their own up to 96 px, else 96]",
    panel="Run",
)
@click.option("--limit", type=int, help="largest number of images to use [all]", panel="Run")
@click.option("--corrupt", help="what is done about files that cannot be read: refuse or skip [refuse]", panel="Run")
@click.option(
    "--labels",
    metavar="auto|folders|none",
    help="whether sub-folders are classes; none if they are dates or patients, for example [auto: if there are any]",
    panel="Run",
)
@click.option(
    "--holdout",
    type=float,
    help="share of the images kept for tests, if the folder has no test/ of its own; 0 keeps none [0.2]",
    panel="Run",
)
@click.option(
    "--channels",
    type=ChannelsType(),
    help="channels of a folder's images: 1 is grey, 3 is RGB, N are the first N bands of the files [auto: 3 for grey and "
    "coloured files, all bands of others]",
    panel="Run",
)
@click.option(
    "--bits",
    type=click.INT,
    metavar="8|16",
    help="depth of a folder's images [16 if a file is deeper than 8 bits, else 8]",
    panel="Run",
)
@click.option(
    "--value-range",
    type=RangeType(),
    help="values that become black and white, such as 0,4095 [8-bit images as they are; else found from a sample]",
    panel="Run",
)
@click.option(
    "--stream/--no-stream",
    default=None,
    help="decode the images of a folder during training, or keep them in memory [decided by their size]",
    panel="Run",
)
@click.option("--device", panel="Run", **DEVICE)
@click.option("--threads", panel="Run", **THREADS)
@click.option("--workers", panel="Run", **WORKERS)
@click.option(
    "--keep-every",
    type=click.IntRange(min=0),
    help="epochs between checkpoints that are kept, as checkpoint-0010.pt; 0 keeps none [0]",
    panel="Run",
)
@click.option(
    "--keep-best/--no-keep-best",
    default=None,
    help="keep checkpoint and encoder with the best kNN accuracy so far, as checkpoint-best.pt [no]",
    panel="Run",
)
@click.option(
    "--tensorboard/--no-tensorboard",
    default=None,
    help="write the measures also as event files of TensorBoard, to RUN/tensorboard [no]",
    panel="Run",
)
@config_options
def train(
    data: str | None,
    out: Path | None,
    resume: Path | None,
    init: Path | None,
    preset_name: str | None,
    size: int | None,
    limit: int | None,
    corrupt: str | None,
    stream: bool | None,
    labels: str | None,
    holdout: float | None,
    channels: int | str | None,
    bits: int | None,
    value_range: tuple[float, float] | None,
    device: str,
    threads: int | None,
    workers: int | None,
    keep_every: int | None,
    keep_best: bool | None,
    tensorboard: bool | None,
    **fields: Any,
) -> None:
    """Train BYOL, or another --method, and judge it.

    The command writes a run folder and ends with a table of accuracies, by kNN and by linear probe: of raw pixels, of
    the encoder with random weights, and of the trained encoder. Ctrl-C, SIGTERM and SIGHUP stop the run after a whole
    step and keep what was learned; --resume goes on from there.

    Brackets give the default; where it depends on the recipe, that of "shapes". An option with two values, for T and
    T′, takes one number for both, or two with a comma between them: --blur-p 1.0,0.1.

    On several GPUs: torchrun --nproc-per-node=N -m byol_tutorial train ...
    """
    data_options: dict[str, Any] = {
        "name": data,
        "size": size,
        "limit": limit,
        "corrupt": corrupt,
        "stream": stream,
        "labels": labels,
    }
    data_options |= {"holdout": holdout, "value_range": value_range, "bits": bits}
    data_options = typed(data_options | {"channels": None if channels == "auto" else channels})
    changes = typed(fields)
    kept = typed({"keep_every": keep_every, "keep_best": keep_best, "tensorboard": tensorboard})
    if tensorboard and not has_tensorboard():
        raise UserError(f"--tensorboard: {NO_TENSORBOARD}")
    device = distributed.join(device)
    console.quiet = not process().is_main
    if threads:
        set_threads(threads)
    streaming.set_workers(workers)
    if resume:
        records = Records.of(run_folder.folder_and_checkpoint(resume)[0], kept)
        trainer, test, out = resume_run(resume, out, preset_name, init, data_options, changes, device, records)
    else:
        records = Records(**kept)
        trainer, test, out = start_run(out, preset_name, init, data_options, changes, device, records)
    train_to_the_end(trainer, out, records)
    diagnosis = trainer.diagnosis()  # all processes compute it together
    if process().is_main:
        report.judge(trainer, test, out, diagnosis)
        name_earlier_maps(out)
        console.print(f"all of it is in {out}")


def typed(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were typed; those that were not are None."""
    return {name: value for name, value in options.items() if value is not None}


def train_to_the_end(trainer: Trainer, out: Path, records: Records) -> None:
    """Train, and after each epoch save the state and what `records` names.

    After Ctrl-C, SIGTERM or SIGHUP, save, print how to go on, and exit.

    Raises:
        DivergedError, TrainingError, DataError: as `Trainer.run`. The run folder holds what was learned before.
    """
    config, left = trainer.config, trainer.feed.left_over
    console.print(
        f"{config.epochs} epochs of {trainer.steps_per_epoch} steps on {trainer.device}; run folder {out}"
        + (f"; {left} images, others each time, are left over and wait for another epoch" if left else "")
    )

    recorder = Recorder(records, out, trainer)

    def save(trainer: Trainer) -> None:
        run_folder.save_state(out, trainer)
        recorder.write(trainer)

    def each_epoch(trainer: Trainer) -> None:
        if trainer.steps_done % trainer.steps_per_epoch == 0:
            recorder.keep(trainer)
            save(trainer)

    endings = ending_signals()
    with ignored(*endings):  # a second one must not interrupt the saving
        try:
            trainer.run(on_step=each_epoch, stop_signals=(signal.SIGINT, *endings))
        except DivergedError:
            raise  # the weights of the steps before are bad, too: the checkpoint of the last epoch stays
        except BaseException:
            if trainer.steps_done:
                save(trainer)
            raise
        save(trainer)
        if trainer.interrupted:
            console.print(f"stopped at step {trainer.steps_done} of {trainer.total_steps}; kept in {out}")
            console.print(f"go on with: byol-tutorial train --resume {out}")
            console.print(f"judge it with: byol-tutorial evaluate {out}")
            sys.exit(128 + (trainer.stop_signal or signal.SIGINT))
