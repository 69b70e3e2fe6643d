"""byol-tutorial train: start or resume a run, train it to its end, and judge it."""

import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import rich_click as click
import torch

from ..config.config import FIELDS, OWN, Config
from ..config.errors import DivergedError, RunError, UserError
from ..config.presets import PRESETS, preset
from ..data import streaming
from ..data.embedded import EMBEDDED
from ..data.headers import LARGEST_DEFAULT
from ..evaluate.features import kept_size
from ..networks.backbones import check_name
from ..runtime import distributed
from ..runtime.device import resolve_device
from ..runtime.distributed import process
from ..runtime.signals import ending_signals, exit_on, ignored
from ..train.trainer import Trainer
from . import report, run_folder, run_lock
from .console import console
from .data_source import DataSource, Images
from .metrics import NO_TENSORBOARD, has_tensorboard
from .options import DATA_HELP, DEVICE, WORKERS, ChannelsType, RangeType, UserPath, config_options
from .records import Recorder, Records

PRESET_OF = {"shapes": "shapes", "digits": "digits"}  # any other data: "photos"


@click.command()
@click.option("--data", help=f"{DATA_HELP} [shapes]", panel="Run")
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
@click.option("--threads", type=click.IntRange(min=1), help="number of CPU threads [number of cores]", panel="Run")
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
        torch.set_num_threads(threads)
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
        console.print(f"all of it is in {out}")


