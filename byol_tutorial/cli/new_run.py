"""A new run: its recipe, its images, and the folder that it gets."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..config.config import FIELDS, OWN, Config
from ..config.errors import UserError
from ..config.presets import PRESETS, preset
from ..config.user_text import printable
from ..data.embedded import EMBEDDED
from ..data.headers import LARGEST_DEFAULT
from ..evaluate.features import kept_size
from ..networks.backbones import check_name
from ..runtime.device import resolve_device
from ..runtime.distributed import process
from ..runtime.signals import ending_signals, exit_on
from ..train.trainer import Trainer
from . import run_folder, run_lock
from .console import console
from .data_source import DataSource, Images
from .records import Records

PRESET_OF = {"shapes": "shapes", "digits": "digits"}  # any other data: "photos"


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
            # Only a folder that stays on disk has unreadable files in its sample.
            sampled = each.found.unreadable if each.found is not None else {}
            for file, reason in {**sampled, **each.unreadable}.items():
                console.print(f"  left out, cannot be read: {printable(file)} ({reason})")
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
        UserError: a change that has no effect in the method.
    """
    if preset_name is None and data == "shapes" and changes.get("method") in PRESETS:
        preset_name = changes["method"]
    config = preset(preset_name or PRESET_OF.get(data, "photos"), **changes)
    for name in changes:
        of = FIELDS[name].metadata["of"]
        if config.method not in of:
            raise UserError(
                f"{name}={changes[name]}: it has no effect in method {config.method!r}, only in {', '.join(of)}; leave it out"
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
