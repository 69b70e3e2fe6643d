"""A run that goes on: in its own folder from its last checkpoint, or in a new folder from one that it kept."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..config.errors import RunError
from ..runtime.distributed import process
from ..train.trainer import Trainer
from . import run_folder, run_lock
from .console import console
from .data_source import DataSource, Images
from .records import Records


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