def typed(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were typed; those that were not are None."""
    return {name: value for name, value in options.items() if value is not None}


# --- a new run ----------------------------------------------------------------------------------


def start_run(
    out: Path | None,
    preset_name: str | None,
    init: Path | None,
    data_options: dict[str, Any],
    changes: dict[str, Any],
    device: str,
    records: Records,
) -> tuple[Trainer, Images | None, Path]:
    """Load the images, build the trainer and write the run folder.

    Args:
        out: the run folder. Default: the next number in runs/.
        preset_name: the recipe. Default: see `recipe`.
        init: the weights to start from.
        data_options, changes: the fields of DataSource and of Config that were typed.
        device: as for Trainer.
        records: what the run keeps besides its state.

    Returns:
        trainer, test images, run folder

    Raises:
        UserError: an option, the data or the run folder cannot be used.
    """
    # The checks that cost nothing come first: a typing error must not cost a download.
    source = DataSource(**({"name": "shapes"} | data_options))
    config = recipe(source.name, preset_name, changes)
    check_name(config.encoder)
    if config.encoder == OWN:
        raise UserError(
            f"--encoder {OWN}: a module of your own is given in Python, as Trainer(config, images, encoder=...)"
        )
    resolve_device(device)
    if source.size is None and config.view_size:
        source = replace(source, size=stored_size(config.view_size, source.name))
    if not process().is_main:
        trainer, test = build(source, config, changes, device, init)
        records.check(trainer)
        return trainer, test, out or Path()
    claim = run_lock.reserve(out, source.short_name)
    try:
        with exit_on(*ending_signals()):
            trainer, test = build(source, config, changes, device, init)
            records.check(trainer)
            run_folder.begin(claim.path, trainer.config, source, trainer, init)
            records.remember(claim.path)
    except BaseException:
        claim.undo()
        raise
    claim.keep_until_the_end()
    return trainer, test, claim.path


def build(
    source: DataSource, config: Config, changes: dict[str, Any], device: str, init: Path | None
) -> tuple[Trainer, Images | None]:
    """Load the images, print what was found, and build the trainer; return it with the test images."""
    images, test = source.load()
    for line in images.found.lines() if images.found is not None else ():
        console.print(line)
    for each in (images, test):
        if each is not None:
            console.print(repr(each))
            sampled = each.found.unreadable if each.found is not None else {}  # of a folder that stays on disk
            for file, reason in {**sampled, **each.unreadable}.items():
                console.print(f"  left out, cannot be read: {file} ({reason})")
    config = fit_channels(config, changes, images.channels)
    trainer = Trainer(fit_batch(config, changes, len(images)), images, test, device, init)
    for part, words in trainer.taken.items():
        console.print(f"{part} from {init}: {words}")
    return trainer, test


def recipe(data: str, preset_name: str | None, changes: dict[str, Any]) -> Config:
    """Return the preset with `changes`.

    Without a name it is the preset of the data; on "shapes", that of the method if there is one of its name.

    Raises:
        ConfigError: an unknown preset, or a value that is not allowed.
        UserError: a change that has no part in the method.
    """
    if preset_name is None and data == "shapes" and changes.get("method") in PRESETS:
        preset_name = changes["method"]
    config = preset(preset_name or PRESET_OF.get(data, "photos"), **changes)
    for name in changes:
        of = FIELDS[name].metadata["of"]
        if config.method not in of:
            raise UserError(
                f"{name}={changes[name]}: it has no part in method {config.method!r}, only in {', '.join(of)}; leave it out"
            )
    return config


def stored_size(view_size: int, data: str) -> int | None:
    """Return the side in pixels at which images are kept for views of this size: 8/7 of it.

    None means their own size: that of the sets which the library draws or bundles, and that of torchvision's sets for views of
    at most 96 px, since enlarging small pictures adds nothing.
    """
    keeps_its_own = data in EMBEDDED or (not data.startswith("folder:") and view_size <= LARGEST_DEFAULT)
    return None if keeps_its_own else kept_size(view_size)


def fit_channels(config: Config, changes: dict[str, Any], channels: int) -> Config:
    """Return the config without operations on colours where images have none, and print what was switched off.

    Raises:
        ConfigError: such an operation was typed.
    """
    fitted = config.for_channels(channels)
    fitted = fitted.replace(**{name: changes[name] for name in ("saturation", "hue", "grayscale_p") if name in changes})
    fitted.check_channels(channels)
    if off := [name for name in config.rgb_operations if name not in fitted.rgb_operations]:
        console.print(
            f"{', '.join(off)} switched off in the views: they take red, green and blue, and the images have {channels} "
            f"channel{'s'[: channels > 1]}"
        )
    return fitted


def fit_batch(config: Config, changes: dict[str, Any], images: int) -> Config:
    """Return the config with steps of at most this many images, and print what was changed.

    A batch size that was typed is left alone.
    """
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
    init: Path | None,
    data_options: dict[str, Any],
    changes: dict[str, Any],
    device: str,
    records: Records,
) -> tuple[Trainer, Images | None, Path]:
    """Open the run in this folder as its last checkpoint left it, or go on from a file in a new folder, see `branch`.

    Args:
        path: the run folder, or a checkpoint in one.
        out, preset_name, init: must be None, since a resumed run keeps its own.
        data_options, changes: the fields of DataSource and of Config that were typed; they must be those of the run.
        device: as for Trainer.
        records: what the run keeps besides its state.

    Returns:
        trainer, test images, run folder

    Raises:
        UserError: an option that is not that of the run, or a run folder that cannot be read or is in use.
    """
    for option, value in (("--out", out), ("--preset", preset_name), ("--init", init)):
        if value is not None and not (option == "--out" and path.is_file()):
            raise RunError(f"{option} {value}: a resumed run keeps its own; leave it out")
    if path.is_file():
        return branch(path, out, data_options, changes, device, records)
    if process().is_main:
        run_lock.own_until_the_end(path)
    trainer, _, test = run_folder.open_run(path, device, data_options, changes)
    records.check(trainer)
    if "name" in data_options and process().is_main:  # the images have moved
        source = source_of(path, data_options)
        run_folder.write_settings(path, trainer.config, source, trainer.train, run_folder.initial_weights(path))
    if process().is_main:
        records.remember(path)
    console.print(f"{path}: going on at step {trainer.steps_done} of {trainer.total_steps} on {trainer.train!r}")
    return trainer, test, path


def branch(
    file: Path,
    out: Path | None,
    data_options: dict[str, Any],
    changes: dict[str, Any],
    device: str,
    records: Records,
) -> tuple[Trainer, Images | None, Path]:
    """Go on from a checkpoint that a run has kept, in a folder of its own, so that nothing of that run is replaced.

    Raises:
        UserError: as `resume_run`; no folder is named, or it cannot be used.
    """
    if out is None:
        raise RunError(
            f"--resume {file}: a single checkpoint goes on in a folder of its own; name a new one with --out"
        )
    trainer, _, test = run_folder.open_run(file.parent, device, data_options, changes, checkpoint=file.name)
    records.check(trainer)
    if process().is_main:
        claim = run_lock.reserve(out, out.name)
        try:
            source, init = source_of(file.parent, data_options), run_folder.initial_weights(file.parent)
            run_folder.begin(claim.path, trainer.config, source, trainer, None if init is None else Path(init))
            records.remember(claim.path)
        except BaseException:
            claim.undo()
            raise
        claim.keep_until_the_end()
    console.print(f"{out}: going on from {file} at step {trainer.steps_done} of {trainer.total_steps}")
    return trainer, test, out


def source_of(run: Path, data_options: dict[str, Any]) -> DataSource:
    """Return the images of an earlier run, at the place that was typed if they have moved."""
    source = run_folder.read_source(run)
    if run_folder.scale(run) == "depth":
        source = replace(source, value_range="depth")
    return replace(source, name=data_options.get("name", source.name))


# --- training -----------------------------------------------------------------------------------


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
