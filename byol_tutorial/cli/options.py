"""Options that several commands share, and the options of `train` that are the fields of Config."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import rich_click as click
import torch
from torch import nn

from ..config.config import FIELDS
from ..config.errors import DataError, UserError
from ..config.fields import Pair
from ..config.user_text import user_path
from ..data.image_set import ImageSet
from ..data.streaming import StreamedSet
from ..evaluate.features import trained_part
from ..evaluate.pretrained import Guest, guest

DATA_HELP = "shapes, digits, photographs, a torchvision set (cifar10, stl10, ...), or folder:PATH"
DEVICE: dict[str, Any] = {"default": "auto", "help": "auto, cpu, cuda, cuda:1, mps [auto]"}
THREADS: dict[str, Any] = {
    "type": click.IntRange(min=1),
    "help": "number of CPU threads [one for small networks; measured for large ones]",
}
WORKERS: dict[str, Any] = {
    "type": click.IntRange(min=0),
    "help": "number of processes that decode a streamed folder; with 0, the command itself decodes "
    "[number of cores − 1, from 1 to 8]",
}
CORRUPT: dict[str, Any] = {"help": "what is done about files that cannot be read: refuse or skip [that of the run]"}


def only_one(_: click.Context, param: click.Parameter, given: tuple[str, ...]) -> str | None:
    """Return the value of an option that may be given only once, because a second value would be ignored silently.

    Raises:
        UserError: it was given several times.
    """
    if len(given) > 1:
        raise UserError(
            f"{param.opts[0]} is given {len(given)} times, {' and '.join(given)}: give one. To use several folders, put links to them into one folder and name that"
        )
    return given[0] if given else None


class UserPath(click.Path):
    """A path in which ~ is the home folder and $NAME a variable, even where the shell leaves them, as in --out=~/run."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path: Any = super().convert(value, param, ctx)
        found = user_path(path)
        if str(found).startswith("~") and not found.exists():
            self.fail(f"{str(path)!r}: there is no home folder here; give the whole path", param, ctx)
        return found


class RangeType(click.ParamType):
    """Two numbers with a comma between them: the values that become 0 and 255."""

    name = "LOW,HIGH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        try:
            low, high = (float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r}: give two numbers with a comma between them, such as 0,4095", param, ctx)
        return low, high


class ChannelsType(click.ParamType):
    """A number of channels, or "auto", which is None."""

    name = "auto|1|3|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if str(value) != "auto" and not str(value).isdecimal():
            self.fail(f"{value!r}: give auto or a number, such as 1, 3 or 5", param, ctx)
        return value if str(value) == "auto" else int(value)


# --- the fields of Config -----------------------------------------------------------------------


class PairType(click.ParamType):
    """A number for both view distributions, or two numbers with a comma between them, for T and for T′."""

    name = "number[,number]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """Return the two numbers; fail with the value and an example if it is neither one number nor two."""
        numbers: tuple[float, ...]
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) not in (1, 2):
            self.fail(f"{value!r}: give one number, or two for T and T′, such as 1.0,0.1", param, ctx)
        return (numbers[0], numbers[-1])


def config_options(command: Callable) -> Callable:
    """Return the command with one option for every field of Config.

    Help, choices and default are those of the field. An option that was not typed is None: the preset decides it.
    """
    for name, field in reversed(FIELDS.items()):
        meta = field.metadata
        flag = f"--{name.replace('_', '-')}"
        kind = {bool: click.BOOL, Pair: PairType()}.get(field.type, field.type)
        if meta["choices"]:
            kind = click.STRING  # Config checks it, and its error says what is allowed
        names = f"{flag}/--no-{flag[2:]}" if field.type is bool else flag
        metavar = "|".join(meta["choices"] or ()) or None
        if metavar and len(metavar) > 30:
            metavar = metavar.replace("|", " | ")  # so that a line can break between two of them
        text = f"{meta['help']} [{_shown(field.default)}]"
        kwargs: dict[str, Any] = {} if field.type is bool else {"type": kind, "metavar": metavar}
        if meta["alone"]:
            kwargs |= {"is_flag": False, "flag_value": meta["alone"]}
        command = click.option(names, name, default=None, help=text, panel=meta["group"], **kwargs)(command)
    return command


def _shown(value: Any) -> str:
    """Return a default as one would type it: a pair of equal numbers as one number."""
    if isinstance(value, tuple):
        return ",".join(f"{v:g}" for v in (value[:1] if value[0] == value[1] else value))
    return f"{value:g}" if isinstance(value, float) else str(value)


# --- guests -------------------------------------------------------------------------------------


def guest_options(command: Callable) -> Callable:
    """Return the command with the options --guest and --guest-size, whose values `load_guests` takes."""
    command = click.option(
        "--guest-size",
        type=click.IntRange(min=8),
        help="side in pixels of the images that guests see [the size each was made for]",
    )(command)
    return click.option(
        "--guest",
        "guests",
        multiple=True,
        metavar="NAME=FILE",
        help="encoder of torchvision (resnet50) or timm (timm:vit_small_patch14_dinov2.lvd142m) with weights from FILE; "
        "NAME=download fetches weights, NAME=random draws them; the option can be repeated",
    )(command)


def load_guests(asked: tuple[str, ...], size: int | None, device: torch.device) -> dict[str, Guest]:
    """Return the guests by name. Where one name is asked for twice, the name of the file is added.

    Args:
        asked: NAME=FILE, NAME=download or NAME=random of each guest.
        size: side in pixels of the images that guests see. Default: the size each was made for.
        device: where the guests compute.

    Raises:
        UserError: a size without guests, a guest without name or weights, or the same guest twice.
        GuestError, WeightsError: as `evaluate.pretrained.guest`.
    """
    if size and not asked:
        raise UserError(f"--guest-size {size}: only guests use it; name one with --guest")
    pairs = [each.partition("=")[::2] for each in asked]
    found: dict[str, Guest] = {}
    for name, source in pairs:
        if not name or not source:
            raise UserError(f"--guest {name}: write NAME=FILE, NAME=download (fetches weights) or NAME=random")
        who = name if sum(name == other for other, _ in pairs) == 1 else f"{name} ({Path(source).name})"
        if who in found:
            raise UserError(f"--guest {name}={source}: another guest has this name and file name; leave one out")
        how = {source: True} if source in ("download", "random") else {"weights": source}
        found[who] = guest(name, size=size, **how).to(device)
    return found


def _channels_of(encoder: nn.Module) -> int:
    mean: Any = trained_part(encoder).pixel_mean
    return len(mean)


def check_channels(encoder: nn.Module, images: ImageSet | StreamedSet) -> None:
    """Raise DataError for images with other channels than the encoder takes; one for three channels takes grey images, too."""
    made_for = _channels_of(encoder)
    if images.channels != made_for and (images.channels, made_for) != (1, 3):
        raise DataError(
            f"the encoder is made for {made_for} channel{'s'[: made_for > 1]}, and the images of {images.name!r} have "
            f"{images.channels}: choose other images"
        )


def check_guests(guests: dict[str, Guest], channels: int | None) -> None:
    """Raise UserError for a guest that does not take images of so many channels; of grey ones it gets three equal ones.

    channels: None where they are not known; they are checked when the images are encoded.
    """
    for name, invited in guests.items():
        made_for = _channels_of(invited)
        if channels not in (None, 1, made_for):
            raise UserError(
                f"--guest {name}: it is made for {made_for} channels, and the images have {channels}; leave it out, or "
                f"compare it with a run on images of 1 or {made_for} channels"
            )
